"""What is measured of one encoder, and the comparison that comes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from made_up_suites import a_suite, smooth_vectors

from hybrid_core.config import EvaluateConfig
from hybrid_core.data.suites import Suite
from hybrid_core.errors import RequestError
from hybrid_core.evaluate import BIAS_METRICS, METRICS, evaluate
from hybrid_core.measure import Embeddings, Measurement, evaluate_free, measure, notes_on, with_variants
from hybrid_core.report.caveats import caveats
from hybrid_core.report.pages import pages
from hybrid_core.results import as_json, compare_measured
from hybrid_core.stats import sums

CONFIG = EvaluateConfig(bootstrap_samples=100, perturbations=("case", "typos"), distractors=(2,))


def two_suites() -> list[Suite]:
    return [renamed(a_suite(seed), name) for seed, name in enumerate(("home", "away"))]


def renamed(suite: Suite, name: str) -> Suite:
    """With texts of its own, so that the suites can lend each other distractors."""
    texts = [f"{text} {name}" for text in suite.passages.texts]
    return replace(suite, name=name, passages=replace(suite.passages, texts=texts, sentences=texts))


def made_up_vectors(suites: list[Suite], seed: int = 0) -> Embeddings:
    """Passages of a suite and of its variants have the same vectors in the rows they share."""
    return {s.name: (smooth_vectors(len(s.queries), seed + 1), smooth_vectors(len(s.passages), seed)) for s in suites}


def measured(seed: int = 0, config: EvaluateConfig = CONFIG) -> tuple[list[Suite], Measurement]:
    whole = with_variants(two_suites(), config, seed=0)
    return whole, measure(whole, made_up_vectors(whole, seed), config, seed=0)


def test_every_suite_comes_with_the_variants_asked_for() -> None:
    names = [s.name for s in with_variants(two_suites(), CONFIG, seed=0)]
    assert names == [
        f"{suite}{variant}" for suite in ("home", "away") for variant in ("", "~case", "~typos", "~distractors_2")
    ]


def test_a_request_without_variants_measures_the_suites_alone() -> None:
    assert [s.name for s in with_variants(two_suites(), EvaluateConfig(), seed=0)] == ["home", "away"]


def test_code_switching_without_words_is_refused() -> None:
    with pytest.raises(RequestError, match="needs a lexicon"):
        with_variants(two_suites(), EvaluateConfig(perturbations=("code_switching",)), seed=0)


def test_variants_and_free_baselines_are_kept_apart_from_the_suites() -> None:
    _, found = measured()
    assert list(found.evaluations) == list(found.variants) == ["home", "away"]
    assert list(found.variants["home"]) == ["case", "typos", "distractors_2"]
    assert {m: list(e) for m, e in found.free.items()} == {
        m: ["home", "away"] for m in ("mean_offset", "top_component", "csls")
    }
    assert {row["suite"] for row in found.geometry} == {"home", "away"}


def test_a_suite_is_scored_as_by_evaluate() -> None:
    whole, found = measured()
    home = whole[0]
    alone = evaluate(home, *made_up_vectors(whole)["home"])
    scored = found.evaluations["home"].per_query
    for metric in (*METRICS, *BIAS_METRICS):
        np.testing.assert_array_equal(scored[metric].to_numpy(), alone.per_query[metric].to_numpy())


def test_a_comparison_holds_models_free_baselines_variants_and_unseen_languages() -> None:
    models = {name: [measured(seed)[1]] for seed, name in ((0, "base"), (5, "hybrid"))}
    comparison = compare_measured(models, two_suites(), CONFIG, in_domain="home", seed=0, seen=("de", "en"))
    assert comparison["arms"][0] == "base" and set(comparison["arms"]) == {
        "base", "hybrid", "bm25", *(f"{m}+{f}" for m in models for f in ("mean_offset", "top_component", "csls"))
    }  # fmt: skip
    assert comparison["free"]["hybrid+csls"] == {"of": "hybrid", "method": "csls"}
    assert {row["setting"] for row in comparison["levels"] if row["arm"] == "bm25"} == {"mono"}
    assert {(r["suite"], r["perturbation"], r["arm"]) for r in comparison["perturbations"]} == {
        (s, v, m) for s in ("home", "away") for v in ("case", "typos", "distractors_2") for m in models
    }
    assert {r["arm"] for r in comparison["geometry"]} == set(models)
    assert comparison["without_passages"] == {}
    assert {r["group"] for r in comparison["unseen"] if r["setting"] == "mono"} == {"seen", "unseen", "gap"}
    assert set(json.loads(as_json(comparison))) == set(comparison)


def test_a_perturbation_comes_with_the_share_of_queries_that_it_changes() -> None:
    rows = compare_measured({"base": [measured()[1]]}, two_suites(), CONFIG, in_domain="home", seed=0)["perturbations"]
    shares = {(r["perturbation"], r["language"]): r["changed"] for r in rows if "changed" in r and r["suite"] == "home"}
    languages = sorted({language for _, language in shares} - {""})
    assert {name for name, _ in shares} == {"case", "typos"}, "distractors leave queries as they are"
    assert {shares["typos", language] for language in languages} == {1.0} == {shares["typos", ""]}
    assert shares["case", ""] == pytest.approx(np.mean([shares["case", language] for language in languages]))


def test_bm25_stays_off_above_its_limit_and_that_is_said() -> None:
    small = EvaluateConfig(bootstrap_samples=100, geometry=False, baselines=("bm25",), bm25_passages=29)
    home, away = two_suites()
    away = replace(away, settings=("multi",))  # BM25 is for mono alone
    found = measure([home, away], made_up_vectors([home, away]), small, seed=0)
    comparison = compare_measured({"base": [found]}, [home, away], small, in_domain="home", seed=0)
    assert not [row for row in comparison["levels"] if row["arm"] == "bm25"]
    assert notes_on([home, away], small) == [
        "home: no BM25, because some languages have more than evaluate.bm25_passages=29 passages (de 30, en 30, fr 30)."
    ]
    assert notes_on([home, away], replace(small, bm25_passages=30)) == []
    assert notes_on([home, away], replace(small, baselines=())) == []


def test_what_a_request_gets_less_of_stands_among_the_caveats_of_the_report() -> None:
    whole, found = measured(config=replace(CONFIG, distractors=(2, 500)))
    notes = notes_on(whole, CONFIG)
    assert notes[0] == "home: 500 distractors per language were asked for, there are fewer in de 30, en 30, fr 30."
    comparison = compare_measured({"base": [found]}, two_suites(), CONFIG, in_domain="home", seed=0)
    assert set(notes) <= set(caveats(comparison | {"run": {"notes": notes}}))


def test_the_strength_of_perturbations_and_the_neighbours_of_csls_are_the_requests() -> None:
    suites = two_suites()
    config = EvaluateConfig(
        bootstrap_samples=100, perturbations=("typos", "case"), perturbation_rates=("typos=0.6",), csls_neighbours=1,
        baselines=("csls",), geometry=False,
    )  # fmt: skip
    whole = with_variants(suites, config, seed=0)
    assert [s.name for s in whole[:3]] == ["home", "home~typos@0.6", "home~case"]
    found = measure(whole, made_up_vectors(whole), config, seed=0)
    rows = compare_measured({"base": [found]}, suites, config, in_domain="home", seed=0)["perturbations"]
    assert {r["perturbation"]: "changed" in r for r in rows} == {"typos@0.6": True, "case": True}
    vectors = made_up_vectors(whole)["home"]
    one, ten = (evaluate_free(suites[0], "csls", *vectors, replace(config, csls_neighbours=k)) for k in (1, 10))
    kept = found.free["csls"]["home"].per_query["max_rank"].to_numpy()
    np.testing.assert_array_equal(kept, one.per_query["max_rank"].to_numpy())
    assert (kept != ten.per_query["max_rank"].to_numpy()).any()


def test_models_are_compared_under_each_perturbation_and_the_tests_corrected() -> None:
    models = {name: [measured(seed)[1]] for seed, name in ((0, "base"), (5, "hybrid"))}
    found = compare_measured(models, two_suites(), CONFIG, in_domain="home", seed=0, seen=("de", "en"))
    for key in ("perturbations", "perturbation_contrasts", "unseen"):
        tested = [r for r in found[key] if r["p"] is not None]
        assert tested and all(r["p_holm"] >= r["p"] > 0 for r in tested), key
    whole = [r for r in found["perturbation_contrasts"] if not r["language"] and not r["domain"]]
    assert {(r["suite"], r["perturbation"], r["setting"], r["arm"], r["reference"]) for r in whole} == {
        (s, v, t, "hybrid", "base")
        for s in ("home", "away") for v in ("case", "typos", "distractors_2") for t in ("mono", "cross", "multi")
    }  # fmt: skip
    losses = {
        (r["suite"], r["perturbation"], r["setting"], r["arm"]): r["difference"]
        for r in found["perturbations"] if not r["language"] and not r["domain"]
    }  # fmt: skip
    for r in whole:
        place = r["suite"], r["perturbation"], r["setting"]
        assert r["value"] == pytest.approx(losses[*place, "hybrid"] - losses[*place, "base"])
        assert r["low"] <= r["value"] <= r["high"]
    smallest = min(r["p"] for r in whole)
    assert min(r["p_holm"] for r in whole) == pytest.approx(min(1.0, len(whole) * smallest))


def test_languages_that_only_ask_are_named() -> None:
    suite = a_suite(0, query_languages=("de", "sw"), settings_=("multi",))
    config = EvaluateConfig(bootstrap_samples=100, baselines=("mean_offset",), geometry=False)
    found = measure([suite], made_up_vectors([suite]), config, seed=0)
    comparison = compare_measured({"base": [found]}, [suite], config, in_domain=suite.name, seed=0)
    assert comparison["without_passages"] == {"made_up": ["sw"]}


def test_a_report_file_is_strict_json_and_gives_the_same_pages() -> None:
    suite = a_suite(0, most_relevant=1)  # one relevant passage at most here and there: some measures are not defined
    config = EvaluateConfig(bootstrap_samples=100, baselines=(), geometry=False)
    found = measure([suite], made_up_vectors([suite]), config, seed=0)
    comparison = compare_measured({"base": [found]}, [suite], config, in_domain=suite.name, seed=0)
    comparison["levels"][0] |= {"value": float("nan"), "low": float("nan"), "high": float("nan")}
    text = as_json(comparison)
    assert "NaN" not in text and json.loads(text)["levels"][0]["value"] is None
    assert pages(json.loads(text)) == pages(comparison)


def test_nothing_is_said_of_unseen_languages_when_none_is_known() -> None:
    comparison = compare_measured({"base": [measured()[1]]}, two_suites(), CONFIG, in_domain="home", seed=0)
    assert comparison["unseen"] == []


def test_the_level_of_a_model_is_the_mean_over_its_seeds() -> None:
    seeds = [measured(seed)[1] for seed in (0, 5)]
    comparison = compare_measured({"hybrid": seeds}, two_suites(), CONFIG, in_domain="home", seed=0)
    (row,) = [
        r for r in comparison["levels"]
        if (r["arm"], r["suite"], r["setting"], r["metric"]) == ("hybrid", "home", "multi", "mAP")
    ]  # fmt: skip
    each = []
    for found in seeds:
        data = sums(found.evaluations["home"].per_query, "multi", "mAP")
        each.append(np.nanmean(data.totals.sum(0) / data.counts.sum(0)))
    assert row["value"] == pytest.approx(np.mean(each))


def test_baselines_and_diagnostics_can_be_left_out() -> None:
    _, found = measured(config=EvaluateConfig(baselines=(), geometry=False))
    assert (found.free, found.geometry, found.variants) == ({}, [], {})
