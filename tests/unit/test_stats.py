"""Averages, intervals, metric names and comparisons: hand-made numbers, and coverage where the truth is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.comparison import compare, find
from hybrid_core.config import EvaluateConfig
from hybrid_core.data.suites import load_suites
from hybrid_core.evaluate import ALL_LANGUAGES, BIAS_METRICS, METRICS, Evaluation, evaluate
from hybrid_core.stats import ClusterBootstrap, Estimate, Sums, cell_means, interval, sums
from hybrid_core.summary import heat_map, label, language_means, metrics_of, setting_means, settings_of

LANGUAGES = ("de", "en", "fr")
Row = tuple[str, str, str, str, float]
"""Setting, query language, pool language, meaning id, score."""


def a_table(rows: list[Row]) -> pa.Table:
    """A per-query table whose metrics all have the row's score."""
    names = ("setting", "query_language", "passage_language", "meaning_id")
    texts = {name: pa.array([row[i] for row in rows]).dictionary_encode() for i, name in enumerate(names)}
    scores = [float(row[4]) for row in rows]
    return pa.table(texts | {metric: scores for metric in METRICS + BIAS_METRICS})


def an_evaluation(rows: list[Row], suite: str = "home") -> Evaluation:
    return Evaluation(suite, "passage", a_table(rows), {"de": {"de": 1.0}}, {"de": 3})


def mono(scores: Mapping[str, list[float]]) -> list[Row]:
    """Rows of the mono setting: scores of every language, question by question."""
    return [("mono", lang, lang, f"m{i}", value) for lang, values in scores.items() for i, value in enumerate(values)]


def a_bootstrap(data: Sums, *, samples: int = 400, seed: int = 0, stratum: str = "home") -> ClusterBootstrap:
    return ClusterBootstrap(data.clusters, samples=samples, confidence=0.95, seed=seed, stratum=stratum)


def mono_sums(scores: Mapping[str, list[float]]) -> Sums:
    return sums(a_table(mono(scores)), "mono", "mAP")


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def noisy_sums(seed: int, *, questions: int = 40, shared: float = 1.0, own: float = 1.0, truth: float = 0.0) -> Sums:
    """Scores that are the truth, plus what translations of a question share, plus what is a row's own."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(questions) * shared
    return mono_sums({lang: (truth + common + rng.standard_normal(questions) * own).tolist() for lang in LANGUAGES})


def test_sums_keep_clusters_and_cells_apart() -> None:
    rows: list[Row] = [("cross", "de", "en", "m1", 0.5), ("cross", "en", "de", "m1", 0.25), ("cross", "de", "en", "m2", 1.0),
                       ("cross", "de", "en", "m2", 0.5), ("mono", "de", "de", "m1", 9.0)]  # fmt: skip
    data = sums(a_table(rows), "cross", "MRR")
    assert data.cells == (("de", "en"), ("en", "de"))
    assert data.clusters == ("m1", "m2")
    assert data.totals.tolist() == [[0.5, 0.25], [1.5, 0.0]]
    assert data.counts.tolist() == [[1, 1], [2, 0]]


def test_undefined_scores_are_left_out() -> None:
    data = mono_sums({"de": [0.5, float("nan"), 1.0], "en": [float("nan")] * 3})
    assert cell_means(data) == {("de", "de"): 0.75}
    estimate = a_bootstrap(data).estimate(data)
    assert estimate.value == 0.75 and 0.5 <= estimate.low <= estimate.high <= 1.0


def test_the_macro_average_weighs_languages_not_rows() -> None:
    data = mono_sums({"de": [1.0] * 9 + [0.0], "en": [0.5, 0.0]})
    assert cell_means(data) == pytest.approx({("de", "de"): 0.9, ("en", "en"): 0.25})
    assert a_bootstrap(data).replicates(data)[0] == pytest.approx((0.9 + 0.25) / 2)
    evaluation = an_evaluation(mono({"de": [1.0] * 9 + [0.0], "en": [0.5, 0.0]}))
    assert setting_means(evaluation) == pytest.approx({f"home/mono/{metric}": 0.575 for metric in METRICS})


def test_replicates_are_macro_averages_of_the_drawn_questions() -> None:
    rng = np.random.default_rng(2)
    scores = {"de": rng.random(12), "en": rng.random(12)}
    data = mono_sums({lang: values.tolist() for lang, values in scores.items()})
    bootstrap = a_bootstrap(data, samples=50)
    assert bootstrap.weights.sum(1).tolist() == [12.0] * 50
    order = [int(cluster[1:]) for cluster in data.clusters]
    for weights, replicate in zip(bootstrap.weights, bootstrap.replicates(data)[1], strict=True):
        drawn = np.repeat(order, weights.astype(int))
        assert replicate == pytest.approx(np.mean([values[drawn].mean() for values in scores.values()]))


def test_a_cell_that_a_resample_leaves_empty_does_not_count_there() -> None:
    data = mono_sums({"de": [0.5] * 5, "en": [1.0]})
    value, replicates = a_bootstrap(data).replicates(data)
    assert value == 0.75
    assert set(replicates.round(12)) == {0.5, 0.75}


def test_the_difference_of_identical_arms_is_exactly_zero() -> None:
    data = noisy_sums(1)
    estimate = a_bootstrap(data).difference(data, noisy_sums(1))
    assert estimate == Estimate(0.0, 0.0, 0.0)
    assert not estimate.excludes_zero


@given(value=st.floats(-10, 10), questions=st.integers(1, 20))
@settings(deadline=None, max_examples=30)
def test_a_constant_metric_has_an_interval_without_width(value: float, questions: int) -> None:
    data = mono_sums(dict.fromkeys(LANGUAGES, [value] * questions))
    estimate = a_bootstrap(data, samples=100).estimate(data)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value, value, value), abs=1e-12)


def test_a_difference_is_paired() -> None:
    arm, baseline = noisy_sums(3, truth=0.2, own=0.0), noisy_sums(3, own=0.0)
    bootstrap = a_bootstrap(arm)
    difference = bootstrap.difference(arm, baseline)
    assert width(bootstrap.estimate(arm)) > 0.3
    assert (difference.value, difference.low, difference.high) == pytest.approx((0.2, 0.2, 0.2))
    assert difference.excludes_zero


def test_an_interval_that_touches_zero_does_not_exclude_it() -> None:
    found = [Estimate(0.1, low, high).excludes_zero for low, high in ((0.0, 0.2), (-0.1, 0.1), (-0.2, 0.0))]
    assert found == [False, False, False]
    assert Estimate(0.1, 0.05, 0.2).excludes_zero and Estimate(-0.1, -0.2, -0.05).excludes_zero


def test_translations_are_not_independent_evidence() -> None:
    rng = np.random.default_rng(4)
    common = rng.random(60).tolist()
    rows = mono(dict.fromkeys(LANGUAGES, common))
    independent: list[Row] = [(s, q, p, f"{q}-{meaning}", value) for s, q, p, meaning, value in rows]
    clustered, naive = (sums(a_table(part), "mono", "mAP") for part in (rows, independent))
    wide, narrow = (a_bootstrap(data, samples=1000).estimate(data) for data in (clustered, naive))
    assert wide.value == pytest.approx(narrow.value)
    assert 1.4 < width(wide) / width(narrow) < 2.1  # sqrt(3) for three languages that agree


@pytest.mark.parametrize(("shared", "own"), [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
def test_intervals_cover_the_truth_as_often_as_they_say(shared: float, own: float) -> None:
    covered = 0
    for data_set in range(300):
        data = noisy_sums(data_set, shared=shared, own=own, truth=0.3)
        estimate = a_bootstrap(data, seed=data_set).estimate(data)
        covered += estimate.low <= 0.3 <= estimate.high
    assert 0.90 <= covered / 300 <= 0.99


def test_intervals_of_differences_cover_the_truth_as_often_as_they_say() -> None:
    covered = 0
    for data_set in range(300):
        arm, baseline = noisy_sums(data_set, truth=0.5), noisy_sums(data_set + 10_000)
        estimate = a_bootstrap(arm, seed=data_set).difference(arm, baseline)
        covered += estimate.low <= 0.5 <= estimate.high
    assert 0.90 <= covered / 300 <= 0.99


def test_a_higher_confidence_gives_a_wider_interval() -> None:
    samples = np.arange(1001.0)
    assert interval(500.0, samples, 0.9) == Estimate(500.0, pytest.approx(50.0), pytest.approx(950.0))
    assert interval(500.0, samples, 0.5) == Estimate(500.0, pytest.approx(250.0), pytest.approx(750.0))


def test_an_undefined_value_has_an_undefined_interval() -> None:
    data = mono_sums({"de": [float("nan")] * 3})
    estimate = a_bootstrap(data).estimate(data)
    assert np.isnan([estimate.value, estimate.low, estimate.high]).all()
    assert not estimate.excludes_zero


def test_resamples_depend_on_seed_and_stratum_only() -> None:
    data = noisy_sums(5)
    first = a_bootstrap(data).weights
    assert np.array_equal(first, a_bootstrap(noisy_sums(6)).weights)
    assert not np.array_equal(first, a_bootstrap(data, seed=1).weights)
    assert not np.array_equal(first, a_bootstrap(data, stratum="away").weights)


def test_strata_are_resampled_independently() -> None:
    data = noisy_sums(5, own=0.0)
    home, away = (a_bootstrap(data, samples=2000, stratum=name).replicates(data)[1] for name in ("home", "away"))
    assert abs(np.corrcoef(home, away)[0, 1]) < 0.1


def test_scores_of_other_questions_are_refused() -> None:
    bootstrap = a_bootstrap(mono_sums({"de": [0.1, 0.2, 0.3]}))
    with pytest.raises(ValueError, match="other questions than the bootstrap was drawn for"):
        bootstrap.estimate(mono_sums({"de": [0.1, 0.2]}))


def random_evaluation(suite_name: str = "sample_finance") -> Evaluation:
    (suite,) = load_suites((suite_name,), None, "sentence")
    rng = np.random.default_rng(0)
    queries, passages = (
        rng.standard_normal((len(texts), 8)).astype(np.float32) for texts in (suite.queries, suite.passages)
    )
    return evaluate(suite, queries, passages)


def test_metric_names_follow_one_scheme() -> None:
    evaluation = random_evaluation()
    languages = sorted(evaluation.pool_sizes)
    levels = setting_means(evaluation)
    assert set(levels) == {
        f"sample_finance/{setting}/{metric}"
        for setting in ("mono", "cross", "multi")
        for metric in METRICS + (BIAS_METRICS if setting == "multi" else ())
    }
    pairs = [f"{q}-{p}" for q in languages for p in languages if q != p]
    cells = {"mono": languages, "multi": languages, "cross": pairs}
    by_language = language_means(evaluation)
    assert set(by_language) == {
        f"sample_finance/{setting}/{metric}/{cell}"
        for setting, names in cells.items()
        for metric in ("mAP", "R_1")
        for cell in names
    }
    assert all(re.fullmatch(r"[\w./-]+", name) for name in [*levels, *by_language])


def test_setting_means_are_means_of_language_means() -> None:
    evaluation = random_evaluation()
    by_language, levels = language_means(evaluation, METRICS), setting_means(evaluation)
    for setting in ("mono", "cross", "multi"):
        for metric in METRICS:
            prefix = f"sample_finance/{setting}/{metric}"
            cells = [value for name, value in by_language.items() if name.startswith(f"{prefix}/")]
            assert levels[prefix] == pytest.approx(sum(cells) / len(cells))


def test_language_means_of_hand_made_numbers() -> None:
    rows: list[Row] = [("cross", "de", "en", "m1", 0.2), ("cross", "de", "en", "m2", 0.4), ("cross", "en", "de", "m1", 1.0),
                       ("mono", "de", "de", "m1", 0.5), ("multi", "de", ALL_LANGUAGES, "m1", 0.7)]  # fmt: skip
    evaluation = an_evaluation(rows)
    assert language_means(evaluation, ["MRR"]) == pytest.approx(
        {"home/mono/MRR/de": 0.5, "home/cross/MRR/de-en": 0.3, "home/cross/MRR/en-de": 1.0, "home/multi/MRR/de": 0.7}
    )
    assert setting_means(evaluation)["home/cross/mAP"] == pytest.approx(0.65)
    assert heat_map(evaluation.per_query, "mAP") == pytest.approx(
        {("de", "de"): 0.5, ("de", "en"): 0.3, ("en", "de"): 1.0}
    )


def test_settings_come_in_one_order() -> None:
    rows: list[Row] = [("multi", "de", "*", "m", 1), ("cross", "de", "en", "m", 1), ("mono", "de", "de", "m", 1)]
    assert settings_of(a_table(rows)) == ["mono", "cross", "multi"]
    assert settings_of(a_table(rows[:1])) == ["multi"]
    assert metrics_of("cross") == METRICS
    assert metrics_of("multi") == METRICS + BIAS_METRICS


def test_labels_are_what_people_write() -> None:
    assert [label(metric) for metric in METRICS] == ["mAP", "mAP@20", "R@1", "R@10", "MRR", "nDCG@10"]
    assert label("rank_distance_share") == "rank distance share"


def an_arm(
    levels: Mapping[str, float], noise: Callable[[int], float] = lambda i: 0.0, settings_: tuple[str, ...] = ("mono",)
) -> dict[str, Evaluation]:
    """Suites with a given level; three languages, eight questions."""
    pools = {"mono": lambda lang: lang, "multi": lambda lang: ALL_LANGUAGES}
    return {
        suite: an_evaluation(
            [
                (setting, lang, pools[setting](lang), f"m{i}", level + noise(i))
                for setting in settings_
                for lang in LANGUAGES
                for i in range(8)
            ],
            suite,
        )
        for suite, level in levels.items()
    }


CONFIG = EvaluateConfig(bootstrap_samples=200)


def alternating(i: int) -> float:
    return 0.1 * (-1) ** i


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
    assert {(row["value"], row["low"], row["high"]) for row in result["differences"]} == {(0.0, 0.0, 0.0)}


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
    evaluation, other = random_evaluation(), random_evaluation("sample_law")
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
