"""Language bias of pooled lists: made by hand and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_suites import a_suite, ordered_pool, smooth_vectors

from hybrid_core.evaluate import BIAS_METRICS, evaluate
from hybrid_core.metrics import bias

quick = settings(max_examples=30)


def test_language_bias_equals_brute_force() -> None:
    suite, queries, passages = a_suite(17), smooth_vectors(40, 1), smooth_vectors(90, 2)
    evaluation = evaluate(suite, queries, passages, top_k=7)
    scores = queries.astype(np.float64) @ passages.astype(np.float64).T
    multi = {row["query_id"]: row for row in evaluation.per_query.to_pylist() if row["setting"] == "multi"}
    shares: dict[str, list[list[float]]] = {}
    for query, id in enumerate(suite.queries.ids):
        order = ordered_pool(suite, scores[query], range(90))
        top = [suite.passages.languages[row] for row in order[:7]]
        own = suite.queries.languages[query]
        shares.setdefault(own, []).append([top.count(language) / 7 for language in suite.languages])
        places = [order.index(row) + 1 for row in suite.relevant[query].tolist()]
        assert (id in multi) == bool(places)
        if places:
            assert multi[id]["max_rank"] == max(places)
            assert multi[id]["rank_distance"] == max(places) - min(places)
            assert multi[id]["rank_distance_share"] == pytest.approx((max(places) - min(places)) / 90)
            assert multi[id]["same_language_share"] == pytest.approx(top.count(own) / 7)
    assert evaluation.language_histogram.keys() == shares.keys()
    for language, rows in shares.items():
        wanted = dict(zip(suite.languages, np.mean(rows, axis=0).tolist(), strict=True))
        assert evaluation.language_histogram[language] == pytest.approx(wanted)


def test_language_bias_is_only_defined_on_the_pooled_list() -> None:
    per_query = evaluate(a_suite(18), smooth_vectors(40, 1), smooth_vectors(90, 2)).per_query.to_pylist()
    for row in per_query:
        always = ("rank_distance", "rank_distance_share", "max_rank", "same_language_share")
        assert all(np.isnan(row[metric]) != (row["setting"] == "multi") for metric in always)
        assert row["setting"] == "multi" or all(np.isnan(row[metric]) for metric in BIAS_METRICS)


def test_language_shares_of_a_hand_made_list() -> None:
    top, passage_language = np.array([[0, 1, 2, 3], [3, 3, 3, 2]]), np.array([0, 0, 1, 2])
    assert bias.language_shares(top, passage_language, 4).tolist() == [[0.5, 0.25, 0.25, 0.0], [0.0, 0.25, 0.75, 0.0]]


def test_rank_distance_and_max_rank_of_hand_made_ranks() -> None:
    ranks = np.array([[2, 5, 9], [4, 0, 0], [0, 0, 0]])
    assert bias.rank_distance(ranks)[:2].tolist() == [7.0, 0.0] and np.isnan(bias.rank_distance(ranks)[2])
    assert bias.max_rank(ranks)[:2].tolist() == [9.0, 4.0] and np.isnan(bias.max_rank(ranks)[2])


def test_language_preference_of_hand_made_lists() -> None:
    query = np.array([0, 0, 1, 1, 1, 2, 3, 3, 4, 4])
    rank = np.array([3, 1, 2, 9, 5, 1, 1, 2, 1, 2])
    language = np.array([0, 1, 2, 1, 0, 0, 1, 2, 0, 0])
    query_language = np.array([1, 1, 0, -1, 0, 0])
    found = bias.language_preference(query, rank, language, query_language)
    # own first; own at 9 behind 2; own only; a language the pool lacks; own only, twice; no relevant passage
    assert found.tolist() == pytest.approx([1.0, 0.0, np.nan, np.nan, np.nan, np.nan], nan_ok=True)


@quick
@given(seed=st.integers(0, 2**32 - 1), languages=st.integers(2, 6))
def test_one_version_of_a_question_is_preferred_by_each_ranking_of_parallel_passages(seed: int, languages: int) -> None:
    """One query per language, one shared ranking of the versions: exactly the language that leads is preferred."""
    rng = np.random.default_rng(seed)
    ranks = rng.permutation(50)[:languages] + 1
    query = np.repeat(np.arange(languages), languages)
    found = bias.language_preference(
        query, np.tile(ranks, languages), np.tile(np.arange(languages), languages), np.arange(languages)
    )
    assert found.tolist() == (np.arange(languages) == ranks.argmin()).astype(float).tolist()
    names = rng.permutation(languages)
    renamed = bias.language_preference(
        query, np.tile(ranks, languages), names[np.tile(np.arange(languages), languages)], names
    )
    assert np.array_equal(renamed, found)


def test_list_overlap_of_hand_made_lists() -> None:
    top = np.array([[0, 1, 2, 3], [3, 2, 9, 8], [4, 5, 6, 7], [0, 1, 2, 3], [3, 2, 1, 0]])
    meaning = np.array([7, 7, 7, 2, 5])
    assert bias.list_overlap(top, meaning).tolist() == pytest.approx([0.25, 0.25, 0.0, np.nan, np.nan], nan_ok=True)
    assert bias.list_overlap(top[[3, 4]], np.array([0, 0])).tolist() == [1.0, 1.0]


@quick
@given(seed=st.integers(0, 2**32 - 1))
def test_list_overlap_equals_a_loop_over_pairs_of_versions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    meaning = rng.integers(0, 4, size=9)
    top = np.stack([rng.permutation(12)[:5] for _ in range(9)])
    found = bias.list_overlap(top, meaning)
    for i in range(9):
        shares = [len(set(top[i]) & set(top[j])) / 5 for j in range(9) if j != i and meaning[j] == meaning[i]]
        assert found[i] == pytest.approx(np.mean(shares) if shares else np.nan, nan_ok=True)


@quick
@given(seed=st.integers(0, 2**32 - 1))
def test_relevant_entries_of_the_top_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    top = np.stack([rng.permutation(10)[:4] for _ in range(5)])
    judged = rng.random((5, 12)) < 0.3  # passages 10 and 11 are in no list
    query, passage = np.nonzero(judged)
    assert np.array_equal(bias.relevant_in_top(query, passage, top), np.take_along_axis(judged, top, axis=1))
