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

from hybrid_core.data.languages import check_language
from hybrid_core.evaluate import Evaluation
from hybrid_core.scored import ScoredSuite
from hybrid_core.stats import Replicates
from hybrid_core.stats.bootstrap import average

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
    *,
    samples: int,
    confidence: float,
    seed: int,
    metric: str = "mAP",
) -> list[dict[str, Any]]:
    """Levels, gaps and differences of arms by group, with intervals, on one suite.

    Args:
        arms: arm -> evaluations of the same suite, one per seed.
        seen: languages of the training data of the trained arms.
        samples: resamples of the questions.
        confidence: of the intervals.
        seed: of the resamples.
        metric: a column of the per-query tables.

    Returns:
        Rows {suite, setting, metric, group, arm, reference, value, low, high}. `reference` is "" in levels and gaps (group
        "gap"); else the row is arm minus reference, and a gap is the difference of two gaps: positive where an arm gains
        more in seen languages than in unseen ones.

    Raises:
        RequestError: a seen language is no ISO 639-1 code.
    """
    for language in seen:
        check_language(language, "languages seen in training")
    suite = next(iter(arms.values()))[0].suite
    models = {arm: arm for arm in arms}
    scored = ScoredSuite(
        arms, name=suite, models=models, samples=samples, confidence=confidence, seed=seed, metrics=(metric,)
    )
    rows: list[dict[str, Any]] = []
    for setting in scored.settings:
        labels = {"suite": suite, "setting": setting, "metric": metric}
        found = {arm: _groups(scored, arm, setting, metric, seen) for arm in arms if scored.has(arm, setting)}
        rows += [labels | row for arm in found for row in _rows(found[arm], arm, "", confidence)]
        for reference, arm in combinations(found, 2):
            changes = {group: r - found[reference][group] for group, r in found[arm].items()}
            rows += [labels | row for row in _rows(changes, arm, reference, confidence)]
    return rows


def _groups(scored: ScoredSuite, arm: str, setting: str, metric: str, seen: Sequence[str]) -> dict[str, Replicates]:
    """Macro averages over the cells of each group, and the gap between the two whole ones."""
    names, values, samples = scored.cells(arm, setting, metric)
    columns: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        query, passage = name.split("\t")
        columns.setdefault(group_of(query, passage, setting, seen), []).append(i)
    found = {
        group: Replicates(float(average(values[chosen], 0)), average(samples[:, chosen], 1))
        for group, chosen in sorted(columns.items())
    }
    gaps = [found[high] - found[low] for high, low in _WHOLE.items() if high in found and low in found]
    return found | ({GAP: gaps[0]} if gaps else {})


def _rows(groups: Mapping[str, Replicates], arm: str, reference: str, confidence: float) -> list[dict[str, Any]]:
    estimates = {group: replicates.estimate(confidence) for group, replicates in groups.items()}
    return [
        {"group": group, "arm": arm, "reference": reference, "value": e.value, "low": e.low, "high": e.high}
        for group, e in estimates.items()
    ]
