"""Randomisation tests, Holm, equivalence, seeds and worst cases: numbers by hand, and properties that must hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored_rows import mono_sums, noisy_sums

from hybrid_core.stats import ClusterBootstrap, Replicates, equivalent, holm, over_seeds, seed_multipliers, sign_flip_p
from hybrid_core.stats.randomisation import flips_for, paired_difference, residuals
from hybrid_core.stats.worst import cvar, worst


def test_p_values_equal_the_enumeration_of_all_sign_flips() -> None:
    rng = np.random.default_rng(0)
    differences = rng.standard_normal((8, 3)) * 0.1 + np.array([0.0, 0.05, 0.2])
    signs = np.array(list(itertools.product((-1, 1), repeat=8)))
    exact = (np.abs(signs @ differences) >= np.abs(differences.sum(0)) - 1e-12).mean(0)
    found = sign_flip_p(differences, flips=40_000, seed=1, stratum="home")
    assert found == pytest.approx(exact, abs=0.01)


def test_the_smallest_p_value_is_one_over_the_flips_and_one() -> None:
    differences = np.full((40, 1), 0.1)
    assert sign_flip_p(differences, flips=999, seed=0, stratum="s")[0] == 0.001


def test_arms_that_are_the_same_have_p_one_and_undefined_ones_none() -> None:
    differences = np.array([[0.0, np.nan], [0.0, 0.1]])
    p = sign_flip_p(differences, flips=100, seed=0, stratum="s")
    assert p[0] == 1.0 and np.isnan(p[1])


def test_flips_that_tie_with_the_difference_count_against_it() -> None:
    differences = np.array([[0.1], [0.1], [0.1], [0.0]])  # two of eight assignments of the three are as extreme
    assert sign_flip_p(differences, flips=20_000, seed=0, stratum="s")[0] == pytest.approx(0.25, abs=0.015)


def test_a_test_is_two_sided_and_does_not_ask_which_arm_is_which() -> None:
    differences = np.random.default_rng(3).standard_normal((30, 5)) + 0.3
    p, turned = (sign_flip_p(d, flips=500, seed=0, stratum="s") for d in (differences, -differences))
    assert p.tolist() == turned.tolist()


def test_the_noise_of_training_weakens_a_test() -> None:
    differences = np.full((40, 1), 0.01)
    factors = seed_multipliers(3, samples=2000, seed=0, model="a", purpose="flips")
    deviations = np.array([[-0.3], [0.0], [0.3]])
    without = sign_flip_p(differences, flips=2000, seed=0, stratum="s")
    with_it = sign_flip_p(differences, flips=2000, seed=0, stratum="s", training=[(factors, deviations)])
    assert without[0] < 0.001 and with_it[0] > 0.05


def test_paired_differences_add_up_to_the_difference_of_macro_averages() -> None:
    arm, reference = noisy_sums(1, truth=0.3), noisy_sums(2)
    difference, own, other = paired_difference([arm, noisy_sums(3)], [reference])
    levels = [data.means().mean() for data in (arm, noisy_sums(3), reference)]
    assert difference.sum() == pytest.approx(np.mean(levels[:2]) - levels[2])
    assert own.tolist() == pytest.approx(levels[:2]) and other.tolist() == pytest.approx(levels[2:])


def test_scores_that_one_side_lacks_are_left_out_on_both() -> None:
    arm = mono_sums({"de": [1.0, 0.5, 0.0], "en": [1.0, 1.0, 1.0]})
    reference = mono_sums({"de": [0.5, float("nan"), 0.0], "en": [0.5, 0.5, 0.5]})
    difference, (own,), (other,) = paired_difference([arm], [reference])
    assert own == pytest.approx((0.5 + 1.0) / 2) and other == pytest.approx((0.25 + 0.5) / 2)
    assert difference.tolist() == pytest.approx([0.25 / 2 + 0.5 / 6 + 0.0, 0.5 / 6, 0.5 / 6])
    with pytest.raises(ValueError, match="other questions cannot be paired"):
        paired_difference([arm], [mono_sums({"de": [1.0], "en": [1.0]})])


def test_large_families_get_flips_enough_to_find_anything() -> None:
    assert flips_for(3, samples=2000, alpha=0.05) == 2000
    for tests in (90, 500):
        flips = flips_for(tests, samples=2000, alpha=0.05)
        assert tests / (flips + 1) <= 0.05 / 5
    assert flips_for(10**6, samples=2000, alpha=0.05) == 100_000
    assert flips_for(3, samples=200_000, alpha=0.05) == 200_000


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([0.02]).tolist() == [0.02] and holm([]).tolist() == []


def test_holm_does_not_count_what_was_not_tested() -> None:
    found = holm([0.02, float("nan"), 0.03])
    assert found[[0, 2]].tolist() == pytest.approx([0.04, 0.04]) and np.isnan(found[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_keeps_the_order_and_lies_between_the_p_values_and_bonferroni(p: list[float]) -> None:
    found, values = holm(p), np.array(p)
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert (found >= values).all() and (found <= np.minimum(1.0, values * len(p))).all()
    assert found[order[0]] == min(1.0, values.min() * len(p))


def test_equivalence_is_an_interval_of_both_one_sided_tests_inside_the_margin() -> None:
    change = Replicates(0.0, np.linspace(-0.01, 0.01, 2001))
    assert equivalent(change, 0.0091, 0.95)  # 5% beyond 0.009 on each side
    assert not equivalent(change, 0.0089, 0.95)
    assert equivalent(Replicates(0.0, np.zeros(10)), 0.001, 0.95)
    assert not equivalent(Replicates(0.02, np.full(10, 0.02)), 0.01, 0.95)


def test_without_a_margin_nothing_is_said_about_equivalence() -> None:
    change = Replicates(0.0, np.zeros(10))
    assert (equivalent(change, None, 0.95), equivalent(change, 0.0, 0.95)) == (None, None)
    assert equivalent(Replicates(float("nan"), np.full(10, np.nan)), 0.1, 0.95) is None


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_noise_of_seeds_is_students_t(seeds: int) -> None:
    from scipy import stats

    levels = np.random.default_rng(seeds).standard_normal(seeds)
    factors = seed_multipliers(seeds, samples=40_000, seed=0, model="m")
    value, replicates = over_seeds(levels, np.tile(levels[:, None], (1, 40_000)), factors)
    standard = (replicates - value) / (levels.std(ddof=1) / np.sqrt(seeds))
    assert stats.kstest(standard, stats.t(seeds - 1).cdf).pvalue > 0.001


def test_one_seed_adds_no_noise_and_models_draw_their_own() -> None:
    assert not seed_multipliers(1, samples=10, seed=0, model="m").any()
    a, again, b = (seed_multipliers(3, samples=10, seed=0, model=m) for m in ("a", "a", "b"))
    assert np.array_equal(a, again) and not np.array_equal(a, b)


def test_the_worst_is_the_lowest_value_or_the_highest() -> None:
    values, samples = np.array([0.3, 0.2, np.nan]), np.array([[0.1, 0.4, np.nan], [0.5, 0.2, 0.1]])
    name, found = worst(values, samples, ("de", "en", "fr"), confidence=0.9)
    assert (name, found.value) == ("en", 0.2)
    name, found = worst(values, samples, ("de", "en", "fr"), confidence=0.9, high_is_worse=True)
    assert (name, found.value) == ("de", 0.3) and found.low <= 0.3 <= found.high


def test_cvar_is_the_mean_of_the_worst_quarter_rounded_up() -> None:
    values = np.array([0.9, 0.1, 0.5, 0.3, 0.7, np.nan])
    found = cvar(values, values[None, :], confidence=0.9)  # a quarter of five cells: two
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert cvar(values, values[None, :], confidence=0.9, high_is_worse=True).value == pytest.approx(0.8)
    assert cvar(values[:4], values[None, :4], confidence=0.9).value == 0.1


def test_a_worst_cell_that_stands_out_has_its_percentile_interval() -> None:
    rng = np.random.default_rng(0)
    values = np.array([0.9, 0.2, 0.8])
    samples = values + 0.02 * rng.standard_normal((4000, 3))
    _, found = worst(values, samples, ("de", "en", "fr"), confidence=0.9)
    assert (found.low, found.high) == pytest.approx(np.quantile(samples[:, 1], [0.05, 0.95]), abs=1e-3)
    _, turned = worst(1 - values, 1 - samples, ("de", "en", "fr"), confidence=0.9, high_is_worse=True)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_the_interval_of_equal_cells_reaches_above_all_that_the_noise_took_away() -> None:
    """Twenty equal cells: the lowest lies two standard deviations below the truth, its percentile interval far below."""
    rng = np.random.default_rng(1)
    values = 0.5 + 0.05 * rng.standard_normal(20)
    samples = values + 0.05 * rng.standard_normal((2000, 20))
    _, found = worst(values, samples, [str(i) for i in range(20)], confidence=0.95)
    assert np.quantile(samples.min(1), 0.975) < 0.45 < found.low + 0.2
    assert found.value < 0.45 and found.low < found.value and found.high > 0.5


def test_intervals_of_worst_cases_end_where_the_metric_does() -> None:
    samples = np.array([[-0.3, 0.2], [0.2, 1.4], [0.1, 1.2], [0.4, 1.3]])
    found = cvar(np.array([0.1, 1.0]), samples, confidence=0.5, share=1.0, highest=0.6)
    assert found.high == 0.6 and found.low >= 0.0
    assert cvar(np.array([-0.1]), np.array([[-0.3]]), confidence=0.5).low == 0.0


def test_a_metric_that_is_nowhere_defined_has_no_worst() -> None:
    name, found = worst(np.array([np.nan]), np.array([[np.nan]]), ("de",), confidence=0.9)
    assert name == "de" and np.isnan([found.value, found.low, found.high]).all()


def test_residuals_have_the_variance_of_the_bootstrap() -> None:
    arm, reference = noisy_sums(1, truth=0.3), noisy_sums(2)
    strata = [np.arange(15), np.arange(15, 40)]
    found = residuals([arm], [reference], strata)
    bootstrap = ClusterBootstrap(
        arm.clusters, samples=20_000, confidence=0.9, seed=0, stratum="s", strata=["a"] * 15 + ["b"] * 25
    )
    assert [m.tolist() for m in bootstrap.strata] == [m.tolist() for m in strata]
    samples = bootstrap.replicates(arm)[1] - bootstrap.replicates(reference)[1]
    assert np.sqrt((found**2).sum()) == pytest.approx(samples.std(), rel=0.03)
    assert found[strata[0]].sum() == pytest.approx(0.0) == pytest.approx(found[strata[1]].sum())


def test_one_question_says_nothing_about_its_error() -> None:
    one = mono_sums({"de": [0.5]})
    assert np.isnan(residuals([one], [one], [np.arange(1)])).all()


def test_flips_are_held_against_another_value_than_their_sum() -> None:
    wrong = np.array([[0.1, 0.1], [-0.1, -0.1]])  # flips sum to -0.2, 0 (twice) and 0.2
    p = sign_flip_p(wrong, flips=20_000, seed=0, stratum="s", observed=np.array([0.2, 0.3]))
    assert p == pytest.approx([0.5, 1 / 20_001], abs=0.015)
