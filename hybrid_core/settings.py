"""How config dataclasses are declared, built from plain mappings and checked; they know nothing of this project's fields."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeVar

import yaml

from hybrid_core.errors import RequestError, nearest

T = TypeVar("T")


class Unparsed(str):
    """A value from the command line: text fields take it as it is, other fields read it as YAML."""


def setting(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A config field: its default, its meaning (with unit), and the values it allows."""
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high, "choices": choices})


def build(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """Make a config dataclass from a nested mapping.

    Raises:
        RequestError: unknown key (the nearest valid one is named), wrong type, value outside its range.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise RequestError(f"unknown config key '{path}{key}'{nearest(key, fields)}")
    built: dict[str, Any] = {}
    for key, value in values.items():
        where, hint = f"{path}{key}", hints[key]
        if dataclasses.is_dataclass(hint):
            built[key] = build(typing.cast(type, hint), _section(where, value), f"{where}.")
        elif typing.get_origin(hint) is Mapping:  # sections under names of the user's own
            section = typing.get_args(hint)[1]
            built[key] = {
                name: build(section, _section(f"{where}.{name}", inner), f"{where}.{name}.")
                for name, inner in _section(where, value).items()
            }
        else:
            built[key] = _checked(where, value, hint, fields[key].metadata)
    return cls(**built)


def _section(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RequestError(f"{where} is a section with keys of its own, not the value {value!r}")
    return value


def _checked(where: str, value: Any, hint: Any, meta: Mapping[str, Any]) -> Any:
    """Return the value in its field's type, or raise a RequestError that says what is allowed."""
    value = _coerced(where, value, hint)
    low, high, choices = meta["low"], meta["high"], meta["choices"]
    if value is None:
        return None
    items = value if isinstance(value, tuple) else (value,)
    for item in items if choices is not None else ():
        if item not in choices:
            raise RequestError(f"{where}={item!r}{nearest(str(item), choices)} (allowed: {', '.join(choices)})")
    if low is not None and not all(low <= v <= high for v in items):
        raise RequestError(f"{where}={value} is outside [{low}, {high}]: {meta['meaning']}")
    return value


def _coerced(where: str, value: Any, hint: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None:
        if type(None) in options:
            return None
        raise RequestError(f"{where} needs a value")
    wanted = next(o for o in options if o is not type(None))
    if isinstance(value, Unparsed):
        value = _parsed(where, value, wanted, nullable=type(None) in options)
        if value is None:
            return None
    if typing.get_origin(wanted) is tuple:
        return _items(where, value, typing.get_args(wanted)[0])
    if wanted is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 3e-5 as text
        except ValueError:
            raise RequestError(f"{where}={value!r} must be a number") from None
    if wanted is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise RequestError(f"{where}={value!r} must be of type {wanted.__name__}")
    return value


def _items(where: str, value: Any, kind: type) -> tuple[Any, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if kind is int:
        try:
            return tuple(int(str(i)) for i in items if str(i).strip())  # by their text: int(64.7) would be 64
        except (TypeError, ValueError):
            raise RequestError(f"{where}={value!r} must be a list of whole numbers, for example 1,2") from None
    if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
        raise RequestError(f"{where}={value!r} must be a list of names, for example a,b")
    return tuple(i.strip() for i in items if i.strip())


def _parsed(where: str, raw: Unparsed, wanted: Any, *, nullable: bool) -> Any:
    if wanted is str or typing.get_origin(wanted) is tuple:
        return None if nullable and raw in ("null", "~") else str(raw).strip("[]") if wanted is not str else str(raw)
    try:
        return yaml.safe_load(raw) if raw else ""
    except yaml.YAMLError as error:
        raise RequestError(f"{where}={str(raw)!r} is not a value in YAML: {error}") from error


def as_dict(config: Any) -> dict[str, Any]:
    """The config as plain nested dicts and lists (for YAML, JSON and MLflow)."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(config))))


def flat(config: Any) -> dict[str, Any]:
    """The config as {'path.to.field': value}."""

    def walk(node: dict[str, Any], path: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in node.items():
            out |= walk(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
        return out

    return walk(as_dict(config), "")


def digest(value: Any) -> str:
    """16 hex digits that name a JSON-able value, the same on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
