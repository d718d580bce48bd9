"""The made-up suite of `statistics_simulation.py`: scores whose truth is known."""

from __future__ import annotations

import math

import numpy as np

from hybrid_core.stats.bootstrap import ClusterBootstrap, Estimate, Replicates
from hybrid_core.stats.randomisation import paired_difference, sign_flip_p
from hybrid_core.stats.seeds import over_seeds, seed_multipliers
from hybrid_core.stats.sums import Sums

QUESTIONS, LANGUAGES = 60, 4
DOMAIN_SIZES, DOMAIN_MEANS = (33, 18, 9), (0.15, 0.0, -0.25)
SHARED, ARM_BY_QUESTION, OWN = 0.25, 0.08, 0.12
RUN, RUN_BY_SUITE, RUN_BY_QUESTION = 0.03, 0.02, 0.08
DOMAIN = np.repeat(np.arange(3), DOMAIN_SIZES)
ASKED = (np.add.outer(np.arange(QUESTIONS), np.arange(LANGUAGES)) % 4 > 0).astype(float)
CLUSTERS = tuple(f"q{i:02d}" for i in range(QUESTIONS))
CELLS = tuple((f"l{i}", f"l{i}") for i in range(LANGUAGES))
ALPHA, MARGIN = 0.05, 0.06
SPREAD = np.array([-0.2, 0.0, 0.1, 0.2])


def truth(languages: np.ndarray) -> float:
    """Macro average of the expected scores of the rows that exist, for an arm without effect."""
    expected = languages[None, :] + np.array(DOMAIN_MEANS)[DOMAIN][:, None]
    return float(((expected * ASKED).sum(0) / ASKED.sum(0)).mean())


class World:
    """Draws the scores of one repetition."""

    def __init__(
        self, seed: int, samples: int, languages: np.ndarray = SPREAD, domains: tuple[float, ...] = DOMAIN_MEANS
    ) -> None:
        self.seed, self.samples, self.languages = seed, samples, languages
        self.domains = np.array(domains)[DOMAIN]
        self.rng = np.random.default_rng(seed)
        self.shared = self.question_effects()

    def question_effects(self) -> np.ndarray:
        """What translations share [questions]: two values, mean 0, standard deviation SHARED."""
        found = self.rng.random(QUESTIONS) < 0.7
        return SHARED * (found - 0.7) / math.sqrt(0.21)

    def arm(self, effect: float = 0.0, runs: np.ndarray | None = None, shared: np.ndarray | None = None) -> list[Sums]:
        """An arm's scores, one set for each run; no runs: one evaluation without training noise."""
        shared = self.shared if shared is None else shared
        question = shared + self.domains + ARM_BY_QUESTION * self.rng.standard_normal(QUESTIONS)
        rows = effect + self.languages + question[:, None] + OWN * self.rng.standard_normal((QUESTIONS, LANGUAGES))
        return [self._sums(rows)] if runs is None else [self._sums(rows + run + self._by_question()) for run in runs]

    def _by_question(self) -> np.ndarray:
        return RUN_BY_QUESTION * self.rng.standard_normal((QUESTIONS, 1)) + RUN_BY_SUITE * self.rng.standard_normal()

    def _sums(self, rows: np.ndarray) -> Sums:
        return Sums(CELLS, CLUSTERS, rows * ASKED, ASKED)

    def runs(self, seeds: int) -> np.ndarray:
        """What each training run shifts in all suites [seeds]."""
        return RUN * self.rng.standard_normal(seeds)

    def bootstrap(self, suite: str = "home", stratified: bool = True) -> ClusterBootstrap:
        """Resamples of the questions."""
        strata = [str(d) for d in DOMAIN] if stratified else None
        return ClusterBootstrap(
            CLUSTERS, samples=self.samples, confidence=1 - ALPHA, seed=self.seed, stratum=suite, strata=strata
        )

    def level(self, arm: list[Sums], bootstrap: ClusterBootstrap, model: str = "") -> Replicates:
        """Replicates of an arm's level, over its seeds."""
        values, samples = zip(*(bootstrap.replicates(data) for data in arm), strict=True)
        multipliers = seed_multipliers(len(arm), samples=self.samples, seed=self.seed, model=model)
        value, replicates = over_seeds(np.array(values), np.stack(samples), multipliers)
        return Replicates(float(value), replicates)

    def p(self, contrasts: list[tuple[list[Sums], list[Sums]]], models: tuple[str, str] = ("a", "b")) -> np.ndarray:
        """P-values of contrasts whose arms are trained models if they have several runs."""
        found = [paired_difference(arm, reference) for arm, reference in contrasts]
        training = []
        for side, (model, sign) in enumerate(zip(models, (1.0, -1.0), strict=True), start=1):
            levels = np.stack([f[side] for f in found], axis=1)
            factors = seed_multipliers(len(levels), samples=self.samples, seed=self.seed, model=model, purpose="flips")
            training.append((factors, sign * (levels - levels.mean(0))))
        differences = np.stack([f[0] for f in found], axis=1)
        return sign_flip_p(differences, flips=self.samples, seed=self.seed, stratum="home", training=training)


def covers(estimate: Estimate, true: float) -> bool:
    """Whether the truth lies in the interval."""
    return estimate.low <= true <= estimate.high
