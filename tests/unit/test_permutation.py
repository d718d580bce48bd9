"""Keyed permutations and exact mixtures: every promise that the batch plan is built on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.permutation import derive_key, draw_without_replacement, exact_choice, exact_coin, mix, permute

quick = settings(deadline=None, max_examples=60)
keys = st.integers(0, 2**63 - 1)
probabilities = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.25, 0.3, 1 / 3, 0.5, 1.0]))
weight_lists = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0, 100.0]), min_size=1, max_size=7).filter(any)


def test_keys_are_the_same_on_every_machine() -> None:
    assert derive_key(7, "mode") == derive_key("7", "mode") == 6163543485978695192
    assert derive_key("ab", "c") != derive_key("a", "bc")
    assert all(0 <= derive_key(seed) < 2**63 for seed in range(200))


def test_the_orders_of_a_release_stay_what_they_are() -> None:
    # running jobs resume from these: whoever changes them raises `version` in BatchPlan.hash
    assert permute(np.arange(10), 10, 42).tolist() == [3, 5, 8, 6, 4, 2, 0, 9, 7, 1]
    assert draw_without_replacement(np.arange(12), 6, 42).tolist() == [0, 3, 2, 1, 5, 4, 0, 1, 3, 2, 4, 5]


def test_mix_is_the_finaliser_of_splitmix64() -> None:
    gamma, mask = 0x9E3779B97F4A7C15, 2**64 - 1
    states = np.array([gamma, 2 * gamma & mask, 3 * gamma & mask], dtype=np.uint64)
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # first outputs for seed 0
    assert mix(states).tolist() == published


@quick
@given(size=st.integers(1, 700), key=st.integers(0, 2**64 - 1))
def test_permute_sends_a_range_onto_itself(size: int, key: int) -> None:
    assert sorted(permute(np.arange(size), size, key).tolist()) == list(range(size))


def test_permute_sends_a_large_range_onto_itself() -> None:
    size = 2**20 + 3
    assert np.bincount(permute(np.arange(size), size, 5), minlength=size).tolist() == [1] * size


@quick
@given(size=st.integers(10**6, 2**62), key=keys, start=st.integers(0, 10**6 - 300))
def test_permute_keeps_indices_of_huge_ranges_apart_and_inside(size: int, key: int, start: int) -> None:
    sent = permute(np.arange(start, start + 300), size, key)
    assert len(set(sent.tolist())) == 300
    assert sent.min() >= 0 and sent.max() < size


@quick
@given(size=st.integers(1, 300), key=keys, data=st.data())
def test_permute_by_index_equals_permuting_all(size: int, key: int, data: st.DataObject) -> None:
    index = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20)))
    assert permute(index, size, key).tolist() == permute(np.arange(size), size, key)[index].tolist()


def test_permute_takes_one_key_per_index() -> None:
    many = np.arange(40, dtype=np.uint64) * np.uint64(977)
    together = permute(np.full(40, 3), 50, many)
    assert together.tolist() == [int(permute(np.array([3]), 50, int(key))[0]) for key in many]


def test_every_key_gives_another_order() -> None:
    orders = {tuple(permute(np.arange(100), 100, key).tolist()) for key in range(300)}
    assert len(orders) == 300


@pytest.mark.parametrize("size", [17, 48, 100])
def test_every_index_lands_on_every_place_equally_often(size: int) -> None:
    trials = 4000
    drawn_keys = mix(np.arange(trials, dtype=np.uint64))
    landed = np.array([np.bincount(permute(np.full(trials, i), size, drawn_keys), minlength=size) for i in range(size)])
    expected = trials / size
    assert ((landed - expected) ** 2 / expected).sum() / (size - 1) ** 2 == pytest.approx(1.0, abs=0.3)  # chi2 / df


@quick
@given(size=st.integers(1, 120), key=keys, epoch=st.integers(0, 1000))
def test_an_epoch_visits_each_row_once(size: int, key: int, epoch: int) -> None:
    drawn = draw_without_replacement(epoch * size + np.arange(size), size, key)
    assert sorted(drawn.tolist()) == list(range(size))


def test_every_epoch_has_another_order() -> None:
    drawn = draw_without_replacement(np.arange(50 * 60), 50, derive_key(3)).reshape(60, 50)
    assert len({tuple(epoch.tolist()) for epoch in drawn}) == 60


def test_drawing_out_of_order_equals_drawing_in_order() -> None:
    all_at_once = draw_without_replacement(np.arange(500), 37, 11)
    order = np.random.default_rng(0).permutation(500)
    assert draw_without_replacement(order, 37, 11).tolist() == all_at_once[order].tolist()
    assert [int(draw_without_replacement(np.array([i]), 37, 11)[0]) for i in range(500)] == all_at_once.tolist()


def test_a_thousand_tosses_at_three_tenths_are_three_hundred_heads() -> None:
    heads, _ = exact_coin(np.arange(1000), 0.3, 100, derive_key(1))
    assert heads.sum() == 300
    assert heads.reshape(10, 100).sum(1).tolist() == [30] * 10


@quick
@given(probability=probabilities, block=st.integers(1, 130), key=keys)
def test_heads_are_exact_after_every_block(probability: float, block: int, key: int) -> None:
    blocks = 9
    heads, _ = exact_coin(np.arange(blocks * block), probability, block, key)
    after = np.cumsum(heads.reshape(blocks, block).sum(1))
    wanted = np.arange(1, blocks + 1) * block * probability
    assert np.abs(after - wanted).max() <= 0.5 + 1e-9


@quick
@given(probability=probabilities, block=st.integers(1, 130), tosses=st.integers(1, 500), key=keys)
def test_heads_and_tails_are_numbered_in_the_order_of_the_tosses(
    probability: float, block: int, tosses: int, key: int
) -> None:
    heads, rank = exact_coin(np.arange(tosses), probability, block, key)
    for side in (heads, ~heads):
        assert rank[side].tolist() == list(range(int(side.sum())))


def test_heads_are_shuffled_inside_a_block_and_differently_in_the_next() -> None:
    heads, _ = exact_coin(np.arange(2000), 0.5, 100, derive_key("shuffle"))
    blocks = {tuple(block.tolist()) for block in heads.reshape(20, 100)}
    assert len(blocks) == 20
    assert all(5 < heads.reshape(20, 100)[b, :50].sum() < 45 for b in range(20))


@quick
@given(probability=probabilities, block=st.integers(1, 130), key=keys, data=st.data())
def test_a_toss_does_not_need_those_before_it(probability: float, block: int, key: int, data: st.DataObject) -> None:
    index = np.array(data.draw(st.lists(st.integers(0, 299), min_size=1, max_size=20)))
    heads, rank = exact_coin(np.arange(300), probability, block, key)
    some_heads, some_ranks = exact_coin(index, probability, block, key)
    assert some_heads.tolist() == heads[index].tolist()
    assert some_ranks.tolist() == rank[index].tolist()


def test_a_toss_far_out_is_still_exact() -> None:
    far = 10**12
    heads, rank = exact_coin(np.arange(far, far + 1000), 0.3, 100, 5)
    assert heads.sum() == 300
    assert sorted(rank[heads].tolist()) == list(range(far * 3 // 10, far * 3 // 10 + 300))


@quick
@given(weights=weight_lists, block=st.integers(1, 130), draws=st.integers(1, 500), key=keys)
def test_draws_of_every_option_are_numbered_in_their_order(
    weights: list[float], block: int, draws: int, key: int
) -> None:
    option, rank = exact_choice(np.arange(draws), weights, block, key)
    for o in range(len(weights)):
        assert rank[option == o].tolist() == list(range(int((option == o).sum())))


@quick
@given(weights=weight_lists, block=st.integers(1, 60), key=keys)
def test_counts_of_options_follow_their_weights(weights: list[float], block: int, key: int) -> None:
    draws = 12 * block
    option, _ = exact_choice(np.arange(draws), weights, block, key)
    share = np.array(weights) / sum(weights)
    # every level of the tree rounds by a half at most, and its last block may be cut anywhere
    slack = np.ceil(np.log2(len(weights))) * (1 + block / 2)
    assert np.abs(np.bincount(option, minlength=len(weights)) - draws * share).max() <= slack


@pytest.mark.parametrize("weights", [[1, 1], [1, 1, 1, 1], [1, 3], [2, 0, 1, 1]])
def test_counts_are_within_one_where_blocks_end_together(weights: list[float]) -> None:
    option, _ = exact_choice(np.arange(1600), weights, 8, derive_key("counts"))
    share = np.array(weights) / sum(weights)
    assert np.abs(np.bincount(option, minlength=len(weights)) - 1600 * share).max() <= 1


def test_options_are_drawn_independently_of_each_other() -> None:
    option, _ = exact_choice(np.arange(800), [1, 1, 1, 1], 100, derive_key("independent"))
    first, second = option[option < 2] == 0, option[option >= 2] == 2
    assert len(first) == len(second) == 400
    assert 140 < (first == second).sum() < 260


@quick
@given(weights=weight_lists, block=st.integers(1, 60), key=keys)
def test_a_weight_of_zero_is_never_drawn(weights: list[float], block: int, key: int) -> None:
    option, _ = exact_choice(np.arange(400), weights, block, key)
    assert all(weights[o] > 0 for o in set(option.tolist()))


@quick
@given(weights=weight_lists, block=st.integers(1, 60), key=keys, data=st.data())
def test_a_choice_does_not_need_those_before_it(
    weights: list[float], block: int, key: int, data: st.DataObject
) -> None:
    index = np.array(data.draw(st.lists(st.integers(0, 299), min_size=1, max_size=20)))
    option, rank = exact_choice(np.arange(300), weights, block, key)
    some_options, some_ranks = exact_choice(index, weights, block, key)
    assert some_options.tolist() == option[index].tolist()
    assert some_ranks.tolist() == rank[index].tolist()


def test_a_choice_leaves_its_index_alone() -> None:
    index = np.arange(50)
    exact_choice(index, [1.0, 2.0], 10, 1)
    assert index.tolist() == list(range(50))
