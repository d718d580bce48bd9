"""Languages a model was trained on against languages it was not: averages over groups of (query, passage) languages.

mono and multi have the groups `seen` and `unseen`; cross has four, query first: `seen-seen`, `seen-unseen`, `unseen-seen`
and `unseen-unseen`. "Seen" means in fine-tuning; the backbone saw most languages in pre-training. In multi the pool holds
passages of all languages whatever the query's.

A group's value is the macro average over its cells. Suites of translated questions ask the same questions in all groups,
so the gap between groups is paired, too; what a language is by itself (script, share of pre-training) it contains all
the same. The claim that training helps unseen languages rests on differences of arms inside a group, not on the gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid_core.data.languages import check_language
from hybrid_core.data.suites import Suite
from hybrid_core.evaluate import ALL_LANGUAGES, Evaluation
from hybrid_core.stats import ClusterBootstrap, Sums, interval, sums
from hybrid_core.summary import settings_of

Cell = tuple[str, str]
"""Query language and pool language."""
GAP = "gap"
"""Name of the rows that hold the seen group minus the unseen one (in cross: seen-seen minus unseen-unseen)."""
_WHOLE = {"seen": "unseen", "seen-seen": "unseen-unseen"}


def group_of(cell: Cell, setting: str, seen: Sequence[str]) -> str:
    """The group a cell of a setting belongs to."""
    query, passage = ("seen" if language in seen else "unseen" for language in cell)
    return f"{query}-{passage}" if setting == "cross" else query


def language_groups(suite: Suite, seen: Sequence[str]) -> dict[str, dict[str, list[Cell]]]:
    """Setting -> group -> cells that a suite can have, in alphabetical order; groups without a cell are missing.

    Args:
        suite: its languages and settings.
        seen: languages of the training data.

    Raises:
        RequestError: a seen language is no ISO 639-1 code.
    """
    _check(seen)
    queries = sorted(set(suite.queries.languages))
    cells = {
        "mono": [(q, q) for q in queries if q in suite.languages],
        "cross": [(q, p) for q in queries for p in suite.languages if q != p],
        "multi": [(q, ALL_LANGUAGES) for q in queries],
    }
    return {setting: _grouped(cells[setting], setting, seen) for setting in suite.settings}


def seen_and_unseen(per_query: pa.Table, setting: str, metric: str, seen: Sequence[str]) -> dict[str, Sums]:
    """Scores of each group. All groups have the clusters of the setting, so that one bootstrap serves them all.

    Args:
        per_query: one row per (setting, query, pool), as in `Evaluation`.
        setting: mono, cross or multi.
        metric: a column of the table.
        seen: languages of the training data.

    Raises:
        RequestError: a seen language is no ISO 639-1 code.
    """
    _check(seen)
    data = sums(per_query, setting, metric)
    groups = _grouped(data.cells, setting, seen)
    return {group: restricted(data, set(cells).__contains__) for group, cells in groups.items()}


def restricted(data: Sums, wanted: Callable[[Cell], bool]) -> Sums:
    """The cells that are wanted, with all clusters."""
    columns = np.array([i for i, cell in enumerate(data.cells) if wanted(cell)], dtype=np.int64)
    cells = tuple(data.cells[i] for i in columns)
    return Sums(cells, data.clusters, data.totals[:, columns], data.counts[:, columns])


def unseen_effects(
    arms: Mapping[str, Evaluation],
    seen: Sequence[str],
    *,
    samples: int,
    confidence: float,
    seed: int,
    metric: str = "mAP",
) -> list[dict[str, Any]]:
    """Levels, gaps and differences of arms by group, with intervals, on one suite.

    Args:
        arms: arm -> evaluation, all of the same suite.
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
    rows: list[dict[str, Any]] = []
    first = next(iter(arms.values()))
    settings = dict.fromkeys(s for e in arms.values() for s in settings_of(e.per_query))
    for setting in settings:
        replicates = _replicates(arms, setting, metric, seen, samples, confidence, seed)
        labels = {"suite": first.suite, "setting": setting, "metric": metric}
        found = [((group, arm, ""), r) for (group, arm), r in replicates.items()]
        found += [
            ((group, arm, reference), (a[0] - replicates[group, reference][0], a[1] - replicates[group, reference][1]))
            for reference, arm in combinations(arms, 2)
            for (group, name), a in replicates.items()
            if name == arm and (group, reference) in replicates
        ]
        for (group, arm, reference), (value, draws) in found:
            e = interval(value, draws, confidence)
            named = {"group": group, "arm": arm, "reference": reference}
            rows.append({**labels, **named, "value": e.value, "low": e.low, "high": e.high})
    return rows


_Replicates = tuple[float, np.ndarray]


def _replicates(
    arms: Mapping[str, Evaluation],
    setting: str,
    metric: str,
    seen: Sequence[str],
    samples: int,
    confidence: float,
    seed: int,
) -> dict[tuple[str, str], _Replicates]:
    """(group, arm) -> value and resamples, gaps included."""
    found: dict[tuple[str, str], _Replicates] = {}
    bootstrap: ClusterBootstrap | None = None
    for arm, evaluation in arms.items():
        if setting not in settings_of(evaluation.per_query):  # BM25 has the mono setting only
            continue
        groups = seen_and_unseen(evaluation.per_query, setting, metric, seen)
        for group, data in groups.items():
            if bootstrap is None:
                bootstrap = ClusterBootstrap(
                    data.clusters, samples=samples, confidence=confidence, seed=seed, stratum=evaluation.suite
                )
            found[group, arm] = bootstrap.replicates(data)
        for high, low in _WHOLE.items():
            if high in groups and low in groups:
                (a, draws), (b, others) = found[high, arm], found[low, arm]
                found[GAP, arm] = (a - b, draws - others)
    return found


def _grouped(cells: Sequence[Cell], setting: str, seen: Sequence[str]) -> dict[str, list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in sorted(cells):
        groups.setdefault(group_of(cell, setting, seen), []).append(cell)
    return dict(sorted(groups.items()))


def _check(seen: Sequence[str]) -> None:
    for language in seen:
        check_language(language, "languages seen in training")
