"""Curves: metrics over alpha, training loss over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hybrid_core.report.figures.canvas import MUTED, WIDTH, legend, note, plain, styled
from hybrid_core.report.style import SETTING_TITLES, arm_colour, arm_marker
from hybrid_core.summary import label

_SETTING_LINES = {"mono": ("#6a4fa3", "s", "-"), "cross": ("#17808c", "^", "--"), "multi": ("#b0456b", "D", "-.")}


@styled
def alpha_curve_figure(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Metrics over alpha, the share of monolingual batches: a panel per metric, a line with its interval band per setting.

    Args:
        points: mappings with alpha, setting, metric, value, low, high (metrics between 0 and 1).
    """
    metrics = list(dict.fromkeys(str(point["metric"]) for point in points))
    if not metrics:
        return note("no points")
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
    legend(figure, panels[0])
    return figure


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


@styled
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
    legend(figure, axes)
    return figure
