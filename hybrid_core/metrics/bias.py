"""Language bias in a mixed pool: does the ranking depend on the language a passage is written in?"""

from __future__ import annotations

import numpy as np


def rank_distance(ranks: np.ndarray) -> np.ndarray:
    """Worst minus best rank among a query's relevant passages (arXiv 2408.10536, section 4; from KD-SPD). Lower is fairer.

    Not comparable across pools: divide by the pool size for that. NaN where a query has no relevant passage.
    """
    return _or_nan(ranks.max(1) - ranks[:, 0], ranks)


def max_rank(ranks: np.ndarray) -> np.ndarray:
    """Max@R: the rank by which all relevant passages have been found. Rank distance alone rewards being uniformly bad."""
    return _or_nan(ranks.max(1), ranks)


def language_shares(top: np.ndarray, passage_language: np.ndarray, languages: int) -> np.ndarray:
    """Share of each passage language in the top k of each query [queries, languages]."""
    found = passage_language[top]
    return np.stack([(found == language).mean(1) for language in range(languages)], axis=1)


def _or_nan(value: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    return np.where((ranks > 0).any(1), value, np.nan)
