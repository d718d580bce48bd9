"""Exact search: the best k passages of every query, in memory bounded by the block.

A product in low precision finds candidates, more than k; their exact scores (hybrid_core.scores) order them. A bound on
the error of the low precision then says whether a passage that was let go could have belonged to the best k. Where it
could (many copies of a text, say), those queries are searched again in the next precision: bfloat16 where the processor
has instructions for it, float32, exact products. The answer is the same whatever the precision, the blocks, the order
of the corpus and the number of shards; equal scores are in the order of ids.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from hybrid_core.processor import has_bfloat16
from hybrid_core.scores import exact_form, exact_pairs, grid_error, low_precision_error
from hybrid_core.top_lists import TopK, TopLists, best

QUERY_BLOCK = 512
PASSAGE_BLOCK = 16384
_ROWS_IN_CACHE = 4096


def top_k(
    queries: np.ndarray, passages: np.ndarray, k: int, *,
    place: np.ndarray | None = None,
    languages: tuple[np.ndarray, np.ndarray] | None = None,
    query_block: int = QUERY_BLOCK, passage_block: int = PASSAGE_BLOCK,
) -> TopK:  # fmt: skip
    """The k passages with the largest inner products, exactly; equal scores in the order of ids.

    Beside vectors and result, memory is about 10 bytes for each score of a block and for each component of its
    passages (about 100 MB as set), three times that where some queries need exact products; and at most 32 bytes for
    each candidate, of which there are 2 k + 32 a query.

    Args:
        queries: vectors [q, d], float32.
        passages: vectors [p, d], float32, possibly a memory map that does not fit into memory.
        k: length of the lists, at least 1.
        place: place of each passage in the order of ids [p], all different; None: ids are in the order of rows.
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
        return _search(_Task(queries, passages, None, query_block, passage_block), k, place)
    top = TopK(np.full((len(queries), k), -1, dtype=np.int64), np.full((len(queries), k), -np.inf))
    for code in np.unique(languages[0]):
        asked = np.flatnonzero(languages[0] == code)
        pool = np.flatnonzero(languages[1] == code)
        task = _Task(queries[asked], passages, pool, query_block, passage_block)
        top.rows[asked], top.scores[asked] = _search(task, k, place)
    return top


@dataclass(frozen=True)
class _Precision:
    """How candidates are found: the type of the product, how many, and the roundings of vectors and scores to it."""

    dtype: torch.dtype
    more: tuple[float, int]  # candidates beyond k: so many times k, and so many
    rounding: float  # of a score, relative


_BFLOAT16 = _Precision(torch.bfloat16, (1.0, 32), 2.0**-8)
_FLOAT32 = _Precision(torch.float32, (0.1, 8), 0.0)


def _precisions() -> list[_Precision]:
    """Fastest first. bfloat16 without instructions for it is slower than float32."""
    return [_BFLOAT16, _FLOAT32] if has_bfloat16() else [_FLOAT32]


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
    times, plus = precision.more
    wanted = min(k + round(times * k) + plus, task.size)
    candidates = TopLists(len(asked), wanted, None)
    queries, lengths = _of_length_one(task.queries[asked])
    narrow = torch.from_numpy(queries).to(precision.dtype)
    centre, farthest, moved = None, 0.0, 0.0
    scores = _Buffer(min(task.query_block, len(asked)) * min(task.passage_block, task.size), precision.dtype)
    vectors = _Buffer(min(task.passage_block, task.size) * queries.shape[1], precision.dtype)
    for rows, block in task.blocks():
        if centre is None:  # any vector would do; near all passages, the errors are small
            with np.errstate(invalid="ignore"):  # what is not finite is refused below
                centre = block.mean(axis=0)
        other = vectors.shaped(*block.shape)
        farthest, moved = np.maximum([farthest, moved], _subtract(block, centre, other, rows))
        for here in _slices(len(asked), task.query_block):
            product = _multiply(narrow[here], other, scores.shaped(here.stop - here.start, len(rows)))
            candidates.update(here, product, rows)
    longest = farthest + float(np.linalg.norm(np.asarray(centre)))
    error = low_precision_error(queries, narrow, farthest, moved)
    error += longest * grid_error(queries.shape[1]) + farthest * 2.0**-23  # the latter: the subtraction, generously
    found = TopK(candidates.rows, candidates.scores)
    for here in _slices(len(asked), task.query_block):
        _order_exactly(found, asked, task, result, error[:, None], precision.rounding, here)
    if wanted == task.size:
        return np.ones(len(asked), dtype=bool)
    last = found.scores[:, -1]
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


def _multiply(queries: torch.Tensor, passages: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
    """Scores [q, p]. In float32 by numpy: torch may be set to round to less."""
    if queries.dtype == torch.float32:
        np.matmul(queries.numpy(), passages.numpy().T, out=into.numpy())
        return into
    return torch.mm(queries, passages.T, out=into)


class _Buffer:
    """Memory for one block after the other: fresh pages for each would cost as much as the search in them."""

    def __init__(self, size: int, dtype: torch.dtype) -> None:
        self._numbers = torch.empty(size, dtype=dtype)

    def shaped(self, lines: int, columns: int) -> torch.Tensor:
        """The first numbers as a matrix."""
        return self._numbers[: lines * columns].view(lines, columns)


def _subtract(block: np.ndarray, centre: np.ndarray, into: torch.Tensor, rows: np.ndarray) -> tuple[float, float]:
    """Write the block [w, d] less the centre, in another type. By torch, which uses all threads.

    Returns:
        The largest length before the change of type, and the largest distance that it moved a vector; rounded up.
    """
    given, middle = _as_tensor(block), _as_tensor(np.asarray(centre))
    part = torch.empty(min(_ROWS_IN_CACHE, len(block)), block.shape[1])
    largest, moved = 0.0, 0.0
    for here in _slices(len(block), _ROWS_IN_CACHE):
        now = torch.sub(given[here], middle, out=part[: here.stop - here.start])
        length = float(torch.linalg.vector_norm(now, dim=1).max())
        if not math.isfinite(length):
            _refuse(block, rows)
        largest = max(largest, length)
        into[here].copy_(now)
        if into.dtype != torch.float32:
            moved = max(moved, float(torch.linalg.vector_norm(now.sub_(into[here]), dim=1).max()))
    return 1.001 * largest, 1.001 * moved


def _as_tensor(numbers: np.ndarray) -> torch.Tensor:
    """The same memory; torch wants to be able to write, and does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.ascontiguousarray(numbers))


def _refuse(block: np.ndarray, rows: np.ndarray) -> None:
    """Name the passage whose vector has a component that is not a number (or squares to more than float32 holds)."""
    finite = np.isfinite(np.einsum("ij,ij->i", block, block))
    raise ValueError(f"passage {int(rows[np.argmin(finite)])} has a component that is not finite or too large")


def _order_exactly(
    found: TopK, asked: np.ndarray, task: _Task, result: TopLists, error: np.ndarray, rounding: float, here: slice
) -> None:
    """Put the best candidates into the result by exact scores; those that the error cannot lift to k are left out."""
    rows, scores, error, asked = found.rows[here], found.scores[here], error[here], asked[here]
    k = result.rows.shape[1]
    limit = scores[:, [min(k, scores.shape[1]) - 1]]
    possible = scores + rounding * np.abs(scores) + error >= limit - rounding * np.abs(limit) - error
    line, column = np.nonzero(possible)
    exact = np.full(scores.shape, -np.inf)
    exact[line, column] = exact_pairs(task.queries, task.passages, asked[line], rows[line, column])
    exact, rows = best(exact, rows, k, result.place)
    result.scores[asked, : rows.shape[1]], result.rows[asked, : rows.shape[1]] = exact, rows


def _by_exact_products(asked: np.ndarray, task: _Task, result: TopLists) -> None:
    """Fill in the lists of these queries from the exact products with the whole pool."""
    again = TopLists(len(asked), result.rows.shape[1], result.place)
    for rows, block in task.blocks():
        exact = exact_form(block)
        for here in _slices(len(asked), task.query_block):
            again.update(here, torch.from_numpy(exact_form(task.queries[asked[here]]) @ exact.T), rows)
    result.rows[asked], result.scores[asked] = again.rows, again.scores
