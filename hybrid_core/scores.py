"""Inner products that come out the same however they are computed: exact sums instead of rounded ones.

A float32 matrix product rounds in an order that depends on the shape of the block, so the same two vectors get scores
that differ in the last bit, and near-ties change places with the size of a batch. Here vectors are first rounded to a
grid so coarse, and multiplied in numbers so fine, that nothing is rounded afterwards: with 26 binary places each, every
product has 52, and by the Cauchy-Schwarz inequality no partial sum grows beyond 2, so float64 with its 53 bits holds
all of them exactly. An exact sum has no order. Blocks, threads, libraries and processors cannot change it.

The rounding to the grid moves the cosine of two unit vectors by about 1e-8, less than the rounding of a float32 product.
"""

from __future__ import annotations

import math

import numpy as np
import torch

PLACES = 26
"""Binary places of a unit vector's components."""

_PAIR_NUMBERS_AT_ONCE = 2**19  # 4 MiB of float64, so that the passes over them stay in the cache


def exact_form(vectors: np.ndarray) -> np.ndarray:
    """Vectors on the grid, as float64: products of two of them, in any order and any block, are exact.

    The grid of each vector follows its own length (the power of two 2^e with 2/3 <= length / 2^e < 4/3), so that unit
    vectors share one grid with room on both sides, and vectors of other lengths are as precise.

    Args:
        vectors: [n, d], float32 or float64; each row is rounded by itself.

    Returns:
        [n, d] float64.

    Raises:
        ValueError: a component is not finite.
    """
    exact = vectors.astype(np.float64)
    squares = np.einsum("ij,ij->i", exact, exact)
    if not np.isfinite(squares).all():
        raise ValueError(f"vector {int(np.argmin(np.isfinite(squares)))} has a component that is not finite")
    exponent = (np.frexp(squares * (9 / 16))[1] + 1) // 2
    exact *= np.ldexp(1.0, PLACES - exponent)[:, None]
    np.rint(exact, out=exact)
    exact *= np.ldexp(1.0, exponent - PLACES)[:, None]
    return exact


def exact_pairs(
    queries: np.ndarray, passages: np.ndarray, query_rows: np.ndarray, passage_rows: np.ndarray
) -> np.ndarray:
    """Exact scores of some pairs [n], bit for bit those of the product of the exact forms.

    Args:
        queries: vectors [q, d].
        passages: vectors [p, d], possibly a memory map.
        query_rows: row of the query of each pair [n].
        passage_rows: row of the passage of each pair [n].
    """
    scores = np.empty(len(query_rows))
    at_once = max(1, _PAIR_NUMBERS_AT_ONCE // max(1, queries.shape[1]))
    for start in range(0, len(scores), at_once):
        here = slice(start, start + at_once)
        asked, place = np.unique(query_rows[here], return_inverse=True)
        answers = exact_form(passages[passage_rows[here]])
        scores[here] = np.einsum("ij,ij->i", exact_form(queries[asked])[place], answers)
    return scores


def float32_error(dimension: int) -> float:
    """Bound on |float32 score - exact score| for vectors of length 1, whatever the order of the sum.

    d u / (1 - d u) with u = 2^-24 for the sum (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 3.1), and
    what the grid moves; 1% more for the products of small terms.
    """
    unit = 2.0**-24
    return 1.01 * dimension * unit / (1 - dimension * unit) + grid_error(dimension)


def grid_error(dimension: int) -> float:
    """Bound on |exact score - score without any rounding| for vectors of length 1: 2 * 3/2 * sqrt(d) 2^-27, and 1%."""
    return 1.01 * 3 * math.sqrt(dimension) * 2.0 ** (-PLACES - 1)


def low_precision_error(queries: np.ndarray, rounded: torch.Tensor, longest: float, moved: float) -> np.ndarray:
    """Bound on |score before its own rounding - exact score|, for products of rounded vectors summed in float32 [q].

    The roundings of the vectors are measured: |q.p - q'.p'| <= |q - q'| |p| + |q'| |p - p'|.

    Args:
        queries: vectors [q, d] float32.
        rounded: the same as the product takes them.
        longest: length of the longest passage before it was rounded.
        moved: largest distance between a passage and its rounded form.
    """
    taken = rounded.float().numpy()
    distance = np.linalg.norm(taken - queries, axis=1)
    lengths = np.linalg.norm(taken, axis=1)
    in_sum = float32_error(queries.shape[1]) * np.maximum(lengths, 1) * (longest + moved)
    underflow = queries.shape[1] * 2.0**-120
    return np.asarray(1.001 * (distance * longest + lengths * moved + in_sum) + underflow * longest)
