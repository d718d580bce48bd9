"""Lists of the best passages of each query: kept while scores arrive in blocks, and merged over shards.

Equal scores are in the order of ids, so that neither blocks nor shards nor the order of the corpus show in a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch


class TopK(NamedTuple):
    """Best passages of each query, best first."""

    rows: np.ndarray
    """Rows of the passages [queries, k]; -1 where the pool has fewer than k."""
    scores: np.ndarray
    """Their exact scores [queries, k] float64; -inf where there is none."""


class TopLists:
    """The best k of every query so far; blocks of scores may come in any order."""

    def __init__(self, queries: int, k: int, place: np.ndarray | None) -> None:
        """Args:
        queries: number of queries.
        k: length of a list.
        place: place of each passage row in the order of ids; None leaves equal scores in any order.
        """
        self._rows = np.full((queries, k), -1, dtype=np.int64)
        self._scores = np.full((queries, k), -np.inf)
        self._waiting: dict[tuple[int, int], list[TopK]] = {}
        self.place = place

    @property
    def rows(self) -> np.ndarray:
        """As in `TopK`."""
        self._merge_all()
        return self._rows

    @property
    def scores(self) -> np.ndarray:
        """As in `TopK`."""
        self._merge_all()
        return self._scores

    def update(self, block: slice, scores: torch.Tensor, rows: np.ndarray) -> None:
        """Add scores [b, w] (any floating type) of the queries in `block` for the passages in `rows` [w].

        What reaches the end of a list waits until it is as long as the lists: a stale end lets a few more through, and
        costs less than sorting after every block.

        Args:
            block: of the queries; two calls have the same block or blocks without a query in common.
            scores: of all their pairs.
            rows: of the passages.
        """
        k = self._rows.shape[1]
        if not k or not scores.numel():
            return
        floor = self._scores[block, -1:]
        if np.isneginf(floor).any() and k < scores.shape[1]:
            part = np.partition(as_numpy(scores), -k, axis=1)[:, -k:]
            floor = np.maximum(floor, part[:, :1])
        found = _where(_at_least(scores, floor))
        if len(found):
            values = as_numpy(scores.reshape(-1)[torch.from_numpy(found)])
            waiting = self._waiting.setdefault((block.start, block.stop), [])
            waiting.append(_pad(found, values, scores.shape, rows))
            if np.isneginf(floor).any() or sum(part.rows.shape[1] for part in waiting) >= k:
                self._merge(block.start, block.stop)

    def _merge_all(self) -> None:
        for start, stop in list(self._waiting):
            self._merge(start, stop)

    def _merge(self, start: int, stop: int) -> None:
        here = slice(start, stop)
        waiting = self._waiting.pop((start, stop))
        scores = np.hstack([self._scores[here], *(part.scores for part in waiting)])
        rows = np.hstack([self._rows[here], *(part.rows for part in waiting)])
        self._scores[here], self._rows[here] = best(scores, rows, self._rows.shape[1], self.place)


def _at_least(scores: torch.Tensor, floor: np.ndarray) -> np.ndarray:
    """Where scores [b, w] reach the floor of their line [b, 1]; those that tie with the last of a list do.

    Positive bfloat16 are in the order of their bits, read as integers, and all negative ones are below: many times
    faster to compare. Where a floor is negative (lists not full, or far from every passage) numbers are compared.
    """
    if scores.dtype == torch.bfloat16 and (floor > 0).all():
        bits = torch.from_numpy(floor).to(scores.dtype).view(torch.int16)
        return np.asarray(scores.view(torch.int16).numpy() >= bits.numpy())
    return np.asarray(as_numpy(scores) >= floor.astype(np.float64 if scores.dtype == torch.float64 else np.float32))


def _where(mask: np.ndarray) -> np.ndarray:
    """Flat positions of the few that are true, ascending; looked for eight at a time."""
    flat = mask.reshape(-1)
    whole = len(flat) // 8 * 8
    eights = np.flatnonzero(flat[:whole].view(np.uint64) != 0)
    line, bit = np.nonzero(flat[:whole].reshape(-1, 8)[eights])
    return np.concatenate([eights[line] * 8 + bit, whole + np.flatnonzero(flat[whole:])])


def as_numpy(scores: torch.Tensor) -> np.ndarray:
    """As numpy, which has no bfloat16."""
    return np.asarray((scores.float() if scores.dtype == torch.bfloat16 else scores).numpy())


def _pad(found: np.ndarray, values: np.ndarray, shape: torch.Size, rows: np.ndarray) -> TopK:
    """Passage rows and scores found at these flat positions, one line a query, filled up with -inf and -1."""
    query, column = np.divmod(found, shape[1])
    ends = np.searchsorted(query, np.arange(shape[0] + 1))
    nth = np.arange(len(found)) - ends[query]
    padded = shape[0], int(nth.max()) + 1
    new_scores, new_rows = np.full(padded, -np.inf), np.full(padded, -1, dtype=np.int64)
    new_scores[query, nth] = values
    new_rows[query, nth] = rows[column]
    return TopK(new_rows, new_scores)


def best(scores: np.ndarray, rows: np.ndarray, k: int, place: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The k best columns of each line, best first; equal scores by place."""
    order = np.argsort(-scores, axis=1)
    if place is not None:
        ranked = np.take_along_axis(scores, order, axis=1)
        tied = ((ranked[:, 1:] == ranked[:, :-1]) & np.isfinite(ranked[:, 1:])).any(1)
        if tied.any():
            order[tied] = np.lexsort((place[rows[tied]], -scores[tied]), axis=1)
    order = order[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def merge_top_k(parts: Sequence[TopK], k: int, *, place: np.ndarray | None = None) -> TopK:
    """The lists of one search over all shards, from the lists of each.

    Args:
        parts: lists of the same queries; rows count over all shards. None appears in two parts.
        k: length of the merged lists; each part must have been searched for as many.
        place: as in `top_k`, for the rows of all shards; None: ids are in the order of rows.

    Raises:
        ValueError: no part, or parts with different numbers of queries.
    """
    if not parts or len({len(part.rows) for part in parts}) > 1:
        raise ValueError(
            f"parts of {[len(part.rows) for part in parts]} queries: at least one, all of the same queries"
        )
    missing = [np.full((len(parts[0].rows), k), fill) for fill in (-1, -np.inf)]
    rows = np.hstack([*(part.rows for part in parts), missing[0].astype(np.int64)])
    scores = np.hstack([*(part.scores for part in parts), missing[1]])
    if place is None:
        place = np.arange(max(1, int(rows.max(initial=0)) + 1))
    scores, rows = best(scores, rows, k, place)
    return TopK(rows, scores)
