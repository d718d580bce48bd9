"""Comparisons of arms: calculations by hand, pairing, seeds, and arms that lack settings."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from scored_rows import LANGUAGES, Row, a_noisy_arm, an_arm, an_evaluation, mono

from hybrid_core.comparison import compare, find, mean_over_seeds
from hybrid_core.config import EvaluateConfig
from hybrid_core.contrasts import contrasts
from hybrid_core.data.suites import load_suites
from hybrid_core.evaluate import ALL_LANGUAGES, BIAS_METRICS, METRICS, Evaluation, evaluate

CONFIG = EvaluateConfig(bootstrap_samples=200)


def alternating(i: int) -> float:
    return 0.1 * (-1) ** i


def random_evaluation(seed: int = 0) -> Evaluation:
    (suite,) = load_suites(("sample_finance",), None, "sentence")
    rng = np.random.default_rng(seed)
    queries, passages = (
        rng.standard_normal((len(texts), 8)).astype(np.float32) for texts in (suite.queries, suite.passages)
    )
    return evaluate(suite, queries, passages)


def test_shift_effects_equal_the_calculation_by_hand() -> None:
    arms = {
        "base": an_arm({"home": 0.30, "law": 0.20, "code": 0.10}),
        "mono": an_arm({"home": 0.50, "law": 0.25, "code": 0.20}),
        "cross": an_arm({"home": 0.45, "law": 0.40, "code": 0.35}),
    }
    result = compare(arms, CONFIG, in_domain="home", seed=0)
    wanted = {
        ("mono", "base"): (0.05 + 0.10) / 2 - 0.20,
        ("cross", "base"): (0.20 + 0.25) / 2 - 0.15,
        ("cross", "mono"): (0.15 + 0.15) / 2 - (-0.05),
    }
    rows = [row for row in result["shift_effects"] if row["metric"] == "mAP"]
    assert {(row["arm"], row["reference"]): row["value"] for row in rows} == pytest.approx(wanted)
    for row in rows:
        assert (row["low"], row["high"]) == pytest.approx((row["value"], row["value"]))


def test_a_comparison_has_every_level_and_difference() -> None:
    arms = {
        "base": an_arm({"law": 0.2, "home": 0.3}, alternating, ("mono", "multi")),
        "mono": an_arm({"law": 0.4, "home": 0.6}, alternating, ("mono", "multi")),
    }
    result = compare(arms, CONFIG, in_domain="home", seed=0)
    assert (result["arms"], result["suites"], result["in_domain"]) == (["base", "mono"], ["home", "law"], "home")
    assert (result["confidence"], result["bootstrap_samples"]) == (0.95, 200)
    assert len(result["levels"]) == 2 * 2 * (len(METRICS) + len(METRICS + BIAS_METRICS))
    assert len(result["differences"]) == 2 * (len(METRICS) + len(METRICS + BIAS_METRICS))
    level = find(result["levels"], suite="home", setting="mono", metric="R_1", arm="mono")
    assert level["value"] == pytest.approx(0.6) and level["low"] < 0.57 < 0.63 < level["high"]
    change = find(result["differences"], suite="law", setting="multi", metric="max_rank", arm="mono")
    assert change["reference"] == "base"
    assert (change["value"], change["low"], change["high"]) == pytest.approx((0.2, 0.2, 0.2))
    assert result["questions"] == {"home": 8, "law": 8}
    assert result["pools"] == {"home": {"de": 3}, "law": {"de": 3}}
    assert result["candidate_text"] == {"home": "passage", "law": "passage"}
    cells = [c for c in result["heat_maps"] if (c["arm"], c["suite"]) == ("mono", "law")]
    assert {(c["query"], c["passage"]): c["value"] for c in cells} == pytest.approx({(x, x): 0.4 for x in LANGUAGES})


def test_equal_arms_differ_by_exactly_nothing() -> None:
    evaluation = random_evaluation()
    result = compare({"a": {"s": evaluation}, "b": {"s": evaluation}}, CONFIG, in_domain="s", seed=0)
    assert len(result["differences"]) == 3 * len(METRICS) + len(BIAS_METRICS)
    rows = {row["metric"]: row for row in result["differences"]}
    undefined = rows.pop("peer_relevant_100")  # a constant on parallel data, so there is nothing to compare
    assert np.isnan(undefined["value"])
    shown = [row for row in result["differences"] if row["metric"] in rows]
    assert {(row["value"], row["low"], row["high"]) for row in shown} == {(0.0, 0.0, 0.0)}


def test_suites_of_a_shift_effect_are_resampled_independently() -> None:
    # the same scores in and outside the domain: only coupled resamples would make the effect certain
    arms = {"base": an_arm({"home": 0.3, "law": 0.3}), "mono": an_arm({"home": 0.5, "law": 0.5}, alternating)}
    effect = find(compare(arms, CONFIG, in_domain="home", seed=0)["shift_effects"], metric="mAP")
    assert effect["value"] == pytest.approx(0.0)
    assert effect["low"] < -0.03 and effect["high"] > 0.03


def test_a_setting_that_the_shifted_suites_lack_has_no_shift_effect() -> None:
    arms = {
        name: an_arm({"home": 0.3}, settings_=("mono", "multi")) | an_arm({"law": 0.2}, settings_=("multi",))
        for name in ("base", "mono")
    }
    result = compare(arms, CONFIG, in_domain="home", seed=0)
    assert {row["setting"] for row in result["shift_effects"]} == {"multi"}


def test_one_arm_or_one_suite_has_no_shift_effects() -> None:
    alone = compare({"base": an_arm({"home": 0.3, "law": 0.2})}, CONFIG, in_domain="home", seed=0)
    assert (alone["differences"], alone["shift_effects"]) == ([], [])
    one_suite = {name: an_arm({"home": 0.3}) for name in ("base", "mono")}
    assert compare(one_suite, CONFIG, in_domain="home", seed=0)["shift_effects"] == []


def test_a_comparison_is_determined_by_its_seed() -> None:
    evaluation, other = random_evaluation(), random_evaluation(1)
    arms = {"a": {"x": evaluation, "y": other}, "b": {"x": other, "y": evaluation}}
    first, again, another = (
        json.dumps(compare(arms, CONFIG, in_domain="x", seed=seed), sort_keys=True) for seed in (4, 4, 5)
    )
    assert first == again
    values, other_values = ([row["value"] for row in json.loads(text)["levels"]] for text in (first, another))
    lows, other_lows = ([row["low"] for row in json.loads(text)["levels"]] for text in (first, another))
    assert values == other_values
    assert lows != other_lows


def test_finding_a_row_that_is_not_there_names_what_was_sought() -> None:
    with pytest.raises(KeyError, match=r"no_such_arm"):
        find([{"arm": "base"}], arm="no_such_arm")


FREE = {
    "base+csls": {"of": "base", "method": "csls"},
    "mono+csls": {"of": "mono", "method": "csls"},
    "bm25": {"of": "", "method": "bm25"},
}


def test_contrasts_are_those_that_answer_something() -> None:
    found = contrasts(["base", "base+csls", "mono", "mono+csls", "cross", "bm25"], FREE)
    assert [(c.arm, c.reference) for c in found if c.kind == "models"] == [
        ("mono", "base"),
        ("cross", "base"),
        ("cross", "mono"),
    ]
    assert {(c.arm, c.reference) for c in found if c.kind == "free"} == {
        ("base+csls", "base"), ("mono+csls", "mono"), ("mono", "base+csls"), ("cross", "base+csls"),
        ("base", "bm25"), ("mono", "bm25"), ("cross", "bm25"),
    }  # fmt: skip


def test_free_baselines_belong_to_base_wherever_it_stands() -> None:
    found = contrasts(["mono", "base", "base+csls"], FREE)
    assert ("mono", "base+csls", "free") in [(c.arm, c.reference, c.kind) for c in found]


def test_an_arm_that_lacks_a_setting_is_compared_where_it_has_one() -> None:
    arms = {
        name: an_arm({"home": level, "law": level}, settings_=settings_)
        for name, level, settings_ in (
            ("base", 0.3, ("mono", "multi")),
            ("mono", 0.5, ("mono", "multi")),
            ("bm25", 0.4, ("mono",)),
        )
    }
    del arms["bm25"]["law"]
    result = compare(arms, CONFIG, in_domain="home", seed=0, free={"bm25": FREE["bm25"]})
    assert {(row["suite"], row["setting"]) for row in result["levels"] if row["arm"] == "bm25"} == {("home", "mono")}
    against = [row for row in result["differences"] if row["reference"] == "bm25" and row["metric"] == "mAP"]
    assert {(row["arm"], row["suite"], row["setting"]): row["value"] for row in against} == pytest.approx(
        {("base", "home", "mono"): -0.1, ("mono", "home", "mono"): 0.1}
    )
    assert not any("bm25" in (row["arm"], row["reference"]) for row in result["shift_effects"])
    assert result["free"] == {"bm25": {"of": "", "method": "bm25"}}


def test_free_baselines_of_unknown_models_are_refused() -> None:
    arms = {"base": an_arm({"home": 0.3})}
    with pytest.raises(ValueError, match=r"'base\+csls' of 'base' is not among the arms base"):
        compare(arms, CONFIG, in_domain="home", seed=0, free={"base+csls": FREE["base+csls"]})


def test_arms_that_answered_different_questions_are_refused() -> None:
    scores = dict.fromkeys(LANGUAGES, [0.5] * 8)
    fewer = dict.fromkeys(LANGUAGES, [0.5] * 7)
    arms = {"base": {"home": an_evaluation(mono(scores))}, "mono": {"home": an_evaluation(mono(fewer))}}
    with pytest.raises(ValueError, match="mono: 'mono' was scored on other questions than 'base'"):
        compare(arms, CONFIG, in_domain="home", seed=0)


def test_effects_by_suite_average_to_the_shift_effect() -> None:
    arms = {
        "base": an_arm({"home": 0.3, "law": 0.2, "code": 0.1}),
        "mono": an_arm({"home": 0.5, "law": 0.25, "code": 0.2}),
    }
    result = compare(arms, CONFIG, in_domain="home", seed=0)
    rows = {row["suite"]: row["value"] for row in result["shift_by_suite"] if row["metric"] == "mAP"}
    assert rows == pytest.approx({"law": -0.15, "code": -0.10})
    assert find(result["shift_effects"], metric="mAP")["value"] == pytest.approx(-0.125)


def test_several_seeds_are_averaged_and_widen_the_interval() -> None:
    seeds = [a_noisy_arm(level, 1) for level in (0.3, 0.4, 0.5)]
    base = a_noisy_arm(0.3, 2)
    single, several = (
        compare({"base": {"home": base}, "mono": {"home": e}}, CONFIG, in_domain="home", seed=0)
        for e in (seeds[1], seeds)
    )
    assert (single["seeds"], several["seeds"]) == ({"base": 1, "mono": 1}, {"base": 1, "mono": 3})
    one, three = (find(r["differences"], metric="mAP") for r in (single, several))
    assert one["value"] == pytest.approx(three["value"])
    assert one["p_holm"] < 0.05 < three["p_holm"]  # three seeds from +0 to +0.2 do not show that the recipe is better
    assert one["low"] > 0 > three["low"] and three["high"] > one["high"]


def test_seeds_that_agree_give_the_interval_of_one() -> None:
    base, arm = a_noisy_arm(0.3, 2), a_noisy_arm(0.4, 1)
    single, several = (
        compare({"base": {"home": base}, "mono": {"home": e}}, CONFIG, in_domain="home", seed=0)
        for e in (arm, [arm] * 4)
    )
    one, four = (find(r["differences"], metric="mAP") for r in (single, several))
    assert [four[k] for k in ("value", "low", "high", "p")] == pytest.approx(
        [one[k] for k in ("value", "low", "high", "p")]
    )


def test_a_model_and_its_free_baseline_share_the_noise_of_training() -> None:
    seeds = [a_noisy_arm(level, 1) for level in (0.1, 0.4, 0.7)]
    moved = [a_noisy_arm(level + 0.05, 1) for level in (0.1, 0.4, 0.7)]
    free = {"mono+csls": FREE["mono+csls"]}
    result = compare(
        {"mono": {"home": seeds}, "mono+csls": {"home": moved}}, CONFIG, in_domain="home", seed=0, free=free
    )
    change = find(result["differences"], metric="mAP", arm="mono+csls")
    assert (change["low"], change["high"]) == pytest.approx((0.05, 0.05))


def test_seeds_stay_paired_between_suites() -> None:
    levels = (0.1, 0.4, 0.7)
    arms = {
        "base": {s: a_noisy_arm(0.2, 3, spread=0.0) for s in ("home", "law")},
        "mono": {s: [a_noisy_arm(level, 3, spread=0.0) for level in levels] for s in ("home", "law")},
    }
    result = compare(arms, CONFIG, in_domain="home", seed=0)
    inside = find(result["differences"], metric="mAP", suite="home")
    effect = find(result["shift_effects"], metric="mAP")
    assert inside["high"] - inside["low"] > 0.5
    assert (effect["value"], effect["low"], effect["high"]) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_equivalence_needs_a_margin_and_an_interval_inside_it() -> None:
    arms = {"base": {"home": a_noisy_arm(0.3, 2, spread=0.01)}, "mono": {"home": a_noisy_arm(0.3, 1, spread=0.01)}}
    result = compare(arms, CONFIG, in_domain="home", seed=0)
    row = find(result["differences"], metric="mAP")
    assert (row["margin"], row["equivalent"]) == (0.01, True)
    strict = find(compare(arms, CONFIG, in_domain="home", seed=0, margins={"mAP": 0.001})["differences"], metric="mAP")
    assert (strict["margin"], strict["equivalent"]) == (0.001, False)
    multi = {name: an_arm({"home": 0.3}, settings_=("multi",)) for name in ("base", "mono")}
    ranks = find(compare(multi, CONFIG, in_domain="home", seed=0)["differences"], metric="rank_distance")
    assert (ranks["margin"], ranks["equivalent"]) == (None, None)


def test_p_values_are_corrected_within_a_metric_and_kind_of_contrast() -> None:
    arms = {
        name: {"home": a_noisy_arm(0.3 + 0.02 * i, i)} for i, name in enumerate(("base", "mono", "cross", "base+csls"))
    }
    free = {"base+csls": FREE["base+csls"]}
    rows = compare(arms, CONFIG, in_domain="home", seed=0, free=free)["differences"]
    assert all(row["p_holm"] >= row["p"] > 0 for row in rows)
    models = [row for row in rows if row["metric"] == "mAP" and "+" not in row["arm"] + row["reference"]]
    assert min(row["p_holm"] for row in models) == pytest.approx(3 * min(row["p"] for row in models))
    without = {name: arms[name] for name in ("base", "mono", "cross")}
    alone = compare(without, CONFIG, in_domain="home", seed=0)["differences"]
    assert [row["p_holm"] for row in alone if row["metric"] == "mAP"] == [row["p_holm"] for row in models]


def with_domains(levels: dict[str, float]) -> Evaluation:
    """Eight questions a domain and language, all at the domain's level; en is lower by 0.1."""
    rows: list[Row] = []
    domains = {}
    for domain, level in levels.items():
        for i in range(8):
            domains[f"{domain}{i}"] = domain
            rows += [("mono", lang, lang, f"{domain}{i}", level - 0.1 * (lang == "en")) for lang in LANGUAGES]
    return an_evaluation(rows, domains=domains)


def test_languages_domains_and_worst_cases_equal_the_calculation_by_hand() -> None:
    result = compare({"base": {"home": with_domains({"law": 0.8, "code": 0.4})}}, CONFIG, in_domain="home", seed=0)
    languages = {row["language"]: row["value"] for row in result["languages"]}
    assert languages == pytest.approx({"de": 0.6, "en": 0.5, "fr": 0.6})
    domains = {row["domain"]: (row["value"], row["low"], row["high"]) for row in result["domains"]}
    assert domains["law"] == pytest.approx((0.8 - 0.1 / 3,) * 3) and domains["code"] == pytest.approx(
        (0.4 - 0.1 / 3,) * 3
    )
    worst = {row["statistic"]: (row["name"], row["value"]) for row in result["worst"]}
    assert {s: name for s, (name, _) in worst.items()} == {
        "worst_language": "en",
        "worst_domain": "code",
        "cvar_25": "",
    }
    assert worst["worst_language"][1] == worst["cvar_25"][1] == pytest.approx(0.5)
    assert worst["worst_domain"][1] == pytest.approx(0.4 - 0.1 / 3)


def test_the_worst_suite_is_a_row_of_all_suites_and_large_distances_are_worse() -> None:
    arms = {"base": an_arm({"home": 0.3, "law": 0.2, "code": 0.25}, settings_=("multi",))}
    worst = compare(arms, CONFIG, in_domain="home", seed=0)["worst"]
    row = find(worst, suite="*", statistic="worst_suite", metric="mAP")
    assert (row["name"], row["arm"], row["setting"], row["value"]) == ("law", "base", "multi", pytest.approx(0.2))
    assert find(worst, suite="*", metric="rank_distance")["name"] == "home"


def test_quantiles_of_rank_distances_are_those_of_all_queries_and_seeds() -> None:
    rows = [[("multi", "de", ALL_LANGUAGES, f"m{i}", float(10 * s + i)) for i in range(10)] for s in range(2)]
    arms = {"base": {"home": [an_evaluation(r) for r in rows]}}
    (row,) = compare(arms, CONFIG, in_domain="home", seed=0)["rank_distances"]
    assert row["quantiles"] == pytest.approx({"0.05": 0.95, "0.25": 4.75, "0.5": 9.5, "0.75": 14.25, "0.95": 18.05})
    mono_only = {"base": an_arm({"home": 0.3})}
    assert compare(mono_only, CONFIG, in_domain="home", seed=0)["rank_distances"] == []


def test_a_metric_that_is_nowhere_defined_has_no_p_value() -> None:
    evaluation = an_arm({"home": 0.3}, settings_=("multi",))["home"]
    column = evaluation.per_query.schema.get_field_index("language_preference")
    nowhere = evaluation.per_query.set_column(column, "language_preference", pa.array([math.nan] * 24))
    other = Evaluation("home", "passage", nowhere, evaluation.language_histogram, evaluation.pool_sizes)
    result = compare({"a": {"home": other}, "b": {"home": other}}, CONFIG, in_domain="home", seed=0)
    row = find(result["differences"], metric="language_preference")
    assert math.isnan(row["value"]) and (row["p"], row["p_holm"], row["equivalent"]) == (None, None, None)


def test_the_mean_over_seeds_is_that_of_every_query() -> None:
    mean = mean_over_seeds([a_noisy_arm(0.2, 1), a_noisy_arm(0.4, 1)])
    assert mean.per_query["mAP"].to_numpy() == pytest.approx(a_noisy_arm(0.3, 1).per_query["mAP"].to_numpy())


def a_shifted_comparison(change: float, *, everywhere: float = 0.0) -> dict[str, object]:
    """Arms that differ by `everywhere`, and outside the domain by `change` more; noise of questions beside it."""
    arms = {
        "base": {"home": a_noisy_arm(0.3, 1, questions=80), "law": a_noisy_arm(0.2, 2, questions=80)},
        "mono": {
            "home": a_noisy_arm(0.3 + everywhere, 3, questions=80),
            "law": a_noisy_arm(0.2 + everywhere + change, 4, questions=80),
        },
    }
    return compare(arms, CONFIG, in_domain="home", seed=0)


@pytest.mark.parametrize("key", ["shift_effects", "shift_by_suite"])
def test_a_shift_effect_is_tested_whatever_the_arms_differ_by_everywhere(key: str) -> None:
    p = {
        (change, everywhere): find(a_shifted_comparison(change, everywhere=everywhere)[key], metric="mAP")["p"]
        for change in (0.0, 0.05) for everywhere in (0.0, 0.5)
    }  # fmt: skip
    assert p[0.05, 0.0] < 0.01 and p[0.0, 0.0] > 0.05
    assert p[0.05, 0.5] == p[0.05, 0.0] and p[0.0, 0.5] == p[0.0, 0.0]


def test_p_values_of_shift_effects_are_one_family_of_a_metric() -> None:
    names = ("base", "mono", "cross", "base+csls")
    arms = {
        name: {s: a_noisy_arm(0.3 + 0.03 * i * (s == "law"), 10 * i + j) for j, s in enumerate(("home", "law", "code"))}
        for i, name in enumerate(names)
    }
    found = compare(arms, CONFIG, in_domain="home", seed=0, free={"base+csls": FREE["base+csls"]})
    for key, tests in (("shift_effects", 3), ("shift_by_suite", 6)):
        rows = [r for r in found[key] if r["metric"] == "mAP" and "+" not in r["arm"] + r["reference"]]
        assert len(rows) == tests and all(row["p_holm"] >= row["p"] > 0 for row in rows)
        assert min(r["p_holm"] for r in rows) == pytest.approx(min(1.0, tests * min(r["p"] for r in rows)))
    (both,) = [r for r in found["shift_effects"] if (r["arm"], r["reference"], r["metric"]) == ("cross", "base", "mAP")]
    assert both["low"] < both["value"] < both["high"] and (both["p"] < 0.05) == (both["low"] > 0 or both["high"] < 0)


def test_the_noise_of_training_is_part_of_the_test_of_a_shift_effect() -> None:
    def trained(level: float, seeds: tuple[int, ...], spread: float) -> list[Evaluation]:
        return [a_noisy_arm(level + spread * i, seed) for i, seed in enumerate(seeds)]

    p = {}
    for spread in (0.0, 0.2):
        arms = {
            "base": {"home": [a_noisy_arm(0.3, 1)], "law": [a_noisy_arm(0.2, 2)]},
            "mono": {"home": trained(0.3, (3, 4, 5), 0.0), "law": trained(0.3, (6, 7, 8), spread)},
        }
        p[spread] = find(compare(arms, CONFIG, in_domain="home", seed=0)["shift_effects"], metric="mAP")["p"]
    assert p[0.0] < 0.01 < 0.05 < p[0.2]


def test_a_metric_without_values_has_no_test_of_a_shift() -> None:
    evaluation = an_arm({"home": 0.3}, settings_=("multi",))["home"]
    column = evaluation.per_query.schema.get_field_index("language_preference")
    nowhere = evaluation.per_query.set_column(column, "language_preference", pa.array([math.nan] * 24))
    other = Evaluation("home", "passage", nowhere, evaluation.language_histogram, evaluation.pool_sizes)
    arms = {arm: {"home": other, "law": other} for arm in "ab"}
    row = find(compare(arms, CONFIG, in_domain="home", seed=0)["shift_effects"], metric="language_preference")
    assert (row["p"], row["p_holm"]) == (None, None)
