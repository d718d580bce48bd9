"""Worst cases: the worst of several cells (languages, domains, suites), and the mean of the worst quarter of them (CVaR).

The smallest of several noisy values lies below the smallest true value on average, and a bootstrap that looks for the worst
anew in every resample adds the same bias once more: its percentile interval may lie below the truth altogether. The value
here is the plain one, with its bias; the interval has two ends of their own.

**Lower end.** The percentile of the mean of the cells that are worst in the data. The truly worst cells lie no lower in the
data than those, and the bias only helps.

**Upper end.** Cells chosen and cells measured on independent data cannot lie below the worst ones on average. The bootstrap
makes two such halves of one data set: values plus the deviation of a resample choose the cells, values minus it measure
them; for approximately normal values the two are independent (data fission: Rasines and Young 2023, Biometrika 110; Leiner,
Duan, Wasserman and Ramdas 2023, arXiv 2112.11079). The mean over all resamples is an estimate from above. To it is added what
the percentile of the chosen cells' mean, weighted by how often each is chosen, has above their value.

Where the worst cell stands out both ends are those of its percentile interval. benchmarks/2026-11-27-statistics.md has a first
look at the coverage, with two to 110 cells apart and alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hybrid_core.stats.bootstrap import Estimate

WORST_SHARE = 0.25


def worst(
    values: np.ndarray,
    samples: np.ndarray,
    names: Sequence[str],
    *,
    confidence: float,
    high_is_worse: bool = False,
    highest: float = math.inf,
) -> tuple[str, Estimate]:
    """The worst cell's name, its value, and an interval of the truly worst value.

    Args:
        values: of the cells [cells]; NaN is left out.
        samples: their bootstrap replicates [samples, cells].
        names: of the cells.
        confidence: coverage of the interval.
        high_is_worse: for ranks, where less is better.
        highest: largest possible value; intervals end there, and at 0.
    """
    sign = -1.0 if high_is_worse else 1.0
    place = 0 if np.isnan(values).all() else int(np.nanargmin(sign * values))
    return names[place], _bounded(_lowest(sign * values, sign * samples, 1, confidence), sign, highest)


def cvar(
    values: np.ndarray,
    samples: np.ndarray,
    *,
    confidence: float,
    share: float = WORST_SHARE,
    high_is_worse: bool = False,
    highest: float = math.inf,
) -> Estimate:
    """Mean of the worst `share` of the cells, rounded up to whole cells. Other arguments as in `worst`."""
    sign = -1.0 if high_is_worse else 1.0
    count = max(1, math.ceil(share * int((~np.isnan(values)).sum()) - 1e-9))
    return _bounded(_lowest(sign * values, sign * samples, count, confidence), sign, highest)


def _lowest(values: np.ndarray, samples: np.ndarray, count: int, confidence: float) -> Estimate:
    """Mean of the `count` lowest cells, with the interval described above."""
    known = ~np.isnan(values)
    if not known.any():
        return Estimate(math.nan, math.nan, math.nan)
    values = values[known]
    samples = np.where(np.isnan(samples[:, known]), values, samples[:, known])  # a resample that left a cell empty
    own = _weights_of_lowest(values[None, :], count)[0]
    value = float(own @ values)
    chosen = _weights_of_lowest(samples, count)
    above = float((chosen * (2.0 * values - samples)).sum(1).mean())
    tail = (1.0 - confidence) / 2
    low = float(np.quantile(samples @ own, tail))
    reach = float(np.quantile((samples - values) @ chosen.mean(0), 1.0 - tail))
    return Estimate(value, min(value, low), max(value, above) + max(0.0, reach))


def _weights_of_lowest(values: np.ndarray, count: int) -> np.ndarray:
    """1 / count for the `count` lowest of each row, else 0."""
    weights = np.zeros(values.shape)
    lowest = np.argpartition(values, count - 1, axis=1)[:, :count]
    np.put_along_axis(weights, lowest, 1.0 / count, axis=1)
    return weights


def _bounded(found: Estimate, sign: float, highest: float) -> Estimate:
    """Back to the original sign, within [0, highest]."""
    low, high = sorted((sign * found.low, sign * found.high))
    return Estimate(sign * found.value, float(np.clip(low, 0.0, highest)), float(np.clip(high, 0.0, highest)))
