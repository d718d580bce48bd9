"""Tables: letters follow corrected tests, bold type the baseline, Markdown and LaTeX say what the page says."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from report_helpers import a_study, expected_row, with_free_baselines

from hybrid_core.comparison import Json, find
from hybrid_core.report.latex import escaped, latex_tables
from hybrid_core.report.letters import letters
from hybrid_core.report.markdown import markdown_report, markdown_table
from hybrid_core.report.page import render
from hybrid_core.report.tables import COLUMNS, best_arm, main_table
from hybrid_core.report.text import terminal_table


@pytest.fixture
def study() -> Json:
    return a_study()


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are the matter here, and drawing takes most of the time."""
    monkeypatch.setattr("hybrid_core.report.page.pictures", lambda comparison: [])


def by_hand(*rows: Json, levels: tuple[Json, ...] = ()) -> Json:
    """A comparison of three arms on one suite in two languages that holds nothing but differences and levels."""
    common = {"suite": "s", "setting": "multi", "p_holm": 1.0, "equivalent": None, "margin": None}
    return {
        "confidence": 0.95, "arms": ["one", "two", "three"], "suites": ["s"], "pools": {"s": {"de": 5, "en": 5}}, "levels": list(levels),
        "differences": [common | row for row in rows],
    }  # fmt: skip


def a_difference(arm: str, reference: str, metric: str, value: float, **more: object) -> Json:
    return {"arm": arm, "reference": reference, "metric": metric, "value": value, **more}


def marks(comparison: Json, metric: str) -> list[str]:
    found = letters(comparison)
    return [found.marks("s", "multi", metric, arm) for arm in comparison["arms"]]


def test_an_arm_carries_the_letters_of_the_arms_it_is_significantly_better_than() -> None:
    comparison = by_hand(
        a_difference("two", "one", "mAP", 0.2, p_holm=0.01),
        a_difference("three", "one", "mAP", 0.1, p_holm=0.049),
        a_difference("three", "two", "mAP", -0.1, p_holm=0.001),
    )
    assert marks(comparison, "mAP") == ["", "ac", "a"]
    assert letters(comparison).of == {"one": "a", "two": "b", "three": "c"}


@pytest.mark.parametrize(("confidence", "expected"), [(0.9, "a"), (0.95, ""), (0.99, "")])
def test_letters_are_given_at_the_level_of_the_intervals(confidence: float, expected: str) -> None:
    comparison = by_hand(a_difference("two", "one", "mAP", 0.2, p_holm=0.07)) | {"confidence": confidence}
    assert marks(comparison, "mAP") == ["", expected, ""]
    assert f"p < {1 - confidence:g} after Holm" in letters(comparison).legend()


def test_a_column_says_of_how_many_passages_the_language_share_is(study: Json) -> None:
    for k, comparison in ((10, study), (3, study | {"top_k": 3})):
        title = f"same-language share of the top {k}, %"
        assert title in markdown_table(comparison) and title in render(comparison)
        assert f"own-language share of top {k}" in terminal_table(comparison)


@pytest.mark.parametrize("metric", ["rank_distance", "rank_distance_share", "max_rank", "same_language_share"])
def test_less_is_better_for_bias(metric: str) -> None:
    assert marks(by_hand(a_difference("two", "one", metric, -0.2, p_holm=0.01)), metric) == ["", "a", ""]
    assert marks(by_hand(a_difference("two", "one", metric, 0.2, p_holm=0.01)), metric) == ["b", "", ""]


def test_no_letter_at_the_level_without_a_test_or_without_a_difference() -> None:
    rows = [
        a_difference("two", "one", "mAP", 0.2, p_holm=0.05),
        a_difference("three", "one", "mAP", 0.2, p_holm=None, p=0.0),
        a_difference("three", "two", "mAP", 0.0, p_holm=0.0),
    ]
    assert marks(by_hand(*rows), "mAP") == ["", "", ""]


def test_same_language_share_below_the_uniform_share_earns_no_letter() -> None:
    level = {"suite": "s", "setting": "multi", "metric": "same_language_share", "arm": "two", "low": 0.0, "high": 1.0}
    row = a_difference("two", "one", "same_language_share", -0.2, p_holm=0.01)
    for share, expected in ((0.6, "a"), (0.4, "")):
        assert marks(by_hand(row, levels=(level | {"value": share},)), "same_language_share")[1] == expected


def test_equivalent_arms_carry_each_others_letter_and_the_legend_the_margin() -> None:
    comparison = by_hand(
        a_difference("two", "one", "mAP", 0.001, p_holm=0.01, equivalent=True, margin=0.01),
        a_difference("three", "one", "mAP", 0.2, p_holm=0.01, equivalent=False, margin=0.01),
    )
    assert marks(comparison, "mAP") == ["=b", "a=a", "a"]
    assert "within ±1.0 points" in letters(comparison).legend() and "Holm" in letters(comparison).legend()


def test_comparisons_without_tests_have_neither_letters_nor_a_legend(study: Json) -> None:
    study["differences"] = [
        {k: v for k, v in row.items() if k not in ("p", "p_holm", "equivalent", "margin")}
        for row in study["differences"]
    ]
    assert letters(study).of == {} and letters(study).legend() == ""
    assert "<sup>" not in render(study) and 'class="letter"' not in render(study)
    assert "textsuperscript" not in latex_tables(study) and "base (a)" not in markdown_table(study)


def test_letters_stand_in_page_markdown_and_latex(study: Json) -> None:
    labels = {"suite": "sample_home", "setting": "mono", "metric": "mAP"}
    for row in study["differences"]:
        row.update(p_holm=1.0, equivalent=False)
    find(study["differences"], **labels, arm="hybrid", reference="base").update(value=0.1, p_holm=0.001)
    find(study["differences"], **labels, arm="hybrid", reference="mono").update(equivalent=True)
    cell = next(row for row in main_table(study)[0].rows if row.label == "hybrid").cells[0]
    assert cell.marks == "a=b"
    assert f"({cell.interval}) a=b |" in markdown_table(study)
    assert "<sup>a=b</sup>" in render(study) and "p &lt; 0.05 after Holm" in render(study)
    assert r"\textsuperscript{a=b}" in latex_tables(study) and "hybrid (d)" in latex_tables(study)


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


def test_markdown_table_has_one_row_per_suite_and_arm(study: Json) -> None:
    lines = markdown_table(study).splitlines()
    assert len(lines) == 2 + (len(study["suites"]) + 1) * len(study["arms"])
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 3}
    value, interval = expected_row(study, "sample_home", "mono")[0]
    assert f"{value} ({interval})" in lines[3].replace("*", "")


def test_markdown_report_holds_answer_table_legend_free_baselines_and_limits(study: Json) -> None:
    text = markdown_report(with_free_baselines(study))
    for expected in ("# Study of tests", "Hybrid batches against mono batches", "| home (training domain) | base (a) |",
                     "Holm", "## What costs nothing", "base+csls", "One seed (7)"):  # fmt: skip
        assert expected in text
    assert "## What costs nothing" not in markdown_report(study)
    assert "base+csls" not in markdown_table(with_free_baselines(study)), "the main table is about models"


def test_latex_escapes_everything_that_is_special_to_it() -> None:
    assert escaped(r"a_b & 50% of $x^2 #1 {~} \[*]") == (
        r"a\_b \& 50\% of \$x\textasciicircum{}2 \#1 \{\textasciitilde{}\} \textbackslash{}{[}{*}{]}"
    )
    assert escaped("−1.0 ± 2 × 3–4\n") == r"$-$1.0 $\pm$ 2 $\times$ 3--4 "


def test_latex_environments_and_braces_balance_and_rows_have_all_columns(study: Json) -> None:
    study["arms"] = ["[x]_1 & 100% \\" if arm == "twin" else arm for arm in study["arms"]]
    for rows in (study["levels"], study["differences"]):
        for row in rows:
            row.update({k: study["arms"][-1] for k in ("arm", "reference") if row.get(k) == "twin"})
    text = latex_tables(with_free_baselines(study))
    begun, ended = (Counter(re.findall(rf"\\{word}{{(\w+)}}", text)) for word in ("begin", "end"))
    assert begun == ended == {"table": len(study["suites"]), "tabular": len(study["suites"])}
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == len(study["suites"])
    plain = re.sub(r"\\[\\{}&_%$#]", "", text)
    assert plain.count("{") == plain.count("}")
    assert len(labels := re.findall(r"\\label{([^}]*)}", text)) == len(set(labels))
    for table in text.split(r"\begin{tabular}")[1:]:
        columns = len(re.match(r"{(l r*|lr*)}", table).group(1))  # type: ignore[union-attr]
        body = table[table.index(r"\midrule") : table.index(r"\bottomrule")].splitlines()[1:]
        assert body and all(re.sub(r"\\&", "", line).count("&") == columns - 1 for line in body)
        assert all(line.endswith(r"\\") for line in body)


def test_latex_gives_rank_distance_in_ranks_and_free_baselines_below_their_model(study: Json) -> None:
    text = latex_tables(with_free_baselines(study))
    row = find(study["levels"], suite="sample_home", setting="multi", metric="rank_distance", arm="base")
    assert f"{row['value']:.1f}" in next(line for line in text.splitlines() if line.startswith("base"))
    first = [line for line in text.splitlines() if re.match(r"(\\quad )?(base|mono|bm25)\b", line)][:4]
    assert [line.split(" & ")[0].split(" (")[0] for line in first] == [
        "base", r"\quad base+mean\_offset", r"\quad base+csls", "mono",
    ]  # fmt: skip
