"""Levels by language and domain, worst cases, and how rank distances of single queries are spread.

A mean can hide a language or a domain that is served badly: these rows do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hybrid_core.contrasts import numbers
from hybrid_core.scored import Cells, Key, ScoredSuite, by_language
from hybrid_core.stats.bootstrap import Estimate, interval
from hybrid_core.stats.worst import cvar, worst

Json = dict[str, Any]
Suites = Mapping[str, ScoredSuite]
ALL_SUITES = "*"
"""Suite of rows about all suites together."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_RANKS = "rank_distance"
_BY_LANGUAGE = {
    "mono": ("mAP", "R_1", "R_100", "nDCG_10"),
    "cross": ("mAP", "R_1"),
    "multi": ("mAP", "R_10", _RANKS),
}
"""Metrics with levels by language: every one that the paper prints by language, so that each of its numbers has ours beside it."""


def breakdown_rows(suites: Suites, confidence: float) -> dict[str, list[Json]]:
    """Rows of three keys of a comparison.

    `languages`: levels of every query language, in the metrics that the paper prints by language; in cross the mean over
    the pool languages. `domains`: mAP of every domain, in suites whose queries have several. `worst`, of mAP and of rank
    distance in multi: worst language, worst domain and mean of the worst quarter of cells in every suite, then the worst
    suite; for rank distance the worst is the largest. What there is one of has no worst.
    """
    rows: dict[str, list[Json]] = {"languages": [], "domains": [], "worst": []}
    for data in suites.values():
        for key in data.keys:
            for arm, labels in _arms(data, key) if key[1] in _BY_LANGUAGE[key[0]] else ():
                for kind, found in _rows_of(data, arm, key, confidence).items():
                    rows[kind] += [labels | row for row in found]
    rows["worst"] += _worst_suites(suites, confidence)
    return rows


def _rows_of(data: ScoredSuite, arm: str, key: Key, confidence: float) -> dict[str, list[Json]]:
    """Rows of one arm and metric, still without their labels."""
    cells = data.cells(arm, *key)
    languages = by_language(cells)
    rows = {"languages": _each("language", languages, confidence)}
    if _has_worst(key):
        domains = _domains(data, arm, key)
        rows["domains"] = _each("domain", domains, confidence)
        rows["worst"] = [row | numbers(found) for row, found in _worst_of(key, languages, domains, cells, confidence)]
    return rows


def _domains(data: ScoredSuite, arm: str, key: Key) -> Cells:
    if key[1] == "mAP" and len(data.domains) > 1:
        return data.by_domain(arm, *key)
    return [], np.zeros(0), np.zeros((0, 0))


def _each(kind: str, cells: Cells, confidence: float) -> list[Json]:
    names, values, samples = cells
    return [{kind: name} | numbers(interval(values[i], samples[:, i], confidence)) for i, name in enumerate(names)]


def _worst_of(
    key: Key, languages: Cells, domains: Cells, cells: Cells, confidence: float
) -> Iterator[tuple[Json, Estimate]]:
    for statistic, (names, values, samples) in (("worst_language", languages), ("worst_domain", domains)):
        if len(names) > 1:
            name, found = worst(values, samples, names, confidence=confidence, **_scale(key))
            yield {"statistic": statistic, "name": name}, found
    if len(cells[0]) > 1:
        yield {"statistic": "cvar_25", "name": ""}, cvar(*cells[1:], confidence=confidence, **_scale(key))


def _worst_suites(suites: Suites, confidence: float) -> list[Json]:
    rows = []
    places = dict.fromkeys(
        (key, arm) for data in suites.values() for key in filter(_has_worst, data.keys) for arm, _ in _arms(data, key)
    )
    for key, arm in places:
        names, values, samples = _levels_by_suite(suites, key, arm)
        if len(names) > 1:
            name, found = worst(values, samples, names, confidence=confidence, **_scale(key))
            labels = {"suite": ALL_SUITES, "setting": key[0], "metric": key[1], "arm": arm}
            labels |= {"statistic": "worst_suite", "name": name}
            rows.append(labels | numbers(found))
    return rows


def _levels_by_suite(suites: Suites, key: Key, arm: str) -> Cells:
    levels = {suite: data.levels[arm][key] for suite, data in suites.items() if key in data.levels.get(arm, {})}
    samples = np.stack([level.samples for level in levels.values()], axis=1)
    return list(levels), np.array([level.value for level in levels.values()]), samples


def rank_distance_rows(suites: Suites) -> list[Json]:
    """Quantiles of the rank distance of single queries in multi, those of all seeds together: how queries differ."""
    rows = []
    for suite, data in suites.items():
        for arm, levels in data.levels.items():
            scores = data.scores(arm, "multi", _RANKS) if ("multi", _RANKS) in levels else np.zeros(0)
            if len(scores):
                found = {str(q): float(v) for q, v in zip(QUANTILES, np.quantile(scores, QUANTILES), strict=True)}
                rows.append({"suite": suite, "arm": arm, "quantiles": found})
    return rows


def _has_worst(key: Key) -> bool:
    return key[1] == "mAP" or key == ("multi", _RANKS)


def _arms(data: ScoredSuite, key: Key) -> list[tuple[str, Json]]:
    """Arms that have a level, with the labels of their rows."""
    return [
        (arm, {"suite": data.suite, "setting": key[0], "metric": key[1], "arm": arm})
        for arm, levels in data.levels.items()
        if key in levels
    ]


def _scale(key: Key) -> dict[str, Any]:
    """Which end of a metric is worse, and where it ends."""
    ranks = key[1] == _RANKS
    return {"high_is_worse": ranks, "highest": math.inf if ranks else 1.0}
