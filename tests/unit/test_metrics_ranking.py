"""Ranking metrics: made by hand, by brute force, and what must hold for any ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.metrics import ranking

quick = settings(max_examples=30)
rank_lists = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=8, unique=True), min_size=1, max_size=8)


def test_average_precision_at_k_divides_by_the_smaller_of_relevant_and_k() -> None:
    ranks = np.array([[1, 2, 3, 4, 5], [1, 30, 0, 0, 0], [25, 0, 0, 0, 0], [2, 4, 0, 0, 0]])
    assert ranking.average_precision(ranks, 3).tolist() == [1.0, 0.5, 0.0, 0.25]
    assert ranking.average_precision(ranks).tolist() == pytest.approx([1.0, (1 + 2 / 30) / 2, 1 / 25, 0.5])


@quick
@given(data=st.data())
def test_sorted_ranks_are_ascending_and_padded_at_the_end(data: st.DataObject) -> None:
    lists = data.draw(st.lists(st.lists(st.integers(1, 50), max_size=6, unique=True), min_size=1, max_size=8))
    entries = [(query, rank) for query, ranks in enumerate(lists) for rank in ranks]
    shuffled = data.draw(st.permutations(entries))
    columns = np.array(shuffled, dtype=np.int64).reshape(-1, 2)
    table = ranking.sorted_ranks(columns[:, 0], columns[:, 1], len(lists))
    widest = max(1, max(len(ranks) for ranks in lists))
    assert table.tolist() == [sorted(ranks) + [0] * (widest - len(ranks)) for ranks in lists]


def test_metrics_of_a_row_without_relevant_passages_are_nan() -> None:
    ranks = np.array([[0, 0], [1, 0]])
    columns = [
        ranking.average_precision(ranks), ranking.average_precision(ranks, 20), ranking.recall(ranks, 1),
        ranking.reciprocal_rank(ranks), ranking.reciprocal_rank(ranks, 10), ranking.ndcg(ranks, 10),
    ]  # fmt: skip
    for column in columns:
        assert np.isnan(column[0]) and column[1] == 1.0


def test_reciprocal_rank_is_zero_beyond_its_cutoff() -> None:
    assert ranking.reciprocal_rank(np.array([[10, 12], [11, 12]]), 10).tolist() == [0.1, 0.0]


def table_of(lists: list[list[int]]) -> np.ndarray:
    query = np.repeat(np.arange(len(lists)), [len(ranks) for ranks in lists])
    return ranking.sorted_ranks(
        query, np.array([rank for ranks in lists for rank in ranks], dtype=np.int64), len(lists)
    )


def all_metrics(ranks: np.ndarray, k: int) -> np.ndarray:
    columns = [
        ranking.average_precision(ranks), ranking.average_precision(ranks, k), ranking.recall(ranks, k),
        ranking.reciprocal_rank(ranks), ranking.reciprocal_rank(ranks, k), ranking.ndcg(ranks, k),
    ]  # fmt: skip
    return np.stack(columns)


def test_ndcg_and_recall_of_hand_made_ranks() -> None:
    ranks = table_of([[1, 3], [2], [7, 9]])
    assert ranking.ndcg(ranks, 3).tolist() == pytest.approx(
        [(1 + 1 / 2) / (1 + 1 / math.log2(3)), 1 / math.log2(3), 0.0]
    )
    assert ranking.recall(ranks, 1).tolist() == [0.5, 0.0, 0.0]
    assert ranking.recall(ranks, 8).tolist() == [1.0, 1.0, 0.5]


def test_a_cutoff_beyond_every_rank_changes_nothing_but_the_missing_cutoff() -> None:
    ranks = table_of([[1, 4], [3], [2, 5, 6]])
    assert np.array_equal(ranking.average_precision(ranks, 1000), ranking.average_precision(ranks))
    assert np.array_equal(ranking.reciprocal_rank(ranks, 1000), ranking.reciprocal_rank(ranks))
    assert np.array_equal(ranking.ndcg(ranks, 1000), ranking.ndcg(ranks, 6))
    assert ranking.recall(ranks, 1000).tolist() == [1.0, 1.0, 1.0]


@quick
@given(lists=rank_lists, k=st.integers(1, 70), data=st.data())
def test_metrics_do_not_depend_on_the_names_of_queries(lists: list[list[int]], k: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(lists))))
    found = all_metrics(table_of([lists[i] for i in order]), k)
    assert np.allclose(found, all_metrics(table_of(lists), k)[:, order], rtol=0, atol=1e-12)


@quick
@given(lists=rank_lists, k=st.integers(1, 70))
def test_metrics_lie_between_zero_and_one_and_are_one_for_the_ideal_list(lists: list[list[int]], k: int) -> None:
    found = all_metrics(table_of(lists), k)
    assert (found >= 0).all() and (found <= 1 + 1e-12).all()
    ideal = table_of([list(range(1, len(ranks) + 1)) for ranks in lists])
    wanted = np.ones((6, len(lists)))
    wanted[2] = [min(1.0, k / len(ranks)) for ranks in lists]
    assert np.allclose(all_metrics(ideal, k), wanted, rtol=0, atol=1e-12)


@quick
@given(lists=rank_lists, k=st.integers(1, 70))
def test_no_metric_falls_when_the_first_relevant_passage_comes_first(lists: list[list[int]], k: int) -> None:
    promoted = [[1, *sorted(ranks)[1:]] for ranks in lists]
    assert (all_metrics(table_of(promoted), k) >= all_metrics(table_of(lists), k) - 1e-12).all()
