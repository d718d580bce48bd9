"""Keyed permutations and exact mixtures: every promise that the batch plan is built on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.exact import ExactDraws, Schedule, Shares
from hybrid_core.permutation import derive_key, draw_without_replacement, mix, permute

quick = settings(max_examples=60)
keys = st.integers(0, 2**63 - 1)
probabilities = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.25, 0.3, 1 / 3, 0.5, 1.0]))
schedules = st.lists(
    st.tuples(st.integers(0, 500), probabilities), min_size=1, max_size=5, unique_by=lambda p: p[0]
).map(sorted)
weight_lists = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0, 100.0]), min_size=1, max_size=7).filter(any)


def test_keys_are_the_same_on_every_machine() -> None:
    assert derive_key(7, "mode") == derive_key("7", "mode") == 6163543485978695192
    assert derive_key("ab", "c") != derive_key("a", "bc")
    assert all(0 <= derive_key(seed) < 2**63 for seed in range(200))


def test_the_orders_of_a_release_stay_what_they_are() -> None:
    # running jobs resume from these: whoever changes them raises `version` in BatchPlan.hash
    assert permute(np.arange(10), 10, 42).tolist() == [9, 0, 1, 8, 3, 6, 7, 2, 4, 5]
    assert draw_without_replacement(np.arange(12), 6, 42).tolist() == [4, 2, 1, 3, 0, 5, 5, 4, 2, 0, 3, 1]


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


def landings(size: int, drawn_keys: np.ndarray) -> np.ndarray:
    """How often each index [row] lands on each place [column] over many keys."""
    sent = [permute(np.full(len(drawn_keys), index), size, drawn_keys) for index in range(size)]
    return np.array([np.bincount(places, minlength=size) for places in sent])


@pytest.mark.parametrize("first_key", [0, 10**6, 10**9])
@pytest.mark.parametrize("size", [8, 17, 48, 100])
def test_every_index_lands_on_every_place_equally_often(size: int, first_key: int) -> None:
    trials, freedom = 4000, (size - 1) ** 2
    landed = landings(size, mix(np.arange(first_key, first_key + trials, dtype=np.uint64)))
    # a cell of a random permutation matrix has variance (1 - 1/n) / n, and rows and columns have fixed sums
    chi2 = ((landed - trials / size) ** 2 / (trials / size)).sum() * (size - 1) / size
    assert abs(chi2 / freedom - 1) < 4 * np.sqrt(2 / freedom)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6, 7])
def test_in_tiny_ranges_no_place_is_favoured_by_more_than_five_in_a_hundred(size: int) -> None:
    # a Feistel network over two and three digits cannot be exact; size 5 is the worst, 3 in 100
    landed = landings(size, mix(np.arange(100_000, dtype=np.uint64)))
    assert np.abs(landed * size / 100_000 - 1).max() < 0.05


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


def test_permute_takes_one_size_per_index() -> None:
    sizes = np.array([1, 2, 7, 100, 10**6, 10**12])
    together = permute(sizes - 1, sizes, 9)
    assert together.tolist() == [int(permute(np.array([size - 1]), int(size), 9)[0]) for size in sizes]


@quick
@given(weights=weight_lists, draws=st.integers(0, 2**45))
def test_counts_of_weights_add_up_never_fall_and_follow_the_share(weights: list[float], draws: int) -> None:
    counts_until = Shares(weights).until
    counts, more = counts_until(draws), counts_until(draws + 3)
    assert counts.sum() == draws and more.sum() == draws + 3
    assert (more >= counts).all()
    share = np.array(weights) / sum(weights)
    assert np.abs(counts - draws * share).max() <= 2 + draws * len(weights) / 2**20  # weights have 20 bits


@pytest.mark.parametrize("weights", [[1, 1], [1, 1, 1], [1, 3], [2, 0, 1, 1], [1] * 110])
def test_equal_parts_of_a_whole_are_exact(weights: list[int]) -> None:
    total = sum(weights)
    assert Shares(weights).until(7 * total).tolist() == [7 * w for w in weights]


def test_counts_of_weights_are_exact_far_out() -> None:
    assert Shares([1, 2, 5]).until(8 * 10**15).tolist() == [10**15, 2 * 10**15, 5 * 10**15]


@quick
@given(points=schedules, draws=st.integers(0, 1000))
def test_counts_of_a_schedule_never_fall_and_follow_the_integral(points: list[tuple[int, float]], draws: int) -> None:
    counts_until = Schedule(points).until
    counts, more = counts_until(draws), counts_until(draws + 1)
    assert counts.sum() == draws
    assert sorted((more - counts).tolist()) == [0, 1]
    at, value = zip(*points, strict=True)
    middle = (
        np.interp(np.arange(draws * 4) / 4 + 1 / 8, at, value).sum() / 4
    )  # midpoint rule: exact between whole draws
    assert abs(counts[0] - middle) <= 0.5 + 1e-6 * draws


def test_a_constant_schedule_is_exact_far_out() -> None:
    assert Schedule([(0, 0.3)]).until(10**15).tolist() == [3 * 10**14, 7 * 10**14]


def test_a_linear_schedule_gives_the_area_under_the_line() -> None:
    counts_until = Schedule([(0, 1.0), (1000, 0.0)]).until
    assert counts_until(1000).tolist() == [500, 500]
    assert counts_until(10**9).tolist() == [500, 10**9 - 500]
    assert counts_until(500)[0] == 375


@quick
@given(weights=weight_lists, block=st.integers(1, 130), key=keys, number=st.integers(0, 10**9))
def test_a_block_holds_exactly_its_counts_and_numbers_them_in_order(
    weights: list[float], block: int, key: int, number: int
) -> None:
    counts_until = Shares(weights).until
    options, nth = ExactDraws(Shares(weights), block, key).block(number)
    before, after = counts_until(number * block), counts_until((number + 1) * block)
    for option in range(len(weights)):
        assert nth[options == option].tolist() == list(range(before[option], after[option]))


@quick
@given(weights=weight_lists, block=st.integers(1, 60), key=keys, index=st.integers(0, 10**12))
def test_a_draw_does_not_need_those_before_it(weights: list[float], block: int, key: int, index: int) -> None:
    walked = ExactDraws(Shares(weights), block, key)
    for earlier in range(index, index + 5):
        walked.draw(earlier)
    assert walked.draw(index) == ExactDraws(Shares(weights), block, key).draw(index)
    option, nth = walked.draw(index)
    assert weights[option] > 0
    assert nth <= index


def test_draws_are_shuffled_inside_a_block_and_between_blocks() -> None:
    draws = ExactDraws(Shares([1, 1]), 100, derive_key("shuffled"))
    orders = {tuple(draws.block(number)[0].tolist()) for number in range(50)}
    assert len(orders) == 50
    assert all(30 < np.count_nonzero(np.diff(order)) < 70 for order in orders)


def test_every_option_is_drawn_at_every_place_equally_often() -> None:
    draws = ExactDraws(Shares([1, 1, 2]), 8, derive_key("places"))
    landed = np.array([draws.block(number)[0] for number in range(4000)])
    for option, expected in ((0, 1000), (1, 1000), (2, 2000)):
        assert np.abs((landed == option).sum(0) - expected).max() < 5 * np.sqrt(expected)


@quick
@given(size=st.integers(1, 700), key=st.integers(0, 2**63 - 1))
def test_a_permutation_can_be_followed_backwards(size: int, key: int) -> None:
    everything = np.arange(size)
    assert permute(permute(everything, size, key), size, key, backwards=True).tolist() == everything.tolist()


@quick
@given(size=st.integers(10**6, 2**62), key=keys)
def test_a_permutation_of_a_huge_range_can_be_followed_backwards(size: int, key: int) -> None:
    index = np.arange(size - 300, size)
    assert permute(permute(index, size, key), size, key, backwards=True).tolist() == index.tolist()


windows = st.integers(1, 60).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))


@settings(max_examples=150)
@given(shape=windows, key=keys, aligned=st.booleans())
def test_a_window_holds_nothing_twice_also_where_epochs_meet(shape: tuple[int, int], key: int, aligned: bool) -> None:
    size, window = shape
    drawn = draw_without_replacement(np.arange(12 * size), size, key, window=window, aligned=aligned).tolist()
    for start in range(0, 12 * size, size):
        assert sorted(drawn[start : start + size]) == list(range(size)), "an epoch holds every element once"
    for start in range(0, 12 * size - window + 1, window if aligned else 1):
        assert len(set(drawn[start : start + window])) == window


def test_sequences_of_many_sizes_keys_and_windows_are_drawn_at_once_as_one_by_one() -> None:
    generator = np.random.default_rng(0)
    sizes, drawn_keys = generator.integers(1, 40, 500), generator.integers(0, 2**62, 500)
    many_windows, index = 1 + generator.integers(0, 1000, 500) % sizes, generator.integers(0, 400, 500)
    together = draw_without_replacement(index, sizes, drawn_keys, window=many_windows)
    alone = [
        int(draw_without_replacement(np.array([i]), int(size), int(key), window=int(window))[0])
        for i, size, key, window in zip(index, sizes, drawn_keys, many_windows, strict=True)
    ]
    assert together.tolist() == alone


def test_only_the_beginning_of_a_later_epoch_is_drawn_in_another_order_for_a_window() -> None:
    plain = draw_without_replacement(np.arange(400), 100, 7).reshape(4, 100)
    drawn = draw_without_replacement(np.arange(400), 100, 7, window=30, aligned=True).reshape(4, 100)
    assert (plain[0] == drawn[0]).all() and (plain[:, 30:] == drawn[:, 30:]).all()
    assert (plain[1:, :30] != drawn[1:, :30]).any()


@quick
@given(weights=weight_lists, draws=st.integers(1, 200), first=st.integers(0, 10**9))
def test_no_option_is_drawn_more_often_than_the_most(weights: list[float], draws: int, first: int) -> None:
    shares = Shares(weights)
    most = shares.most(draws)
    assert (shares.until(first + draws) - shares.until(first) <= most).all()
    assert (most >= np.ceil(draws * np.array(weights) / sum(weights) - draws * len(weights) / 2**20)).all()


def test_the_most_of_an_option_can_be_more_than_its_share_rounded_up() -> None:
    weights, draws = [5.0, 4.0, 2.0, 3.0, 1.0, 1.0, 1.0, 2.0], 24
    shares = Shares(weights)
    found = np.max([shares.until(n + draws) - shares.until(n) for n in range(4000)], axis=0)
    assert (found <= shares.most(draws)).all()
    assert (found > np.ceil(draws * np.array(weights) / sum(weights))).any()  # a split of a rounded split


@quick
@given(points=schedules, block=st.integers(1, 200), key=keys, end=st.integers(0, 300))
def test_a_schedule_is_followed_within_a_block(points: list[tuple[int, float]], block: int, key: int, end: int) -> None:
    schedule = Schedule(points)
    draws = ExactDraws(schedule, block, key, end=end)
    counts = np.zeros(2, dtype=int)
    for number in range(700):
        if number % block == 0 or number == end:
            assert counts.tolist() == schedule.until(number).tolist()
        assert draws.drawn(number).tolist() == counts.tolist()
        option, nth = draws.draw(number)
        assert nth == counts[option]
        counts[option] += 1


@quick
@given(points=schedules, first=st.integers(0, 600), length=st.integers(1, 200))
def test_what_is_shuffled_as_one_leads_to_expect_the_schedule_within_a_quarter_of_a_draw(
    points: list[tuple[int, float]], first: int, length: int
) -> None:
    at, value = zip(*points, strict=True)
    places = first + np.arange(length * 8 + 1) / 8
    area = np.concatenate([[0], np.cumsum(np.diff(places) * np.interp((places[1:] + places[:-1]) / 2, at, value))])
    drift = np.abs(area - area[-1] * (places - first) / length).max()
    assert drift <= 0.25 + 1e-6 or Schedule(points).uneven(first, first + length)
