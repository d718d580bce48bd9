"""Exact search: the best k passages of every query, in memory bounded by the block.

A product in low precision finds candidates, more than k; their exact scores (hybrid_core.scores) order them. A bound on
the error of the low precision then says whether a passage that was let go could have belonged to the best k. Where it
could (many copies of a text, say), those queries are searched again in the next precision: bfloat16 where the processor
has instructions for it, float32, exact products. The answer is the same whatever the precision, the blocks, the order
of the corpus and the number of shards; equal scores are in the order of ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from hybrid_core.scores import exact_form, exact_pairs, float32_error, low_precision_error

QUERY_BLOCK = 512
PASSAGE_BLOCK = 16384
_ROWS_IN_CACHE = 1024


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
        self.rows = np.full((queries, k), -1, dtype=np.int64)
        self.scores = np.full((queries, k), -np.inf)
        self.place = place

    def update(self, block: slice, scores: torch.Tensor, rows: np.ndarray) -> None:
        """Add scores [b, w] (any floating type) of the queries in `block` for the passages in `rows` [w]."""
        k = self.rows.shape[1]
        if not k or not scores.numel():
            return
        floor = self.scores[block, -1:]
        if np.isneginf(floor).any() and k < scores.shape[1]:
            part = np.partition(_numpy(scores), -k, axis=1)[:, -k:]
            floor = np.maximum(floor, part[:, :1])
        found = _where(_at_least(scores, floor))
        if len(found):
            values = _numpy(scores.reshape(-1)[torch.from_numpy(found)])
            new_scores, new_rows = _pad(found, values, scores.shape, rows)
            self.scores[block], self.rows[block] = _best(
                np.hstack([self.scores[block], new_scores]), np.hstack([self.rows[block], new_rows]), k, self.place
            )


def _at_least(scores: torch.Tensor, floor: np.ndarray) -> np.ndarray:
    """Where scores [b, w] reach the floor of their line [b, 1]; those that tie with the last of a list do.

    Positive bfloat16 are in the order of their bits, read as integers, and all negative ones are below: many times
    faster to compare. Where a floor is negative (lists not full, or far from every passage) numbers are compared.
    """
    if scores.dtype == torch.bfloat16 and (floor > 0).all():
        bits = torch.from_numpy(floor).to(scores.dtype).view(torch.int16)
        return np.asarray(scores.view(torch.int16).numpy() >= bits.numpy())
    return np.asarray(_numpy(scores) >= floor.astype(np.float64 if scores.dtype == torch.float64 else np.float32))


def _where(mask: np.ndarray) -> np.ndarray:
    """Flat positions of the few that are true, ascending; looked for eight at a time."""
    flat = mask.reshape(-1)
    whole = len(flat) // 8 * 8
    eights = np.flatnonzero(flat[:whole].view(np.uint64) != 0)
    line, bit = np.nonzero(flat[:whole].reshape(-1, 8)[eights])
    return np.concatenate([eights[line] * 8 + bit, whole + np.flatnonzero(flat[whole:])])


def _numpy(scores: torch.Tensor) -> np.ndarray:
    """As numpy, which has no bfloat16."""
    return np.asarray((scores.float() if scores.dtype == torch.bfloat16 else scores).numpy())


def _pad(found: np.ndarray, values: np.ndarray, shape: torch.Size, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and passage rows found at these flat positions, one line a query, filled up with -inf and -1."""
    query, column = np.divmod(found, shape[1])
    ends = np.searchsorted(query, np.arange(shape[0] + 1))
    nth = np.arange(len(found)) - ends[query]
    padded = shape[0], int(nth.max()) + 1
    new_scores, new_rows = np.full(padded, -np.inf), np.full(padded, -1, dtype=np.int64)
    new_scores[query, nth] = values
    new_rows[query, nth] = rows[column]
    return new_scores, new_rows


def _best(scores: np.ndarray, rows: np.ndarray, k: int, place: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The k best columns of each line, best first; equal scores by place."""
    order = np.argsort(-scores, axis=1)
    if place is not None:
        ranked = np.take_along_axis(scores, order, axis=1)
        tied = ((ranked[:, 1:] == ranked[:, :-1]) & np.isfinite(ranked[:, 1:])).any(1)
        if tied.any():
            order[tied] = np.lexsort((place[rows[tied]], -scores[tied]), axis=1)
    order = order[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def top_k(
    queries: np.ndarray, passages: np.ndarray, k: int, *,
    place: np.ndarray | None = None, among: np.ndarray | None = None,
    languages: tuple[np.ndarray, np.ndarray] | None = None,
    query_block: int = QUERY_BLOCK, passage_block: int = PASSAGE_BLOCK,
) -> TopK:  # fmt: skip
    """The k passages with the largest inner products, exactly; equal scores in the order of ids.

    Beside vectors and result, memory is 4 bytes for each score of a block, its passages, and a few megabytes.

    Args:
        queries: vectors [q, d], float32.
        passages: vectors [p, d], float32, possibly a memory map that does not fit into memory.
        k: length of the lists, at least 1.
        place: place of each passage in the order of ids [p], all different; None: ids are in the order of rows.
        among: which passages take part [p], bool; None: all.
        languages: codes of the queries' [q] and passages' [p] languages: a query sees its own language only.
        query_block: queries whose scores are computed at once.
        passage_block: passages read at once.

    Returns:
        Rows and exact scores [q, k].

    Raises:
        ValueError: k or a block is below 1, passages are not float32 (or float16), or a vector has a component that is not finite.
    """
    if min(k, query_block, passage_block) < 1:
        raise ValueError(f"k={k}, query_block={query_block}, passage_block={passage_block}: all must be at least 1")
    if passages.dtype not in (np.float32, np.float16):
        raise ValueError(f"passages are {passages.dtype}; the error of the candidates' scores is known for float32")
    queries = np.asarray(queries, dtype=np.float32)
    place = np.arange(len(passages)) if place is None else place
    if languages is None:
        pool = None if among is None else np.flatnonzero(among)
        return _search(_Task(queries, passages, pool, query_block, passage_block), k, place)
    top = TopK(np.full((len(queries), k), -1, dtype=np.int64), np.full((len(queries), k), -np.inf))
    for code in np.unique(languages[0]):
        asked = np.flatnonzero(languages[0] == code)
        pool = np.flatnonzero((languages[1] == code) & (True if among is None else among))
        task = _Task(queries[asked], passages, pool, query_block, passage_block)
        top.rows[asked], top.scores[asked] = _search(task, k, place)
    return top


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
    scores, rows = _best(scores, rows, k, place)
    return TopK(rows, scores)


@dataclass(frozen=True)
class _Precision:
    """How candidates are found: the type of the product, how many, and the roundings of vectors and scores to it."""

    dtype: torch.dtype
    more: float  # candidates beyond k: so many times k, and eight
    rounding: float  # relative, of each component and of the score


_BFLOAT16 = _Precision(torch.bfloat16, 1.0, 2.0**-8)
_FLOAT32 = _Precision(torch.float32, 0.0, 0.0)


def _precisions() -> list[_Precision]:
    """Fastest first. bfloat16 without instructions for it is slower than float32."""
    able = torch.cpu.get_capabilities()
    return [_BFLOAT16, _FLOAT32] if able.get("avx512_bf16") or able.get("amx_bf16") else [_FLOAT32]


@dataclass(frozen=True)
class _Task:
    """Vectors, pool and blocks of one search."""

    queries: np.ndarray
    passages: np.ndarray
    pool: np.ndarray | None  # rows that take part; None: all
    query_block: int
    passage_block: int

    @property
    def size(self) -> int:
        return len(self.passages) if self.pool is None else len(self.pool)

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(rows, their vectors) of the pool."""
        for here in _slices(self.size, self.passage_block):
            if self.pool is None:
                yield np.arange(here.start, here.stop), np.asarray(self.passages[here], dtype=np.float32)
            else:
                yield self.pool[here], np.asarray(self.passages[self.pool[here]], dtype=np.float32)


def _slices(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _search(task: _Task, k: int, place: np.ndarray) -> TopK:
    """Each precision takes the queries that the one before it could not settle."""
    result = TopLists(len(task.queries), k, place)
    unsure = np.arange(len(task.queries))
    for precision in _precisions():
        if len(unsure) and task.size:
            unsure = unsure[~_by_candidates(unsure, task, result, precision)]
    if len(unsure) and task.size:
        _by_exact_products(unsure, task, result)
    return TopK(result.rows, result.scores)


def _by_candidates(asked: np.ndarray, task: _Task, result: TopLists, precision: _Precision) -> np.ndarray:
    """Fill in the lists of these queries; which of them are certain [n].

    Candidates are scored on passages less a vector near them all: that changes a query's scores by one number, and as
    embeddings of one model point one way, what is left is short, and so are its errors.
    """
    k = result.rows.shape[1]
    wanted = min(k + 8 + round(precision.more * k), task.size)
    candidates = TopLists(len(asked), wanted, None)
    queries, lengths = _of_length_one(task.queries[asked])
    narrow = torch.from_numpy(queries).to(precision.dtype)
    centre, farthest = None, 0.0
    for rows, block in task.blocks():
        centre = block.mean(axis=0) if centre is None else centre  # any would do; near all passages, errors are small
        other, length = _less(block, centre, precision.dtype, rows)
        farthest = max(farthest, length)
        for here in _slices(len(asked), task.query_block):
            candidates.update(here, narrow[here] @ other.T, rows)
    longest = farthest + float(np.linalg.norm(np.asarray(centre)))
    error = farthest * low_precision_error(queries, narrow, precision.rounding)
    error += 2 * longest * float32_error(queries.shape[1])  # the subtraction, and the exact score's grid
    for here in _slices(len(asked), task.query_block):
        _order_exactly(candidates, here, asked[here], task, result, error[here, None], precision.rounding)
    if wanted == task.size:
        return np.ones(len(asked), dtype=bool)
    last = candidates.scores[:, -1]
    shift = queries.astype(np.float64) @ np.asarray(centre, dtype=np.float64)
    settled = result.scores[asked, -1] / lengths - shift > last + precision.rounding * np.abs(last) + error
    return np.asarray(settled)


def _of_length_one(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Queries divided by a power of two near their length, so that nothing under- or overflows, and that power [n]."""
    squares = np.einsum("ij,ij->i", queries, queries, dtype=np.float64)
    if not np.isfinite(squares).all():
        raise ValueError(f"query {int(np.argmin(np.isfinite(squares)))} has a component that is not finite")
    powers = np.ldexp(1.0, (np.frexp(squares)[1] + 1) // 2)
    return np.asarray(queries / powers[:, None], dtype=np.float32), powers


def _less(block: np.ndarray, centre: np.ndarray, dtype: torch.dtype, rows: np.ndarray) -> tuple[torch.Tensor, float]:
    """The block [w, d] less the centre, in another type, and the largest length before that, rounded up."""
    other = torch.empty(block.shape, dtype=dtype)
    largest = 0.0
    for here in _slices(len(block), _ROWS_IN_CACHE):
        part = block[here] - centre
        squares = np.einsum("ij,ij->i", part, part)
        if not np.isfinite(squares).all():
            _refuse(block, rows)
        largest = max(largest, float(squares.max()))
        other[here] = torch.from_numpy(part)
    return other, 1.001 * math.sqrt(largest)


def _refuse(block: np.ndarray, rows: np.ndarray) -> None:
    """Name the passage whose vector has a component that is not a number (or squares to more than float32 holds)."""
    finite = np.isfinite(np.einsum("ij,ij->i", block, block))
    raise ValueError(f"passage {int(rows[np.argmin(finite)])} has a component that is not finite or too large")


def _order_exactly(
    candidates: TopLists,
    here: slice,
    asked: np.ndarray,
    task: _Task,
    result: TopLists,
    error: np.ndarray,
    rounding: float,
) -> None:
    """Put the best candidates into the result by exact scores; those that the error cannot lift to k are left out."""
    rows, scores = candidates.rows[here], candidates.scores[here]
    k = result.rows.shape[1]
    limit = scores[:, [min(k, scores.shape[1]) - 1]]
    possible = scores + rounding * np.abs(scores) + error >= limit - rounding * np.abs(limit) - error
    line, column = np.nonzero(possible)
    exact = np.full(scores.shape, -np.inf)
    exact[line, column] = exact_pairs(task.queries, task.passages, asked[line], rows[line, column])
    exact, rows = _best(exact, rows, k, result.place)
    result.scores[asked, : rows.shape[1]], result.rows[asked, : rows.shape[1]] = exact, rows


def _by_exact_products(asked: np.ndarray, task: _Task, result: TopLists) -> None:
    """Fill in the lists of these queries from the exact products with the whole pool."""
    again = TopLists(len(asked), result.rows.shape[1], result.place)
    for rows, block in task.blocks():
        exact = exact_form(block)
        for here in _slices(len(asked), task.query_block):
            again.update(here, torch.from_numpy(exact_form(task.queries[asked[here]]) @ exact.T), rows)
    result.rows[asked], result.scores[asked] = again.rows, again.scores
