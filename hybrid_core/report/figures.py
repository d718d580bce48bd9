"""Pictures of a comparison as matplotlib figures, for the report page and for experiment tracking.

No global state: figures come from `matplotlib.figure.Figure`, never from pyplot. Values are shown x 100.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hybrid_core.report.lookup import (
    Comparison,
    difference,
    languages_of,
    level,
    settings_in,
    shift_effect,
    top_k,
    uniform_share,
)
from hybrid_core.report.style import SETTING_TITLES, arm_colour, arm_marker, suite_title
from hybrid_core.stats import Estimate
from hybrid_core.summary import label

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
_HEAT = "YlGnBu"
_OTHER_LANGUAGES = ("#bcc4ce", "#d6dbe2")
_SETTING_LINES = {"mono": ("#6a4fa3", "s", "-"), "cross": ("#17808c", "^", "--"), "multi": ("#b0456b", "D", "-.")}

_P = ParamSpec("_P")


def _styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    @wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


@_styled
def levels_figure(comparison: Comparison) -> Figure:
    """mAP of every arm with its interval: a panel per setting, a row per suite, the training domain first."""
    arms, suites, settings = comparison["arms"], comparison["suites"], settings_in(comparison)
    figure = Figure(figsize=(WIDTH, 1.3 + len(suites) * (0.17 * len(arms) + 0.22)), layout="constrained")
    panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for axes, setting in zip(panels, settings, strict=True):
        for number, arm in enumerate(arms):
            rows = {
                i: e
                for i, suite in enumerate(suites)
                if (e := level(comparison, suite, setting, "mAP", arm)) is not None
            }
            offset = (number - (len(arms) - 1) / 2) * 0.8 / len(arms)
            _intervals(
                axes,
                {i + offset: e for i, e in rows.items()},
                arm_colour(arm, arms),
                arm_marker(arm, arms),
                name_of(arm, 55),
            )
        _suite_rows(axes, comparison, suites)
        axes.set_title(SETTING_TITLES[setting])
        axes.set_xlabel("mAP × 100")
    _legend(figure, panels[0])
    return figure


@_styled
def heat_map_figure(comparison: Comparison, suite: str) -> Figure:
    """mAP by query and passage language, a panel per arm on one colour scale; monolingual retrieval is the diagonal."""
    rows = [row for row in comparison["heat_maps"] if row["suite"] == suite and math.isfinite(row["value"])]
    if not rows:
        return _note(f"{suite_title(suite)} has no monolingual or cross-lingual setting")
    arms, passages, queries = (
        comparison["arms"],
        languages_of(comparison, suite),
        sorted({row["query"] for row in rows}),
    )
    figure, panels = _grid(arms, 0.34 * len(passages) + 0.45, 0.3 * len(queries) + 0.65)
    scale = Normalize(100 * min(row["value"] for row in rows), 100 * max(row["value"] for row in rows))
    for axes, arm in zip(panels, arms, strict=False):
        values = {(row["query"], row["passage"]): 100 * row["value"] for row in rows if row["arm"] == arm}
        _heat_map(axes, values, queries, passages, scale)
    figure.colorbar(
        ScalarMappable(scale, _HEAT), ax=panels, label="mAP × 100", shrink=0.8, aspect=30, pad=0.01
    ).outline.set_visible(False)
    return figure


@_styled
def histogram_figure(comparison: Comparison, suite: str) -> Figure:
    """Share of each passage language in the pooled top k per query language, a panel per arm.

    The query's own language comes first, in the arm's colour; without language bias it would end at the dashed line (uniform share).
    """
    rows = [row for row in comparison["histograms"] if row["suite"] == suite]
    if not rows:
        return _note(f"{suite_title(suite)} has no pooled ranking")
    arms, queries = comparison["arms"], sorted({row["query"] for row in rows})
    figure, panels = _grid(arms, 0.26 * len(comparison["pools"][suite]) + 0.9, 0.26 * len(queries) + 0.85)
    for axes, arm in zip(panels, arms, strict=False):
        for y, query in enumerate(queries):
            shares = {row["passage"]: 100 * row["share"] for row in rows if row["arm"] == arm and row["query"] == query}
            _share_bar(axes, y, query, shares, arm_colour(arm, arms))
        axes.axvline(100 * uniform_share(comparison, suite), color=INK, linestyle="--", linewidth=1.1)
        axes.set(
            xlim=(0, 100),
            ylim=(len(queries) - 0.45, -0.55),
            xlabel=f"% of the pooled top {top_k(comparison)}",
        )
        axes.set_yticks(range(len(queries)), [plain(query) for query in queries])
        axes.spines["left"].set_visible(False)
    return figure


@_styled
def shift_figure(comparison: Comparison, arm: str, reference: str) -> Figure:
    """mAP difference arm minus reference per suite and setting, and how it changes outside the training domain (bottom row).

    Filled markers: the interval excludes zero. Hollow: it includes zero.
    """
    suites, settings = comparison["suites"], settings_in(comparison)
    figure = Figure(figsize=(WIDTH, 1.35 + 0.3 * (len(suites) + 1)), layout="constrained")
    panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    colour, marker = arm_colour(arm, comparison["arms"]), arm_marker(arm, comparison["arms"])
    for axes, setting in zip(panels, settings, strict=True):
        estimates = {i: difference(comparison, suite, setting, "mAP", arm, reference) for i, suite in enumerate(suites)}
        effect = shift_effect(comparison, setting, "mAP", arm, reference)
        _intervals(axes, {float(i): e for i, e in estimates.items() if e is not None}, colour, marker, hollow=True)
        _suite_rows(axes, comparison, suites, ["change outside\nthe domain"] if comparison["shift_effects"] else [])
        if effect is not None:
            _intervals(axes, {float(len(suites)): effect}, INK, "o", hollow=True)
        if comparison["shift_effects"]:
            axes.axhline(len(suites) - 0.5, color=RULE, linewidth=1.0)
        axes.axvline(0, color=INK, linewidth=1.0)
        axes.set_title(SETTING_TITLES[setting])
        axes.set_xlabel("difference, points of mAP")
    figure.suptitle(f"{name_of(arm, 45)} minus {name_of(reference, 45)}", x=0.01, ha="left", fontsize=10)
    return figure


@_styled
def alpha_curve_figure(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Metrics over alpha, the share of monolingual batches: a panel per metric, a line with its interval band per setting.

    Args:
        points: mappings with alpha, setting, metric, value, low, high (metrics between 0 and 1).
    """
    metrics = list(dict.fromkeys(str(point["metric"]) for point in points))
    if not metrics:
        return _note("no points")
    figure = Figure(figsize=(WIDTH if len(metrics) > 1 else 6.5, 3.8), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for setting in dict.fromkeys(str(point["setting"]) for point in points):
            line = sorted(
                (p for p in points if p["setting"] == setting and p["metric"] == metric),
                key=lambda p: float(p["alpha"]),
            )
            _alpha_line(axes, line, setting)
        axes.set_title(plain(label(metric)))
        axes.set(
            xlabel="alpha (1: monolingual batches only, 0: cross-lingual only)", ylabel=f"{plain(label(metric))} × 100"
        )
        axes.grid(axis="y")
    _legend(figure, panels[0])
    return figure


@_styled
def loss_figure(curves: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Training loss over steps. Policies pose tasks of different difficulty: losses of two arms are not comparable.

    Args:
        curves: arm -> [[step, loss], ...].
    """
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    axes = figure.subplots()
    for arm, curve in curves.items():
        steps, losses = [point[0] for point in curve], [point[1] for point in curve]
        colour, marker = arm_colour(arm, list(curves)), arm_marker(arm, list(curves))
        axes.plot(
            steps,
            losses,
            color=colour,
            marker=marker if len(steps) < 40 else "",
            markersize=4,
            linewidth=1.4,
            label=plain(arm),
        )
    axes.set(xlabel="step", ylabel="training loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    _legend(figure, axes)
    return figure


def name_of(text: str, longest: int) -> str:
    """A name as matplotlib text, cut in the middle where it would crowd the figure: both ends tell names apart."""
    half = (longest - 1) // 2
    return plain(text if len(text) <= longest else f"{text[:half]}…{text[-half:]}")


def plain(text: str) -> str:
    """Text that matplotlib takes literally: an unescaped pair of $ would start a formula."""
    return text.replace("$", r"\$")


def _intervals(
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


def _suite_rows(axes: Axes, comparison: Comparison, suites: Sequence[str], last: Sequence[str] = ()) -> None:
    """One labelled row per suite, the training domain shaded if there are others; `last` names further rows below."""
    inside = comparison["in_domain"]
    shifted = len(suites) > 1
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


def _heat_map(
    axes: Axes,
    values: Mapping[tuple[str, str], float],
    queries: Sequence[str],
    passages: Sequence[str],
    scale: Normalize,
) -> None:
    cells = [[values.get((query, passage), math.nan) for passage in passages] for query in queries]
    colours = matplotlib.colormaps[_HEAT]
    axes.pcolormesh(cells, cmap=colours, norm=scale, edgecolors=PAPER, linewidth=1.0)
    for y, row in enumerate(cells):
        for x, value in enumerate(row):
            if math.isfinite(value):
                ink = _readable_on(colours(scale(value)))
                axes.text(x + 0.5, y + 0.52, f"{value:.0f}", ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks([x + 0.5 for x in range(len(passages))], [plain(name) for name in passages])
    axes.set_yticks([y + 0.5 for y in range(len(queries))], [plain(name) for name in queries])
    axes.set(xlabel="passage language", ylabel="query language")
    axes.tick_params(length=0, labelcolor=INK)
    axes.invert_yaxis()
    for spine in axes.spines.values():
        spine.set_visible(False)


def _readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever has more contrast (WCAG relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if luminance < 0.179 else "#111111"


def _share_bar(axes: Axes, y: int, own: str, shares: Mapping[str, float], colour: str) -> None:
    """One stacked bar; segments wide enough carry their language, so no colour has to be decoded."""
    left = 0.0
    for number, passage in enumerate(sorted(shares, key=lambda name: (name != own, name))):
        face = colour if passage == own else _OTHER_LANGUAGES[number % 2]
        axes.barh(y, shares[passage], left=left, height=0.78, color=face, edgecolor=PAPER, linewidth=0.6)
        if passage != own and shares[passage] >= 7.5:  # the row's name already names the coloured segment
            middle = left + shares[passage] / 2
            axes.text(middle, y, plain(passage), ha="center", va="center", fontsize=7.5, color="#222222")
        left += shares[passage]


def _alpha_line(axes: Axes, line: Sequence[Mapping[str, Any]], setting: str) -> None:
    colour, marker, dashes = _SETTING_LINES.get(setting, (MUTED, "o", ":"))
    alphas, values, low, high = (
        [(100.0 if key != "alpha" else 1.0) * float(p[key]) for p in line] for key in ("alpha", "value", "low", "high")
    )
    axes.fill_between(alphas, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(
        alphas,
        values,
        color=colour,
        marker=marker,
        linestyle=dashes,
        markersize=5,
        linewidth=1.6,
        label=SETTING_TITLES.get(setting, plain(setting)),
    )


def _grid(arms: Sequence[str], width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of page width with an equal panel per arm, as even rows as fit; width and height of a panel in inches."""
    panels = len(arms)
    rows = math.ceil(panels / max(1, min(panels, int(WIDTH // width))))
    columns = math.ceil(panels / rows)
    page = WIDTH if panels > 1 else max(width + 1.2, 5.0)
    figure = Figure(figsize=(page, rows * height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes, arm in zip(grid, arms, strict=False):
        axes.set_title(name_of(arm, max(8, int(11 * page / columns) - 4)))
    for axes in grid[panels:]:
        axes.set_visible(False)
    return figure, grid[:panels]


def _legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    fitting = int(115 * figure.get_figwidth() / WIDTH / (7 + max((len(name) for name in names), default=1)))
    columns = max(1, min(len(names), fitting))
    figure.legend(handles, names, loc="outside upper left", ncols=columns, handletextpad=0.5, columnspacing=1.6)


def _note(text: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.6))
    figure.text(0.01, 0.5, plain(text), va="center", color=MUTED)
    return figure
