"""Averages and intervals from per-query scores. The unit of resampling is the question with all its translations.

The same question in several languages is one cluster: resampling rows would treat translations as independent evidence
and make intervals too narrow. Arms are compared on the same resamples (paired), suites on independent ones (strata).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_core.permutation import derive_key


@dataclass(frozen=True)
class Estimate:
    """A value and its percentile interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Sums:
    """Per-query scores of one metric in one setting, summed by cluster and cell. A cell is (query language, pool language)."""

    cells: tuple[tuple[str, str], ...]
    clusters: tuple[str, ...]
    totals: np.ndarray
    """Sum of scores [clusters, cells]."""
    counts: np.ndarray
    """Number of scores [clusters, cells]."""


def sums(per_query: pa.Table, setting: str, metric: str) -> Sums:
    """Collect one metric of one setting from a per-query table; NaN scores (metric not defined there) are left out."""
    part = per_query.filter(pc.equal(per_query["setting"].cast(pa.string()), setting))
    scores = part[metric].to_numpy()
    defined = ~np.isnan(scores)
    pairs = [
        f"{q}\t{p}"
        for q, p in zip(part["query_language"].to_pylist(), part["passage_language"].to_pylist(), strict=True)
    ]
    cell_names, cell = np.unique(pairs, return_inverse=True)
    cluster_names, cluster = np.unique(
        np.array(part["meaning_id"].to_pylist(), dtype=object).astype(str), return_inverse=True
    )
    shape = len(cluster_names), len(cell_names)
    totals, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(totals, (cluster[defined], cell[defined]), scores[defined])
    np.add.at(counts, (cluster[defined], cell[defined]), 1.0)
    cells = tuple((q, p) for q, p in (str(name).split("\t") for name in cell_names))
    return Sums(cells, tuple(map(str, cluster_names)), totals, counts)


class ClusterBootstrap:
    """Resampling weights over the clusters of one suite, shared by all arms and metrics."""

    def __init__(self, clusters: Sequence[str], *, samples: int, confidence: float, seed: int, stratum: str) -> None:
        """Draw `samples` multinomial weightings of the clusters; the stratum's name keeps suites independent."""
        self.clusters = tuple(clusters)
        self.confidence = confidence
        generator = np.random.default_rng(derive_key(seed, "bootstrap", stratum))
        n = len(self.clusters)
        self.weights = generator.multinomial(n, np.full(n, 1.0 / n), size=samples).astype(np.float64)

    def replicates(self, data: Sums) -> tuple[float, np.ndarray]:
        """Macro average over cells: its value, and its value in every resample [samples]."""
        if data.clusters != self.clusters:
            raise ValueError("scores of other questions than the bootstrap was drawn for")
        value = _macro(data.totals.sum(0)[None, :], data.counts.sum(0)[None, :])[0]
        return float(value), _macro(self.weights @ data.totals, self.weights @ data.counts)

    def estimate(self, data: Sums) -> Estimate:
        """Value and interval of one arm."""
        return self._interval(*self.replicates(data))

    def difference(self, arm: Sums, baseline: Sums) -> Estimate:
        """Arm minus baseline on the same resamples."""
        (a, arm_samples), (b, baseline_samples) = self.replicates(arm), self.replicates(baseline)
        return self._interval(a - b, arm_samples - baseline_samples)

    def _interval(self, value: float, samples: np.ndarray) -> Estimate:
        return interval(value, samples, self.confidence)


def interval(value: float, samples: np.ndarray, confidence: float) -> Estimate:
    """Percentile interval of bootstrap replicates."""
    if np.isnan(value):
        return Estimate(value, float("nan"), float("nan"))
    tail = (1.0 - confidence) / 2
    low, high = np.nanquantile(samples, [tail, 1.0 - tail])
    return Estimate(float(value), float(low), float(high))


def _macro(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over cells of the mean over queries; a cell that a resample left empty does not count there."""
    means = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    empty = np.isnan(means).all(1)
    result = np.full(len(means), np.nan)
    result[~empty] = np.nanmean(means[~empty], axis=1)
    return result


def cell_means(data: Sums) -> dict[tuple[str, str], float]:
    """Mean over queries of each (query language, pool language)."""
    totals, counts = data.totals.sum(0), data.counts.sum(0)
    return {cell: float(t / c) for cell, t, c in zip(data.cells, totals, counts, strict=True) if c}
