"""Paired randomisation tests: is a difference larger than swapping the two arms at random would make it?

Were two arms alike, swapping their scores on a question would change nothing (Fisher 1935; Smucker, Allan and Carterette
2007 for retrieval). A question is swapped with all its translations. The statistic is the difference of macro averages; with
the counts of cells fixed it is a sum over questions, so a swap flips the sign of one term, and all flips are one product
of matrices. p = (1 + flips at least as extreme) / (1 + flips), two-sided.

With several seeds per arm the noise of training, drawn as in `seeds`, is added to every flip: the null distribution of a
difference between recipes and not only between these trained models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hybrid_core.permutation import derive_key
from hybrid_core.stats.sums import Sums, common

MOST_FLIPS = 100_000
_ROWS = 2048
_TIE = 1e-5
"""Flips this close to the difference (in standard deviations of the flips) count as equal to it."""


def paired_difference(arm: Sequence[Sums], reference: Sequence[Sums]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the tests need to know of a contrast.

    Args:
        arm: sums of every seed of the arm.
        reference: those of the reference.

    Returns:
        Contribution of each cluster to the difference of macro averages [clusters] (their sum is the difference), and the
        levels of the single seeds of the arm and of the reference. Scores that one side lacks are left out on both.
    """
    shared = common([*arm, *reference])
    each = np.stack([data.contributions for data in shared])
    levels = each.sum(1)
    difference = each[: len(arm)].mean(0) - each[len(arm) :].mean(0)
    return difference, levels[: len(arm)], levels[len(arm) :]


def flips_for(tests: int, *, samples: int, alpha: float) -> int:
    """Number of flips for a family of tests: enough for its smallest corrected p-value to reach a fifth of alpha.

    With 2,000 flips no p-value is below 1/2,001, and Holm's factor for 100 tests would hide every difference.

    Args:
        tests: size of the largest family.
        samples: at least this many (at most 100,000 or this many).
        alpha: level of the tests.
    """
    return max(samples, min(MOST_FLIPS, math.ceil(5 * tests / alpha)))


def sign_flip_p(
    differences: np.ndarray,
    *,
    flips: int,
    seed: int,
    stratum: str,
    training: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> np.ndarray:
    """Two-sided p-values of differences [tests]; NaN where a difference is.

    Args:
        differences: contributions of clusters [clusters, tests].
        flips: number of random sign assignments.
        seed: of the draws.
        stratum: name of the suite.
        training: noise of training: multipliers [flips, seeds] of a model and deviations [seeds, tests] in the differences.
    """
    generator = np.random.default_rng(derive_key(seed, "flips", stratum))
    contributions = np.nan_to_num(differences).astype(np.float32)
    scale = np.sqrt((np.nan_to_num(differences) ** 2).sum(0))
    observed = np.abs(np.nan_to_num(differences).sum(0)) - _TIE * scale
    extreme = np.zeros(differences.shape[1], dtype=np.int64)
    for start in range(0, flips, _ROWS):
        rows = slice(start, min(start + _ROWS, flips))
        signs = generator.integers(2, size=(rows.stop - start, len(differences)), dtype=np.int8) * np.int8(2) - np.int8(
            1
        )
        drawn = signs.astype(np.float32) @ contributions
        for multipliers, deviations in training:
            drawn += multipliers[rows] @ np.nan_to_num(deviations)
        extreme += (np.abs(drawn) >= observed).sum(0)
    p = (1 + extreme) / (1 + flips)
    return np.where(np.isnan(differences).any(0), np.nan, p)
