"""Arms against arms, inside the training domain and outside it, with intervals: the numbers behind a report.

`compare` turns evaluations into one JSON-able mapping; `hybrid_core.report` draws it, MLflow stores it. All differences
are paired (same questions, same resamples). Suites are independent strata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid_core.config import EvaluateConfig
from hybrid_core.evaluate import BIAS_METRICS, METRICS, Evaluation
from hybrid_core.stats import ClusterBootstrap, Estimate, interval, sums
from hybrid_core.summary import heat_map, metrics_of, settings_of

Arms = Mapping[str, Mapping[str, Evaluation]]
"""Arm -> suite -> evaluation."""
Json = dict[str, Any]


@dataclass(frozen=True)
class _Replicates:
    value: float
    samples: np.ndarray


def compare(arms: Arms, config: EvaluateConfig, *, in_domain: str, seed: int) -> Json:
    """All levels, pairwise differences and shift effects.

    Keys of the result: `arms`, `suites` (in_domain first), `in_domain`, `confidence`, `levels` and `differences` (lists of
    rows with suite, setting, metric, value, low, high), `shift_effects` (difference outside the training domain, averaged
    over the shifted suites, minus the difference inside it), `heat_maps`, `histograms`.
    """
    names = list(arms)
    suites = [in_domain, *(s for s in arms[names[0]] if s != in_domain)]
    replicates = {
        (suite, setting, metric, arm): r
        for suite in suites
        for setting, metric, arm, r in _suite_replicates(arms, suite, config, seed)
    }
    contrasts = [(arm, reference) for i, arm in enumerate(names) for reference in names[:i]]
    return {
        "arms": names,
        "suites": suites,
        "in_domain": in_domain,
        "confidence": config.confidence,
        "bootstrap_samples": config.bootstrap_samples,
        "levels": [
            _row(interval(r.value, r.samples, config.confidence), suite=suite, setting=setting, metric=metric, arm=arm)
            for (suite, setting, metric, arm), r in replicates.items()
        ],
        "differences": _differences(replicates, contrasts, config.confidence),
        "shift_effects": _shift_effects(replicates, contrasts, in_domain, suites[1:], config.confidence),
        "heat_maps": [
            {"arm": arm, "suite": suite, "metric": "mAP", "query": q, "passage": p, "value": value}
            for arm in names for suite in suites for (q, p), value in heat_map(arms[arm][suite].per_query, "mAP").items()
        ],
        "histograms": [
            {"arm": arm, "suite": suite, "query": q, "passage": p, "share": share}
            for arm in names for suite in suites for q, shares in arms[arm][suite].language_histogram.items() for p, share in shares.items()
        ],
        "pools": {suite: arms[names[0]][suite].pool_sizes for suite in suites},
        "questions": {suite: len(arms[names[0]][suite].per_query["meaning_id"].unique()) for suite in suites},
        "candidate_text": {suite: arms[names[0]][suite].candidate_text for suite in suites},
    }  # fmt: skip


def _suite_replicates(
    arms: Arms, suite: str, config: EvaluateConfig, seed: int
) -> list[tuple[str, str, str, _Replicates]]:
    """(setting, metric, arm, replicates); one bootstrap per question set, shared by the arms."""
    found: list[tuple[str, str, str, _Replicates]] = []
    bootstraps: dict[tuple[str, ...], ClusterBootstrap] = {}
    first = next(iter(arms.values()))[suite]
    for setting in settings_of(first.per_query):
        for metric in metrics_of(setting):
            for arm, evaluations in arms.items():
                data = sums(evaluations[suite].per_query, setting, metric)
                if data.clusters not in bootstraps:
                    bootstraps[data.clusters] = ClusterBootstrap(
                        data.clusters,
                        samples=config.bootstrap_samples,
                        confidence=config.confidence,
                        seed=seed,
                        stratum=suite,
                    )
                found.append((setting, metric, arm, _Replicates(*bootstraps[data.clusters].replicates(data))))
    return found


_Key = tuple[str, str, str, str]


def _differences(
    replicates: Mapping[_Key, _Replicates], contrasts: Sequence[tuple[str, str]], confidence: float
) -> list[Json]:
    rows = []
    for suite, setting, metric in dict.fromkeys(key[:3] for key in replicates):
        for arm, reference in contrasts:
            d = _minus(replicates[suite, setting, metric, arm], replicates[suite, setting, metric, reference])
            estimate = interval(d.value, d.samples, confidence)
            rows.append(_row(estimate, suite=suite, setting=setting, metric=metric, arm=arm, reference=reference))
    return rows


def _shift_effects(
    replicates: Mapping[_Key, _Replicates],
    contrasts: Sequence[tuple[str, str]],
    in_domain: str,
    shifted: Sequence[str],
    confidence: float,
) -> list[Json]:
    """Difference-in-differences: does the contrast grow (positive) or shrink when the domain changes?"""
    rows = []
    for setting, metric in dict.fromkeys(key[1:3] for key in replicates if key[0] == in_domain):
        outside = [s for s in shifted if (s, setting, metric, contrasts[0][0]) in replicates] if contrasts else []
        if not outside:
            continue
        for arm, reference in contrasts:
            by_suite = {
                s: _minus(replicates[s, setting, metric, arm], replicates[s, setting, metric, reference])
                for s in (in_domain, *outside)
            }
            mean = _Replicates(
                float(np.mean([by_suite[s].value for s in outside])),
                np.mean([by_suite[s].samples for s in outside], axis=0),
            )
            effect = _minus(mean, by_suite[in_domain])
            rows.append(
                _row(
                    interval(effect.value, effect.samples, confidence),
                    setting=setting,
                    metric=metric,
                    arm=arm,
                    reference=reference,
                )
            )
    return rows


def _minus(a: _Replicates, b: _Replicates) -> _Replicates:
    return _Replicates(a.value - b.value, a.samples - b.samples)


def _row(estimate: Estimate, **labels: str) -> Json:
    return {**labels, "value": estimate.value, "low": estimate.low, "high": estimate.high}


def mean_over_seeds(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation whose per-query scores are the means over runs that differ in their seed only."""
    first = evaluations[0]
    table = first.per_query
    for metric in (*METRICS, *BIAS_METRICS):
        mean = np.mean([e.per_query[metric].to_numpy() for e in evaluations], axis=0)
        table = table.set_column(table.schema.get_field_index(metric), metric, pa.array(mean))
    histogram = {
        query: {p: float(np.mean([e.language_histogram[query][p] for e in evaluations])) for p in shares}
        for query, shares in first.language_histogram.items()
    }
    return replace(first, per_query=table, language_histogram=histogram)


def find(rows: Sequence[Json], **labels: str) -> Json:
    """The one row with these labels.

    Raises:
        KeyError: there is none.
    """
    for row in rows:
        if all(row.get(key) == value for key, value in labels.items()):
            return row
    raise KeyError(labels)
