"""Exact ranks of the relevant passages, per pool language, from one pass over the scores.

A setting only chooses which languages form the pool. So for every (query, relevant passage) it is enough to count, per
passage language, how many passages score higher; mono, cross and multi ranks are sums of those counts. Scores are exact
(hybrid_core.scores), so a rank depends neither on the size of a block nor on the order of the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from hybrid_core.data.suites import Suite
from hybrid_core.scores import exact_form, exact_pairs
from hybrid_core.top_k import top_k
from hybrid_core.top_lists import TopK, TopLists, merge_top_k

__all__ = ["RelevantRanks", "TopK", "count_ahead", "merge_top_k", "rank_relevant", "top_k"]

QUERY_BLOCK = 512
PASSAGE_BLOCK = 4096
_COMPARED_AT_ONCE = 2**22


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


def rank_relevant(
    suite: Suite, queries: np.ndarray, passages: np.ndarray, *, top_k: int,
    query_block: int = QUERY_BLOCK, passage_block: int = PASSAGE_BLOCK,
) -> RelevantRanks:  # fmt: skip
    """Rank every relevant passage by inner product (cosine of unit vectors); ties go to the smaller passage id.

    Beside vectors, judgements and result, memory is about 20 bytes for each score of a block.

    Args:
        suite: judgements and languages.
        queries: unit vectors [queries, d], float32.
        passages: unit vectors [passages, d], float32, possibly a memory map that does not fit into memory.
        top_k: depth of the pooled list that is kept.
        query_block: queries whose scores are computed at once.
        passage_block: passages whose scores are computed at once.

    Raises:
        ValueError: a vector has a component that is not finite.
    """
    pool = _Pool.of(suite)
    counts = [len(r) for r in suite.relevant]
    query = np.repeat(np.arange(len(counts)), counts)
    passage = np.concatenate(suite.relevant) if sum(counts) else np.empty(0, np.int64)
    own = exact_pairs(queries, passages, query, passage)
    ahead = np.zeros((len(query), len(pool.sizes)), dtype=np.int64)
    top = TopLists(len(queries), min(top_k, len(passages)), pool.place)
    for rows, pieces in pool.blocks(passage_block):
        vectors = exact_form(passages[rows])
        places = [_find(pool.place[rows[columns]], pool.place[passage]) for _, columns in pieces]
        for start in range(0, len(queries), query_block):
            here = slice(*np.searchsorted(query, [start, start + query_block]))
            scores = exact_form(queries[start : start + query_block]) @ vectors.T
            for (language, columns), (smaller, inside) in zip(pieces, places, strict=True):
                ahead[here, language] += count_ahead(
                    scores[:, columns], query[here] - start, own[here], smaller[here], inside[here]
                )
            top.update(slice(start, start + len(scores)), torch.from_numpy(scores), rows)
    return RelevantRanks(query, passage, ahead, top.rows, pool.sizes, suite.languages)


@dataclass(frozen=True)
class _Pool:
    """The passages, grouped by language and in the order of ids within each."""

    order: np.ndarray  # passage row of each column
    place: np.ndarray  # place of each passage row in the order of ids
    sizes: np.ndarray  # passages per language

    @classmethod
    def of(cls, suite: Suite) -> _Pool:
        number = {language: i for i, language in enumerate(suite.languages)}
        language = np.array([number[lang] for lang in suite.passages.languages], dtype=np.int64)
        by_id = np.argsort(np.array(suite.passages.ids), kind="stable")
        place = np.empty(len(by_id), dtype=np.int64)
        place[by_id] = np.arange(len(by_id))
        order = by_id[np.argsort(language[by_id], kind="stable")]
        return cls(order, place, np.bincount(language, minlength=len(number)))

    def blocks(self, size: int) -> Iterator[tuple[np.ndarray, list[tuple[int, slice]]]]:
        """(passage rows, [(language, its columns in the block)]), at most `size` rows at a time."""
        ends = np.cumsum(self.sizes)
        for start in range(0, len(self.order), size):
            stop = min(start + size, len(self.order))
            first, last = np.searchsorted(ends, [start, stop - 1], side="right")
            touched = range(first, last + 1)
            firsts = [max(start, int(ends[i] - self.sizes[i])) - start for i in touched]
            lasts = [min(stop, int(ends[i])) - start for i in touched]
            columns = map(slice, firsts, lasts)
            yield self.order[start:stop], [(i, c) for i, c in zip(touched, columns, strict=True) if c.stop > c.start]


def _find(places: np.ndarray, sought: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of the ascending places are smaller, and whether it is among them, for each place sought [n]."""
    smaller = np.searchsorted(places, sought)
    return smaller, places[np.minimum(smaller, len(places) - 1)] == sought


def count_ahead(
    scores: np.ndarray, row: np.ndarray, own: np.ndarray, before: np.ndarray, inside: np.ndarray | None = None
) -> np.ndarray:
    """How many columns rank before each entry: those with a larger score, and equal ones with a smaller id.

    Scores are sorted once and every entry found by bisection, so the cost hardly depends on the number of entries.

    Args:
        scores: [queries, columns], any real type without NaN; columns in the order of ids.
        row: the query's line of each entry [n], ascending.
        own: score of each entry [n], of the same type; its passage need not be a column.
        before: number of columns whose id is smaller than the entry's [n].
        inside: whether the entry's passage is a column [n]; only saves time, as it ties with itself.

    Returns:
        [n] int64; over blocks of columns, the counts add up.
    """
    if not len(row) or not scores.shape[1]:
        return np.zeros(len(row), dtype=np.int64)
    nth = np.arange(len(row)) - np.searchsorted(row, row)
    sought = np.zeros((len(scores), int(nth.max()) + 1), dtype=scores.dtype)
    sought[row, nth] = own
    ranked, wanted = torch.from_numpy(np.sort(scores, axis=1)), torch.from_numpy(sought)
    larger = scores.shape[1] - torch.searchsorted(ranked, wanted, right=True).numpy()[row, nth]
    equal = scores.shape[1] - torch.searchsorted(ranked, wanted).numpy()[row, nth] - larger
    itself = 0 if inside is None else inside
    larger += _equal_before(scores, row, own, np.where(equal > itself, before, 0))
    return np.asarray(larger)


def _equal_before(scores: np.ndarray, row: np.ndarray, own: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Of the first `before` columns, how many have the entry's own score [n]."""
    count = np.zeros(len(row), dtype=np.int64)
    entries = np.flatnonzero(before)
    at_once = max(1, _COMPARED_AT_ONCE // scores.shape[1])
    for start in range(0, len(entries), at_once):
        e = entries[start : start + at_once]
        same = scores[row[e]] == own[e, None]
        same &= np.arange(scores.shape[1]) < before[e, None]
        count[e] = np.count_nonzero(same, axis=1)
    return count
