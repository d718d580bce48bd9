"""Claims about batches, decided by the intervals of our differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from reproduction_helpers import MIRACL, POOLS, Json, claim_of, with_differences

from hybrid_core.claims import CLAIMS, Claim, Effect, decide, findings
from hybrid_core.comparison import compare
from hybrid_core.config import EvaluateConfig
from hybrid_core.data.suites import SETTINGS, Suite, Texts
from hybrid_core.evaluate import evaluate


def effect(low: float, high: float, margin: float = 0.0) -> Effect:
    return Effect("a", "b", (low + high) / 2, low, high, margin)


@pytest.mark.parametrize(
    ("kind", "effects", "expected"),
    [
        ("better", [effect(0.1, 0.3)], "supported"),
        ("better", [effect(-0.1, 0.3)], "undecided"),
        ("better", [effect(0.0, 0.3)], "undecided"),
        ("better", [effect(0.1, 0.3), effect(-0.1, 0.3)], "undecided"),
        ("better", [effect(-0.3, -0.1, margin=0.5)], "contradicted"),
        ("comparable", [effect(0.0, 0.3), effect(0.1, 0.2)], "supported"),
        ("comparable", [effect(0.1, 0.3), effect(-0.1, 0.2)], "undecided"),
        ("comparable", [effect(0.1, 0.3), effect(-0.1, 0.2, margin=0.2)], "supported"),
        ("comparable", [effect(0.1, 0.3), effect(-0.2, -0.1)], "contradicted"),
        ("comparable", [effect(-0.2, -0.1, margin=0.3)], "supported"),
        ("comparable", [effect(-0.2, -0.1, margin=0.15)], "undecided"),
        ("same", [effect(-0.1, 0.1)], "undecided"),
        ("same", [effect(-0.1, 0.1, margin=0.1)], "supported"),
        ("same", [effect(0.1, 0.2)], "contradicted"),
        ("same", [effect(0.1, 0.2, margin=0.15), effect(-0.1, 0.1, margin=0.15)], "undecided"),
        ("same", [effect(0.2, 0.3, margin=0.15)], "contradicted"),
    ],
)  # fmt: skip
def test_claims_are_decided_by_intervals(kind: str, effects: list[Effect], expected: str) -> None:
    assert decide(kind, effects) == expected


def found_for(results: list[Json], claim: Claim, suite: str) -> list[tuple[str, str]]:
    return [(f.verdict, f.why) for f in findings(results) if f.claim == claim and f.suite == suite]


def test_a_claim_is_decided_with_any_encoder_in_either_direction_of_the_stored_difference() -> None:
    claim = claim_of("hybrid batches beat mono", "multi")
    stored = with_differences(("xquad_r", "multi", "mAP", "hybrid", "mono", 0.01, 0.02))
    turned = with_differences(("xquad_r", "multi", "mAP", "mono", "hybrid", 0.01, 0.02))
    assert found_for([stored], claim, "xquad_r") == [("supported", "")]
    assert found_for([turned], claim, "xquad_r") == [("contradicted", "")]
    assert found_for([stored, turned], claim, "xquad_r") == [("supported", ""), ("contradicted", "")], (
        "one for each run"
    )


def test_less_rank_distance_is_better() -> None:
    claim = claim_of("hybrid batches lower rank distance")
    result = with_differences(("xquad_r", "multi", "rank_distance", "hybrid", "mono", -60.0, -30.0))
    assert found_for([result], claim, "xquad_r") == [("supported", "")]
    (finding,) = [f for f in findings([result]) if f.effects]
    assert (finding.effects[0].low, finding.effects[0].value, finding.effects[0].high) == (30.0, 45.0, 60.0)


def test_at_least_as_good_as_the_better_needs_both_and_takes_the_margin_of_the_rows() -> None:
    claim = claim_of("hybrid batches are at least as good", "mono")
    rows = [
        ("mlqa_r", "mono", "mAP", "hybrid", "mono", -0.003, 0.004),
        ("mlqa_r", "mono", "mAP", "hybrid", "cross", 0.01, 0.02),
    ]
    result = with_differences(*rows)
    assert found_for([result], claim, "mlqa_r") == [("undecided", "")]
    for row in result["differences"]:
        row["margin"] = 0.005
    assert found_for([result], claim, "mlqa_r") == [("supported", "")]
    assert found_for([with_differences(rows[0])], claim, "mlqa_r") == [("not run", "mono mAP not in the results")]


def test_why_a_claim_was_not_run() -> None:
    claim = claim_of("alpha 0.4 and 0.6", "multi")
    assert found_for([], claim, "xquad_r") == [("not run", "no results")]
    row = ("xquad_r", "multi", "mAP", "hybrid", "mono", 0.0, 0.1)
    assert found_for([with_differences(row)], claim, "mlqa_r") == [("not run", "suite mlqa_r not evaluated")]
    assert found_for([with_differences(row)], claim, "xquad_r") == [
        ("not run", "arm hybrid@0.4 and hybrid@0.6 not trained")
    ]
    row = ("xquad_r", "multi", "mAP", "hybrid", "mono", math.nan, math.nan)
    assert found_for([with_differences(row)], claim_of("hybrid batches beat mono", "multi"), "xquad_r") == [
        ("not run", "multi mAP not in the results")
    ]


def test_mixing_ratios_of_a_sweep_are_held_against_each_other() -> None:
    rows = [("xquad_r", "multi", "mAP", "alpha=0.5", other, -0.001, 0.002) for other in ("alpha=0.4", "alpha=0.6")]
    result = with_differences(*rows)
    result["arms"] = ["alpha=0.4", "alpha=0.5", "alpha=0.6"]
    claim = claim_of("alpha 0.4 and 0.6", "multi")
    assert found_for([result], claim, "xquad_r") == [("undecided", "")]
    for row in result["differences"]:
        row["margin"] = 0.01
    assert found_for([result], claim, "xquad_r") == [("supported", "")]


def test_a_sweep_over_encoders_gives_a_finding_for_each() -> None:
    arms = [f"name={name} alpha={alpha}" for name in ("xlm-roberta-base", "LaBSE") for alpha in ("1.0", "0.5")]
    rows = [
        ("xquad_r", "multi", "mAP", arms[1], arms[0], 0.01, 0.02),
        ("xquad_r", "multi", "mAP", arms[3], arms[2], -0.02, -0.01),
    ]
    result = with_differences(*rows)
    result["arms"] = arms
    found = [(f.verdict, f.run.split(", ")[1]) for f in findings([result]) if f.effects]
    assert found == [("supported", "xlm-roberta-base"), ("contradicted", "LaBSE")]


def test_on_miracl_the_claim_is_that_mono_wins_and_a_part_of_the_languages_is_said() -> None:
    claim = claim_of("mono batches beat hybrid")
    row = ("mono", "nDCG_10", "hybrid", "mono", -0.02, -0.01)
    result = with_differences((MIRACL, *row))
    result["pools"] = POOLS
    assert found_for([result], claim, "miracl") == [("supported", "")]
    result = with_differences(("miracl_sw", *row), ("miracl_bn", *row))
    result["pools"] = {"miracl_sw": {"sw": 131_924}, "miracl_bn": {"bn": 297_265}}
    assert found_for([result], claim, "miracl") == [("supported", "1 language instead of the paper's 15")] * 2
    result["pools"]["miracl_sw"] = {"sw": 1_000}
    assert [f.suite for f in findings([result]) if f.effects] == ["miracl", "miracl"], "asked once, as MIRACL"


def test_other_suites_are_asked_too_but_only_where_there_is_an_answer() -> None:
    result = with_differences(("finance", "mono", "mAP", "cross", "mono", -0.02, -0.01))
    elsewhere = [(f.suite, f.claim.text, f.verdict) for f in findings([result]) if f.suite == "finance"]
    assert elsewhere == [("finance", "mono batches beat cross batches", "supported")]
    own = [f for f in findings([result]) if f.suite in f.claim.suites]
    assert [(f.claim, f.suite) for f in own] == [(c, s) for c in CLAIMS for s in c.suites]


def test_a_comparison_is_judged_as_it_is_made() -> None:
    """Noise makes cross worst and mono best; three languages are not the paper's seven, which is said."""
    queries, passages = Texts(), Texts()
    for language in ("de", "en", "es"):
        for meaning in range(40):
            queries.add(f"{language}{meaning}", language, "q", f"m{meaning}")
            passages.add(f"{language}{meaning}", language, "p", f"m{meaning}")
    relevant = [np.flatnonzero(np.array(passages.meaning_ids) == meaning) for meaning in queries.meaning_ids]
    suite = Suite("mlqa_r", queries, passages, relevant, SETTINGS, "Apache-2.0", "generated")
    generator = np.random.default_rng(1)
    meaning, noise = np.tile(np.eye(40), (3, 1)), generator.standard_normal((2, 120, 40))
    arms = {
        arm: {"mlqa_r": evaluate(suite, *(unit(meaning + weight * n) for n in noise))}
        for arm, weight in {"mono": 0.1, "hybrid": 0.25, "cross": 0.5}.items()
    }
    result = compare(arms, EvaluateConfig(bootstrap_samples=200), in_domain="mlqa_r", seed=0)
    why = "3 languages instead of the paper's 7"
    for text, setting, expected in (
        ("mono batches beat cross", "mono", "supported"),
        ("hybrid batches beat mono", "multi", "contradicted"),
        ("hybrid batches are at least", "cross", "contradicted"),
        ("hybrid batches lower rank distance", "multi", "contradicted"),
    ):
        assert found_for([result], claim_of(text, setting), "mlqa_r") == [(expected, why)]


def unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found
