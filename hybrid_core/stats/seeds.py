"""Several trainings of one arm as a second level of uncertainty, beside that of the questions.

With S seeds the level of an arm is the mean m of the S levels. Its spread is that of the question resamples, plus s^2 / S
with s^2 the variance of the S levels (divisor S - 1). Drawing seeds with replacement would do this badly for the few seeds
that anybody trains: its variance is short by (S - 1) / S, three seeds have ten distinct draws, and tails are those of a
known variance. So deviations from the mean are not redrawn but rescaled:

    replicate r = m in resample r + sum over seeds of (m_s - m) z_rs / sqrt(S (S - 1)) / sqrt(q_r / (S - 1))

with z standard normal and q chi-squared with S - 1 degrees of freedom. Given the levels the added term is distributed as
s / sqrt(S) times Student's t with S - 1 degrees of freedom, what the mean of S normal numbers calls for. z and q belong to
the trained model and are the same in all suites, settings and metrics, so that contrasts of suites stay paired by seed, and
so do a model and its free baselines. Differences of two models add two such terms (the Behrens-Fisher distribution), which
covers a little more than it says. So does counting the questions' noise of each seed in both levels.
"""

from __future__ import annotations

import numpy as np

from hybrid_core.permutation import derive_key


def seed_multipliers(seeds: int, *, samples: int, seed: int, model: str, purpose: str = "bootstrap") -> np.ndarray:
    """Factors of the deviations of single seeds from their mean [samples, seeds]; zero if there is one seed.

    Args:
        seeds: number of trainings.
        samples: number of replicates.
        seed: of the draws.
        model: name of the trained model; equal names have equal factors.
        purpose: intervals and tests draw apart.
    """
    if seeds < 2:
        return np.zeros((samples, seeds))
    generator = np.random.default_rng(derive_key(seed, "seeds", purpose, model))
    z = generator.standard_normal((samples, seeds))
    q = generator.chisquare(seeds - 1, size=(samples, 1))
    return np.asarray(z / np.sqrt(seeds * q))


def over_seeds(values: np.ndarray, samples: np.ndarray, multipliers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and replicates of the mean over seeds.

    Args:
        values: of each seed [seeds, ...].
        samples: question resamples of each seed [seeds, samples, ...].
        multipliers: from `seed_multipliers` [samples, seeds].

    Returns:
        Values [...] and replicates [samples, ...].
    """
    if len(values) == 1:
        return values[0], samples[0]
    mean = values.mean(0)
    noise = np.tensordot(multipliers, values - mean, axes=1)
    return mean, samples.mean(0) + noise
