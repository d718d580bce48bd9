"""Percentile intervals from resampled clusters: questions with all their translations, drawn within their domains.

In a stratum of n clusters n - 1 are drawn with replacement and weighted by n / (n - 1) (Rao and Wu 1988, "Resampling
inference with complex survey data"): drawing n would make the variance short by (n - 1) / n, which strata of few questions
would feel. The mean over cells of means over queries is a ratio in every cell, so weights need not be whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_core.permutation import derive_key
from hybrid_core.stats.sums import Sums

SMALL_STRATUM = 5
"""Domains of fewer questions than this are resampled together: their own spread cannot be known."""
_BLOCK = 4_000_000
"""Draws that are held in memory at once."""


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
class Replicates:
    """A value, and its value in every resample [samples]. Differences on the same resamples are paired."""

    value: float
    samples: np.ndarray

    def __sub__(self, other: Replicates) -> Replicates:
        return Replicates(self.value - other.value, self.samples - other.samples)

    def estimate(self, confidence: float) -> Estimate:
        """Value and percentile interval."""
        return interval(self.value, self.samples, confidence)


def mean_replicates(several: Sequence[Replicates]) -> Replicates:
    """The mean of values on the same resamples."""
    return Replicates(float(np.mean([r.value for r in several])), np.mean([r.samples for r in several], axis=0))


class ClusterBootstrap:
    """Resampling weights over the clusters of one suite, shared by all arms, settings and metrics."""

    def __init__(
        self,
        clusters: Sequence[str],
        *,
        samples: int,
        confidence: float,
        seed: int,
        stratum: str,
        strata: Sequence[str] | None = None,
    ) -> None:
        """Draw the weights [samples, clusters].

        Args:
            clusters: names of the clusters, as in the sums.
            samples: number of resamples.
            confidence: coverage of the intervals.
            seed: of the draws.
            stratum: name of the suite: other suites are resampled independently.
            strata: domain of each cluster, within which clusters are drawn; by default all are drawn together.
        """
        self.clusters = tuple(clusters)
        self.confidence = confidence
        generator = np.random.default_rng(derive_key(seed, "bootstrap", stratum))
        self.weights = np.ones((samples, len(self.clusters)))
        self.strata = _strata(len(self.clusters), strata)
        for members in self.strata:
            self.weights[:, members] = _rescaled_draws(len(members), samples, generator)

    def replicates(self, data: Sums) -> tuple[float, np.ndarray]:
        """Macro average over cells: its value, and its value in every resample [samples]."""
        values, samples = self.replicates_of([data])
        return float(values[0]), samples[0]

    def replicates_of(self, several: Sequence[Sums]) -> tuple[np.ndarray, np.ndarray]:
        """Macro averages over cells of several sums at once: values [sums] and resamples [sums, samples]."""
        columns = _Columns()
        for data in several:
            self._check(data)
            columns.add(data)
        totals, counts = columns.matrices()
        values = columns.macro(totals.sum(0)[None, :], counts.sum(0)[None, :])
        return values[:, 0], columns.macro(self.weights @ totals, self.weights @ counts)

    def cell_replicates(self, data: Sums) -> tuple[np.ndarray, np.ndarray]:
        """Means of the cells: values [cells] and resamples [samples, cells]; NaN where a resample left a cell empty."""
        self._check(data)
        totals, counts = self.weights @ data.totals, np.zeros((len(self.weights), len(data.cells)))
        for _, cells in data.patterns:
            counts[:, cells] = (self.weights @ data.counts[:, cells[0]])[:, None]
        return data.means(), np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)

    def estimate(self, data: Sums) -> Estimate:
        """Value and interval of one arm."""
        return interval(*self.replicates(data), self.confidence)

    def difference(self, arm: Sums, baseline: Sums) -> Estimate:
        """Arm minus baseline on the same resamples."""
        a, b = (Replicates(*self.replicates(data)) for data in (arm, baseline))
        return (a - b).estimate(self.confidence)

    def _check(self, data: Sums) -> None:
        if data.clusters != self.clusters:
            raise ValueError("scores of other questions than the bootstrap was drawn for")


def interval(value: float, samples: np.ndarray, confidence: float) -> Estimate:
    """Percentile interval of bootstrap replicates."""
    known = samples[~np.isnan(samples)]
    if np.isnan(value) or not len(known):
        return Estimate(float(value), float("nan"), float("nan"))
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return Estimate(float(value), float(low), float(high))


def average(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean along an axis without NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    return np.asarray(np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0))


class _Columns:
    """Cells whose counts agree in every cluster have one denominator in every resample: their totals are added first.

    A suite asked in full (every question in every language) so takes one column per metric instead of one per cell.
    """

    def __init__(self) -> None:
        self._totals: list[np.ndarray] = []
        self._counts: dict[bytes, tuple[int, np.ndarray]] = {}
        self._groups: list[list[tuple[int, int, int]]] = []
        """For each of the sums: column of totals, column of counts, number of cells."""

    def add(self, data: Sums) -> None:
        """One more of the sums."""
        groups = []
        for key, cells in data.patterns:
            place, _ = self._counts.setdefault(key, (len(self._counts), data.counts[:, cells[0]]))
            groups.append((len(self._totals), place, len(cells)))
            self._totals.append(data.totals[:, cells].sum(1))
        self._groups.append(groups)

    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """Totals and counts, each [clusters, columns]."""
        return np.stack(self._totals, axis=1), np.stack([column for _, column in self._counts.values()], axis=1)

    def macro(self, totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Mean over cells of the mean over queries [sums, resamples]; an empty cell does not count."""
        found = np.full((len(self._groups), len(totals)), np.nan)
        for row, groups in enumerate(self._groups):
            t, c, cells = np.array(groups, dtype=np.int64).T
            filled = counts[:, c] > 0
            means = np.divide(totals[:, t], counts[:, c], out=np.zeros((len(totals), len(t))), where=filled)
            number = filled @ cells
            np.divide(means.sum(1), number, out=found[row], where=number > 0)
        return found


def _strata(size: int, names: Sequence[str] | None) -> list[np.ndarray]:
    """Members of each stratum; small ones are joined, with the next larger one if they are small even together."""
    _, code = np.unique(np.array([""] * size if names is None else list(names)), return_inverse=True)
    members = sorted((np.flatnonzero(code == c) for c in np.unique(code)), key=len)
    joined = [m for m in members if len(m) < SMALL_STRATUM]
    rest = members[len(joined) :]
    while joined and rest and sum(map(len, joined)) < SMALL_STRATUM:
        joined.append(rest.pop(0))
    return ([np.sort(np.concatenate(joined))] if joined else []) + rest


def _rescaled_draws(size: int, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Weights [samples, size] of a stratum."""
    if size < 2:
        return np.ones((samples, size))
    found = np.empty((samples, size))
    block = max(1, _BLOCK // size)
    for start in range(0, samples, block):
        rows = min(block, samples - start)
        drawn = generator.integers(size, size=(rows, size - 1)) + size * np.arange(rows)[:, None]
        found[start : start + rows] = np.bincount(drawn.reshape(-1), minlength=rows * size).reshape(rows, size)
    return found * (size / (size - 1))
