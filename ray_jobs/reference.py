"""`python -m ray_jobs.reference`: every config field with its meaning, default and allowed values, as docs/config.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from hybrid_core.config import Config
from hybrid_core.recipes import RECIPES


def reference() -> str:
    """The reference page, made from the dataclasses themselves."""
    lines = [
        "# Configuration",
        "",
        "Set a field with `--set path.to.field=value` or in a YAML file given to `--config`. Unknown keys are errors.",
        "This page is made by `make docs`.",
        "",
        "## Recipes",
        "",
        *(f"- `{name}`: {(recipe.__doc__ or '').strip()}" for name, recipe in RECIPES.items()),
        "",
        *_section("", Config()),
    ]
    return "\n".join(lines) + "\n"


def _section(path: str, config: Any) -> Iterator[str]:
    fields = dataclasses.fields(config)
    plain = [f for f in fields if not dataclasses.is_dataclass(getattr(config, f.name)) and "section" not in f.metadata]
    yield from (f"## `{path.rstrip('.')}`" if path else "## Top level", "", (type(config).__doc__ or "").strip(), "")
    yield from ("| field | default | allowed | meaning |", "|---|---|---|---|")
    for field in plain:
        yield f"| `{path}{field.name}` | `{_shown(getattr(config, field.name))}` | {_allowed(field)} | {field.metadata['meaning']} |"
    yield ""
    for field in fields:
        if "section" in field.metadata:
            yield from _section(f"{path}{field.name}.NAME.", field.metadata["section"]())
        elif field not in plain:
            yield from _section(f"{path}{field.name}.", getattr(config, field.name))


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "(empty)"
    return "(unset)" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _allowed(field: dataclasses.Field[Any]) -> str:
    if field.metadata["choices"]:
        return ", ".join(f"`{c}`" for c in field.metadata["choices"])
    if field.metadata["low"] is not None:
        return f"{field.metadata['low']} to {field.metadata['high']}"
    return "true, false" if field.type == "bool" else "text"


if __name__ == "__main__":
    print(reference(), end="")
