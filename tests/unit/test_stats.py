"""Sums, bootstrap and intervals: hand-made numbers, and what resampling must respect."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_rows import LANGUAGES, Row, a_bootstrap, a_table, an_evaluation, mono, mono_sums, noisy_sums, width

from hybrid_core.evaluate import METRICS
from hybrid_core.stats import ClusterBootstrap, Estimate, ScoreTable, Sums, cell_means, interval, sums
from hybrid_core.summary import setting_means


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


def test_sums_equal_a_loop_over_rows_however_the_labels_are_stored() -> None:
    rng = np.random.default_rng(8)
    rows: list[Row] = [
        ("cross", str(rng.choice(LANGUAGES)), str(rng.choice(LANGUAGES)), f"m{rng.integers(9)}", float(rng.random()))
        for _ in range(200)
    ]
    table = a_table(rows)
    in_chunks = pa.concat_tables([a_table(rows[start : start + 30]) for start in range(0, 200, 30)])
    plain = table.cast(
        pa.schema([(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in table.schema])
    )
    for stored in (table, in_chunks, plain):
        data = sums(stored, "cross", "mAP")
        for i, cluster in enumerate(data.clusters):
            for j, cell in enumerate(data.cells):
                scores = [row[4] for row in rows if row[3] == cluster and row[1:3] == cell]
                assert (data.totals[i, j], data.counts[i, j]) == pytest.approx((sum(scores), len(scores)))


def test_a_setting_that_is_not_there_has_empty_sums() -> None:
    data = sums(a_table(mono({"de": [1.0]})), "multi", "mAP")
    assert (data.cells, data.clusters, data.totals.size) == ((), (), 0)


def test_a_table_aligned_with_other_questions_has_zeros_for_those_it_lacks() -> None:
    table = a_table(mono({"de": [0.5, 1.0]}), {"m0": "law", "m1": "code"})
    data = ScoreTable(table, ("a", "m0", "m1", "z")).sums("mono", "mAP")
    assert data.totals[:, 0].tolist() == [0.0, 0.5, 1.0, 0.0]
    assert data.counts[:, 0].tolist() == [0, 1, 1, 0]
    only_law = ScoreTable(table).sums("mono", "mAP", domain="law")
    assert (only_law.totals[:, 0].tolist(), only_law.counts[:, 0].tolist()) == ([0.5, 0.0], [1, 0])


def test_a_question_of_two_domains_is_a_stratum_of_both() -> None:
    table = a_table([*mono({"de": [0.5, 1.0]}), ("mono", "en", "en", "m1", 0.2)])
    table = table.append_column("domain", pa.array(["law", "law", "code"]))
    assert ScoreTable(table).strata() == {"m0": "law", "m1": "code+law"}


def test_contributions_add_up_to_the_macro_average() -> None:
    data = mono_sums({"de": [1.0, 0.5, float("nan")], "en": [0.25, float("nan"), 0.75]})
    assert data.contributions.sum() == pytest.approx((0.75 + 0.5) / 2) == a_bootstrap(data).replicates(data)[0]
    assert data.contributions.tolist() == pytest.approx([1.0 / 4 + 0.25 / 4, 0.5 / 4, 0.75 / 4])


def test_replicates_are_weighted_macro_averages() -> None:
    rng = np.random.default_rng(2)
    scores = {"de": rng.random(12), "en": np.where(np.arange(12) % 3 > 0, rng.random(12), np.nan)}
    data = mono_sums({lang: values.tolist() for lang, values in scores.items()})
    bootstrap = a_bootstrap(data, samples=50)
    order = [int(cluster[1:]) for cluster in data.clusters]
    for weights, replicate in zip(bootstrap.weights, bootstrap.replicates(data)[1], strict=True):
        means = [np.average(v[order][k], weights=weights[k]) for v in scores.values() for k in [~np.isnan(v[order])]]
        assert replicate == pytest.approx(np.mean(means))


def test_many_sums_at_once_give_what_each_gives_alone() -> None:
    several = [noisy_sums(1), mono_sums({lang: [0.5, float("nan")] * 20 for lang in LANGUAGES}), noisy_sums(2)]
    bootstrap = a_bootstrap(several[0], samples=60)
    values, samples = bootstrap.replicates_of(several)
    for i, data in enumerate(several):
        value, alone = bootstrap.replicates(data)
        assert values[i] == pytest.approx(value) and samples[i] == pytest.approx(alone)
        cells, cell_samples = bootstrap.cell_replicates(data)
        assert cells.mean() == pytest.approx(value) and cell_samples.mean(1) == pytest.approx(alone)


def test_one_question_fewer_than_there_are_is_drawn_and_weighed_up() -> None:
    bootstrap = a_bootstrap(noisy_sums(0, questions=10), samples=4000)
    drawn = bootstrap.weights * 9 / 10
    assert drawn == pytest.approx(drawn.round()) and drawn.sum(1) == pytest.approx(9)
    assert bootstrap.weights.var(0).mean() == pytest.approx(1.0, abs=0.03)  # 10/9 * (1 - 1/10): the variance of s^2 / n


def test_every_resample_keeps_the_share_of_every_domain() -> None:
    strata = ["law"] * 8 + ["code"] * 12
    names = [f"m{i:02d}" for i in range(20)]
    bootstrap = ClusterBootstrap(names, samples=50, confidence=0.95, seed=0, stratum="home", strata=strata)
    assert bootstrap.weights[:, :8].sum(1) == pytest.approx(8.0) and bootstrap.weights[:, 8:].sum(1) == pytest.approx(
        12.0
    )
    scores = np.array([[0.9]] * 8 + [[0.1]] * 12)
    data = Sums((("de", "de"),), tuple(names), scores, np.ones((20, 1)))
    assert width(bootstrap.estimate(data)) == pytest.approx(
        0.0, abs=1e-12
    )  # domains differ, questions within them do not


def test_small_domains_are_drawn_together() -> None:
    strata = ["big"] * 10 + ["a", "b", "b", "c", "c", "c"]
    names = [f"m{i:02d}" for i in range(16)]
    weights = ClusterBootstrap(names, samples=200, confidence=0.95, seed=0, stratum="home", strata=strata).weights
    assert weights[:, :10].sum(1) == pytest.approx(10.0) and weights[:, 10:].sum(1) == pytest.approx(6.0)
    assert (weights[:, 10].round(6) != 1.0).any()  # a domain of one question would never vary
    lonely = ClusterBootstrap(
        names[:8], samples=200, confidence=0.95, seed=0, stratum="s", strata=["x"] * 7 + ["y"]
    ).weights
    assert lonely.sum(1) == pytest.approx(8.0) and (lonely[:, 7].round(6) != 1.0).any()


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
@settings(max_examples=30)
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
