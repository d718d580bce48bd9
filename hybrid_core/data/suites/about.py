"""suite.json: what the owner of a folder says about it. Every field is optional and checked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hybrid_core.data.languages import check_language
from hybrid_core.data.suites.collection import SETTINGS
from hybrid_core.errors import RequestError, nearest

_COUNTED = ("queries", "passages", "relevant")
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class About:
    """The fields of suite.json."""

    name: str = ""
    domain: str = ""
    """Domain of the queries that have none of their own."""
    languages: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """Empty: those that apply."""
    licence: str = ""
    source: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    """Expected numbers of queries, passages and relevant pairs."""
    relevant_from: int | None = None
    """Smallest grade that counts as relevant; None: judgements are 0 or 1."""


_FIELDS = tuple(field.name for field in fields(About))


def place_of(file: Path, key: str) -> str:
    """File, line and field of a key of suite.json; the file alone where there is no such file."""
    match = re.search(rf'"{re.escape(key)}"\s*:', file.read_text(encoding="utf-8")) if file.exists() else None
    if match is None:  # written with escapes, or no file
        return f"{file}, field {key!r}" if file.exists() else str(file.parent)
    line = match.string.count("\n", 0, match.start()) + 1
    return f"{file}, line {line}, field {key!r}"


def read_about(file: Path) -> About:
    """Read suite.json; an absent file says nothing.

    Raises:
        RequestError: names the file and the field that cannot be used.
    """
    if not file.exists():
        return About()
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RequestError(f"{file} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise RequestError(f"{file} must hold one JSON object")
    for key in found:
        if key not in _FIELDS:
            raise RequestError(f"{place_of(file, key)}: unknown field{nearest(key, _FIELDS)}")
    name, domain, licence, source = (_text(found, key, file) for key in ("name", "domain", "licence", "source"))
    if name and not _NAME.fullmatch(name):
        raise RequestError(f"{place_of(file, 'name')}: {name!r}; a name is letters, digits, '_', '-' and '.'")
    languages = _list(found, "languages", file)
    for language in languages:
        check_language(language, place_of(file, "languages"))
    return About(
        name, domain, languages, _settings(found, file), licence, source, _counts(found, file), _threshold(found, file)
    )


def _text(found: dict[str, Any], key: str, file: Path) -> str:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise RequestError(f"{place_of(file, key)}: {value!r} is not text")
    return value or ""


def _list(found: dict[str, Any], key: str, file: Path) -> tuple[str, ...]:
    value = found.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RequestError(f"{place_of(file, key)}: {value!r} is not a list of texts")
    if len(set(value)) != len(value):
        raise RequestError(f"{place_of(file, key)}: {value!r} names something twice")
    return tuple(value)


def _settings(found: dict[str, Any], file: Path) -> tuple[str, ...]:
    settings = _list(found, "settings", file)
    for setting in settings:
        if setting not in SETTINGS:
            raise RequestError(f"{place_of(file, 'settings')}: {setting!r}{nearest(setting, SETTINGS)}")
    if "settings" in found and not settings:
        raise RequestError(
            f"{place_of(file, 'settings')}: empty; name some of {', '.join(SETTINGS)} or leave the field out"
        )
    return settings


def _counts(found: dict[str, Any], file: Path) -> dict[str, int]:
    counts = found.get("counts", {})
    if not isinstance(counts, dict):
        raise RequestError(f"{place_of(file, 'counts')}: {counts!r} is not an object")
    for key, number in counts.items():
        if key not in _COUNTED:
            raise RequestError(f"{place_of(file, 'counts')}: {key!r}{nearest(key, _COUNTED)}")
        if isinstance(number, bool) or not isinstance(number, int):
            raise RequestError(f"{place_of(file, 'counts')}: {key} is {number!r}, not a whole number")
    return dict(counts)


def _threshold(found: dict[str, Any], file: Path) -> int | None:
    value = found.get("relevant_from")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise RequestError(f"{place_of(file, 'relevant_from')}: {value!r} is not a whole number of at least 1")
    return value
