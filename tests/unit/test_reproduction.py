"""The verdict of every cell: which runs count, what qualifies them, and why a value was not run."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import scored_rows
from hypothesis import given
from hypothesis import strategies as st
from reproduction_helpers import MIRACL, POOLS, STATED, XLMR, Json, a_result, a_run
from scored_rows import Row

from hybrid_core.comparison import compare, find
from hybrid_core.config import EvaluateConfig
from hybrid_core.data.suites.miracl import PUBLISHED, collection_of, suite_name
from hybrid_core.evaluate import ALL_LANGUAGES, Evaluation
from hybrid_core.reproduction import (
    IN_RANKS,
    Cell,
    agreement,
    paper,
    paper_model,
    policy_and_alpha,
    published,
    qualifications,
    reproduce,
)


def verdicts(cells: list[Cell], model: str = "XLM-R") -> Counter[str]:
    return Counter(cell.verdict for cell in cells if cell.published.model == model)


# --- one cell


@pytest.mark.parametrize(
    ("published_value", "value", "half", "metric", "expected"),
    [
        (0.79, 0.80, 0.011, "mAP", "OK"),  # inside
        (0.79, 0.794, 0.001, "mAP", "OK"),  # outside, but within half a point
        (0.79, 0.80, 0.001, "mAP", "near"),
        (0.79, 0.815, 0.02, "mAP", "off"),
        (0.60, 0.645, 0.049, "mAP", "near"),  # inside, but 4.5 points away
        (0.60, 0.615, 0.049, "mAP", "near"),  # inside, but the interval holds differences of 5 points
        (0.60, 0.615, 0.019, "mAP", "OK"),
        (0.79, 0.85, 0.07, "mAP", "near"),  # inside an interval that agrees with nearly everything
        (400.0, 405.0, 1.0, "rank_distance", "OK"),
        (400.0, 430.0, 1.0, "rank_distance", "near"),
        (400.0, 460.0, 30.0, "rank_distance", "off"),
    ],
)
def test_agreement_by_interval_and_tolerance(
    published_value: float, value: float, half: float, metric: str, expected: str
) -> None:
    assert agreement(published_value, value, value - half, value + half, metric) == expected


@given(
    value=st.floats(0, 1), half=st.floats(0, 0.1), near=st.floats(0, 0.2), further=st.floats(0, 0.2),
    side=st.sampled_from([-1, 1]),
)  # fmt: skip
def test_a_published_value_further_away_never_agrees_better(
    value: float, half: float, near: float, further: float, side: int
) -> None:
    order = ("OK", "near", "off")
    distances = sorted([near, further])
    found = [agreement(value + side * d, value, value - half, value + half, "mAP") for d in distances]
    assert order.index(found[0]) <= order.index(found[1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("xlm-roberta-base", "XLM-R"),
        ("FacebookAI/xlm-roberta-base", "XLM-R"),
        ("sentence-transformers/LaBSE", "LaBSE"),
        ("/models/LaBSE/", "LaBSE"),
        ("s3://bucket/encoders/xlm-roberta-base", "XLM-R"),
        ("/hub/models--sentence-transformers--LaBSE/snapshots/836121a", "LaBSE"),
        ("someone/LaBSE", None),
        ("/hub/models--someone--LaBSE/snapshots/836121a", None),
        ("FacebookAI/xlm-roberta-large", None),
        ("packaged:multilingual-e5-small", None),
        ("intfloat/multilingual-e5-base", None),
        ("", None),
    ],
)
def test_the_encoders_of_the_paper_are_known_by_name(name: str, expected: str | None) -> None:
    assert paper_model(name) == expected


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("mono", "mono"), ("cross", "cross"), ("hybrid", "hybrid"), ("hybrid@0.5", "hybrid"), ("hybrid@1.0", "mono"),
        ("hybrid@0.40", "hybrid@0.4"), ("alpha=0.0", "cross"), ("name=LaBSE alpha=0.5", "hybrid"), ("alpha=0.25", "hybrid@0.25"),
        ("base", None), ("hybrid/4", None), ("hybrid+csls", None), ("bm25", None), ("x_x", None), ("hybrid@much", None), ("mono@0.5", None),
    ],
)  # fmt: skip
def test_arms_of_studies_and_sweeps_in_the_terms_of_the_paper(arm: str, expected: str | None) -> None:
    assert policy_and_alpha(arm) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, ()),
        ({"alpha": None}, ()),
        ({"alpha": 0.25}, ("alpha 0.25 instead of 0.5",)),
        ({"global_batch": 16, "learning_rate": 5e-5}, ("global_batch 16 instead of 100", "learning_rate 5e-05 instead of 3e-05")),
        ({"corpus": {"languages": {"en": 9331}}}, ("different training data",)),
        ({"corpus": None}, ("different training data",)),
        ({"unchecked_suites": ["xquad_r"]}, ("training data not checked for overlap with the suite",)),
        ({"unchecked_suites": ["mlqa_r"]}, ()),
        ({"unchecked_suites": ["miracl_sw"]}, ()),
    ],
)  # fmt: skip
def test_what_differs_from_the_training_of_the_paper_is_named(facts: Json, expected: tuple[str, ...]) -> None:
    assert qualifications({"run": a_run(**facts)}, "hybrid", "xquad_r") == expected


def test_what_a_run_does_not_record_is_not_claimed() -> None:
    run = {k: v for k, v in a_run().items() if k not in STATED}
    reasons = tuple(f"{name} not recorded" for name in ("global_batch", "learning_rate", "weight_decay"))
    assert qualifications({"run": run}, "mono", "xquad_r") == reasons
    assert qualifications({"run": run}, "hybrid", "xquad_r") == (*reasons, "alpha not recorded")
    assert qualifications({"run": run}, "hybrid@0.5", "xquad_r") == reasons, "this arm's name says its alpha"


# --- the matrix


def test_without_results_nothing_was_run() -> None:
    cells = reproduce([])
    assert [cell.published for cell in cells] == published()
    assert {(cell.verdict, cell.why) for cell in cells} == {("not run", "no results")}


def test_another_encoder_reproduces_nothing_however_near_its_numbers_are() -> None:
    cells = reproduce([a_result("packaged:multilingual-e5-small")])
    assert {cell.verdict for cell in cells} == {"not run"}
    assert {cell.why for cell in cells} == {
        f"other model: packaged:multilingual-e5-small instead of {model}" for model in ("XLM-R", "LaBSE")
    }


@pytest.mark.parametrize(
    ("offset", "half", "expected"), [(0.0, 0.01, "OK"), (0.015, 0.001, "near"), (0.2, 0.02, "off")]
)
def test_a_run_of_the_paper_is_judged_by_its_numbers(offset: float, half: float, expected: str) -> None:
    cells = reproduce([a_result(offset=offset, half=half)])
    assert verdicts(cells) == {expected: 516} or expected == "near"
    if expected == "near":
        by_kind = {(c.verdict, c.published.metric in IN_RANKS) for c in cells if c.published.model == "XLM-R"}
        assert by_kind == {("near", False), ("OK", True)}  # 1.5% of a rank distance is less than its tolerance
    assert verdicts(cells, "LaBSE") == {"not run": 516}
    found = next(c for c in cells if c.verdict == expected)
    assert (found.arm, found.candidate_text, found.run) == ("mono", "sentence", f"Study, {XLMR}")


def test_other_training_data_are_compared_and_qualified_never_ok() -> None:
    cells = [c for c in reproduce([a_result(corpus={"languages": {"en": 9}})]) if c.published.model == "XLM-R"]
    assert {(c.verdict, c.why, c.agreement) for c in cells} == {("qualified", "different training data", "OK")}


def test_of_several_runs_the_one_most_like_the_paper_stands_and_not_the_nearest() -> None:
    nearest, alike = a_result(global_batch=16), a_result(offset=0.3)
    for results in ([nearest, alike], [alike, nearest]):
        assert verdicts(reproduce(results)) == {"off": 516}
    first, second = a_result(offset=0.3), a_result(offset=0.0)
    assert verdicts(reproduce([first, second])) == {"off": 516}, "equally alike: the first"


def test_reasons_why_a_cell_was_not_run() -> None:
    result = a_result()
    result["suites"] = ["xquad_r"]
    result["arms"].remove("cross")
    result["levels"] = [row for row in result["levels"] if row["metric"] != "R_1"]
    result["languages"] = []
    for row in result["levels"]:
        if row["metric"] == "R_10":
            row["value"] = math.nan
    cells = [c for c in reproduce([a_result("other"), result]) if c.published.model == "XLM-R"]
    reasons = {
        (c.published.suite, c.published.arm, bool(c.published.language)): c.why
        for c in cells
        if c.published.metric == "mAP"
    }
    assert reasons["mlqa_r", "mono", False] == "suite mlqa_r not evaluated"
    assert reasons["xquad_r", "cross", False] == "arm cross not trained"
    assert reasons["xquad_r", "mono", False] == ""
    assert reasons["xquad_r", "mono", True] == "multi mAP by language not in the results"
    assert {c.why for c in cells if c.published.metric == "nDCG_10"} == {
        "suite miracl not evaluated: its passages have to be fetched first (MIRACL corpus, 131,924 to millions per language)"
    }
    left = {
        c.why for c in cells if (c.published.suite, c.published.arm, c.published.language) == ("xquad_r", "mono", "")
    }
    assert left == {"", "mono R_1 not in the results", "cross R_1 not in the results", "multi R_10 not in the results"}


def miracl(result: Json, metric: str = "nDCG_10") -> dict[tuple[str, str], Cell]:
    """The cells of MIRACL and XLM-R by language and arm."""
    return {
        (c.published.language, c.published.arm): c
        for c in reproduce([result])
        if (c.published.suite, c.published.metric, c.published.model) == ("miracl", metric, "XLM-R")
    }


def test_a_pool_that_lacks_passages_reproduces_nothing() -> None:
    result = a_result()
    result["pools"][MIRACL]["sw"] = 1_488
    cells = miracl(result)
    assert cells["sw", "mono"].why == cells["", "mono"].why == "passages incomplete: 1,488 instead of 131,924 in sw"
    assert cells["bn", "mono"].verdict == "OK"


def test_languages_that_the_paper_has_not_count_where_they_share_the_pool_and_not_where_they_have_their_own() -> None:
    result = a_result()
    for suite in ("xquad_r", MIRACL):
        result["pools"][suite]["de" if suite == MIRACL else "ja"] = 10
    assert {cell.verdict for cell in miracl(result).values()} == {"OK"}
    whole = {c.published.setting: c for c in reproduce([result]) if c.published.suite == "xquad_r" and c.published.model == "XLM-R"
             and not c.published.language}  # fmt: skip
    assert {cell.why for cell in whole.values()} == {"12 languages instead of the paper's 11"}


def test_of_two_arms_of_the_same_kind_the_first_stands() -> None:
    result = a_result()
    result["arms"].append("hybrid@0.5")
    assert verdicts(reproduce([result])) == {"OK": 516}


def test_a_sweep_over_encoders_is_read_by_its_arms() -> None:
    result = a_result()
    names = {
        "mono": "name=xlm-roberta-base alpha=1.0",
        "cross": "name=xlm-roberta-base alpha=0.0",
        "hybrid": "name=xlm-roberta-base alpha=0.5",
    }
    for row in (*result["levels"], *result["languages"]):
        row["arm"] = names[row["arm"]]
    result |= {"arms": ["name=multilingual-e5-base alpha=0.5", *names.values()]}
    result["run"].pop("alpha")
    assert verdicts(reproduce([result])) == {"OK": 516}
    assert verdicts(reproduce([result]), "LaBSE") == {"not run": 516}


# --- what a comparison stores


def an_evaluation_of(suite: str, pools: dict[str, int], questions: int = 2, seed: int = 0) -> Evaluation:
    """Questions in every language of a pool, in the settings that the paper has for the suite; scores at random."""
    settings, languages = {p.setting for p in published() if p.suite == collection_of(suite)}, sorted(pools)
    score = np.random.default_rng(seed).random
    searched = {
        "mono": lambda query: [query],
        "cross": lambda query: [x for x in languages if x != query],
        "multi": lambda query: [ALL_LANGUAGES],
    }
    own = "{language}{i}" if collection_of(suite) == "miracl" else "m{i}"  # its topics are no translations
    rows: list[Row] = [
        (setting, query, pool, own.format(language=query, i=i), float(score()))
        for setting in sorted(settings) for query in languages for pool in searched[setting](query)
        for i in range(questions)
    ]  # fmt: skip
    return scored_rows.an_evaluation(rows, suite)


def compared(pools: dict[str, dict[str, int]], samples: int = 100, questions: int = 2, seeds: int = 1) -> Json:
    """A comparison of the paper's arms on these suites, as `compare` makes it."""
    suites = {name: [an_evaluation_of(name, pools[name], questions, s) for s in range(seeds)] for name in pools}
    config = EvaluateConfig(bootstrap_samples=samples)
    found = compare({arm: suites for arm in paper()["arms"]}, config, in_domain=next(iter(pools)), seed=0)
    return found | {"run": a_run(), "pools": pools}


def test_a_comparison_of_all_suites_fills_every_cell_of_the_paper() -> None:
    cells = [cell for cell in reproduce([compared(POOLS)]) if cell.published.model == "XLM-R"]
    assert {cell.why for cell in cells if cell.verdict == "not run"} == set()


ALL_OF_MIRACL = {language: counts.passages or 0 for language, counts in PUBLISHED["miracl"].languages.items()}


@pytest.mark.parametrize("seeds", [1, 2])
def test_miracl_in_all_languages_and_language_by_language_gives_what_the_languages_of_the_paper_give(
    seeds: int,
) -> None:
    """The same rows for each language, so single languages are equal; the mean is equal, its interval nearly so."""
    whole = compared({suite_name("miracl", list(ALL_OF_MIRACL)): ALL_OF_MIRACL}, 2000, 20, seeds)
    assert whole["suites"] == ["miracl"]
    cells = miracl(whole)
    assert len(cells) == 3 * 16 and "not run" not in {cell.verdict for cell in cells.values()}
    alone = {suite_name("miracl", [x]): {x: ALL_OF_MIRACL[x]} for x in ALL_OF_MIRACL}
    assert list(alone)[:2] == ["miracl_ar", "miracl_bn"]
    for (language, arm), cell in miracl(split(whole, alone)).items():
        assert (cell.value, cell.low, cell.high) == (
            cells[language, arm].value,
            cells[language, arm].low,
            cells[language, arm].high,
        )
    exact = compared({MIRACL: POOLS[MIRACL]}, 2000, 20, seeds)
    found, wanted = cells["", "mono"], find(exact["levels"], arm="mono", metric="nDCG_10")
    assert cells["", "mono"].value == pytest.approx(np.mean([cells[x, "mono"].value for x in POOLS[MIRACL]]))
    assert found.low is not None and found.high is not None
    width = (found.high - found.low) / (wanted["high"] - wanted["low"])
    assert 0.85 < width < 1.15 if seeds == 1 else width > 0.95


def split(whole: Json, pools: dict[str, dict[str, int]]) -> Json:
    """The same result as if each language had been a suite of its own, as in evaluate.suites=miracl/ar,miracl/bn,..."""
    rows = [row | {"suite": f"miracl_{row['language']}"} for row in whole["languages"]]
    levels = [{key: value for key, value in row.items() if key != "language"} for row in rows]
    return whole | {"suites": list(pools), "pools": pools, "languages": rows, "levels": levels}


def test_one_language_of_miracl_fills_its_cells_and_the_mean_says_what_is_missing() -> None:
    result = compared({"miracl_bn_sw": {x: ALL_OF_MIRACL[x] for x in ("bn", "sw")}})
    cells = miracl(result)
    assert {language for (language, _), cell in cells.items() if cell.verdict != "not run"} == {"bn", "sw"}
    assert cells["ar", "mono"].why == "language ar not evaluated"
    assert cells["", "mono"].why.startswith("2 of the paper's 15 languages evaluated, without ar, es, fa")


@pytest.mark.parametrize(
    ("suite", "expected"),
    [
        ("miracl", "miracl"), ("miracl_sw", "miracl"), ("miracl_bn_sw", "miracl"), ("miracl_judged", "miracl_judged"),
        ("miracl_judged_sw", "miracl_judged"), ("tydi_en", "tydi"), ("miracl_lite", "miracl_lite"), ("miracl_mine", "miracl_mine"),
        ("xquad_r", "xquad_r"), ("miracl_", "miracl_"),
    ],
)  # fmt: skip
def test_the_collection_behind_the_name_of_a_suite(suite: str, expected: str) -> None:
    assert collection_of(suite) == expected
