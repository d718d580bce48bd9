"""Tables as plain values: what a cell says, which row is secondary. HTML, Markdown and LaTeX only lay them out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybrid_core.report.style import decimals_for, interval_points, points, signed_interval, signed_points
from hybrid_core.stats import Estimate

IN_RANKS = ("rank_distance", "max_rank")
"""Metrics counted in ranks; all others lie between 0 and 1 and are shown x 100."""


@dataclass(frozen=True)
class Bar:
    """An interval on the scale of its table: where it starts, how wide it is, where the value stands, in percent."""

    left: float
    width: float
    value: float


@dataclass(frozen=True)
class Cell:
    """A number with its interval as text; an empty interval where there is none."""

    value: str
    interval: str = ""
    strong: bool = False
    """Best arm and different from the baseline by its interval; in tables of differences: the interval excludes zero."""
    marks: str = ""
    """Significance letters."""
    note: str = ""
    """What the number is of: the worst language, say."""
    bar: Bar | None = None


EMPTY = Cell("–")


@dataclass(frozen=True)
class Row:
    """A labelled row; rows of free baselines are secondary."""

    label: str
    cells: tuple[Cell, ...]
    secondary: bool = False
    letter: str = ""
    """The letter by which other cells name this row's arm."""


@dataclass(frozen=True)
class Block:
    """Rows under one title: of one suite, or of the mean of the shifted ones."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """Blocks of rows under columns, which may stand in groups."""

    caption: str
    corner: str
    """What the row labels are."""
    columns: tuple[tuple[str, tuple[str, ...]], ...]
    """(Heading of the group, its columns); one group without heading where there are none."""
    blocks: tuple[Block, ...]
    weak: bool = False
    """Whether cells that are not strong are grey: tables of differences."""
    more: bool = False
    """Whether it may stay closed until a reader asks for it."""

    @property
    def width(self) -> int:
        """Number of columns, the labels not counted."""
        return sum(len(names) for _, names in self.columns)


def ungrouped(names: Iterable[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Columns that stand in no groups."""
    return (("", tuple(names)),)


def level_cell(
    estimate: Estimate | None, metric: str = "", strong: bool = False, marks: str = "", note: str = ""
) -> Cell:
    """A level x 100, or in ranks, with its interval."""
    if estimate is None:
        return EMPTY
    if metric in IN_RANKS:
        estimate = Estimate(*(0.01 * number for number in (estimate.value, estimate.low, estimate.high)))
    return Cell(points(estimate.value), interval_points(estimate), strong, marks, note)


def difference_cell(estimate: Estimate | None, metric: str = "") -> Cell:
    """A difference x 100, or in ranks; strong where its interval excludes zero."""
    if estimate is None:
        return EMPTY
    if metric in IN_RANKS:
        estimate = Estimate(*(0.01 * number for number in (estimate.value, estimate.low, estimate.high)))
    digits = decimals_for(estimate)
    return Cell(signed_points(estimate.value, digits), signed_interval(estimate, digits), estimate.excludes_zero)


def bars(estimates: Sequence[Estimate | None], zero: bool = False) -> list[Bar | None]:
    """Each interval on the scale that all of them share, from the lowest end (or zero) to the highest."""
    known = [e for e in estimates if e is not None]
    if not known:
        return [None] * len(estimates)
    low = 0.0 if zero else min(e.low for e in known)
    span = (max(e.high for e in known) - low) or 1.0

    def percent(value: float) -> float:
        return round(100 * (value - low) / span, 2)

    return [
        None if e is None else Bar(percent(e.low), round(percent(e.high) - percent(e.low), 2), percent(e.value))
        for e in estimates
    ]
