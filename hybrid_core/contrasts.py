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

import numpy as np

from hybrid_core.scored import Key, ScoredSuite
from hybrid_core.stats.bootstrap import Estimate, Replicates, mean_replicates
from hybrid_core.stats.families import equivalent, holm
from hybrid_core.stats.randomisation import flips_for, paired_difference, sign_flip_p
from hybrid_core.stats.seeds import seed_multipliers

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
    tested = [(suite, *found) for suite, data in suites.items() for found in _shared(data, chosen)]
    p_values = _p_values(suites, tested, rules)
    adjusted = _adjusted(tested, p_values)
    rows = []
    for (suite, key, contrast), p, p_holm in zip(tested, p_values, adjusted, strict=True):
        data = suites[suite]
        change = data.levels[contrast.arm][key] - data.levels[contrast.reference][key]
        row = _labels(contrast, suite=suite, setting=key[0], metric=key[1]) | _numbers(change, rules)
        rows.append(row | {"p": _or_none(p), "p_holm": _or_none(p_holm)} | _equivalence(change, key[1], rules))
    return rows


_Tested = tuple[str, Key, Contrast]


def _shared(data: ScoredSuite, chosen: Sequence[Contrast]) -> list[tuple[Key, Contrast]]:
    """(Key, contrast) where both arms have a level."""
    return [
        (key, c) for key in data.keys for c in chosen
        if key in data.levels.get(c.arm, {}) and key in data.levels.get(c.reference, {})
    ]  # fmt: skip


def _p_values(suites: Suites, tested: Sequence[_Tested], rules: Rules) -> np.ndarray:
    found = np.full(len(tested), np.nan)
    family = max(_family_sizes(tested).values(), default=0)
    flips = flips_for(family, samples=rules.samples, alpha=1.0 - rules.confidence)
    for suite, data in suites.items():
        places = [i for i, t in enumerate(tested) if t[0] == suite]
        if places:
            found[places] = _suite_p_values(data, [tested[i][1:] for i in places], flips, rules.seed)
    return found


def _suite_p_values(data: ScoredSuite, tests: Sequence[tuple[Key, Contrast]], flips: int, seed: int) -> np.ndarray:
    differences = np.empty((len(data.clusters), len(tests)))
    models = {data.models[arm]: len(data.sums[arm]) for _, c in tests for arm in (c.arm, c.reference)}
    noise = {model: np.zeros((seeds, len(tests))) for model, seeds in models.items() if seeds > 1}
    for column, (key, c) in enumerate(tests):
        sides = [[seed_sums[key] for seed_sums in data.sums[arm]] for arm in (c.arm, c.reference)]
        differences[:, column], *levels = paired_difference(*sides)
        for arm, values, sign in zip((c.arm, c.reference), levels, (1.0, -1.0), strict=True):
            if data.models[arm] in noise:
                noise[data.models[arm]][:, column] += sign * (values - values.mean())
    training = [
        (seed_multipliers(models[model], samples=flips, seed=seed, model=model, purpose="flips"), deviations)
        for model, deviations in noise.items()
    ]
    return sign_flip_p(differences, flips=flips, seed=seed, stratum=data.suite, training=training)


def _family(test: _Tested) -> tuple[str, str]:
    return test[1][1], test[2].kind


def _family_sizes(tested: Sequence[_Tested]) -> dict[tuple[str, str], int]:
    sizes: dict[tuple[str, str], int] = {}
    for test in tested:
        sizes[_family(test)] = sizes.get(_family(test), 0) + 1
    return sizes


def _adjusted(tested: Sequence[_Tested], p_values: np.ndarray) -> np.ndarray:
    found = np.full(len(tested), np.nan)
    families: dict[tuple[str, str], list[int]] = {}
    for i, test in enumerate(tested):
        families.setdefault(_family(test), []).append(i)
    for places in families.values():
        found[places] = holm(p_values[places])
    return found


def shift_rows(
    suites: Suites, chosen: Sequence[Contrast], in_domain: str | None, rules: Rules
) -> tuple[list[Json], list[Json]]:
    """Difference-in-differences: does a contrast grow (positive) or shrink when the domain changes?

    Returns:
        One row per setting, metric and contrast for the mean over the shifted suites; and one per shifted suite. None
        where the training domain is not known.
    """
    effects: list[Json] = []
    by_suite: list[Json] = []
    if in_domain is None:
        return effects, by_suite
    for key in suites[in_domain].keys:
        for c in chosen:
            change = {
                suite: data.levels[c.arm][key] - data.levels[c.reference][key]
                for suite, data in suites.items()
                if key in data.levels.get(c.arm, {}) and key in data.levels.get(c.reference, {})
            }
            outside = [change[suite] for suite in change if suite != in_domain]
            if in_domain not in change or not outside:
                continue
            labels = _labels(c, setting=key[0], metric=key[1])
            effect = mean_replicates(outside) - change[in_domain]
            effects.append(labels | _numbers(effect, rules) | _equivalence(effect, key[1], rules))
            by_suite += [
                {"suite": suite} | labels | _numbers(change[suite] - change[in_domain], rules)
                for suite in change if suite != in_domain
            ]  # fmt: skip
    return effects, by_suite


def _labels(contrast: Contrast, **labels: str) -> Json:
    return {**labels, "arm": contrast.arm, "reference": contrast.reference}


def _numbers(found: Replicates, rules: Rules) -> Json:
    return numbers(found.estimate(rules.confidence))


def numbers(estimate: Estimate) -> Json:
    """An estimate as part of a row."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _equivalence(change: Replicates, metric: str, rules: Rules) -> Json:
    margin = rules.margins.get(metric) or None
    return {"equivalent": equivalent(change, margin, rules.confidence), "margin": margin}


def _or_none(p: float) -> float | None:
    return None if np.isnan(p) else float(p)
