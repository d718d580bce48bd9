"""Levels of every arm, and how a difference changes outside the training domain. Rows are suites, panels are settings."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybrid_core.report.arms import models_only
from hybrid_core.report.figures.canvas import INK, MUTED, RULE, WIDTH, intervals, legend, name_of, styled, suite_rows
from hybrid_core.report.lookup import (
    Comparison,
    difference,
    level,
    settings_in,
    shift_effect,
    shift_of_suite,
    shifted_suites,
)
from hybrid_core.report.style import SETTING_TITLES, arm_colour, arm_marker, suite_title


@styled
def levels_figure(comparison: Comparison) -> Figure:
    """mAP of every arm with its interval: a panel per setting, a row per suite, the training domain first."""
    comparison = models_only(comparison)
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
            intervals(
                axes,
                {i + offset: e for i, e in rows.items()},
                arm_colour(arm, arms),
                arm_marker(arm, arms),
                name_of(arm, 55),
            )
        suite_rows(axes, comparison, suites)
        axes.set_title(SETTING_TITLES[setting])
        axes.set_xlabel("mAP × 100")
    legend(figure, panels[0])
    return figure


@styled
def shift_figure(comparison: Comparison, arm: str, reference: str) -> Figure:
    """mAP difference arm minus reference per suite and setting, and below the line how it changes outside the training domain.

    Filled markers: the interval excludes zero. Hollow: it includes zero.
    """
    comparison = models_only(comparison)
    suites, settings = comparison["suites"], settings_in(comparison)
    changes = _change_rows(comparison)
    figure = Figure(figsize=(WIDTH, 1.35 + 0.3 * (len(suites) + 1) + 0.22 * len(changes)), layout="constrained")
    panels = figure.subplots(1, len(settings), sharey=True, squeeze=False)[0]
    for axes, setting in zip(panels, settings, strict=True):
        _differences(axes, comparison, setting, arm, reference)
        suite_rows(axes, comparison, suites, list(changes.values()))
        _changes(axes, comparison, changes, setting, arm, reference)
        axes.axvline(0, color=INK, linewidth=1.0)
        axes.set_title(SETTING_TITLES[setting])
        axes.set_xlabel("difference, points of mAP")
    figure.suptitle(f"{name_of(arm, 45)} minus {name_of(reference, 45)}", x=0.01, ha="left", fontsize=10)
    return figure


def _differences(axes: Axes, comparison: Comparison, setting: str, arm: str, reference: str) -> None:
    found = {
        float(i): e
        for i, suite in enumerate(comparison["suites"])
        if (e := difference(comparison, suite, setting, "mAP", arm, reference)) is not None
    }
    intervals(axes, found, arm_colour(arm, comparison["arms"]), arm_marker(arm, comparison["arms"]), hollow=True)


def _change_rows(comparison: Comparison) -> dict[str, str]:
    """Rows below the line: suite ("" for the mean of the shifted ones) -> its name in the figure."""
    if not comparison["shift_effects"]:
        return {}
    by_suite = shifted_suites(comparison) if comparison.get("shift_by_suite") else []
    return {"": "change outside\nthe domain"} | {
        suite: f"change: {name_of(suite_title(suite), 18)}" for suite in by_suite
    }


def _changes(axes: Axes, comparison: Comparison, rows: dict[str, str], setting: str, arm: str, reference: str) -> None:
    first = len(comparison["suites"])
    if not rows:
        return
    axes.axhline(first - 0.5, color=RULE, linewidth=1.0)
    for place, suite in enumerate(rows, start=first):
        effect = (
            shift_of_suite(comparison, suite, setting, "mAP", arm, reference)
            if suite
            else shift_effect(comparison, setting, "mAP", arm, reference)
        )
        if effect is not None:
            intervals(axes, {float(place): effect}, MUTED if suite else INK, "o", hollow=True)
