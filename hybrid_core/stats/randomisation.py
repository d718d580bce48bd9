"""Paired randomisation tests: is a difference larger than swapping the two arms at random would make it?

Were two arms alike, swapping their scores on a question would change nothing (Fisher 1935; Smucker, Allan and Carterette
2007 for retrieval). A question is swapped with all its translations. The statistic is the difference of macro averages; with
the counts of cells fixed it is a sum over questions, so a swap flips the sign of one term, and all flips are one product
of matrices. p = (1 + flips at least as extreme) / (1 + flips), two-sided.

With several seeds per arm the noise of training, drawn as in `seeds`, is added to every flip: the null distribution of a
difference between recipes and not only between these trained models.

**Differences of differences** over different questions (outside the training domain minus inside it) need another test.
That they are zero does not say that the arms are alike, so nothing may be swapped: where hybrid batches are better by ten
points everywhere, swapped arms are a world of other variance, and the test would miss effects. Flipped are the questions'
residuals instead, each suite's around its own difference (a wild bootstrap: Wu 1986, Liu 1988; with clusters, Cameron, Gelbach
and Miller 2008): the distribution of the effect's error, held against the effect.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hybrid_core.permutation import derive_key
from hybrid_core.stats.sums import Sums, common

MOST_FLIPS = 100_000
_ROWS = 2048
_TIE = 1e-5
"""Flips this close to the difference (in standard deviations of the flips) count as equal to it."""
_ROUNDING = 1e-12
"""An effect smaller than this is zero."""


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


def residuals(arm: Sequence[Sums], reference: Sequence[Sums], strata: Sequence[np.ndarray]) -> np.ndarray:
    """What each cluster adds to the error of a difference of macro averages [clusters], scaled so that squares sum to its variance.

    Scores minus the mean difference of their cell, then minus the mean of their stratum, as the bootstrap sees them; n / (n - 1)
    for a stratum of n clusters. NaN where there is only one cluster: its error cannot be known.

    Args:
        arm: sums of every seed of the arm.
        reference: those of the reference.
        strata: members of each stratum, as in `ClusterBootstrap.strata`.
    """
    shared = common([*arm, *reference])
    totals = np.mean([s.totals for s in shared[: len(arm)]], axis=0) - np.mean(
        [s.totals for s in shared[len(arm) :]], axis=0
    )
    size = shared[0].counts.sum(0)
    used = size > 0
    means = np.divide(totals.sum(0), size, out=np.zeros(len(size)), where=used)
    weight = np.divide(1.0, size * used.sum(), out=np.zeros(len(size)), where=used)
    found = (totals - shared[0].counts * means) @ weight
    for members in strata:
        n = len(members)
        found[members] = (found[members] - found[members].mean()) * math.sqrt(n / (n - 1)) if n > 1 else np.nan
    return np.asarray(found)


Training = Sequence[tuple[np.ndarray, np.ndarray]]
"""Noise of training: for each model, multipliers [flips, seeds] and deviations of its seeds in the differences [seeds, tests]."""


def drawn_flips(
    contributions: np.ndarray, *, flips: int, seed: int, stratum: str, training: Training = ()
) -> Iterator[np.ndarray]:
    """Sums of contributions [clusters, tests] under random signs, in blocks [rows, tests]; arguments as in `sign_flip_p`."""
    generator = np.random.default_rng(derive_key(seed, "flips", stratum))
    summands = np.nan_to_num(contributions).astype(np.float32)
    for start in range(0, flips, _ROWS):
        rows = slice(start, min(start + _ROWS, flips))
        signs = generator.integers(2, size=(rows.stop - start, len(summands)), dtype=np.int8) * np.int8(2) - np.int8(1)
        drawn = signs.astype(np.float32) @ summands
        for multipliers, deviations in training:
            drawn += multipliers[rows] @ np.nan_to_num(deviations)
        yield drawn


def sign_flip_p(
    differences: np.ndarray,
    *,
    flips: int,
    seed: int,
    stratum: str,
    training: Training = (),
    observed: np.ndarray | None = None,
) -> np.ndarray:
    """Two-sided p-values of differences [tests]; NaN where a difference is.

    Args:
        differences: contributions of clusters [clusters, tests].
        flips: number of random sign assignments.
        seed: of the draws.
        stratum: name of the suite.
        training: noise of training.
        observed: what the flips are held against [tests]; by default the sums of the contributions.
    """
    found = np.nan_to_num(differences).sum(0) if observed is None else observed
    drawn = drawn_flips(differences, flips=flips, seed=seed, stratum=stratum, training=training)
    scale = np.sqrt((np.nan_to_num(differences) ** 2).sum(0))
    p = share_beyond(([block] for block in drawn), np.ones((1, 1, len(found))), found[None], scale[None], flips)[0]
    return np.where(np.isnan(differences).any(0), np.nan, p)


def share_beyond(
    blocks: Iterable[Sequence[np.ndarray]],
    weights: np.ndarray,
    observed: np.ndarray,
    scale: np.ndarray,
    flips: int,
) -> np.ndarray:
    """P-values of weighted sums of several places (suites) that are flipped at once [effects, tests].

    Args:
        blocks: for each block of flips, what was drawn in every place [places] of [rows, tests].
        weights: of the places in each effect [effects, places, tests].
        observed: effects [effects, tests].
        scale: standard deviations of the flips [effects, tests]; a flip this close to the effect (times a little) ties with it.
        flips: how many there are in all blocks.
    """
    limit = np.abs(observed) - _TIE * scale - _ROUNDING
    extreme = np.zeros(observed.shape, dtype=np.int64)
    for drawn in blocks:
        for effect, of_places in enumerate(weights):
            parts = [w * part for w, part in zip(of_places, drawn, strict=True) if w.any()]
            extreme[effect] += (np.abs(sum(parts)) >= limit[effect]).sum(0) if parts else 0
    return np.asarray((1 + extreme) / (1 + flips))
