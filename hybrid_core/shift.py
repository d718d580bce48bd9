"""Shift effects: does a difference between two arms grow or shrink when the domain changes? (difference-in-differences)

An effect is the mean difference over the shifted suites minus the difference inside the training domain. Suites are
independent samples of questions: they are resampled, and their residuals flipped, each by itself; with several seeds the
noise of training is that of the model, the same draw in every suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_core.contrasts import Contrast, Rules, equivalence, labels, numbers
from hybrid_core.scored import Key, ScoredSuite
from hybrid_core.significance import Pair, Place, corrected, or_none, zero_p
from hybrid_core.stats.bootstrap import Replicates, mean_replicates
from hybrid_core.stats.randomisation import flips_for

Json = dict[str, Any]
Suites = Mapping[str, ScoredSuite]


@dataclass(frozen=True)
class _Test:
    """One contrast in one setting and metric, and the suites in which both arms have it."""

    key: Key
    contrast: Contrast
    shifted: tuple[str, ...]


def shift_rows(
    suites: Suites, chosen: Sequence[Contrast], in_domain: str | None, rules: Rules
) -> tuple[list[Json], list[Json]]:
    """Does a contrast grow (positive) or shrink when the domain changes? With p-values: residuals flipped, Holm.

    Returns:
        One row per setting, metric and contrast for the mean over the shifted suites; and one per shifted suite. Each list is
        corrected by itself: all rows of a metric and kind of contrast together. None where the training domain is not known.
    """
    if in_domain is None:
        return [], []
    tests = _tests(suites, chosen, in_domain)
    if not tests:
        return [], []
    names = list(dict.fromkeys(s for test in tests for s in test.shifted))
    p_mean, p_each = _p_values(suites, tests, in_domain, names, rules)
    effects, by_suite = [], []
    for column, test in enumerate(tests):
        about = labels(test.contrast, setting=test.key[0], metric=test.key[1])
        change = {suite: _change(suites[suite], test) for suite in (in_domain, *test.shifted)}
        effect = mean_replicates([change[suite] for suite in test.shifted]) - change[in_domain]
        row = about | numbers(effect.estimate(rules.confidence)) | {"p": or_none(p_mean[column])}
        effects.append(row | equivalence(effect, test.key[1], rules))
        for suite in test.shifted:
            estimate = (change[suite] - change[in_domain]).estimate(rules.confidence)
            by_suite.append({"suite": suite} | about | numbers(estimate) | {"p": or_none(p_each[suite][column])})
    kinds = {(c.arm, c.reference): c.kind for c in chosen}

    def family(row: Json) -> tuple[str, str]:
        return row["metric"], kinds[row["arm"], row["reference"]]

    return corrected(effects, family), corrected(by_suite, family)


def _tests(suites: Suites, chosen: Sequence[Contrast], in_domain: str) -> list[_Test]:
    found = []
    for key in suites[in_domain].keys:
        for c in chosen:
            having = [
                s for s, data in suites.items() if data.has_level(c.arm, key) and data.has_level(c.reference, key)
            ]
            shifted = tuple(suite for suite in having if suite != in_domain)
            if in_domain in having and shifted:
                found.append(_Test(key, c, shifted))
    return found


def _change(data: ScoredSuite, test: _Test) -> Replicates:
    return data.levels[test.contrast.arm][test.key] - data.levels[test.contrast.reference][test.key]


def _p_values(
    suites: Suites, tests: Sequence[_Test], in_domain: str, names: Sequence[str], rules: Rules
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """P-values of the effects [tests], and of those by shifted suite (NaN where the suite lacks the test)."""
    flips = flips_for(_largest_family(tests), samples=rules.samples, alpha=1.0 - rules.confidence)
    places = [in_domain, *names]
    weights = np.zeros((1 + len(names), len(places), len(tests)))
    for column, test in enumerate(tests):
        for place, suite in enumerate(names, start=1):
            if suite in test.shifted:
                weights[0, place, column] = 1.0 / len(test.shifted)
                weights[place, place, column] = 1.0
                weights[[0, place], 0, column] = -1.0
    found = zero_p(
        [_place(suites[suite], tests, suite == in_domain) for suite in places], weights, flips=flips, seed=rules.seed
    )
    return found[0], dict(zip(names, found[1:], strict=True))


def _place(data: ScoredSuite, tests: Sequence[_Test], inside: bool) -> Place:
    """The tests' differences on one suite; empty contrasts where the suite lacks a test."""
    contrasts = [
        [(1.0, Pair(data.side(t.contrast.arm, t.key), data.side(t.contrast.reference, t.key)))]
        if inside or data.suite in t.shifted
        else []
        for t in tests
    ]
    return Place(data.suite, contrasts, data.bootstrap.strata)


def _largest_family(tests: Sequence[_Test]) -> int:
    """Size of the largest family of effects by suite, the larger of the two kinds of families."""
    sizes: dict[tuple[str, str], int] = {}
    for test in tests:
        family = test.key[1], test.contrast.kind
        sizes[family] = sizes.get(family, 0) + len(test.shifted)
    return max(sizes.values())
