"""Ranking metrics of many queries at once, from the ranks of their relevant passages.

Definitions agree with trec_eval (binary judgements): AP without cut-off, AP cut at k divides by min(relevant, k)
(the XTREME-R convention), recall, reciprocal rank, nDCG with gain 1 and discount log2(rank + 1).
"""

from __future__ import annotations

import numpy as np


def sorted_ranks(query: np.ndarray, rank: np.ndarray, queries: int) -> np.ndarray:
    """Ranks [queries, most relevant], ascending, padded with 0 (no passage).

    Args:
        query: row of the query of each relevant passage [n].
        rank: 1-based rank of each relevant passage [n].
        queries: number of queries.
    """
    order = np.lexsort((rank, query))
    query, rank = query[order], rank[order]
    counts = np.bincount(query, minlength=queries)
    nth = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    result = np.zeros((queries, max(1, counts.max(initial=0))), dtype=np.int64)
    result[query, nth] = rank
    return result


def average_precision(ranks: np.ndarray, cutoff: int | None = None) -> np.ndarray:
    """AP of each row of `sorted_ranks`; rows without relevant passages are NaN."""
    relevant = (ranks > 0).sum(1)
    found = ranks > 0 if cutoff is None else (ranks > 0) & (ranks <= cutoff)
    nth = np.arange(1, ranks.shape[1] + 1)
    precision = np.divide(nth[None, :], ranks, out=np.zeros(ranks.shape), where=found)
    return _ratio(precision.sum(1), relevant if cutoff is None else np.minimum(relevant, cutoff))


def recall(ranks: np.ndarray, k: int) -> np.ndarray:
    """Share of the relevant passages among the first k."""
    return _ratio(((ranks > 0) & (ranks <= k)).sum(1), (ranks > 0).sum(1))


def reciprocal_rank(ranks: np.ndarray, k: int | None = None) -> np.ndarray:
    """One over the rank of the first relevant passage (0 beyond k)."""
    first = ranks[:, 0].astype(float)
    value = _ratio(np.ones(len(first)), first)
    return value if k is None else np.asarray(np.where(first > k, 0.0, value))


def ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """nDCG@k with binary gains."""
    found = (ranks > 0) & (ranks <= k)
    gains = np.divide(1.0, np.log2(ranks + 1.0), out=np.zeros(ranks.shape), where=found).sum(1)
    ideal = np.cumsum(np.concatenate([[0.0], 1.0 / np.log2(np.arange(2, k + 2))]))
    return _ratio(gains, ideal[np.minimum((ranks > 0).sum(1), k)])


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    defined = np.asarray(denominator) > 0
    return np.asarray(np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=defined))
