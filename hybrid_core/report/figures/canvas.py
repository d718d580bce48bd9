"""What all figures share: style, panels, rows of intervals, names as matplotlib takes them.

No global state: figures come from `matplotlib.figure.Figure`, never from pyplot. Values are shown x 100.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybrid_core.report.lookup import Comparison
from hybrid_core.report.style import suite_title
from hybrid_core.stats import Estimate

# The page replaces these four by its own variables, so that figures follow light and dark mode.
INK, MUTED, RULE, PAPER = "#1d2733", "#5b6673", "#c8ced6", "#fefefe"
WIDTH = 10.0
"""Width of a page-wide figure in inches."""
_STYLE = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9.0, "axes.titlesize": 10.0, "axes.titlelocation": "left",
    "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": RULE, "axes.titlecolor": INK, "xtick.color": RULE, "ytick.color": RULE,
    "xtick.labelcolor": MUTED, "ytick.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "grid.color": RULE, "grid.linewidth": 0.6, "legend.frameon": False, "figure.facecolor": PAPER, "axes.facecolor": "none",
    "ytick.major.size": 0.0,
}  # fmt: skip

_P = ParamSpec("_P")


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """The function, drawing in the style of the report whatever the user's matplotlib is set to."""

    @wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


def name_of(text: str, longest: int) -> str:
    """A name as matplotlib text, cut in the middle where it would crowd the figure: both ends tell names apart."""
    half = (longest - 1) // 2
    return plain(text if len(text) <= longest else f"{text[:half]}…{text[-half:]}")


def plain(text: str) -> str:
    """Text that matplotlib takes literally: an unescaped pair of $ would start a formula."""
    return text.replace("$", r"\$")


def intervals(
    axes: Axes, rows: Mapping[float, Estimate], colour: str, marker: str, name: str = "", hollow: bool = False
) -> None:
    """Horizontal intervals with their values; `hollow` leaves markers empty where the interval includes zero."""
    for y, estimate in rows.items():
        axes.hlines(y, 100 * estimate.low, 100 * estimate.high, color=colour, linewidth=1.6)
        face = PAPER if hollow and not estimate.excludes_zero else colour
        axes.plot(
            [100 * estimate.value], [y], marker=marker, markersize=5, color=colour, markerfacecolor=face, linestyle=""
        )
    axes.plot([], [], marker=marker, markersize=5, color=colour, linewidth=1.6, label=name or "_unnamed")


def suite_rows(axes: Axes, comparison: Comparison, suites: Sequence[str], last: Sequence[str] = ()) -> None:
    """One labelled row per suite, the training domain shaded if it is known and there are others; `last` names further rows below."""
    inside = comparison["in_domain"]
    shifted = len(suites) > 1 and inside is not None
    names = [
        name_of(suite_title(suite), 22) + ("\n(training domain)" if shifted and suite == inside else "")
        for suite in suites
    ]
    axes.set_yticks(range(len(suites) + len(last)), [*names, *last])
    axes.set_ylim(len(suites) + len(last) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    if shifted:
        axes.axhspan(
            suites.index(inside) - 0.5, suites.index(inside) + 0.5, color=RULE, alpha=0.28, linewidth=0, zorder=0
        )


def grid(arms: Sequence[str], width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of page width with an equal panel per arm, as even rows as fit; width and height of a panel in inches."""
    panels = len(arms)
    rows = math.ceil(panels / max(1, min(panels, int(WIDTH // width))))
    columns = math.ceil(panels / rows)
    page = WIDTH if panels > 1 else max(width + 1.2, 5.0)
    figure = Figure(figsize=(page, rows * height), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes, arm in zip(cells, arms, strict=False):
        axes.set_title(name_of(arm, max(8, int(11 * page / columns) - 4)))
    for axes in cells[panels:]:
        axes.set_visible(False)
    return figure, cells[:panels]


def legend(figure: Figure, axes: Axes) -> None:
    """What the panels have in common, above them, in as many columns as fit."""
    handles, names = axes.get_legend_handles_labels()
    fitting = int(115 * figure.get_figwidth() / WIDTH / (7 + max((len(name) for name in names), default=1)))
    columns = max(1, min(len(names), fitting))
    figure.legend(handles, names, loc="outside upper left", ncols=columns, handletextpad=0.5, columnspacing=1.6)


def note(text: str) -> Figure:
    """One line where there is nothing to draw."""
    figure = Figure(figsize=(WIDTH, 0.6))
    figure.text(0.01, 0.5, plain(text), va="center", color=MUTED)
    return figure
