"""Exact search: the same lists and ranks whatever the blocks, the order and the shards, and equal to brute force."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_suites import a_suite, smooth_vectors, tied_vectors

from hybrid_core.data.suites import Suite, Texts
from hybrid_core.scores import exact_form, exact_pairs, float32_error, low_precision_error
from hybrid_core.search import TopK, count_ahead, merge_top_k, rank_relevant, top_k

quick = settings(max_examples=40)
random_seeds = st.integers(0, 2**32 - 1)


def nearly_equal_vectors(rows: int, seed: int, dimension: int = 33) -> np.ndarray:
    """A few unit vectors, their copies, and neighbours a last bit away: float32 cannot order their scores."""
    rng = np.random.default_rng(seed)
    vectors = smooth_vectors(3, seed, dimension)[rng.integers(0, 3, rows)]
    bits = rng.integers(-1, 2, vectors.shape).astype(np.float32) * (rng.random((rows, 1)) < 0.7)
    return np.asarray(vectors + bits * np.spacing(vectors), dtype=np.float32)


def lengths_apart(rows: int, seed: int) -> np.ndarray:
    """Vectors of very different lengths, one of them zero."""
    vectors = smooth_vectors(rows, seed, 5) * np.exp2(np.random.default_rng(seed).integers(-20, 20, (rows, 1)))
    vectors[0] = 0
    return np.asarray(vectors, dtype=np.float32)


KINDS = (tied_vectors, smooth_vectors, nearly_equal_vectors, lengths_apart)
kinds = st.sampled_from(KINDS)


def scores_in_fractions(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """Inner products of the exact forms in arithmetic without any rounding, [q, p] of Fraction."""
    asked, answers = (np.vectorize(Fraction, otypes=[object])(exact_form(vectors)) for vectors in (queries, passages))
    return np.asarray(asked @ answers.T)


def brute_force(scores: np.ndarray, place: np.ndarray, pool: np.ndarray, k: int) -> TopK:
    """Lists of the pool's rows by sorting, filled up with -1."""
    rows = np.full((len(scores), k), -1, dtype=np.int64)
    values = np.full((len(scores), k), -np.inf)
    for query, line in enumerate(scores):
        best = sorted(pool.tolist(), key=lambda row: (-line[row], place[row]))[:k]
        rows[query, : len(best)], values[query, : len(best)] = best, [float(line[row]) for row in best]
    return TopK(rows, values)


def assert_same(one: TopK, two: TopK) -> None:
    np.testing.assert_array_equal(one.rows, two.rows)
    np.testing.assert_array_equal(one.scores, two.scores)


@quick
@given(random_seeds, kinds)
def test_exact_scores_equal_arithmetic_in_fractions(seed: int, vectors: Callable[[int, int], np.ndarray]) -> None:
    queries, passages = vectors(6, seed), vectors(9, seed + 1)
    expected = scores_in_fractions(queries, passages)
    whole = exact_form(queries) @ exact_form(passages).T
    assert (np.vectorize(Fraction, otypes=[object])(whole) == expected).all()
    pairs = np.repeat(np.arange(6), 9), np.tile(np.arange(9), 6)
    np.testing.assert_array_equal(exact_pairs(queries, passages, *pairs).reshape(6, 9), whole)


@pytest.mark.parametrize("dimension", [3, 384, 1024])
def test_exact_scores_are_the_same_bits_in_every_block_and_order(dimension: int) -> None:
    queries = exact_form(smooth_vectors(70, 0, dimension))
    passages = exact_form(smooth_vectors(333, 1, dimension))
    whole = queries @ passages.T
    for block in (1, 2, 7, 64, 100):
        parts = [queries @ passages[start : start + block].T for start in range(0, 333, block)]
        np.testing.assert_array_equal(np.hstack(parts), whole)
        lines = [queries[start : start + block] @ passages.T for start in range(0, 70, block)]
        np.testing.assert_array_equal(np.vstack(lines), whole)
    components = np.random.default_rng(2).permutation(dimension)
    np.testing.assert_array_equal(queries[:, components] @ passages[:, components].T, whole)


@pytest.mark.parametrize("dimension", [3, 384, 1024])
def test_exact_scores_are_closer_to_the_truth_than_float32(dimension: int) -> None:
    queries, passages = smooth_vectors(200, 0, dimension), smooth_vectors(300, 1, dimension)
    truth = queries.astype(np.float64) @ passages.T.astype(np.float64)
    exact = exact_form(queries) @ exact_form(passages).T
    assert np.abs(exact - truth).max() < 2**-23
    assert np.abs(queries @ passages.T - exact).max() < float32_error(dimension)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 0.0), (torch.bfloat16, 2.0**-8)])
@pytest.mark.parametrize("dimension", [1, 33, 1024])
@pytest.mark.parametrize("sign", ["mixed", "positive"])
def test_scores_in_low_precision_stay_within_their_bound(
    dtype: torch.dtype, rounding: float, dimension: int, sign: str
) -> None:
    queries, passages = smooth_vectors(30, 0, dimension), smooth_vectors(500, 1, dimension)
    if sign == "positive":  # sums that grow all the way, so that late terms are rounded most
        queries, passages = np.abs(queries), np.abs(passages)
    narrow = torch.from_numpy(queries).to(dtype)
    exact = exact_form(queries) @ exact_form(passages).T
    moved = np.linalg.norm(torch.from_numpy(passages).to(dtype).double().numpy() - passages, axis=1).max()
    error = low_precision_error(queries, narrow, 1.001, float(moved))[:, None]
    for block in (1, 7, 500):
        for start in range(0, 500, block):
            here = slice(start, start + block)
            scores = (narrow @ torch.from_numpy(passages[here]).to(dtype).T).double().numpy()
            assert (np.abs(scores - exact[:, here]) <= error + rounding * np.abs(scores)).all()


def test_the_error_of_float32_is_bounded_where_all_roundings_point_one_way() -> None:
    """Terms that a running float32 sum loses one after the other: the bound must hold for every order of the sum."""
    vector = np.full((1, 1 << 14), np.float32(2.0**-7 * (1 - 2**-10)), dtype=np.float32)
    running = np.cumsum(vector[0] * vector[0], dtype=np.float32)[-1]
    exact = float((exact_form(vector) @ exact_form(vector).T)[0, 0])
    assert 0 < abs(float(running) - exact) < float32_error(vector.shape[1])


@quick
@given(random_seeds, kinds, st.integers(1, 40), st.integers(1, 9), st.integers(1, 70))
def test_the_best_k_equal_brute_force_in_any_block(
    seed: int, vectors: Callable[[int, int], np.ndarray], k: int, query_block: int, passage_block: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, passages = vectors(9, seed), vectors(60, seed + 1)
    passages[50:] = passages[:10]  # exact copies as well
    place = rng.permutation(60)
    found = top_k(queries, passages, k, place=place, query_block=query_block, passage_block=passage_block)
    assert_same(found, brute_force(scores_in_fractions(queries, passages), place, np.arange(60), k))


@pytest.mark.parametrize("vectors", KINDS)
def test_the_best_k_do_not_depend_on_the_order_of_the_corpus_or_of_the_queries(
    vectors: Callable[[int, int], np.ndarray],
) -> None:
    rng = np.random.default_rng(0)
    queries, passages, place = vectors(100, 1), vectors(700, 2), rng.permutation(700)
    asked, order = rng.permutation(100), rng.permutation(700)
    straight = top_k(queries, passages, 20, place=place)
    shuffled = top_k(queries[asked], passages[order], 20, place=place[order], query_block=7, passage_block=64)
    assert_same(TopK(order[shuffled.rows], shuffled.scores), TopK(straight.rows[asked], straight.scores[asked]))


def test_equal_scores_are_in_the_order_of_rows_where_no_other_is_given() -> None:
    passages = np.repeat(smooth_vectors(2, 0), 500, axis=0)
    found = top_k(passages[:1], passages, 30, passage_block=64)
    np.testing.assert_array_equal(found.rows[0], np.arange(30))
    assert len(np.unique(found.scores)) == 1


@pytest.mark.parametrize("vectors", KINDS)
def test_a_query_sees_its_own_language_only(vectors: Callable[[int, int], np.ndarray]) -> None:
    rng = np.random.default_rng(3)
    queries, passages = vectors(30, 4), vectors(80, 5)
    asked, answers = rng.integers(0, 4, 30), rng.integers(1, 4, 80)  # language 0 has queries and no passage
    found = top_k(queries, passages, 15, languages=(asked, answers))
    scores = scores_in_fractions(queries, passages)
    for code in range(4):
        pool = np.flatnonzero(answers == code)
        here = asked == code
        assert_same(TopK(found.rows[here], found.scores[here]), brute_force(scores[here], np.arange(80), pool, 15))


@quick
@given(random_seeds, kinds, st.integers(1, 50), st.lists(st.integers(0, 60), min_size=0, max_size=4))
def test_merged_shards_equal_one_search(
    seed: int, vectors: Callable[[int, int], np.ndarray], k: int, cuts: list[int]
) -> None:
    queries, passages = vectors(8, seed), vectors(60, seed + 1)
    place = np.random.default_rng(seed).permutation(60)
    shards = np.split(np.arange(60), sorted(cuts))
    parts = []
    for rows in shards:
        part = top_k(queries, passages[rows], k, place=place[rows])
        parts.append(TopK(np.where(part.rows >= 0, part.rows + (rows[0] if len(rows) else 0), -1), part.scores))
    whole = top_k(queries, passages, k, place=place)
    assert_same(merge_top_k(parts, k, place=place), whole)
    halves = [
        merge_top_k(parts[:1], k, place=place),
        merge_top_k(parts[1:] or parts[:0] or [empty(8, k)], k, place=place),
    ]
    assert_same(merge_top_k(halves, k, place=place), whole)


def empty(queries: int, k: int) -> TopK:
    return TopK(np.full((queries, k), -1, dtype=np.int64), np.full((queries, k), -np.inf))


def test_memory_is_bounded_by_the_block_and_not_by_the_corpus(tmp_path: Path) -> None:
    np.save(tmp_path / "passages.npy", smooth_vectors(40_000, 0, 16))
    passages = np.load(tmp_path / "passages.npy", mmap_mode="r")
    queries = smooth_vectors(128, 1, 16)
    scores = exact_form(queries) @ exact_form(passages).T
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    expected = TopK(rows, np.take_along_axis(scores, rows, axis=1))
    tracemalloc.start()
    try:
        found = top_k(queries, passages, 10, query_block=32, passage_block=1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert_same(found, expected)
    assert peak < 2e6, "all scores would be 20 MB, all vectors 2.5 MB"


@pytest.mark.parametrize("arguments", [{"k": 0}, {"k": 1, "query_block": 0}, {"k": 1, "passage_block": -1}])
def test_sizes_below_one_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        top_k(smooth_vectors(2, 0), smooth_vectors(3, 1), **arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(value: float) -> None:
    broken = smooth_vectors(40, 0)
    broken[17, 3] = value
    with pytest.raises(ValueError, match="passage 17 has a component that is not finite"):
        top_k(smooth_vectors(2, 1), broken, 3)
    with pytest.raises(ValueError, match="not finite"):
        top_k(broken, smooth_vectors(2, 1), 1)
    with pytest.raises(ValueError, match="not finite"):
        rank_relevant(a_suite(0), broken, smooth_vectors(90, 1), top_k=3)


def test_passages_in_double_precision_are_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        top_k(smooth_vectors(2, 0), smooth_vectors(3, 1).astype(np.float64), 1)


def test_parts_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        merge_top_k([], 3)
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        merge_top_k([empty(2, 1), empty(3, 1)], 1)


@quick
@given(random_seeds, st.sampled_from([np.float32, np.float64, np.int64]), st.integers(1, 30))
def test_passages_ahead_equal_brute_force_for_any_scorer(seed: int, dtype: type, width: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, (5, width)).astype(dtype)
    row = np.sort(rng.integers(0, 5, int(rng.integers(0, 20))))
    own = rng.integers(-4, 5, len(row)).astype(dtype)
    before = rng.integers(0, width + 1, len(row))
    expected = [
        sum(s > own[e] or (s == own[e] and column < before[e]) for column, s in enumerate(scores[r]))
        for e, r in enumerate(row)
    ]
    assert count_ahead(scores, row, own, before).tolist() == expected
    if len(row):
        inside = rng.random(len(row)) < 0.5
        before = np.minimum(before, width - 1)
        own = np.where(inside, scores[row, before], own)
        assert count_ahead(scores, row, own, before, inside).tolist() == count_ahead(scores, row, own, before).tolist()


@quick
@given(random_seeds, kinds, st.integers(1, 50), st.integers(1, 100))
def test_ranks_do_not_depend_on_blocks_or_order(
    seed: int, vectors: Callable[[int, int], np.ndarray], query_block: int, passage_block: int
) -> None:
    suite = a_suite(seed)
    queries, passages = vectors(40, seed), vectors(90, seed + 1)
    passages[70:] = passages[:20]
    straight = rank_relevant(suite, queries, passages, top_k=12)
    rng = np.random.default_rng(seed)
    asked, order = rng.permutation(40), rng.permutation(90)
    shuffled = rank_relevant(
        reordered(suite, asked, order), queries[asked], passages[order], top_k=12,
        query_block=query_block, passage_block=passage_block,
    )  # fmt: skip
    np.testing.assert_array_equal(order[shuffled.top], straight.top[asked])
    entries = np.lexsort((order[shuffled.passage], asked[shuffled.query]))
    np.testing.assert_array_equal(asked[shuffled.query][entries], straight.query)
    np.testing.assert_array_equal(order[shuffled.passage][entries], straight.passage)
    np.testing.assert_array_equal(shuffled.ahead[entries], straight.ahead)


def reordered(suite: Suite, asked: np.ndarray, order: np.ndarray) -> Suite:
    """The same suite with its queries and passages in another order."""
    place = np.argsort(order)
    queries, passages = (
        Texts(**{name: [column[row] for row in rows] for name, column in vars(texts).items()})
        for texts, rows in ((suite.queries, asked), (suite.passages, order))
    )
    relevant = [place[suite.relevant[row]] for row in asked]
    return replace(suite, queries=queries, passages=passages, relevant=relevant)


@pytest.mark.parametrize("vectors", KINDS)
def test_ranks_and_pooled_lists_equal_a_search(vectors: Callable[[int, int], np.ndarray]) -> None:
    suite = a_suite(5, languages=("de", "en", "sw", "ur"))
    queries, passages = vectors(40, 6), vectors(90, 7)
    ranks = rank_relevant(suite, queries, passages, top_k=25, query_block=11, passage_block=13)
    place = np.argsort(np.argsort(suite.passages.ids))
    whole = top_k(queries, passages, 90, place=place)
    np.testing.assert_array_equal(ranks.top, whole.rows[:, :25])
    found_at = np.argsort(whole.rows, axis=1)[ranks.query, ranks.passage]
    np.testing.assert_array_equal(ranks.ahead.sum(1), found_at)


def test_ranks_of_a_memory_map_equal_those_in_memory(tmp_path: Path) -> None:
    suite, queries, passages = a_suite(8), smooth_vectors(40, 9), smooth_vectors(90, 10)
    np.save(tmp_path / "passages.npy", passages)
    mapped = np.load(tmp_path / "passages.npy", mmap_mode="r")
    one = rank_relevant(suite, queries, passages, top_k=5)
    two = rank_relevant(suite, queries, mapped, top_k=5, passage_block=7)
    np.testing.assert_array_equal(one.ahead, two.ahead)
    np.testing.assert_array_equal(one.top, two.top)


def test_a_list_longer_than_the_corpus_holds_the_corpus() -> None:
    suite = a_suite(11, passages=6, most_relevant=6)
    ranks = rank_relevant(suite, smooth_vectors(40, 12), smooth_vectors(6, 13), top_k=100)
    np.testing.assert_array_equal(np.sort(ranks.top, axis=1), np.tile(np.arange(6), (40, 1)))


def test_a_suite_without_judgements_still_has_its_pooled_lists() -> None:
    suite = replace(a_suite(14), relevant=[np.empty(0, np.int64)] * 40)
    queries, passages = smooth_vectors(40, 15), smooth_vectors(90, 16)
    ranks = rank_relevant(suite, queries, passages, top_k=5, passage_block=10)
    assert ranks.ahead.shape == (0, 3)
    np.testing.assert_array_equal(ranks.top, top_k(queries, passages, 5).rows)
