"""Worst cases: the worst of several cells (languages, domains, suites), and the mean of the worst quarter of them (CVaR).

The smallest of several noisy values lies below the smallest true value on average, and a bootstrap that looks for the worst
anew in every resample, as it must, adds the same bias once more: its percentile interval may lie below the truth
altogether. The interval here therefore reaches as far to both sides of the value as the percentile interval does to its
farther side; it holds both the percentile and the reflected ("basic") interval. Where all cells are truly alike and share no
noise it still covers less than it says (benchmarks/ has the measurement); the value is an estimate from below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hybrid_core.stats.bootstrap import Estimate, Replicates, average, interval

WORST_SHARE = 0.25


def worst(
    values: np.ndarray, samples: np.ndarray, names: Sequence[str], *, high_is_worse: bool = False
) -> tuple[str, Replicates]:
    """The worst cell's name, value and replicates; in every replicate the worst is looked for anew.

    Args:
        values: of the cells [cells]; NaN is left out.
        samples: their replicates [samples, cells].
        names: of the cells.
        high_is_worse: for ranks, where less is better.
    """
    sign = -1.0 if high_is_worse else 1.0
    lowest = _lowest(sign * samples, 1)
    value = _lowest(sign * values[None, :], 1)
    place = 0 if np.isnan(value[0]) else int(np.nanargmin(sign * values))
    return names[place], Replicates(sign * float(value[0]), sign * lowest)


def cvar(
    values: np.ndarray, samples: np.ndarray, *, share: float = WORST_SHARE, high_is_worse: bool = False
) -> Replicates:
    """Mean of the worst `share` of the cells, rounded up to whole cells. Arguments as in `worst`."""
    sign = -1.0 if high_is_worse else 1.0
    count = max(1, math.ceil(share * int((~np.isnan(values)).sum()) - 1e-9))
    value = _lowest(sign * values[None, :], count)
    return Replicates(sign * float(value[0]), sign * _lowest(sign * samples, count))


def worst_interval(found: Replicates, confidence: float, *, highest: float = math.inf) -> Estimate:
    """Interval of a worst case: symmetric, as wide as the farther side of the percentile interval, within [0, highest]."""
    percentile = interval(found.value, found.samples, confidence)
    reach = max(found.value - percentile.low, percentile.high - found.value)
    low, high = np.clip([found.value - reach, found.value + reach], 0.0, highest)
    return Estimate(found.value, float(low), float(high))


def _lowest(values: np.ndarray, count: int) -> np.ndarray:
    """Mean of the `count` lowest of each row, NaN left out."""
    if count == 1:
        filled = np.where(np.isnan(values), np.inf, values).min(1)
        return np.where(np.isinf(filled), np.nan, filled)
    return average(np.sort(values, axis=1)[:, :count], 1)  # NaN is sorted last
