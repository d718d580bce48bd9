"""Figures show the stored numbers, of models only."""

from __future__ import annotations

from typing import Any

import pytest
from report_helpers import ARMS, LANGUAGES, a_comparison, a_study, a_suite, with_free_baselines, with_sections

from hybrid_core.comparison import Json, find
from hybrid_core.data.suites import SETTINGS
from hybrid_core.report import figures
from hybrid_core.report.page import render


@pytest.fixture
def study() -> Json:
    return a_study()


def test_alpha_curve_has_a_point_per_alpha_in_order() -> None:
    alphas = [0.5, 0.0, 1.0, 0.25]
    points_: list[dict[str, Any]] = [
        {"alpha": a, "setting": s, "metric": "mAP", "value": a / 2, "low": a / 2 - 0.1, "high": a / 2 + 0.1}
        for s in SETTINGS for a in alphas
    ]  # fmt: skip
    (axes,) = figures.alpha_curve_figure(points_).axes
    assert [line.get_label() for line in axes.lines] == ["Monolingual", "Cross-lingual", "Multilingual"]
    for line in axes.lines:
        assert list(line.get_xdata()) == sorted(alphas)
        assert list(line.get_ydata()) == pytest.approx([50 * a for a in sorted(alphas)])
    assert len(axes.collections) == len(SETTINGS), "an interval band per setting"


def test_figures_show_the_stored_numbers(study: Json) -> None:
    panels = figures.heat_map_figure(study, "sample_home").axes[: len(study["arms"])]
    for axes, arm in zip(panels, study["arms"], strict=True):
        values = [
            find(study["heat_maps"], suite="sample_home", arm=arm, query=q, passage=p)["value"]
            for q in LANGUAGES
            for p in LANGUAGES
        ]
        assert [text.get_text() for text in axes.texts] == [f"{100 * value:.0f}" for value in values]
    axes = figures.histogram_figure(study, "sample_home").axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert sum(widths) == pytest.approx(100 * len(LANGUAGES))
    assert axes.lines[0].get_xdata()[0] == pytest.approx(100 / len(LANGUAGES))


@pytest.mark.parametrize("settings", [("mono",), ("cross",), ("multi",)])
def test_suites_with_a_single_setting_render(settings: tuple[str, ...]) -> None:
    suites = [a_suite("home", settings=settings), a_suite("away")]
    comparison = a_comparison(suites, {"base": ARMS["base"], "hybrid@0.25": ARMS["hybrid"]})
    assert "hybrid@0.25" in render(comparison)
    figures.heat_map_figure(comparison, "home")
    figures.shift_figure(comparison, "hybrid@0.25", "base")
