"""P-values of contrasts between arms on one suite, and their correction within families.

A contrast is a weighted sum of paired differences: arm minus reference; or that under a perturbation minus the same without.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_core.stats.families import holm
from hybrid_core.stats.randomisation import (
    Training,
    drawn_flips,
    paired_difference,
    residuals,
    share_beyond,
    sign_flip_p,
)
from hybrid_core.stats.seeds import seed_multipliers
from hybrid_core.stats.sums import Sums

Json = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One side of a difference: the trained model behind it, and the sums of every seed of it."""

    model: str
    seeds: Sequence[Sums]


@dataclass(frozen=True)
class Pair:
    """Arm minus reference, on the same questions."""

    arm: Side
    reference: Side


Contrast = Sequence[tuple[float, Pair]]
"""Weighted paired differences on one suite."""


@dataclass(frozen=True)
class Columns:
    """Contrasts of one suite as columns: contributions of the questions, and what single seeds of a model add to each."""

    differences: np.ndarray
    """[clusters, contrasts]; their sums are the contrasts."""
    deviations: Mapping[str, np.ndarray]
    """Model with several seeds -> [seeds, contrasts]."""

    @property
    def observed(self) -> np.ndarray:
        """Values of the contrasts [contrasts]."""
        return np.asarray(self.differences.sum(0))

    def training(self, *, flips: int, seed: int) -> Training:
        """Noise of training, the same draws for a model in every suite."""
        return [
            (seed_multipliers(len(found), samples=flips, seed=seed, model=model, purpose="flips"), found)
            for model, found in self.deviations.items()
        ]


def columns(contrasts: Sequence[Contrast], clusters: int) -> Columns:
    """Contrasts of one suite as columns; an empty contrast is zero.

    Args:
        contrasts: on the same questions.
        clusters: number of questions.
    """
    differences = np.zeros((clusters, len(contrasts)))
    sides = [side for contrast in contrasts for _, pair in contrast for side in (pair.arm, pair.reference)]
    deviations = {s.model: np.zeros((len(s.seeds), len(contrasts))) for s in sides if len(s.seeds) > 1}
    for column, contrast in enumerate(contrasts):
        for weight, pair in contrast:
            found, *levels = paired_difference(pair.arm.seeds, pair.reference.seeds)
            differences[:, column] += weight * found
            for side, values, sign in zip((pair.arm, pair.reference), levels, (weight, -weight), strict=True):
                if side.model in deviations and len(side.seeds) > 1:
                    deviations[side.model][:, column] += sign * (values - values.mean())
    return Columns(differences, deviations)


def errors(contrasts: Sequence[Contrast], strata: Sequence[np.ndarray]) -> np.ndarray:
    """What each question adds to the error of each contrast [clusters, contrasts] (`randomisation.residuals`)."""
    found = np.zeros((sum(map(len, strata)), len(contrasts)))
    for column, contrast in enumerate(contrasts):
        for weight, pair in contrast:
            found[:, column] += weight * residuals(pair.arm.seeds, pair.reference.seeds, strata)
    return found


def swap_p(contrasts: Sequence[Contrast], *, flips: int, seed: int, suite: str) -> np.ndarray:
    """P-values of "swapping the arms on a question changes nothing" [contrasts]; NaN where a contrast is not defined."""
    if not contrasts:
        return np.zeros(0)
    found = columns(contrasts, len(contrasts[0][0][1].arm.seeds[0].clusters))
    training = found.training(flips=flips, seed=seed)
    return sign_flip_p(found.differences, flips=flips, seed=seed, stratum=suite, training=training)


@dataclass(frozen=True)
class Place:
    """The same contrasts on one suite; an empty contrast where the suite does not have it."""

    suite: str
    contrasts: Sequence[Contrast]
    strata: Sequence[np.ndarray]
    """Members of each stratum of the suite's questions (`ClusterBootstrap.strata`)."""


def zero_p(places: Sequence[Place], weights: np.ndarray, *, flips: int, seed: int) -> np.ndarray:
    """P-values of "the effect is zero", where the arms themselves may differ: residuals are flipped in every suite.

    Args:
        places: suites with the same contrasts, independent of each other.
        weights: of the places in each effect [effects, places, contrasts].
        flips: number of random sign assignments.
        seed: of the draws.

    Returns:
        [effects, contrasts]; NaN where an effect has no weights or a contrast in it is not defined.
    """
    found = [columns(place.contrasts, sum(map(len, place.strata))) for place in places]
    wrong = [errors(place.contrasts, place.strata) for place in places]
    drawn = [
        drawn_flips(e, flips=flips, seed=seed, stratum=p.suite, training=c.training(flips=flips, seed=seed))
        for p, c, e in zip(places, found, wrong, strict=True)
    ]
    values = np.stack([c.observed for c in found])
    observed = np.einsum("ept,pt->et", weights, np.nan_to_num(values))
    scale = np.sqrt(np.einsum("ept,pt->et", weights**2, np.stack([(np.nan_to_num(e) ** 2).sum(0) for e in wrong])))
    p = share_beyond(zip(*drawn, strict=True), weights, observed, scale, flips)
    unknown = np.isnan(values) | np.stack([np.isnan(e).any(0) for e in wrong])
    undefined = np.einsum("ept,pt->et", np.abs(weights), unknown) > 0
    return np.where(undefined | ~weights.any(1), np.nan, p)


def corrected(rows: Sequence[Json], family: Callable[[Json], Hashable]) -> list[Json]:
    """The rows with `p_holm` beside `p`: corrected among rows of one family; a row without a p-value is no test.

    Args:
        rows: with the key `p`, None where nothing was tested.
        family: what rows are corrected together.
    """
    families: dict[Hashable, list[int]] = {}
    for i, row in enumerate(rows):
        families.setdefault(family(row), []).append(i)
    found = [dict(row) for row in rows]
    for places in families.values():
        p_values = [np.nan if rows[i]["p"] is None else rows[i]["p"] for i in places]
        for i, p in zip(places, holm(p_values), strict=True):
            found[i]["p_holm"] = or_none(p)
    return found


def or_none(p: float) -> float | None:
    """A p-value as part of a row: None where there was no test."""
    return None if np.isnan(p) else float(p)
