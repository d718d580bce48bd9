"""Costs of perturbations and gaps between seen and unseen languages: hand-made numbers, and a whole small evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hybrid_core.comparison import find
from hybrid_core.contrasts import Rules
from hybrid_core.data.suites import Suite, load_suites
from hybrid_core.errors import RequestError
from hybrid_core.evaluate import Evaluation, evaluate
from hybrid_core.robustness.effects import perturbation_effects
from hybrid_core.robustness.perturbations import perturbed
from hybrid_core.robustness.unseen import GAP, group_of, unseen_effects
from hybrid_core.stats import ClusterBootstrap, cell_means, sums

SAMPLING: dict[str, Any] = {"samples": 200, "confidence": 0.9, "seed": 3}
RULES = Rules(**SAMPLING, margins={"mAP": 0.05})
FLIPS = 999
Cells = Mapping[tuple[str, str, str], list[float]]
"""(setting, query language, pool language) -> score of every question."""


def an_evaluation(cells: Cells, *, domains: tuple[str, ...] = ("any",), only: int | None = None) -> Evaluation:
    rows = [
        (setting, f"{q}-{i}", f"m{i}", domains[i % len(domains)], q, p, value)
        for (setting, q, p), values in cells.items()
        for i, value in enumerate(values[:only])
    ]
    names = ("setting", "query_id", "meaning_id", "domain", "query_language", "passage_language")
    columns = {name: pa.array([row[i] for row in rows]).dictionary_encode() for i, name in enumerate(names)}
    return Evaluation("home", "passage", pa.table(columns | {"mAP": [float(row[-1]) for row in rows]}), {}, {})


MONO: Cells = {("mono", "de", "de"): [1.0, 0.5, 0.5, 0.0], ("mono", "hi", "hi"): [0.5, 0.5, 0.0, 0.0]}
WORSE: Cells = {("mono", "de", "de"): [0.5, 0.5, 0.5, 0.0], ("mono", "hi", "hi"): [0.5, 0.5, 0.0, 0.0]}


def a_random_evaluation(suite: Suite, seed: int = 0) -> Evaluation:
    rng = np.random.default_rng(seed)
    meaning = {m: i for i, m in enumerate(dict.fromkeys(suite.queries.meaning_ids))}
    centres = np.random.default_rng(99).standard_normal((len(meaning), 16))

    def vectors(meanings: list[str], noise: float) -> np.ndarray:
        x = centres[[meaning[m] for m in meanings]] + noise * rng.standard_normal((len(meanings), 16))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    return evaluate(suite, vectors(suite.queries.meaning_ids, 1.0), vectors(suite.passages.meaning_ids, 1.0))


def losses(
    clean: Sequence[Evaluation], variants: Mapping[str, Sequence[Evaluation]], arm: str = "base"
) -> list[dict[str, Any]]:
    """Rows about one arm."""
    by_arm = {name: {arm: seeds} for name, seeds in variants.items()}
    rows, contrasts = perturbation_effects({arm: clean}, by_arm, RULES, flips=FLIPS)
    assert contrasts == []
    return rows


def unseen(arms: Mapping[str, Sequence[Evaluation]], seen: list[str]) -> list[dict[str, Any]]:
    return unseen_effects(arms, seen, RULES, flips=FLIPS)


def test_the_effect_is_the_variant_minus_the_clean_suite_by_language() -> None:
    rows = losses([an_evaluation(MONO)], {"typos": [an_evaluation(WORSE)]})
    assert [row["language"] for row in rows] == ["", "de", "hi"]
    whole, german, hindi = rows
    assert (whole["suite"], whole["perturbation"], whole["setting"], whole["metric"], whole["arm"]) == (
        "home",
        "typos",
        "mono",
        "mAP",
        "base",
    )
    assert whole["value"] == pytest.approx(0.3125) and whole["difference"] == pytest.approx(-0.0625)
    assert whole["difference_low"] < whole["difference_high"] == 0
    assert german["value"] == pytest.approx(0.375) and german["difference"] == pytest.approx(-0.125)
    assert (hindi["difference"], hindi["difference_low"], hindi["difference_high"]) == (0, 0, 0)


def test_differences_are_paired_a_constant_loss_has_no_width() -> None:
    rng = np.random.default_rng(0)
    clean = {("mono", "de", "de"): rng.random(30).tolist()}
    lower = {cell: [v - 0.1 for v in values] for cell, values in clean.items()}
    row = losses([an_evaluation(clean)], {"case": [an_evaluation(lower)]})[0]
    assert row["difference_low"] == pytest.approx(-0.1) == row["difference_high"]
    assert row["high"] - row["low"] > 0.05


def test_levels_are_those_of_the_bootstrap_of_the_suite() -> None:
    clean = an_evaluation(MONO)
    row = losses([clean], {"none": [clean]})[0]
    data = sums(clean.per_query, "mono", "mAP")
    expected = ClusterBootstrap(data.clusters, stratum="home", **SAMPLING).estimate(data)
    assert (row["value"], row["low"], row["high"]) == (expected.value, expected.low, expected.high)


def test_effects_by_domain_exist_where_there_are_several() -> None:
    clean, worse = (an_evaluation(cells, domains=("law", "news")) for cells in (MONO, WORSE))
    rows = losses([clean], {"typos": [worse]})
    assert [(r["language"], r["domain"]) for r in rows] == [
        ("", ""), ("", "law"), ("", "news"), ("de", ""), ("hi", ""), ("de", "law"), ("hi", "law"), ("de", "news"), ("hi", "news"),
    ]  # fmt: skip
    assert find(rows, domain="law", language="")["difference"] == pytest.approx(-0.125)
    assert find(rows, domain="news", language="")["difference"] == 0
    german = find(rows, domain="law", language="de")
    assert (german["value"], german["difference"]) == (pytest.approx(0.5), pytest.approx(-0.25))
    assert {r["difference"] for r in rows if r["language"] and r["domain"]} == {german["difference"], 0}


def test_a_language_that_a_domain_lacks_has_no_row_there() -> None:
    sides = [
        an_evaluation(cells | {("mono", "hi", "hi"): cells["mono", "hi", "hi"][:1]}, domains=("law", "news"))
        for cells in (MONO, WORSE)
    ]
    rows = losses([sides[0]], {"typos": [sides[1]]})
    assert [(r["language"], r["domain"]) for r in rows if r["language"] and r["domain"]] == [
        ("de", "law"), ("hi", "law"), ("de", "news"),
    ]  # fmt: skip


def test_other_queries_are_not_compared() -> None:
    with pytest.raises(ValueError, match="'typos' of 'home' was scored on other queries"):
        losses([an_evaluation(MONO)], {"typos": [an_evaluation(MONO, only=3)]})


def test_the_order_of_the_rows_does_not_matter() -> None:
    worse = an_evaluation(WORSE)
    turned = replace(worse, per_query=worse.per_query.take(list(range(len(worse.per_query)))[::-1]))
    clean = an_evaluation(MONO)
    found = [losses([clean], {"a": [variant]}) for variant in (worse, turned)]
    assert found[0] == found[1]


def test_a_real_suite_gives_rows_by_setting_perturbation_and_language() -> None:
    suite = load_suites(["sample_law"], None, "passage")[0]
    variants = {
        name: [a_random_evaluation(perturbed(suite, name, seed=0), seed)] for seed, name in enumerate(("typos", "case"))
    }
    rows = losses([a_random_evaluation(suite)], variants)
    assert len(rows) == 3 * 2 * (1 + 6)
    assert all(r["low"] <= r["value"] <= r["high"] for r in rows)
    assert {r["difference"] for r in rows if r["perturbation"] == "typos"} == {0.0}, (
        "drawn with the seed of the clean one"
    )


def test_a_cell_belongs_to_a_group_by_the_languages_seen_in_training() -> None:
    seen = ["en", "es", "da"]
    assert [group_of(q, q, "mono", seen) for q in ("en", "ru")] == ["seen", "unseen"]
    assert [group_of(q, "*", "multi", seen) for q in ("en", "ru")] == ["seen", "unseen"]
    cells = [("en", "es"), ("es", "ru"), ("ru", "es"), ("ru", "zh")]
    wanted = ["seen-seen", "seen-unseen", "unseen-seen", "unseen-unseen"]
    assert [group_of(q, p, "cross", seen) for q, p in cells] == wanted
    with pytest.raises(RequestError, match="'xx'"):
        unseen({"base": [an_evaluation(MONO)]}, ["xx"])


@pytest.mark.parametrize("seen", [["en", "hi"], []])
def test_groups_average_their_cells(seen: list[str]) -> None:
    suite = load_suites(["sample_law"], None, "passage")[0]
    evaluation = a_random_evaluation(suite)
    rows = unseen({"base": [evaluation]}, seen)
    for setting in ("mono", "cross", "multi"):
        groups: dict[str, list[float]] = {}
        for (query, pool), mean in cell_means(sums(evaluation.per_query, setting, "mAP")).items():
            groups.setdefault(group_of(query, pool, setting, seen), []).append(mean)
        found = {r["group"]: r["value"] for r in rows if r["setting"] == setting and r["group"] != GAP}
        assert found == pytest.approx({group: np.mean(means) for group, means in groups.items()})
        assert len(found) == (1 if not seen else 4 if setting == "cross" else 2)


def test_gaps_and_differences_of_arms_by_group() -> None:
    better: Cells = {("mono", "de", "de"): [1.0, 1.0, 1.0, 0.0], ("mono", "hi", "hi"): [0.5, 0.5, 0.0, 0.5]}
    rows = unseen({"base": [an_evaluation(MONO)], "tuned": [an_evaluation(better)]}, ["de"])
    values = {(r["group"], r["arm"], r["reference"]): r["value"] for r in rows}
    assert values == pytest.approx({
        ("seen", "base", ""): 0.5, ("unseen", "base", ""): 0.25, (GAP, "base", ""): 0.25,
        ("seen", "tuned", ""): 0.75, ("unseen", "tuned", ""): 0.375, (GAP, "tuned", ""): 0.375,
        ("seen", "tuned", "base"): 0.25, ("unseen", "tuned", "base"): 0.125, (GAP, "tuned", "base"): 0.125,
    })  # fmt: skip
    assert all(r["low"] <= r["value"] <= r["high"] and r["suite"] == "home" and r["setting"] == "mono" for r in rows)


def test_an_arm_without_a_setting_takes_no_part_in_it() -> None:
    both: Cells = {**MONO, ("cross", "de", "hi"): [1.0, 0.0], ("cross", "hi", "de"): [0.0, 1.0]}
    rows = unseen({"bm25": [an_evaluation(MONO)], "base": [an_evaluation(both)]}, ["de"])
    assert {(r["setting"], r["arm"]) for r in rows} == {("mono", "bm25"), ("mono", "base"), ("cross", "base")}
    assert {r["group"] for r in rows if r["setting"] == "cross"} == {"seen-unseen", "unseen-seen"}


def test_questions_are_resampled_within_their_domains() -> None:
    """A domain whose questions all score alike adds no width, so the level varies only by what the other one adds."""
    rng = np.random.default_rng(0)
    scores = [0.9 if i % 2 else float(rng.choice([0.0, 0.2])) for i in range(40)]
    parted = an_evaluation({("mono", "de", "de"): scores}, domains=("law", "news"))
    mixed = an_evaluation({("mono", "de", "de"): scores})
    one, other = (losses([e], {"none": [e]})[0] for e in (parted, mixed))
    assert one["value"] == other["value"]
    assert one["high"] - one["low"] < (other["high"] - other["low"]) / 2


def test_seeds_of_an_arm_widen_its_level_and_cancel_in_a_paired_difference() -> None:
    low, high = ({("mono", "de", "de"): [base + 0.01 * i for i in range(20)]} for base in (0.2, 0.5))
    clean, lower = [
        [an_evaluation({k: [x - loss for x in v] for k, v in side.items()}) for side in (low, high)]
        for loss in (0.0, 0.1)
    ]
    row = losses(clean, {"typos": lower})[0]
    assert row["value"] == pytest.approx(0.345) and row["difference_low"] == pytest.approx(-0.1)
    assert row["high"] - row["low"] > 0.3, "the seeds lie 0.3 apart"
    seeds = {"one": [clean[0]], "two": clean}
    widths = {r["arm"]: r["high"] - r["low"] for r in unseen(seeds, ["de"]) if not r["reference"]}
    assert widths["two"] > 3 * widths["one"]


def test_what_a_perturbation_costs_one_arm_more_than_another() -> None:
    """Base loses a quarter in de, tuned half of that; in hi neither loses anything."""
    clean, half = [0.5, 0.5, 1.0, 1.0], {("mono", "hi", "hi"): [0.5, 0.5, 0.0, 0.0]}
    base, tuned = ([an_evaluation({("mono", "de", "de"): [x - loss for x in clean], **half})] for loss in (0.25, 0.125))
    before = [an_evaluation({("mono", "de", "de"): clean, **half})]
    rows, contrasts = perturbation_effects(
        {"base": before, "tuned": before}, {"typos": {"base": base, "tuned": tuned}}, RULES, flips=FLIPS
    )
    assert {(r["arm"], r["language"]): r["difference"] for r in rows} == pytest.approx({
        ("base", ""): -0.125, ("base", "de"): -0.25, ("base", "hi"): 0.0,
        ("tuned", ""): -0.0625, ("tuned", "de"): -0.125, ("tuned", "hi"): 0.0,
    })  # fmt: skip
    whole, german, hindi = contrasts
    assert (whole["arm"], whole["reference"], whole["perturbation"], whole["setting"]) == (
        "tuned", "base", "typos", "mono",
    )  # fmt: skip
    assert [r["language"] for r in contrasts] == ["", "de", "hi"]
    assert (whole["value"], whole["low"], whole["high"]) == pytest.approx((0.0625,) * 3), "the same in every question"
    assert german["value"] == pytest.approx(0.125) and hindi["value"] == 0
    assert german["p"] == pytest.approx(1 / 8, abs=0.04), "of four equal swaps two in sixteen are as far"
    assert hindi["p"] == 1.0
    assert (whole["margin"], whole["equivalent"], hindi["equivalent"]) == (0.05, False, True)


def test_arms_that_differ_but_lose_alike_have_no_effect() -> None:
    rng = np.random.default_rng(0)
    clean = rng.random(40)
    loss = 0.1 + 0.05 * rng.standard_normal(40)
    arms = {"base": clean, "tuned": clean + 0.3 * rng.random(40)}
    sides = [
        {arm: [an_evaluation({("mono", "de", "de"): (scores - cost).tolist()})] for arm, scores in arms.items()}
        for cost in (0 * loss, loss)
    ]
    rows, (whole, _) = perturbation_effects(sides[0], {"typos": sides[1]}, RULES, flips=FLIPS)
    assert all(row["p"] == 1 / (1 + FLIPS) for row in rows), "each of them loses"
    assert whole["value"] == pytest.approx(0.0, abs=1e-12) and whole["p"] == 1.0


def test_the_noise_of_training_is_part_of_what_a_loss_is_tested_against() -> None:
    clean = [an_evaluation({("mono", "de", "de"): [0.5 + 0.01 * i for i in range(20)]})] * 2
    worse = [an_evaluation({("mono", "de", "de"): [0.5 - x + 0.01 * i for i in range(20)]}) for x in (0.0, 0.2)]
    alone, several = losses(clean[:1], {"typos": worse[1:]})[0], losses(clean, {"typos": worse})[0]
    assert alone["p"] < 0.01 < 0.2 < several["p"]


def test_only_differences_of_arms_by_seen_and_unseen_languages_are_tested() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((2, 60))
    gains = 0.05 + 0.02 * rng.standard_normal((2, 60))

    def an_arm(by_language: np.ndarray) -> list[Evaluation]:
        cells: Cells = {("mono", lang, lang): by_language[i].tolist() for i, lang in enumerate(("de", "hi"))}
        return [an_evaluation(cells)]

    arms = {
        "base": an_arm(scores),
        "even": an_arm(scores + gains),
        "seen only": an_arm(scores + gains * [[2.0], [0.0]]),
    }
    rows = {(r["group"], r["arm"], r["reference"]): r["p"] for r in unseen(arms, ["de"])}
    assert {key for key, p in rows.items() if p is None} == {key for key in rows if not key[2]}
    assert rows["seen", "even", "base"] < 0.01 and rows["unseen", "even", "base"] < 0.01
    assert rows[GAP, "even", "base"] > 0.05 > rows[GAP, "seen only", "base"]
    assert rows["unseen", "seen only", "base"] == 1.0


def test_unseen_languages_by_domain_where_there_are_several() -> None:
    rows = unseen({"base": [an_evaluation(MONO, domains=("law", "news"))]}, ["de"])
    found = {(r["domain"], r["group"]): r["value"] for r in rows}
    assert found == pytest.approx({
        ("", "seen"): 0.5, ("", "unseen"): 0.25, ("", GAP): 0.25, ("law", "seen"): 0.75, ("law", "unseen"): 0.25,
        ("law", GAP): 0.5, ("news", "seen"): 0.25, ("news", "unseen"): 0.25, ("news", GAP): 0.0,
    })  # fmt: skip
