"""Which arms are held against which, and the differences of their levels: intervals, p-values, equivalence.

Every pair of arms would be too many once each model has free baselines beside it, and most pairs answer nothing. The
contrasts are:

    models     every model against every model before it
    free       a model with a free baseline (`<model>+<method>`) against the model itself
               every other model against each free baseline of the first (of `base` if there is one)
               every model against what needs no model (BM25)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybrid_core.scored import Key, ScoredSuite
from hybrid_core.significance import Pair, corrected, or_none, swap_p
from hybrid_core.stats.bootstrap import Estimate, Replicates
from hybrid_core.stats.families import equivalent
from hybrid_core.stats.randomisation import flips_for

Json = dict[str, Any]
Free = Mapping[str, Mapping[str, str]]
"""Arm -> {"of": model or "", "method": name}, for arms that are free baselines."""
Suites = Mapping[str, ScoredSuite]


@dataclass(frozen=True)
class Contrast:
    """Arm minus reference. Kinds are families of tests (see `stats.families`)."""

    arm: str
    reference: str
    kind: str


@dataclass(frozen=True)
class Rules:
    """What intervals and tests are made with."""

    samples: int
    confidence: float
    seed: int
    margins: Mapping[str, float]


def contrasts(arms: Sequence[str], free: Free) -> list[Contrast]:
    """The contrasts of a comparison, see above."""
    models = [arm for arm in arms if arm not in free]
    first = "base" if "base" in models else next(iter(models), "")
    found = [Contrast(arm, reference, "models") for i, arm in enumerate(models) for reference in models[:i]]
    own = [(arm, of) for arm in arms if arm in free and (of := free[arm]["of"])]
    found += [Contrast(arm, of, "free") for arm, of in own if of in models]
    found += [Contrast(model, arm, "free") for model in models if model != first for arm, of in own if of == first]
    modelless = [arm for arm in arms if arm in free and not free[arm]["of"]]
    return found + [Contrast(model, arm, "free") for model in models for arm in modelless]


def difference_rows(suites: Suites, chosen: Sequence[Contrast], rules: Rules) -> list[Json]:
    """Differences of all levels, with p-values corrected within their families."""
    tested = {suite: _shared(data, chosen) for suite, data in suites.items()}
    flips = flips_for(_largest_family(tested), samples=rules.samples, alpha=1.0 - rules.confidence)
    rows = []
    for suite, data in suites.items():
        pairs = [[(1.0, Pair(data.side(c.arm, key), data.side(c.reference, key)))] for key, c in tested[suite]]
        p_values = swap_p(pairs, flips=flips, seed=rules.seed, suite=suite)
        for (key, c), p in zip(tested[suite], p_values, strict=True):
            change = data.levels[c.arm][key] - data.levels[c.reference][key]
            about = labels(c, suite=suite, setting=key[0], metric=key[1])
            row = about | numbers(change.estimate(rules.confidence)) | {"p": or_none(p)}
            rows.append(row | equivalence(change, key[1], rules))
    kinds = {(c.arm, c.reference): c.kind for c in chosen}
    return corrected(rows, lambda row: (row["metric"], kinds[row["arm"], row["reference"]]))


def _shared(data: ScoredSuite, chosen: Sequence[Contrast]) -> list[tuple[Key, Contrast]]:
    """(Key, contrast) where both arms have a level."""
    return [
        (key, c) for key in data.keys for c in chosen if data.has_level(c.arm, key) and data.has_level(c.reference, key)
    ]


def _largest_family(tested: Mapping[str, Sequence[tuple[Key, Contrast]]]) -> int:
    sizes: dict[tuple[str, str], int] = {}
    for tests in tested.values():
        for (_, metric), c in tests:
            sizes[metric, c.kind] = sizes.get((metric, c.kind), 0) + 1
    return max(sizes.values(), default=0)


def labels(contrast: Contrast, **others: str) -> Json:
    """What a row is about."""
    return {**others, "arm": contrast.arm, "reference": contrast.reference}


def numbers(estimate: Estimate) -> Json:
    """An estimate as part of a row."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def equivalence(change: Replicates, metric: str, rules: Rules) -> Json:
    """Whether a difference lies within the metric's margin, as part of a row; None where the metric has none."""
    margin = rules.margins.get(metric) or None
    return {"equivalent": equivalent(change, margin, rules.confidence), "margin": margin}
