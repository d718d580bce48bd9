"""Exact ranks of the relevant passages, per pool language, from one pass over the scores.

A setting only chooses which languages form the pool. So for every (query, relevant passage) it is enough to count, per
passage language, how many passages score higher; mono, cross and multi ranks are sums of those counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hybrid_core.data.suites import Suite

_QUERIES_AT_ONCE = 512


@dataclass(frozen=True)
class RelevantRanks:
    """One entry per (query, relevant passage), ordered by query."""

    query: np.ndarray
    """Row of the query [n]."""
    passage: np.ndarray
    """Row of the passage [n]."""
    ahead: np.ndarray
    """Passages ranked before this one, per language of the pool [n, languages]."""
    top: np.ndarray
    """Rows of the best k passages of the pooled list, best first [queries, k]."""
    pool_sizes: np.ndarray
    """Passages per language [languages]."""
    languages: tuple[str, ...]
    """Languages of the pool, in the order of the columns."""


def rank_relevant(suite: Suite, queries: np.ndarray, passages: np.ndarray, *, top_k: int) -> RelevantRanks:
    """Rank every relevant passage by cosine; ties go to the smaller passage id.

    Args:
        suite: judgements and languages.
        queries: unit vectors [queries, d], float32.
        passages: unit vectors [passages, d], float32.
        top_k: depth of the pooled list that is kept.
    """
    languages = suite.languages
    column_language = np.array([languages.index(lang) for lang in suite.passages.languages])
    by_id = np.argsort(np.array(suite.passages.ids), kind="stable")
    order = by_id[np.argsort(column_language[by_id], kind="stable")]  # columns grouped by language
    id_rank = np.empty(len(order), dtype=np.int64)
    id_rank[by_id] = np.arange(len(order))
    sizes = np.bincount(column_language, minlength=len(languages))
    pool = _Pool(torch.from_numpy(passages[order]), torch.from_numpy(order), torch.from_numpy(id_rank), sizes.tolist())

    counts = [len(r) for r in suite.relevant]
    query = np.repeat(np.arange(len(counts)), counts)
    passage = np.concatenate(suite.relevant) if sum(counts) else np.empty(0, np.int64)
    ahead = np.empty((len(query), len(languages)), dtype=np.int64)
    top = np.empty((len(queries), min(top_k, len(passages))), dtype=np.int64)
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        block = slice(start, start + _QUERIES_AT_ONCE)
        here = slice(*np.searchsorted(query, [start, start + _QUERIES_AT_ONCE]))
        scores = torch.from_numpy(queries[block]) @ pool.vectors.T
        ahead[here] = _count_ahead(
            scores, torch.from_numpy(query[here] - start), torch.from_numpy(passage[here]), pool
        ).numpy()
        top[block] = _best(scores, pool, top.shape[1]).numpy()
    return RelevantRanks(query, passage, ahead, top, sizes, languages)


@dataclass(frozen=True)
class _Pool:
    vectors: torch.Tensor
    rows: torch.Tensor  # passage row of each column
    id_rank: torch.Tensor  # place of each passage row in the order of ids
    sizes: list[int]  # columns per language


def _count_ahead(scores: torch.Tensor, query: torch.Tensor, passage: torch.Tensor, pool: _Pool) -> torch.Tensor:
    """Columns that rank before each (query, passage), per language segment [n, languages]."""
    column = torch.empty_like(pool.rows)
    column[pool.rows] = torch.arange(len(pool.rows))
    result = torch.empty((len(query), len(pool.sizes)), dtype=torch.int64)
    first = torch.searchsorted(query, query)  # entries are ordered by query
    nth = (
        torch.arange(len(query)) - first
    )  # 0, 1, 2, ... within each query, so that a slot holds at most one passage per query
    for slot in range(int(nth.max()) + 1 if len(nth) else 0):
        here = nth == slot
        rows = scores if len(query[here]) == len(scores) else scores[query[here]]
        own = scores[query[here], column[passage[here]]][:, None]
        before = rows > own
        tied = rows == own
        if int(tied.sum()) > len(rows):
            before |= tied & (pool.id_rank[pool.rows][None, :] < pool.id_rank[passage[here]][:, None])
        parts = [part.sum(1) for part in torch.split(before, pool.sizes, dim=1)]
        result[here] = torch.stack(parts, dim=1)
    return result


def _best(scores: torch.Tensor, pool: _Pool, k: int) -> torch.Tensor:
    """Passage rows of the k best columns; equal scores in the order of ids."""
    extra = min(k + 16, scores.shape[1])
    values, columns = scores.topk(extra, dim=1)
    if extra < scores.shape[1] and bool(
        (values[:, k - 1] == values[:, -1]).any()
    ):  # a tie that reaches past the extra ones
        values, columns = scores.sort(dim=1, descending=True, stable=True)
    rows = pool.rows[columns]
    by_id = pool.id_rank[rows].argsort(dim=1, stable=True)
    by_score = values.gather(1, by_id).argsort(dim=1, descending=True, stable=True)
    return rows.gather(1, by_id).gather(1, by_score)[:, :k]
