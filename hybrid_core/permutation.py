"""Keyed permutations and exact draws with random access: the arithmetic under the batch plan.

Both are pure functions of (key, index). Nothing is shuffled in memory, so position 10**9 costs as much as position 0.
"""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

_ROUNDS = 8
_U = np.uint64
_RESOLUTION = 2**20
"""Weights are rounded to this many parts, so that cumulative counts are integers and never off by rounding."""

CountsUntil = Callable[[int], np.ndarray]
"""How often each option occurs among the first n draws: adds up to n, and no option's count ever falls."""


def derive_key(*parts: object) -> int:
    """A 63-bit key from names and numbers, the same on every machine and Python."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele et al. 2014): a bijection of uint64 that scrambles all bits."""
    x = x.astype(np.uint64)
    x = (x ^ (x >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U(27))) * _U(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> _U(31)))


def permute(index: np.ndarray, size: np.ndarray | int, key: np.ndarray | int) -> np.ndarray:
    """Where a keyed permutation of range(size) sends each index.

    A Feistel network over the digits of `index` in two radices of about sqrt(size). Their product exceeds `size` by
    less than sqrt(size); a value in that margin is sent through again (cycle walking).

    Args:
        index: integers in [0, size).
        size: length of the permuted range, at least 1; one, or one per index.
        key: one key, or one per index.
    """
    out = np.asarray(index).astype(np.uint64).reshape(-1)
    sizes = np.broadcast_to(np.asarray(size, dtype=np.uint64), np.shape(index)).reshape(-1)
    keys = np.broadcast_to(np.asarray(key, dtype=np.uint64), np.shape(index)).reshape(-1)
    high = np.ceil(np.sqrt(sizes)).astype(np.uint64)
    low = (sizes + high - _U(1)) // high
    out = _feistel(out, keys, high, low)
    while (again := np.flatnonzero(out >= sizes)).size:
        out[again] = _feistel(out[again], keys[again], high[again], low[again])
    return out.astype(np.int64).reshape(np.shape(index))


def _feistel(x: np.ndarray, keys: np.ndarray, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    first, second = x // low, x % low
    for round_number in range(1, _ROUNDS + 1):
        salted = keys + np.asarray(0x9E3779B97F4A7C15 * round_number % 2**64, dtype=np.uint64)
        if round_number % 2:
            first = (first + mix(second + salted) % high) % high
        else:
            second = (second + mix(first + salted) % low) % low
    return np.asarray(first * low + second)


def draw_without_replacement(index: np.ndarray, size: np.ndarray | int, key: np.ndarray | int) -> np.ndarray:
    """Element `index` of an endless sequence: range(size) in a new keyed order in every epoch. Sizes and keys as in `permute`."""
    epoch, position = np.divmod(np.asarray(index, dtype=np.int64), np.asarray(size, dtype=np.int64))
    return permute(position, size, mix(np.asarray(key, dtype=np.uint64) + epoch.astype(np.uint64)))


class ExactDraws:
    """An endless sequence over options. Counts are exact after every block, the order inside a block is shuffled.

    Every draw knows the how-manieth of its option it is, counted in the order of the sequence; so the n-th batch of a
    language is known to be the n-th without looking at the others. Costs O(block) for each block that is looked at.
    """

    def __init__(self, counts_until: CountsUntil, block: int, key: int) -> None:
        self._counts_until, self._block, self._key = counts_until, block, key
        self._latest: tuple[int, tuple[np.ndarray, np.ndarray]] | None = None

    def draw(self, index: int) -> tuple[int, int]:
        """Option of draw `index`, and how many draws of that option came before it."""
        number, position = divmod(index, self._block)
        options, nth = self.block(number)
        return int(options[position]), int(nth[position])

    def block(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """`draw` for all draws of a block: options [block] and their numbers [block]."""
        if self._latest is None or self._latest[0] != number:
            self._latest = number, self._shuffled(number)
        return self._latest[1]

    def _shuffled(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        before = self._counts_until(number * self._block)
        counts = self._counts_until((number + 1) * self._block) - before
        in_order = np.repeat(np.arange(len(counts)), counts)
        options = in_order[permute(np.arange(self._block), self._block, derive_key(self._key, number))]
        nth = np.empty(self._block, dtype=np.int64)
        within = np.arange(self._block) - np.repeat(np.cumsum(counts) - counts, counts)
        nth[np.argsort(options, kind="stable")] = within
        return options, before[options] + nth


def proportional(weights: Sequence[float]) -> CountsUntil:
    """Counts in proportion to weights: a total is split in two by rounding, and each part again, down to single options.

    Rounding every option's own share could make a count fall, or the counts not add up; a tree of splits does neither.
    """
    total = sum(weights)
    parts = np.array([max(1, round(w / total * _RESOLUTION)) if w > 0 else 0 for w in weights], dtype=np.int64)
    levels = [np.pad(parts, (0, (1 << (len(parts) - 1).bit_length()) - len(parts)))]
    while len(levels[0]) > 1:
        levels.insert(0, levels[0].reshape(-1, 2).sum(1))
    period = int(levels[0][0])

    def counts_until(draws: int) -> np.ndarray:
        periods, rest = divmod(draws, period)
        counts = np.array([rest], dtype=np.int64)
        for whole, split in itertools.pairwise(levels):
            left = (2 * counts * split[::2] + whole) // np.maximum(2 * whole, 1)
            counts = np.stack([left, counts - left], axis=1).reshape(-1)
        return np.asarray(periods * parts + counts[: len(parts)])

    return counts_until


def scheduled(points: Sequence[tuple[int, float]]) -> CountsUntil:
    """Counts of two options, the first with a probability that changes over the draws.

    Args:
        points: (draw, probability of the first option), by draw; linear in between, constant before and after.

    The count after n draws is the rounded integral of the probability, in exact fractions.
    """
    at = [Fraction(draw) for draw, _ in points]
    value = [Fraction(repr(float(probability))) for _, probability in points]
    area = [value[0] * at[0]]
    for i in range(1, len(at)):
        area.append(area[-1] + (at[i] - at[i - 1]) * (value[i] + value[i - 1]) / 2)

    def counts_until(draws: int) -> np.ndarray:
        segment = bisect_right(at, draws) - 1
        if segment < 0:
            integral = value[0] * draws
        elif segment == len(at) - 1:
            integral = area[-1] + value[-1] * (draws - at[-1])
        else:
            slope = (value[segment + 1] - value[segment]) / (at[segment + 1] - at[segment])
            past = draws - at[segment]
            integral = area[segment] + past * (value[segment] + slope * past / 2)
        first = (2 * integral + 1) // 2
        return np.array([int(first), draws - int(first)])

    return counts_until
