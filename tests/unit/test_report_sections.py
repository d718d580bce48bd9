"""Optional parts of a comparison: shown where they are, silent where they are not, free baselines never in the foreground."""

from __future__ import annotations

import copy
import re
from html import unescape

import pytest
from report_helpers import LANGUAGES, Loads, a_comparison, a_study, a_suite, rows_of, with_free_baselines, with_sections

from hybrid_core.comparison import Json, find
from hybrid_core.report.answer import short_answer
from hybrid_core.report.arms import free_baselines, grouped, models, models_only
from hybrid_core.report.breakdown import breakdown_tables
from hybrid_core.report.caveats import caveats
from hybrid_core.report.effects import effect_cell, p_note, shift_table
from hybrid_core.report.free import free_statements
from hybrid_core.report.page import render
from hybrid_core.report.pages import pages
from hybrid_core.report.style import points, signed_points

OPTIONAL = ("worst", "unseen", "perturbations", "geometry", "certificate")
"""Keys whose section on the main page has their name."""


@pytest.fixture(scope="module")
def plain() -> Json:
    """A comparison as it was before there were optional keys."""
    study = a_study()
    kept = {"arms", "suites", "in_domain", "confidence", "bootstrap_samples", "levels", "differences", "shift_effects",
            "heat_maps", "histograms", "pools", "questions", "candidate_text", "run"}  # fmt: skip
    return {key: value for key, value in study.items() if key in kept}


@pytest.fixture(scope="module")
def full(plain: Json) -> Json:
    return with_sections(with_free_baselines(plain) | {"arms": plain["arms"]}) | {
        key: with_free_baselines(plain)[key] for key in ("arms", "free")
    }


@pytest.fixture(scope="module")
def files(full: Json) -> dict[str, str]:
    return pages(full)


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are not about them: drawing takes most of the time."""
    monkeypatch.setattr("hybrid_core.report.page.pictures", lambda comparison: [])
    monkeypatch.setattr("hybrid_core.report.page.perturbation_pictures", lambda comparison: [])


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", html))


def words(html: str) -> str:
    return " ".join(text_of(html).split())


def test_all_files_are_returned_and_domains_only_where_there_are_some(plain: Json, files: dict[str, str]) -> None:
    always = {"report.html", "report.md", "report.tex", "languages.html"}
    assert set(files) == always | {"domains.html"}
    assert set(pages(plain)) == set(pages(plain | {"domains": []})) == always


def test_every_page_is_self_contained_and_its_links_lead_to_other_pages(files: dict[str, str]) -> None:
    for name, html in files.items():
        if not name.endswith(".html"):
            continue
        parser = Loads()
        parser.feed(html)
        assert [load for load in parser.loads if not load.startswith(("#", "data:image/png;base64,"))] == [], name
        assert not parser.tags & {"script", "iframe", "link", "img", "object", "embed"}
        assert len(parser.ids) == len(set(parser.ids)), name
        links = set(re.findall(r'<a href="([^"]*)"', html))
        assert {link for link in links if not link.startswith("#")} <= set(files) - {name}
        assert {link[1:] for link in links if link.startswith("#")} <= set(parser.ids)
        assert html.count("<table") == html.count("<caption"), "every table says what it holds"
        assert not re.search(r"<th(?![^>]*scope=)[ >]", html), "every header says what it is the header of"


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("key", OPTIONAL)
def test_a_section_is_there_exactly_when_its_key_is_filled(key: str, plain: Json, full: Json) -> None:
    assert rows_of(key, render(plain | {key: full[key]}))
    for empty in (plain, plain | {key: type(full[key])()}):
        assert not rows_of(key, render(empty))


def test_worst_cases_are_named_with_their_intervals(full: Json, files: dict[str, str]) -> None:
    section = text_of(rows_of("worst", files["report.html"]))
    row = find(full["worst"], suite="sample_home", setting="mono", arm="mono", statistic="worst_language")
    assert f"{points(row['value'])} {points(row['low'])}–{points(row['high'])} zh" in re.sub(r"\s+", " ", section)
    assert "all suites" in section and "mean of the worst 25%" in section and "worst suite" in section


def test_geometry_is_called_a_diagnostic_and_the_certificate_is_flat(files: dict[str, str]) -> None:
    geometry, certificate = (text_of(rows_of(key, files["report.html"])) for key in ("geometry", "certificate"))
    assert "diagnostics, no targets" in geometry and "nothing should be selected or tuned on them" in geometry
    assert "1.23" in geometry
    for expected in ("versions / torch", "9.8.7", "checks / ranking", "yes", "3.2e-07"):
        assert expected in certificate


def test_perturbations_of_all_queries_are_on_the_main_page_and_those_of_parts_on_theirs(
    full: Json, files: dict[str, str]
) -> None:
    def shown(**labels: str) -> str:
        row = find(full["perturbations"], setting="mono", arm="cross", perturbation="typos", **labels)
        return signed_points(row["difference"])

    section = text_of(rows_of("perturbations", files["report.html"]))
    assert shown(language="", domain="") in section and "lower case" in section
    assert "lower case (changes 28% of the queries)" in section
    assert "zh (changes 28% of the queries)" in files["languages.html"]
    assert shown(language="zh", domain="") in files["languages.html"]
    assert shown(language="", domain="law & order") in files["domains.html"]
    assert "law &amp; order" in files["domains.html"]
    both = shown(language="zh", domain="law & order")
    assert both in text_of(files["domains.html"].split("Typos by language and domain, monolingual", 1)[1])
    assert "by language and domain" not in files["languages.html"]


def test_levels_by_language_have_a_bar_on_the_scale_of_their_table(full: Json, files: dict[str, str]) -> None:
    table = breakdown_tables(full, "languages", "sample_home")[0]
    drawn = [r for r in full["languages"] if r["metric"] == "mAP"]  # the others are for comparisons with papers
    rows = [r for r in drawn if (r["suite"], r["setting"]) == ("sample_home", "mono")]
    low, high = min(r["low"] for r in rows), max(r["high"] for r in rows)
    assert [row.label for row in table.blocks[0].rows] == sorted(LANGUAGES)
    for row in table.blocks[0].rows:
        for arm, cell in zip(models(full), row.cells, strict=True):
            stored = find(rows, arm=arm, language=row.label)
            assert cell.value == points(stored["value"]) and cell.bar is not None
            assert cell.bar.left == pytest.approx(100 * (stored["low"] - low) / (high - low), abs=0.01)
            assert cell.bar.left <= cell.bar.value <= cell.bar.left + cell.bar.width <= 100.01
    assert files["languages.html"].count('class="bar"') == len(drawn)


def test_free_baselines_stand_below_their_model_and_nowhere_else(full: Json, files: dict[str, str]) -> None:
    html = files["report.html"]
    rows = re.findall(r'<tr( class="secondary")?><th scope="row" class="arm">(.*?)</th>', rows_of("free", html))
    names = [re.sub(r"<[^>]*>", "", name).split(" ")[0] for _, name in rows][: len(full["arms"])]
    assert names == grouped(full)
    assert all(bool(secondary) == (name in full["free"]) for (secondary, _), name in zip(rows, names, strict=False))
    for section in ("levels", "pictures", "intervals", "worst", "details"):
        assert "+csls" not in rows_of(section, html) and "bm25" not in rows_of(section, html), section
    assert "+csls" not in files["languages.html"] and "+csls" not in files["domains.html"]


def test_models_only_drops_every_row_about_a_free_baseline(full: Json, plain: Json) -> None:
    shown = models_only(full)
    assert shown["arms"] == plain["arms"] and shown["differences"] == plain["differences"]
    assert shown["levels"] == plain["levels"] and models_only(shown) is shown
    named = {key: value for key, value in full.items() if key != "free"}
    assert free_baselines(named) == free_baselines(full), "names tell where the key is absent"


def a_claim(study: Json, arm: str) -> str:
    return next(text for text in free_statements(study) if text.lower().startswith(arm))


def test_the_short_answer_says_of_every_trained_arm_whether_it_beats_what_costs_nothing(full: Json) -> None:
    full = copy.deepcopy(full)
    for row in full["differences"]:
        if row["reference"] in full["free"]:
            row.update(value=0.1, low=0.05, high=0.15)
    beaten = a_claim(full, "hybrid")
    assert "beat everything that costs nothing" in beaten and "do not beat" not in beaten
    assert "beats all of them, on every suite" in beaten
    labels = {"setting": "cross", "metric": "mAP", "arm": "hybrid", "reference": "base+csls"}
    find(full["differences"], suite="sample_home", **labels).update(value=0.01, low=-0.01, high=0.03)
    find(full["differences"], suite="sample_away", **labels).update(value=-0.02, low=-0.03, high=-0.01)
    text = a_claim(full, "hybrid")
    assert "do not beat base+csls +1.0 (−1.0 to +3.0), which costs nothing, in cross-lingual" in text
    assert "not beaten: base+csls in 1 of 5" in text
    answer = short_answer(full)
    assert answer[-len(free_statements(full)) :] == free_statements(full)
    assert [text.split(",")[0] for text in free_statements(full)] == [
        "Mono batches", "Cross batches", "Hybrid batches", "twin",
    ]  # fmt: skip


def test_bm25_is_named_in_the_monolingual_setting_only(full: Json) -> None:
    full = copy.deepcopy(full)
    for row in full["differences"]:
        if row["reference"] in full["free"]:
            low = -0.1 if row["reference"] == "bm25" else 0.05
            row.update(value=0.1, low=low, high=0.3)
    assert "do not beat bm25 +10.0 (−10.0 to +30.0), which costs nothing, in monolingual; beat" in a_claim(full, "mono")


@pytest.mark.usefixtures("without_pictures")
def test_one_model_is_told_what_its_free_baselines_add() -> None:
    lone = with_free_baselines(a_comparison([a_suite("home")], {"model": (1.0, 0.6)}))
    labels = {"suite": "home", "setting": "cross", "metric": "mAP", "arm": "model+csls", "reference": "model"}
    lone["differences"] = [labels | {"value": 0.03, "low": 0.01, "high": 0.05}]
    assert free_statements(lone) == [
        "What costs nothing, mAP on home: above model are model+csls in cross-lingual +3.0 (+1.0 to +5.0)."
    ]
    lone["differences"][0].update(low=-0.01)
    assert free_statements(lone) == ["What costs nothing, mAP on home: nothing is above model."]
    assert "One seed" not in render(lone), "nothing was trained"


@pytest.mark.usefixtures("without_pictures")
def test_comparisons_without_free_baselines_say_nothing_about_them(plain: Json) -> None:
    assert free_statements(plain) == [] and not rows_of("free", render(plain | {"free": {}}))
    assert models(plain) == plain["arms"]


@pytest.mark.usefixtures("without_pictures")
def test_unchecked_suites_are_named(plain: Json) -> None:
    unchecked = plain | {"run": plain["run"] | {"unchecked_suites": ["sample_away", "odd"]}}
    assert "Overlap with the training corpus was not checked for away, odd" in render(unchecked)
    for run in (plain["run"], plain["run"] | {"unchecked_suites": []}):
        assert "was not checked" not in " ".join(caveats(plain | {"run": run}))


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ({"base": 1, "mono": 3, "cross": 3, "hybrid": 3, "twin": 3}, "Means over 3 seeds: intervals and p-values cover"),
        ({"base": 1, "mono": 3, "cross": 1, "hybrid": 3, "twin": 3}, "One seed for cross (others: mono 3, hybrid 3, twin 3)"),
        ({"base": 1, "mono": 1, "cross": 1, "hybrid": 1, "twin": 1}, "One seed (7): the intervals cover the choice of questions, not"),
        ({"mono": [0, 1], "cross": [0, 1], "hybrid": [0, 1], "twin": [0, 1]}, "Means over 2 seeds: intervals and p-values cover"),
        ({}, "One seed (7)"),
    ],
)  # fmt: skip
def test_the_number_of_seeds_is_said(plain: Json, seeds: Json, said: str) -> None:
    assert caveats(plain | {"seeds": seeds})[0].startswith(said)


def test_hostile_names_are_escaped_in_every_new_part(full: Json) -> None:
    hostile = '<script>alert("1")</script>'
    full = copy.deepcopy(full)
    full["certificate"] = {hostile: {hostile: hostile}}
    for key, field in (("languages", "language"), ("domains", "domain"), ("worst", "name"), ("perturbations", "perturbation"),
                       ("geometry", "diagnostic"), ("unseen", "group")):  # fmt: skip
        for row in full[key]:
            row[field] = hostile
    for name, text in pages(full).items():
        assert "<script" not in text or name == "report.tex", name


def test_shift_effects_stand_in_a_table_with_intervals_and_corrected_p_values(without_pictures: None) -> None:
    study = a_study()
    table = shift_table(study)
    assert table is not None and [block.title for block in table.blocks] == ["all shifted suites", "away", "odd"]
    for block, key, labels in zip(
        table.blocks, ("shift_effects", "shift_by_suite", "shift_by_suite"), ({}, {"suite": "sample_away"}, {"suite": "odd"}),
        strict=True,
    ):  # fmt: skip
        row = find(study[key], arm="mono", reference="base", setting="multi", metric="mAP", **labels)
        (line,) = [r for r in block.rows if r.label == "mono − base"]
        cell = line.cells[["monolingual", "cross-lingual", "multilingual"].index("multilingual")]
        assert cell.value == signed_points(row["value"]) and cell.note == p_note(row)
        assert row["p_holm"] >= row["p"] > 0
    page = render(study)
    assert table.caption in unescape(page)


def test_a_contrast_that_is_stored_the_other_way_is_turned(without_pictures: None) -> None:
    study = a_study()
    row = find(study["shift_effects"], arm="hybrid", reference="mono", setting="mono", metric="mAP")
    turned = row | {
        "arm": "mono", "reference": "hybrid", "value": -row["value"], "low": -row["high"], "high": -row["low"]
    }  # fmt: skip
    other = study | {"shift_effects": [turned if r is row else r for r in study["shift_effects"]]}
    assert shift_table(other) == shift_table(study)


@pytest.mark.parametrize(("p", "text"), [(0.0004, "p < 0.001"), (0.0123, "p = 0.012"), (1.0, "p = 1.000"), (None, "")])
def test_p_values_have_three_digits(p: float | None, text: str) -> None:
    assert p_note({"p_holm": p}) == text


def test_losses_of_two_arms_are_compared_on_the_page(full: Json, files: dict[str, str]) -> None:
    row = find(
        full["perturbation_contrasts"], arm="mono", reference="base", perturbation="typos", setting="mono", language=""
    )
    section = words(rows_of("perturbations", files["report.html"]))
    cell = effect_cell(row)
    assert "does one arm lose less than another?" in section
    assert f"{cell.value} {cell.interval} p = 0.012" in section


def test_differences_in_seen_and_unseen_languages_carry_p_values(files: dict[str, str]) -> None:
    section = words(rows_of("unseen", files["report.html"]))
    assert "p < 0.001" in section.split("differences", 1)[1]


@pytest.mark.parametrize(
    ("names", "said", "unsaid"),
    [
        (["typos", "case"], "written in another way: typos, case.", ("missing", "larger pool")),
        (
            ["truncation"],
            "a part is missing, so that not all that was asked is kept: truncation.",
            ("another way", "larger"),
        ),
        (["typos@0.1", "distractors_50"], "asked of a larger pool: distractors 50.", ("missing",)),
    ],
)
def test_only_what_keeps_the_meaning_is_said_to(
    full: Json, names: list[str], said: str, unsaid: tuple[str, ...], without_pictures: None
) -> None:
    rows = [
        row | {"perturbation": name}
        for row in full["perturbations"]
        if row["perturbation"] == "typos"
        for name in names
    ]
    section = words(rows_of("perturbations", render(full | {"perturbations": rows, "perturbation_contrasts": []})))
    note = section.split("Differences are paired", 1)[0].split("Perturbed queries and larger pools", 1)[1]
    assert said in note and not any(text in note for text in (*unsaid, "keeps their meaning"))


def test_what_is_said_of_seeds_is_the_same_everywhere(without_pictures: None) -> None:
    study = a_study()
    by_seed = {f"{arm} seed={s}": {"sample_home/mono/mAP": 0.5} for arm in ("mono", "hybrid") for s in (1, 2)}
    run = study["run"] | {"seeds": [1, 2], "by_seed": by_seed}
    page = words(render(study | {"run": run, "seeds": dict.fromkeys(study["arms"], 2) | {"base": 1}}))
    assert "not that of seeds" not in page
    assert "intervals and p-values cover the choice of questions and, as far as so few seeds show it" in page
    assert "their intervals cover the choice of questions and, as far as so few seeds show it, that of seeds" in page


def test_every_suite_is_a_row_of_the_page_of_domains(plain: Json, full: Json) -> None:
    domains = {"sample_home": ["cooking"], "sample_away": ["away"], "odd": []}
    page = pages(plain | {"suite_domains": domains})["domains.html"]
    section = words(rows_of("s1", page))
    level = find(plain["levels"], suite="sample_home", setting="mono", metric="mAP", arm="base")
    assert f"cooking (home) {points(level['value'])}" in section
    assert "away" in section and "odd" in section
    assert "domains.html" not in pages(plain | {"suite_domains": domains | {"sample_away": []}})
    several = words(rows_of("s1", pages(full)["domains.html"]))
    inner = find(full["domains"], domain="law & order", setting="mono", metric="mAP", arm="base")
    assert f"law & order (home) {points(inner['value'])}" in several and "news (home)" in several
