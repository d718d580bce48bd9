"""Distributions of rank distance, and what perturbed queries cost. Rows are arms or perturbations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hybrid_core.report.arms import models_only
from hybrid_core.report.figures.canvas import INK, WIDTH, grid, intervals, legend, name_of, note, plain, styled
from hybrid_core.report.lookup import Comparison, estimate_of, of_all_queries, settings_in
from hybrid_core.report.style import SETTING_TITLES, arm_colour, arm_marker, suite_title
from hybrid_core.stats import Estimate

_QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95")


@styled
def rank_distance_figure(comparison: Comparison) -> Figure:
    """Rank distance of single queries: a panel per suite, a row per arm, in ranks on a logarithmic axis.

    Thin line: 5% to 95% of the queries. Thick: the middle half. Marker: the median.
    """
    comparison = models_only(comparison)
    arms = comparison["arms"]
    found = {(row["suite"], row["arm"]): row["quantiles"] for row in comparison.get("rank_distances") or []}
    suites = [suite for suite in comparison["suites"] if any((suite, arm) in found for arm in arms)]
    if not suites:
        return note("no pooled ranking")
    figure, panels = grid([suite_title(suite) for suite in suites], 4.6, 0.85 + 0.26 * len(arms))
    for axes, suite in zip(panels, suites, strict=True):
        for row, arm in enumerate(arms):
            quantiles = found.get((suite, arm)) or {}
            if all(isinstance(quantiles.get(q), int | float) for q in _QUANTILES):
                _spread(axes, row, quantiles, arm_colour(arm, arms), arm_marker(arm, arms))
        _arm_rows(axes, arms)
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(left=_left_end([found[suite, arm] for arm in arms if (suite, arm) in found]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("rank distance, ranks")
    return figure


def _spread(axes: Axes, row: int, quantiles: Mapping[str, float], colour: str, marker: str) -> None:
    lowest, low, middle, high, highest = (quantiles[q] for q in _QUANTILES)
    axes.hlines(row, lowest, highest, color=colour, linewidth=1.2)
    axes.hlines(row, low, high, color=colour, linewidth=5.0, alpha=0.45)
    axes.plot([middle], [row], marker=marker, markersize=6, color=colour, linestyle="")


def _left_end(quantiles: Sequence[Mapping[str, float]]) -> float:
    """Where the axis starts: the power of ten below the lowest quantile, or zero."""
    lowest = min(q[_QUANTILES[0]] for q in quantiles)
    return 10.0 ** math.floor(math.log10(lowest)) if lowest >= 1 else 0.0


def _arm_rows(axes: Axes, arms: Sequence[str]) -> None:
    axes.set_yticks(range(len(arms)), [name_of(arm, 22) for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


@styled
def perturbation_figure(comparison: Comparison, suite: str) -> Figure:
    """mAP of perturbed minus clean queries: a panel per setting, a row per perturbation, a marker per arm.

    Filled markers: the interval excludes zero. Hollow: it includes zero.
    """
    comparison = models_only(comparison)
    rows = [row for row in of_all_queries(comparison) if row["suite"] == suite and row["metric"] == "mAP"]
    names = list(dict.fromkeys(row["perturbation"] for row in rows))
    if not names:
        return note(f"{suite_title(suite)} was not perturbed")
    arms = comparison["arms"]
    settings = [s for s in settings_in(comparison, [suite]) if any(row["setting"] == s for row in rows)]
    figure = Figure(figsize=(WIDTH, 1.2 + len(names) * (0.15 * len(arms) + 0.22)), layout="constrained")
    panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for axes, setting in zip(panels, settings, strict=True):
        for number, arm in enumerate(arms):
            offset = (number - (len(arms) - 1) / 2) * 0.8 / len(arms)
            estimates = _changes(rows, names, setting, arm)
            shown = {place + offset: e for place, e in estimates.items()}
            intervals(axes, shown, arm_colour(arm, arms), arm_marker(arm, arms), name_of(arm, 55), hollow=True)
        axes.set_yticks(range(len(names)), [plain(name.replace("_", " ")) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.axvline(0, color=INK, linewidth=1.0)
        axes.set_title(SETTING_TITLES[setting])
        axes.set_xlabel("perturbed − clean, points of mAP")
    legend(figure, panels[0])
    return figure


def _changes(rows: Sequence[Mapping[str, object]], names: Sequence[str], setting: str, arm: str) -> dict[int, Estimate]:
    """Place of the perturbation -> difference to the clean suite."""
    found = {}
    for row in rows:
        if row["setting"] == setting and row["arm"] == arm:
            estimate = estimate_of(row, "difference", "difference_low", "difference_high")
            if estimate is not None:
                found[names.index(str(row["perturbation"]))] = estimate
    return found
