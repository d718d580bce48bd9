"""Draws among a few options (modes, corpora, languages) with exact counts, in a shuffled order, with random access."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np

from hybrid_core.permutation import derive_key, permute

_RESOLUTION = 2**20
"""Weights are rounded to this many parts, so that cumulative counts are integers and never off by rounding."""


class Counts(Protocol):
    """How often each option occurs: fixed for any number of draws, before the order is chosen."""

    def until(self, draws: int) -> np.ndarray:
        """Counts among the first so many draws [options]: they add up to it, and none ever falls."""
        ...

    def uneven(self, first: int, end: int) -> bool:
        """Whether shares change too much from draw `first` to draw `end` for these to be shuffled as one."""
        ...


class ExactDraws:
    """An endless sequence over options. Counts are exact after every block, the order inside a block is shuffled.

    A block in which the shares change is halved until they hardly do, and counts are exact after every part, and after
    `end` draws. Every draw knows the how-manieth of its option it is, counted in the order of the sequence; so the n-th
    batch of a language is known to be the n-th without looking at the others. Costs O(block) for each block looked at.
    """

    def __init__(self, counts: Counts, block: int, key: int, *, end: int = 0) -> None:
        """Draw from `counts`, in orders that `key` decides; a block is cut at draw `end` (0: none is)."""
        self._counts, self._block, self._key, self._end = counts, block, key, end
        self._part = (0, 0)
        self._latest: tuple[tuple[int, int], tuple[np.ndarray, np.ndarray]] | None = None

    def draw(self, index: int) -> tuple[int, int]:
        """Option of draw `index`, and how many draws of that option came before it."""
        if not self._part[0] <= index < self._part[1]:
            self._part = self._around(index)
        first, end = self._part
        options, nth = self._between(first, end)
        return int(options[index - first]), int(nth[index - first])

    def block(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """All draws of a block, shuffled as one: options [block], and how many of the same option came before each [block]."""
        return self._between(number * self._block, (number + 1) * self._block)

    def drawn(self, count: int) -> np.ndarray:
        """How often each option really occurs among the first so many draws [options]; within a block not what is wanted."""
        first, end = self._around(count)
        options, _ = self._between(first, end)
        before = self._counts.until(first)
        return np.asarray(before + np.bincount(options[: count - first], minlength=len(before)))

    def _around(self, index: int) -> tuple[int, int]:
        """The draws that are shuffled together with draw `index`: the first, and one past the last."""
        first = index - index % self._block
        end = first + self._block
        if first < self._end < end:
            first, end = (first, self._end) if index < self._end else (self._end, end)
        while self._counts.uneven(first, end):
            middle = (first + end) // 2
            first, end = (first, middle) if index < middle else (middle, end)
        return first, end

    def _between(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        if self._latest is None or self._latest[0] != (first, end):
            self._latest = (first, end), self._shuffled(first, end)
        return self._latest[1]

    def _shuffled(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        size, before = end - first, self._counts.until(first)
        counts = self._counts.until(end) - before
        in_order = np.repeat(np.arange(len(counts)), counts)
        place = (first // self._block,) if size == self._block else (first, end)
        options = in_order[permute(np.arange(size), size, derive_key(self._key, *place))]
        nth = np.empty(size, dtype=np.int64)
        within = np.arange(size) - np.repeat(np.cumsum(counts) - counts, counts)
        nth[np.argsort(options, kind="stable")] = within
        return options, before[options] + nth


class Shares:
    """Counts in proportion to weights: a total is split in two by rounding, and each part again, down to single options.

    Rounding every option's own share could make a count fall, or the counts not add up; a tree of splits does neither.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        """Weights of the options, none negative."""
        total = sum(weights)
        parts = [max(1, round(w / total * _RESOLUTION)) if w > 0 else 0 for w in weights]
        self._parts = np.array(parts, dtype=np.int64)
        self._levels = [np.pad(self._parts, (0, (1 << (len(parts) - 1).bit_length()) - len(parts)))]
        while len(self._levels[0]) > 1:
            self._levels.insert(0, self._levels[0].reshape(-1, 2).sum(1))
        self._period = int(self._levels[0][0])

    def until(self, draws: int) -> np.ndarray:
        """Counts among the first so many draws [options]."""
        periods, rest = divmod(draws, self._period)
        counts = np.array([rest], dtype=np.int64)
        for whole, split in itertools.pairwise(self._levels):
            left = (2 * counts * split[::2] + whole) // np.maximum(2 * whole, 1)
            both = np.empty(2 * len(counts), dtype=np.int64)
            both[::2], both[1::2] = left, counts - left
            counts = both
        return np.asarray(periods * self._parts + counts[: len(self._parts)])

    def most(self, draws: int) -> np.ndarray:
        """No option occurs more often than this among so many draws in a row, wherever they begin [options]."""
        most = np.array([draws], dtype=np.int64)
        for whole, split in itertools.pairwise(self._levels):  # a split gives either side its share, rounded up or down
            most = -(-np.repeat(most, 2) * split // np.maximum(np.repeat(whole, 2), 1))
        return np.asarray(most[: len(self._parts)])

    def uneven(self, first: int, end: int) -> bool:
        """Never: shares are the same everywhere."""
        return False


class Schedule:
    """Counts of two options, the first with a probability that changes over the draws.

    The count after n draws is the rounded integral of the probability, in exact fractions.
    """

    def __init__(self, points: Sequence[tuple[int, float]]) -> None:
        """(draw, probability of the first option), by draw; linear in between, constant before and after."""
        self._at = [draw for draw, _ in points]
        self._value = [Fraction(repr(float(probability))) for _, probability in points]
        self._slope = [(b - a) / (end - start) for (start, end), (a, b) in zip(
            itertools.pairwise(self._at), itertools.pairwise(self._value), strict=True
        )] + [Fraction(0)]  # fmt: skip
        self._area = [self._value[0] * self._at[0]]
        for i in range(1, len(points)):
            mean = (self._value[i] + self._value[i - 1]) / 2
            self._area.append(self._area[-1] + (self._at[i] - self._at[i - 1]) * mean)

    def until(self, draws: int) -> np.ndarray:
        """Counts of the first option and of the second among the first so many draws [2]."""
        segment = bisect_right(self._at, draws) - 1
        if segment < 0:
            integral = self._value[0] * draws
        else:
            past = draws - self._at[segment]
            integral = self._area[segment] + past * (self._value[segment] + self._slope[segment] * past / 2)
        first = (2 * integral + 1) // 2
        return np.array([int(first), draws - int(first)])

    def uneven(self, first: int, end: int) -> bool:
        """Whether the probability changes by more than 1 / (end - first).

        If not, the counts that a shuffle leads one to expect stay within a quarter of a draw of the integral everywhere.
        """
        inside = self._value[bisect_right(self._at, first) : bisect_left(self._at, end)]
        values = [self._probability(first), *inside, self._probability(end)]
        return (max(values) - min(values)) * (end - first) > 1

    def _probability(self, draw: int) -> Fraction:
        segment = bisect_right(self._at, draw) - 1
        if segment < 0:
            return self._value[0]
        return self._value[segment] + self._slope[segment] * (draw - self._at[segment])
