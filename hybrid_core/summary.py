"""From per-query scores to named numbers: `suite/setting/metric`, and `suite/setting/metric/<query lang>[-<passage lang>]`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from hybrid_core.evaluate import ALL_LANGUAGES, BIAS_METRICS, METRICS, Evaluation
from hybrid_core.stats import Sums, cell_means, sums


def label(metric: str) -> str:
    """A metric's name for people: R_10 is R@10 (the keys hold no @ because MLflow does not allow it)."""
    return re.sub(r"_(\d+)$", r"@\1", metric).replace("_", " ")


def settings_of(per_query: pa.Table) -> list[str]:
    """Settings that occur, in the order mono, cross, multi."""
    found = set(pc.unique(per_query["setting"].cast(pa.string())).to_pylist())
    return [s for s in ("mono", "cross", "multi") if s in found]


def metrics_of(setting: str) -> tuple[str, ...]:
    """Metrics that are defined in a setting."""
    return METRICS + (BIAS_METRICS if setting == "multi" else ())


def setting_means(evaluation: Evaluation) -> dict[str, float]:
    """Macro averages: over languages (mono, multi), over ordered language pairs (cross)."""
    result = {}
    for setting in settings_of(evaluation.per_query):
        for metric in metrics_of(setting):
            means = list(cell_means(sums(evaluation.per_query, setting, metric)).values())
            if means:
                result[f"{evaluation.suite}/{setting}/{metric}"] = sum(means) / len(means)
    return result


def language_means(evaluation: Evaluation, metrics: Iterable[str] = ("mAP", "R_1")) -> dict[str, float]:
    """Values of every language (mono, multi) and ordered language pair (cross)."""
    result = {}
    for setting in settings_of(evaluation.per_query):
        for metric in metrics:
            for (query, pool), value in cell_means(sums(evaluation.per_query, setting, metric)).items():
                cell = query if setting == "mono" or pool == ALL_LANGUAGES else f"{query}-{pool}"
                result[f"{evaluation.suite}/{setting}/{metric}/{cell}"] = value
    return result


def heat_map(per_query: pa.Table, metric: str) -> dict[tuple[str, str], float]:
    """Value of each (query language, passage language): mono on the diagonal, cross off it."""
    cells: dict[tuple[str, str], float] = {}
    for setting in settings_of(per_query):
        if setting != "multi":
            data: Sums = sums(per_query, setting, metric)
            cells |= cell_means(data)
    return cells
