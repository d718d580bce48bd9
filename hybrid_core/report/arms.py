"""Which arms of a comparison are models and which are free baselines: what costs nothing beside a model.

Free baselines carry no claim of their own. Main tables, figures and sentences speak of models only; `models_only` is the
comparison without the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Comparison = Mapping[str, Any]
"""What `hybrid_core.comparison.compare` returns, with or without a `run` section."""
_METHODS = ("mean_offset", "top_component", "csls")
_BM25 = "bm25"


@dataclass(frozen=True)
class Free:
    """A free baseline: the method, and the model that it is applied to ("" for none)."""

    of: str
    method: str


def free_baselines(comparison: Comparison) -> dict[str, Free]:
    """Arms that are free baselines: as the comparison says under `free`, by their names if it does not."""
    arms: list[str] = list(comparison["arms"])
    stated = comparison.get("free")
    if stated is not None:
        return {arm: Free(stated[arm].get("of") or "", stated[arm]["method"]) for arm in arms if arm in stated}
    named = {arm: Free(*arm.rsplit("+", 1)) for arm in arms if arm.endswith(tuple(f"+{name}" for name in _METHODS))}
    found = {arm: free for arm, free in named.items() if free.of in arms}
    return found | ({_BM25: Free("", _BM25)} if _BM25 in arms[1:] else {})


def models(comparison: Comparison) -> list[str]:
    """Arms that are models, in the order of the comparison."""
    free = free_baselines(comparison)
    return [arm for arm in comparison["arms"] if arm not in free]


def grouped(comparison: Comparison) -> list[str]:
    """All arms: each model followed by its free baselines, then those that belong to no model."""
    free, found = free_baselines(comparison), []
    for model in models(comparison):
        found += [model, *(arm for arm, f in free.items() if f.of == model)]
    return found + [arm for arm in free if arm not in found]


def models_only(comparison: Comparison) -> Comparison:
    """The comparison without its free baselines: every list of rows keeps those whose arm and reference are models."""
    free = free_baselines(comparison)
    if not free:
        return comparison
    kept = {
        key: [row for row in value if not (_names(row) & free.keys())] if isinstance(value, list) else value
        for key, value in comparison.items()
    }
    return kept | {"arms": models(comparison), "free": {}}


def _names(row: object) -> set[str]:
    return {row[key] for key in ("arm", "reference") if key in row} if isinstance(row, Mapping) else set()
