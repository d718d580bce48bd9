"""The report says what the numbers say: built from real comparisons of generated embeddings, read back from the page."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from html import unescape
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from hybrid_core.comparison import Json, compare, find
from hybrid_core.config import EvaluateConfig
from hybrid_core.data.suites import SETTINGS, Suite, Texts
from hybrid_core.evaluate import Evaluation, evaluate
from hybrid_core.report import figures, statements
from hybrid_core.report.answer import short_answer
from hybrid_core.report.lookup import difference, shift_effect
from hybrid_core.report.page import markdown_table, render
from hybrid_core.report.style import decimals_for, points, signed_points
from hybrid_core.report.tables import COLUMNS, best_arm
from hybrid_core.stats import Estimate

LANGUAGES = ("ar", "en", "zh")
ELEVEN = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
ARMS = {"base": (1.5, 0.8), "mono": (1.0, 0.6), "cross": (0.4, 0.9), "hybrid": (0.4, 0.6)}
"""Arm -> weight of the language, weight of the noise in made-up embeddings."""
CLAIM = "no difference can be claimed"
RUN = {
    "title": "Study of tests", "date": "2026-01-01", "command": "python -m ray_jobs.study", "config_hash": "0123abcd",
    "model": "packaged:multilingual-e5-small", "steps": 24, "global_batch": 16, "workers": 2, "seed": 7,
    "corpus": {"name": "sample", "rows": 96, "meanings": 32, "languages": {"ar": 32}, "licence": "Apache-2.0", "fingerprint": "f00d"},
    "versions": {"ray": "2.60.0"}, "seconds": {"mono": 80.2501, "total": 301}, "plans": {"base": "", "mono": "aaaa"},
    "tracking": "sqlite:///runs/mlflow.db", "curves": {"mono": [[4, 2.0], [8, 1.5]]},
    "suites": {"sample_home": {"licence": "CC BY 4.0", "source": "https://example.org/suite"}},
}  # fmt: skip


def a_suite(name: str, languages: Iterable[str] = LANGUAGES, settings: tuple[str, ...] = SETTINGS) -> Suite:
    queries, passages = Texts(), Texts()
    meanings = [f"{name}-{m}" for m in range(12)]
    for language in languages:
        for meaning in meanings:
            queries.add(f"{language}-{meaning}", language, f"q {meaning}", meaning, name)
            passages.add(f"{language}-{meaning}", language, f"p {meaning}", meaning, name)
    rows = [np.flatnonzero(np.array(passages.meaning_ids) == meaning) for meaning in queries.meaning_ids]
    return Suite(name, queries, passages, rows, settings, "Apache-2.0", "generated")


def an_evaluation(suite: Suite, language_weight: float, noise: float) -> Evaluation:
    """Embeddings = meaning + language + noise; the same meanings, languages and noise for every arm."""
    generator = np.random.default_rng(3)
    meanings = {m: generator.standard_normal(16) for m in sorted(set(suite.queries.meaning_ids))}
    languages = {lang: generator.standard_normal(16) for lang in suite.languages}

    def vectors(texts: Texts) -> np.ndarray:
        rows = [
            meanings[m] + language_weight * languages[lang]
            for m, lang in zip(texts.meaning_ids, texts.languages, strict=True)
        ]
        found = np.stack(rows) + noise * generator.standard_normal((len(texts), 16))
        unit: np.ndarray = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
        return unit

    return evaluate(suite, vectors(suite.queries), vectors(suite.passages))


def a_comparison(suites: list[Suite], arms: Mapping[str, tuple[float, float]] = ARMS) -> Json:
    evaluations = {arm: {s.name: an_evaluation(s, *weights) for s in suites} for arm, weights in arms.items()}
    return compare(evaluations, EvaluateConfig(bootstrap_samples=200), in_domain=suites[0].name, seed=0)


@pytest.fixture(scope="module")
def study() -> Json:
    """Four arms and one that equals base; a training domain, two shifted suites, one of them without cross."""
    suites = [a_suite("sample_home"), a_suite("sample_away"), a_suite("odd", settings=("mono", "multi"))]
    return a_comparison(suites, ARMS | {"twin": ARMS["base"]}) | {"run": RUN}


@pytest.fixture(scope="module")
def page(study: Json) -> str:
    return render(study)


@pytest.fixture(scope="module")
def lone_arm() -> Json:
    return a_comparison([a_suite("xquad_r", ELEVEN)], {"model": ARMS["mono"]})


def rows_of_main_table(html: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """(Arm, [(value, interval)]) of every row of the main table, in order."""
    section = html[html.index('id="levels"') : html.index('id="pictures"')]
    found = []
    for name, cells in re.findall(
        r'<tr><th scope="row" class="arm">.*?</span>(.*?)</th>(.*?)</tr>', section, flags=re.DOTALL
    ):
        values = re.findall(r"<td>(?:<b>)?([^<]*)(?:</b>)?(?:<small>([^<]*)</small>)?</td>", cells)
        found.append((name, values))
    return found


def expected_row(comparison: Json, suite: str, arm: str) -> list[tuple[str, str]]:
    cells = []
    for setting, metric in COLUMNS:
        try:
            row = find(comparison["levels"], suite=suite, setting=setting, metric=metric, arm=arm)
        except KeyError:
            cells.append(("–", ""))
        else:
            cells.append((f"{100 * row['value']:.1f}", f"{100 * row['low']:.1f}–{100 * row['high']:.1f}"))
    return cells


def test_every_level_of_the_main_table_is_on_the_page_with_right_rounding(study: Json, page: str) -> None:
    expected = [(arm, expected_row(study, suite, arm)) for suite in study["suites"] for arm in study["arms"]]
    found = rows_of_main_table(page)
    assert found[: len(expected)] == expected
    assert ("–", "") in expected_row(study, "odd", "base"), "a suite lacks a setting"


def test_mean_of_shifted_suites_averages_those_that_have_the_setting(study: Json, page: str) -> None:
    means = dict(rows_of_main_table(page)[-len(study["arms"]) :])
    mono = [
        find(study["levels"], suite=s, setting="mono", metric="mAP", arm="hybrid")["value"]
        for s in ("sample_away", "odd")
    ]
    cross = find(study["levels"], suite="sample_away", setting="cross", metric="mAP", arm="hybrid")["value"]
    assert means["hybrid"][0] == (f"{50 * sum(mono):.1f}", "")
    assert means["hybrid"][1] == (f"{100 * cross:.1f}", "")


def raw_difference(comparison: Json, statement: statements.Statement, metric: str) -> Json:
    """The stored row of a statement's contrast, turned if it is stored the other way round."""
    labels = {"suite": comparison["in_domain"], "setting": statement.setting, "metric": metric}
    try:
        return find(comparison["differences"], arm=statement.arm, reference=statement.reference, **labels)
    except KeyError:
        row = find(comparison["differences"], arm=statement.reference, reference=statement.arm, **labels)
        return {"value": -row["value"], "low": -row["high"], "high": -row["low"]}


def test_no_difference_is_claimed_exactly_when_the_interval_includes_zero(study: Json) -> None:
    said = statements.retrieval_statements(study)
    bias = statements.bias_statements(study)
    metrics = ["mAP"] * len(said) + [
        "rank_distance_share" if s.text.startswith("Rank") else "same_language_share" for s in bias
    ]
    seen = set()
    for statement, metric in zip([*said, *bias], metrics, strict=True):
        row = raw_difference(study, statement, metric)
        includes_zero = row["low"] <= 0 <= row["high"]
        seen.add(includes_zero)
        assert (CLAIM in statement.text) == includes_zero, statement.text
        assert statement.decided != includes_zero
        if not includes_zero:
            assert (" above " in statement.text) == (row["value"] > 0), statement.text
            assert f"{abs(100 * row['value']):.1f} points" in statement.text
    assert seen == {True, False}
    assert len(said) == len(SETTINGS) * 6, "hybrid against mono and cross, four arms against base"


def test_undecided_statement_does_not_say_there_is_no_difference(study: Json) -> None:
    twin = next(s for s in statements.retrieval_statements(study) if s.arm == "twin")
    assert twin.text.endswith("which does not show that there is none.")
    assert CLAIM not in twin.brief and "0.0 points of mAP" in twin.brief


def test_shift_statements_follow_the_sign_of_the_effect(study: Json) -> None:
    study = copy.deepcopy(study)
    inside = find(
        study["differences"], suite="sample_home", setting="multi", metric="mAP", arm="hybrid", reference="mono"
    )
    effect = find(study["shift_effects"], setting="multi", metric="mAP", arm="hybrid", reference="mono")
    inside.update(value=0.2, low=0.1, high=0.3)
    for (low, high), expected in {(0.01, 0.05): "grows", (-0.05, -0.01): "shrinks", (-0.01, 0.05): CLAIM}.items():
        effect.update(value=(low + high) / 2, low=low, high=high)
        text = next(
            s.text
            for s in statements.shift_statements(study)
            if (s.setting, s.arm, s.reference) == ("multi", "hybrid", "mono")
        )
        assert expected in text
        assert (CLAIM in text) == (low <= 0 <= high)
    inside.update(value=-0.2, low=-0.3, high=-0.1)
    effect.update(value=0.03, low=0.01, high=0.05)
    text = next(
        s.text
        for s in statements.shift_statements(study)
        if (s.setting, s.arm, s.reference) == ("multi", "hybrid", "mono")
    )
    assert "advantage" not in text and "towards hybrid" in text, "no advantage inside can grow"


def test_same_language_share_below_uniform_is_not_called_less_bias(study: Json) -> None:
    study = copy.deepcopy(study)
    labels = {"suite": "sample_home", "setting": "multi", "metric": "same_language_share", "arm": "hybrid"}
    find(study["differences"], **labels, reference="mono").update(value=-0.3, low=-0.4, high=-0.2)
    for share, less in ((0.4, True), (0.1, False)):
        find(study["levels"], **labels).update(value=share)
        text = next(
            s.text for s in statements.bias_statements(study) if s.reference == "mono" and s.text.startswith("Same")
        )
        assert ("less language bias by this measure" in text) == less


def test_caveats_follow_from_the_data(study: Json) -> None:
    text = " ".join(statements.caveats(study))
    for expected in ("One seed (7)", "home 12", "about 5%", "multilingual-e5", "sample corpus", "Suites differ"):
        assert expected in text
    other = copy.deepcopy(study)
    other["run"] |= {"model": "xlm-roberta-base", "seeds": [0, 1, 2]}
    other["questions"] = dict.fromkeys(other["questions"], 1190)
    text = " ".join(statements.caveats(other))
    assert "e5" not in text and "Few questions" not in text and "One seed" not in text and "3 seeds" in text


def test_short_answer_has_three_to_five_sentences_that_agree_with_the_intervals(study: Json) -> None:
    answer = short_answer(study)
    assert 3 <= len(answer) <= 5
    against_cross = next(text for text in answer if text.startswith("Hybrid batches against cross batches"))
    for setting, title in (("mono", "monolingual"), ("cross", "cross-lingual"), ("multi", "multilingual")):
        row = find(
            study["differences"], suite="sample_home", setting=setting, metric="mAP", arm="hybrid", reference="cross"
        )
        assert f"{title} {signed_points(row['value'])} (" in against_cross
    assert (CLAIM in against_cross) == any(
        r["low"] <= 0 <= r["high"]
        for r in study["differences"]
        if (r["suite"], r["metric"], r["arm"], r["reference"]) == ("sample_home", "mAP", "hybrid", "cross")
    )


def test_bold_only_where_the_best_arm_differs_from_base(study: Json) -> None:
    bold = 0
    for suite in study["suites"]:
        for setting, metric in COLUMNS:
            best = best_arm(study, suite, setting, metric)
            if best is not None:
                row = find(
                    study["differences"], suite=suite, setting=setting, metric=metric, arm=best, reference="base"
                )
                assert not row["low"] <= 0 <= row["high"]
                bold += 1
    assert 0 < bold == markdown_table(study).count("**") / 2


def test_best_arm_is_the_lowest_rank_distance_and_nothing_is_bold_when_base_wins(study: Json) -> None:
    study = copy.deepcopy(study)
    for arm in study["arms"]:
        find(study["levels"], suite="sample_home", setting="multi", metric="rank_distance_share", arm=arm).update(
            value=0.5
        )
    labels = {"suite": "sample_home", "setting": "multi", "metric": "rank_distance_share"}
    find(study["levels"], **labels, arm="cross").update(value=0.1)
    difference_row = find(study["differences"], **labels, arm="cross", reference="base")
    difference_row.update(value=-0.4, low=-0.5, high=-0.3)
    assert best_arm(study, *labels.values()) == "cross"
    difference_row.update(high=0.01)
    assert best_arm(study, *labels.values()) is None
    find(study["levels"], **labels, arm="base").update(value=0.05)
    assert best_arm(study, *labels.values()) is None


class Loads(HTMLParser):
    """Collects everything a browser would fetch, and every id."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "action", "background") or (
                name.endswith("href") and tag != "a"
            ):
                self.loads.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_page_is_self_contained(page: str) -> None:
    parser = Loads()
    parser.feed(page)
    assert [load for load in parser.loads if not load.startswith(("#", "data:image/png;base64,"))] == []
    assert not parser.tags & {"script", "iframe", "link", "img", "object", "embed"}
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*[\"']?([^)]*)\)", page))
    assert "@import" not in page and "xlink" not in page
    assert len(page.encode()) < 2_000_000


def test_ids_are_unique_and_references_inside_figures_resolve(page: str) -> None:
    parser = Loads()
    parser.feed(page)
    assert len(parser.ids) == len(set(parser.ids))
    references = {load[1:] for load in parser.loads if load.startswith("#")} | set(re.findall(r"url\(#([^)]*)\)", page))
    assert references and references <= set(parser.ids)


def test_page_tells_what_was_run_and_has_alternative_texts(page: str) -> None:
    text = unescape(re.sub(r"<[^>]+>", "", page))
    for expected in (
        "python -m ray_jobs.study",
        "0123abcd",
        "mono 80.3, total 301.0",
        "mono aaaa",
        "ray 2.60.0",
        "CC BY 4.0",
    ):
        assert expected in text
    assert page.count("<figure>") == page.count('role="img" aria-label="') == page.count("<figcaption>") > 4


@pytest.mark.parametrize("missing", sorted(RUN))
def test_every_key_of_run_may_be_absent(study: Json, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid_core.report.page._pictures", lambda comparison: [])
    html = render({**study, "run": {key: value for key, value in RUN.items() if key != missing}})
    assert "</html>" in html and "None" not in html


def test_one_arm_on_eleven_languages_renders_levels_without_differences(lone_arm: Json) -> None:
    html = render(lone_arm)
    assert [name for name, _ in rows_of_main_table(html)] == ["model"]
    assert rows_of_main_table(html)[0][1] == expected_row(lone_arm, "xquad_r", "model")
    assert "XQuAD-R" in html and "Differences on" not in html and "One seed" not in html
    assert "Outside the training domain" not in html and "cannot reach 100" in html
    assert 3 <= len(short_answer(lone_arm)) <= 5
    assert statements.retrieval_statements(lone_arm) == []


def test_one_suite_renders_differences_without_shift(study: Json) -> None:
    alone = a_comparison([a_suite("sample_home")], {"mono": ARMS["mono"], "hybrid": ARMS["hybrid"]})
    html = render(alone)
    assert "Differences on home" in html
    assert "Outside the training domain" not in html and "(shifted)" not in html and "mean of the" not in html
    assert statements.shift_statements(alone) == []


@pytest.mark.parametrize("settings", [("mono",), ("cross",), ("multi",)])
def test_suites_with_a_single_setting_render(settings: tuple[str, ...]) -> None:
    suites = [a_suite("home", settings=settings), a_suite("away")]
    comparison = a_comparison(suites, {"base": ARMS["base"], "hybrid@0.25": ARMS["hybrid"]})
    assert "hybrid@0.25" in render(comparison)
    figures.heat_map_figure(comparison, "home")
    figures.shift_figure(comparison, "hybrid@0.25", "base")


def test_hostile_text_is_escaped_and_formulas_are_text() -> None:
    hostile = '<script>alert("1")</script>'
    suite = a_suite(f"{hostile}$\\frac{{$")
    comparison = a_comparison([suite], {"base": ARMS["base"], f"$x^{{${hostile}": ARMS["mono"]})
    comparison["run"] = {
        "title": hostile,
        "command": f'"{hostile}',
        "model": hostile,
        "corpus": {"name": hostile},
        "plans": {hostile: hostile},
        "suites": {suite.name: {"licence": hostile, "source": f'"><img src=x>{hostile}'}},
    }
    html = render(comparison)
    parser = Loads()
    parser.feed(html)
    assert not parser.tags & {"script", "img"}
    assert "<title>&lt;script&gt;" in html
    assert "<script" not in markdown_table(comparison)


def test_a_contrast_can_be_read_in_both_directions(study: Json) -> None:
    there = difference(study, "sample_home", "mono", "mAP", "hybrid", "mono")
    back = difference(study, "sample_home", "mono", "mAP", "mono", "hybrid")
    assert there is not None and back == Estimate(-there.value, -there.high, -there.low)
    assert shift_effect(study, "mono", "mAP", "hybrid", "nothing") is None


def test_markdown_table_has_one_row_per_suite_and_arm(study: Json) -> None:
    lines = markdown_table(study).splitlines()
    assert len(lines) == 2 + (len(study["suites"]) + 1) * len(study["arms"])
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 3}
    value, interval = expected_row(study, "sample_home", "mono")[0]
    assert f"{value} ({interval})" in lines[3].replace("*", "")


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


def test_rounding_never_makes_a_decided_interval_touch_zero() -> None:
    assert decimals_for(Estimate(0.02, 0.0001, 0.04)) == 2
    assert decimals_for(Estimate(0.02, -0.0001, 0.04)) == 1
    assert points(-0.0001) == "0.0" and signed_points(-0.0123) == "−1.2" and signed_points(0.0001) == "0.0"


def test_every_seed_is_shown_where_arms_have_several(study: Json) -> None:
    comparison = dict(study)
    suite = comparison["suites"][0]
    by_seed = {f"hybrid seed={seed}": {f"{suite}/multi/mAP": 0.5 + seed / 100} for seed in (0, 1)}
    comparison["run"] = (comparison.get("run") or {}) | {"seeds": [0, 1], "by_seed": by_seed}
    page = render(comparison)
    assert "Every training by itself" in page
    assert all(text in page for text in ("hybrid seed=1", "50.0", "51.0"))
    comparison["run"]["seeds"] = [0]
    assert "Every training by itself" not in render(comparison)
