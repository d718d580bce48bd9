"""The report says what the numbers say: built from real comparisons of generated embeddings, read back from the page."""

from __future__ import annotations

import re
from html import unescape

import pytest
from report_helpers import ARMS, ELEVEN, RUN, Loads, a_comparison, a_study, a_suite, expected_row, rows_of

from hybrid_core.comparison import Json, find
from hybrid_core.report import statements
from hybrid_core.report.answer import short_answer
from hybrid_core.report.page import markdown_table, render
from hybrid_core.report.pages import pages
from hybrid_core.report.style import points


@pytest.fixture(scope="module")
def study() -> Json:
    return a_study()


@pytest.fixture(scope="module")
def page(study: Json) -> str:
    return render(study)


@pytest.fixture(scope="module")
def lone_arm() -> Json:
    return a_comparison([a_suite("xquad_r", ELEVEN)], {"model": ARMS["mono"]})


def rows_of_main_table(html: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """(Arm, [(value, interval)]) of every row of the main table, in order."""
    found = []
    row = r'<tr><th scope="row" class="arm">.*?</span>([^<]*?)(?: <small class="letter">.</small>)?</th>(.*?)</tr>'
    for name, cells in re.findall(row, rows_of("levels", html), flags=re.DOTALL):
        values = re.findall(
            r"<td>(?:<b>)?([^<]*)(?:</b>)?(?:<sup>[^<]*</sup>)?(?: <small>([^<]*)</small>)?</td>", cells
        )
        found.append((name, values))
    return found


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
    monkeypatch.setattr("hybrid_core.report.page.pictures", lambda comparison: [])
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


@pytest.fixture(scope="module")
def two_suites() -> Json:
    """One model whose training domain nobody named."""
    suites = [a_suite("sample_home"), a_suite("sample_away", settings=("mono", "multi"))]
    return a_comparison(suites, {"model": ARMS["mono"]}, known_domain=False)


def test_no_suite_of_a_model_of_unknown_origin_is_its_training_domain(two_suites: Json) -> None:
    files = pages(two_suites)
    for name, text in files.items():
        for label in ("training domain", "shifted", "outside the domain"):
            assert label not in text.lower(), (name, label)
    assert [name for name, _ in rows_of_main_table(files["report.html"])] == ["model", "model"]
    assert rows_of_main_table(files["report.html"])[1][1] == expected_row(two_suites, "sample_away", "model")
    assert "| home | model |" in files["report.md"] and "| away | model |" in files["report.md"]
    assert "compare arms within a suite, not levels between suites" in files["report.html"]


def test_the_short_answer_about_one_model_speaks_of_all_suites(two_suites: Json, lone_arm: Json) -> None:
    def value(suite: str, setting: str) -> float:
        return float(find(two_suites["levels"], suite=suite, setting=setting, metric="mAP")["value"])

    (sentence,) = [text for text in short_answer(two_suites) if text.startswith("Over all 2 suites, mAP × 100: ")]
    for setting, word in (("mono", "monolingual"), ("multi", "multilingual")):
        (low, worst), (high, best) = sorted((value(f"sample_{suite}", setting), suite) for suite in ("home", "away"))
        assert f"{word} from {points(low)} on {worst} to {points(high)} on {best}" in sentence
    assert "cross-lingual" not in sentence, "one suite has it: there is nothing to range over"
    assert not any(text.startswith("Over all") for text in short_answer(lone_arm))


def test_one_suite_renders_differences_without_shift(study: Json) -> None:
    alone = a_comparison([a_suite("sample_home")], {"mono": ARMS["mono"], "hybrid": ARMS["hybrid"]})
    html = render(alone)
    assert "Differences on home" in html
    assert "Outside the training domain" not in html and "(shifted)" not in html and "shifted suites" not in html
    assert statements.shift_statements(alone) == []


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


def test_every_seed_is_shown_where_arms_have_several(study: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid_core.report.page.pictures", lambda comparison: [])
    comparison = dict(study)
    suite = comparison["suites"][0]
    by_seed = {f"hybrid seed={seed}": {f"{suite}/multi/mAP": 0.5 + seed / 100} for seed in (0, 1)}
    comparison["run"] = (comparison.get("run") or {}) | {"seeds": [0, 1], "by_seed": by_seed}
    page = render(comparison)
    assert "Every training by itself" in page
    assert all(text in page for text in ("hybrid seed=1", "50.0", "51.0"))
    comparison["run"]["seeds"] = [0]
    assert "Every training by itself" not in render(comparison)
