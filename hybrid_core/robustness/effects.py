"""What a perturbation costs each arm, and whether it costs one arm more than another.

A variant of a suite has the same queries by id (written differently, or asked of a larger pool), so every loss is paired
with the clean suite: variant minus clean, by setting, query language, domain and both. The loss of an arm minus that of
another (a difference-in-differences) says whether training made a model more robust. Both sides are resampled together,
questions with all their translations, within their domains; seeds of a model are a second level, as in `comparison`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_core.contrasts import Rules, equivalence, numbers
from hybrid_core.evaluate import Evaluation
from hybrid_core.scored import ScoredSuite
from hybrid_core.significance import Contrast, Pair, Side, or_none, swap_p
from hybrid_core.stats import Replicates, Sums

Json = dict[str, Any]
_IDENTITY = ("setting", "query_id", "passage_language")
_Place = tuple[str, str]
"""Query language and domain; "" stands for all."""
_Parts = dict[_Place, list[Sums]]


def perturbation_effects(
    clean: Mapping[str, Sequence[Evaluation]],
    variants: Mapping[str, Mapping[str, Sequence[Evaluation]]],
    rules: Rules,
    *,
    flips: int,
    metrics: Sequence[str] = ("mAP",),
) -> tuple[list[Json], list[Json]]:
    """Levels of arms on variants of a suite, how far they are from the clean suite, and whether arms differ in that.

    Args:
        clean: arm -> evaluations of the suite as it is, one per seed.
        variants: perturbation -> arm -> evaluations of the same suite under it, one per seed.
        rules: of intervals.
        flips: number of random swaps behind a p-value.
        metrics: columns of the per-query tables.

    Returns:
        Rows {suite, perturbation, setting, metric, arm, language, domain, value, low, high, difference, difference_low,
        difference_high, p}: `difference` is the variant minus the clean suite. And rows {suite, perturbation, setting, metric,
        arm, reference, language, domain, value, low, high, p, equivalent, margin}: the arm's difference minus the reference's,
        above zero where the arm loses less. `language` is the query's and `domain` its domain; "" stands for all, in the
        rows that come first. Rows by domain, and by language in each domain, exist where a suite has several domains.

    Raises:
        ValueError: a variant was scored on other queries or pools than the clean suite.
    """
    losses: list[Json] = []
    contrasts: list[Json] = []
    for perturbation, by_arm in variants.items():
        found = _Variant(perturbation, clean, by_arm, rules, metrics)
        for setting in found.scored.settings:
            for metric in metrics:
                parts = {side: found.parts(side, setting, metric) for side in found.sides}
                losses += found.loss_rows(parts, setting, metric, flips)
                contrasts += found.contrast_rows(parts, setting, metric, flips)
    return sorted(losses, key=_whole_first), sorted(contrasts, key=_whole_first)


def _whole_first(row: Json) -> tuple[bool, bool]:
    return row["language"] != "", row["domain"] != ""


class _Variant:
    """All arms on one suite, clean and under one perturbation."""

    def __init__(
        self,
        perturbation: str,
        clean: Mapping[str, Sequence[Evaluation]],
        changed: Mapping[str, Sequence[Evaluation]],
        rules: Rules,
        metrics: Sequence[str],
    ) -> None:
        self.arms, self.rules = list(changed), rules
        _check_paired(clean[self.arms[0]][0], perturbation, changed)
        suite = clean[self.arms[0]][0].suite
        self.about = {"suite": suite, "perturbation": perturbation}
        sides = {_clean(arm): clean[arm] for arm in self.arms} | {_changed(arm): changed[arm] for arm in self.arms}
        models = {
            side(arm): arm for arm in self.arms for side in (_clean, _changed)
        }  # one training: its noise is shared
        self.sides = list(sides)
        self.scored = ScoredSuite(
            sides, name=suite, models=models, samples=rules.samples, confidence=rules.confidence, seed=rules.seed,
            metrics=metrics,
        )  # fmt: skip

    def parts(self, side: str, setting: str, metric: str) -> _Parts:
        """Sums of all queries, of each language, each domain and both."""
        domains = self.scored.domains
        found = {}
        for domain in ("", *(domains if len(domains) > 1 else ())):
            whole = self.scored.part(side, setting, metric, domain or None)
            for language in ("", *whole[0].query_languages):
                found[language, domain] = [seed.asked_in(language) if language else seed for seed in whole]
        return found

    def loss_rows(self, parts: Mapping[str, _Parts], setting: str, metric: str, flips: int) -> Iterator[Json]:
        """Levels under the perturbation and their differences from the clean suite."""
        for arm in self.arms:
            places, before, after = self._places(parts, arm)
            tests: list[Contrast] = [[(1.0, self._loss(parts, arm, place))] for place in places]
            for place, clean, changed, p in zip(places, before, after, self._p(tests, flips), strict=True):
                level, loss = (r.estimate(self.rules.confidence) for r in (changed, changed - clean))
                yield self._labels(setting, metric, place, arm=arm) | numbers(level) | {
                    "difference": loss.value, "difference_low": loss.low, "difference_high": loss.high, "p": or_none(p),
                }  # fmt: skip

    def contrast_rows(self, parts: Mapping[str, _Parts], setting: str, metric: str, flips: int) -> Iterator[Json]:
        """What the perturbation costs an arm minus what it costs every arm before it."""
        for reference, arm in combinations(self.arms, 2):
            places, before, after = self._places(parts, arm)
            _, other_before, other_after = self._places(parts, reference)
            tests: list[Contrast] = [
                [(1.0, self._loss(parts, arm, place)), (-1.0, self._loss(parts, reference, place))] for place in places
            ]
            effects = [
                (a - b) - (c - d) for a, b, c, d in zip(after, before, other_after, other_before, strict=True)
            ]  # fmt: skip
            for place, effect, p in zip(places, effects, self._p(tests, flips), strict=True):
                row = self._labels(setting, metric, place, arm=arm, reference=reference)
                row |= numbers(effect.estimate(self.rules.confidence)) | {"p": or_none(p)}
                yield row | equivalence(effect, metric, self.rules)

    def _places(self, parts: Mapping[str, _Parts], arm: str) -> tuple[list[_Place], list[Replicates], list[Replicates]]:
        """Places with queries (a language need not occur in every domain), levels there without and with the perturbation."""
        places = [place for place, seeds in parts[_clean(arm)].items() if seeds[0].counts.any()]
        before, after = (
            self.scored.replicates(side, [parts[side][place] for place in places])
            for side in (_clean(arm), _changed(arm))
        )
        return places, before, after

    def _loss(self, parts: Mapping[str, _Parts], arm: str, place: _Place) -> Pair:
        return Pair(Side(arm, parts[_changed(arm)][place]), Side(arm, parts[_clean(arm)][place]))

    def _p(self, tests: Sequence[Contrast], flips: int) -> np.ndarray:
        return swap_p(tests, flips=flips, seed=self.rules.seed, suite=self.scored.suite)

    def _labels(self, setting: str, metric: str, place: _Place, **arms: str) -> Json:
        return {**self.about, "setting": setting, "metric": metric, **arms, "language": place[0], "domain": place[1]}


def _clean(arm: str) -> str:
    return arm


def _changed(arm: str) -> str:
    return f"{arm}\tchanged"


def _check_paired(clean: Evaluation, perturbation: str, by_arm: Mapping[str, Sequence[Evaluation]]) -> None:
    """The same (setting, query, pool), in any order."""
    expected = _identities(clean.per_query)
    for seeds in by_arm.values():
        if not all(np.array_equal(expected, _identities(variant.per_query)) for variant in seeds):
            raise ValueError(
                f"variant {perturbation!r} of {clean.suite!r} was scored on other queries or pools than the clean suite"
            )


def _identities(per_query: pa.Table) -> np.ndarray:
    columns = [per_query[name].cast(pa.string()).combine_chunks() for name in _IDENTITY]
    return np.sort(pc.binary_join_element_wise(*columns, "\t").to_numpy(zero_copy_only=False).astype(str))
