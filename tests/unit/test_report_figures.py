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


def test_figures_show_models_only(study: Json) -> None:
    crowded = with_free_baselines(study)
    titles = [axes.get_title(loc="left") for axes in figures.heat_map_figure(crowded, "sample_home").axes]
    assert [title for title in titles if title] == study["arms"]
    named = figures.levels_figure(crowded).legends[0].get_texts()
    assert [text.get_text() for text in named] == study["arms"]


def test_rank_distance_figure_marks_the_median_of_every_model(study: Json) -> None:
    shown = figures.rank_distance_figure(with_sections(study)).axes
    assert [axes.get_title(loc="left") for axes in shown] == ["home"], "other suites hold no quantiles"
    assert [line.get_xdata()[0] for line in shown[0].lines] == [9.0] * len(study["arms"])
    assert [text.get_text() for text in shown[0].get_yticklabels()] == study["arms"]


def test_perturbation_figure_shows_differences_of_all_queries(study: Json) -> None:
    study = with_sections(study)
    axes = figures.perturbation_figure(study, "sample_home").axes[0]
    drawn = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    rows = [r for r in study["perturbations"] if r["setting"] == "mono" and not r["language"] and not r["domain"]]
    assert sorted(drawn) == pytest.approx(sorted(100 * row["difference"] for row in rows))


def test_shift_figure_has_a_row_for_every_shifted_suite_that_has_an_effect(study: Json) -> None:
    def rows(comparison: Json) -> list[str]:
        return [
            label.get_text() for label in figures.shift_figure(comparison, "hybrid", "mono").axes[0].get_yticklabels()
        ]

    assert rows(study)[-2:] == ["change: away", "change: odd"]
    del study["shift_by_suite"]
    assert rows(study)[-1].startswith("change outside") and len(rows(study)) == len(study["suites"]) + 1


def test_large_heat_maps_are_pictures_without_numbers(study: Json) -> None:
    languages = [f"l{n:02d}" for n in range(24)]
    study["pools"]["sample_home"] = dict.fromkeys(languages, 5)
    study["heat_maps"] = [
        {"arm": arm, "suite": "sample_home", "metric": "mAP", "query": q, "passage": p, "value": 0.5}
        for arm in study["arms"] for q in languages for p in languages
    ]  # fmt: skip
    assert list(figures.heat_map_figure(study, "sample_home").axes[0].texts) == []
