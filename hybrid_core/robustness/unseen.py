"""Languages a model was trained on against languages it was not: averages over groups of (query, passage) languages.

mono and multi have the groups `seen` and `unseen`; cross has four, query first: `seen-seen`, `seen-unseen`, `unseen-seen`
and `unseen-unseen`. "Seen" means in fine-tuning; the backbone saw most languages in pre-training. In multi the pool holds
passages of all languages whatever the query's.

A group's value is the macro average over its cells. Suites of translated questions ask the same questions in all groups,
so the gap between groups is paired, too; what a language is by itself (script, share of pre-training) it contains all
the same. The claim that training helps unseen languages rests on differences of arms inside a group, not on the gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hybrid_core.contrasts import Rules, numbers
from hybrid_core.data.languages import check_language
from hybrid_core.evaluate import Evaluation
from hybrid_core.scored import ScoredSuite
from hybrid_core.significance import Contrast, Pair, Place, Side, or_none, swap_p, zero_p
from hybrid_core.stats import Replicates, Sums

GAP = "gap"
"""Name of the rows that hold the seen group minus the unseen one (in cross: seen-seen minus unseen-unseen)."""
_WHOLE = {"seen": "unseen", "seen-seen": "unseen-unseen"}


def group_of(query: str, passage: str, setting: str, seen: Sequence[str]) -> str:
    """The group that a cell of a setting belongs to, by the languages of its queries and of its pool."""
    asked, written = ("seen" if language in seen else "unseen" for language in (query, passage))
    return f"{asked}-{written}" if setting == "cross" else asked


def unseen_effects(
    arms: Mapping[str, Sequence[Evaluation]],
    seen: Sequence[str],
    rules: Rules,
    *,
    flips: int,
    metric: str = "mAP",
) -> list[dict[str, Any]]:
    """Levels, gaps and differences of arms by group, with intervals, on one suite.

    Args:
        arms: arm -> evaluations of the same suite, one per seed.
        seen: languages of the training data of the trained arms.
        rules: of intervals.
        flips: number of random flips behind a p-value.
        metric: a column of the per-query tables.

    Returns:
        Rows {suite, setting, metric, domain, group, arm, reference, value, low, high, p}. `reference` is "" in levels and gaps
        (group "gap"); else the row is arm minus reference, and a gap is the difference of two gaps: positive where an arm
        gains more in seen languages than in unseen ones. `domain` is "" for all queries; suites with several domains have
        the same rows for each. Only differences of arms are tested: swapped arms in a group, flipped residuals in a gap
        (`stats.randomisation`); p is None elsewhere.

    Raises:
        RequestError: a seen language is no ISO 639-1 code.
    """
    for language in seen:
        check_language(language, "languages seen in training")
    suite = next(iter(arms.values()))[0].suite
    scored = ScoredSuite(
        arms, name=suite, models={arm: arm for arm in arms}, samples=rules.samples, confidence=rules.confidence,
        seed=rules.seed, metrics=(metric,),
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for domain in ("", *(scored.domains if len(scored.domains) > 1 else ())):
        for setting in scored.settings:
            labels = {"suite": suite, "setting": setting, "metric": metric, "domain": domain}
            found = {
                arm: _Groups(scored, arm, scored.part(arm, setting, metric, domain or None), setting, seen)
                for arm in arms
                if scored.has(arm, setting)
            }
            rows += [labels | row for groups in found.values() for row in _rows(groups.levels, groups.arm, "", rules)]
            for reference, arm in combinations(found, 2):
                rows += [labels | row for row in _difference_rows(found[arm], found[reference], rules, flips)]
    return rows


class _Groups:
    """One arm's sums and levels by group of languages; groups without queries are left out."""

    def __init__(self, scored: ScoredSuite, arm: str, seeds: Sequence[Sums], setting: str, seen: Sequence[str]) -> None:
        self.scored, self.arm = scored, arm
        cells: dict[str, list[int]] = {}
        for i, (query, passage) in enumerate(seeds[0].cells):
            cells.setdefault(group_of(query, passage, setting, seen), []).append(i)
        self.sums = {
            group: [seed.only(chosen) for seed in seeds]
            for group, chosen in sorted(cells.items())
            if seeds[0].counts[:, chosen].any()
        }
        found = scored.replicates(arm, list(self.sums.values()))
        self.levels = dict(zip(self.sums, found, strict=True))
        if self.gap is not None:
            self.levels[GAP] = self.levels[self.gap[0]] - self.levels[self.gap[1]]

    @property
    def gap(self) -> tuple[str, str] | None:
        """The two groups whose difference is the gap; None if one is empty."""
        return next(((high, low) for high, low in _WHOLE.items() if {high, low} <= self.sums.keys()), None)

    def pair(self, reference: _Groups, group: str) -> Pair:
        """The arm minus another in a group."""
        return Pair(Side(self.arm, self.sums[group]), Side(reference.arm, reference.sums[group]))


def _difference_rows(arm: _Groups, reference: _Groups, rules: Rules, flips: int) -> list[dict[str, Any]]:
    """Differences of two arms in every group, and that of their gaps, with p-values."""
    changes = {
        group: found - reference.levels[group] for group, found in arm.levels.items() if group in reference.levels
    }
    groups = [group for group in changes if group != GAP]
    suite, options = arm.scored.suite, {"flips": flips, "seed": rules.seed}
    tests: list[Contrast] = [[(1.0, arm.pair(reference, group))] for group in groups]
    p = dict(zip(groups, swap_p(tests, suite=suite, **options), strict=True))
    if GAP in changes and arm.gap is not None:
        test = [(weight, arm.pair(reference, group)) for weight, group in zip((1.0, -1.0), arm.gap, strict=True)]
        place = Place(suite, [test], arm.scored.bootstrap.strata)
        p[GAP] = zero_p([place], np.ones((1, 1, 1)), **options)[0, 0]
    return _rows(changes, arm.arm, reference.arm, rules, p)


def _rows(
    groups: Mapping[str, Replicates], arm: str, reference: str, rules: Rules, p: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    return [
        {"group": group, "arm": arm, "reference": reference}
        | numbers(replicates.estimate(rules.confidence))
        | {"p": or_none(p[group]) if p else None}
        for group, replicates in groups.items()
    ]
