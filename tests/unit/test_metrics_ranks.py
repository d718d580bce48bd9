"""Ranks of the relevant passages and the pooled list against a sort, with ties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from made_up_suites import a_suite, ordered_pool, smooth_vectors, tied_vectors

from hybrid_core.data.suites import SETTINGS, Suite, Texts
from hybrid_core.search import rank_relevant


@pytest.mark.parametrize("vectors", [tied_vectors, smooth_vectors])
def test_passages_ahead_equal_a_sort_in_every_pool_language(vectors: Callable[[int, int], np.ndarray]) -> None:
    suite = a_suite(11)
    queries, passages = vectors(40, 1), vectors(90, 2)
    ranks = rank_relevant(suite, queries, passages, top_k=10)
    scores = queries.astype(np.float64) @ passages.astype(np.float64).T
    entries = [(query, row) for query, rows in enumerate(suite.relevant) for row in rows.tolist()]
    assert list(zip(ranks.query.tolist(), ranks.passage.tolist(), strict=True)) == entries
    assert ranks.languages == ("de", "en", "fr")
    assert ranks.pool_sizes.tolist() == [30, 30, 30]
    for (query, row), ahead in zip(entries, ranks.ahead.tolist(), strict=True):
        order = ordered_pool(suite, scores[query], range(90))
        before = [suite.passages.languages[other] for other in order[: order.index(row)]]
        assert ahead == [before.count(language) for language in ranks.languages]


@pytest.mark.parametrize("k", [1, 10, 90, 200])
def test_the_pooled_list_equals_a_sort(k: int) -> None:
    suite, queries, passages = a_suite(12), smooth_vectors(40, 1), smooth_vectors(90, 2)
    passages[60:70] = passages[10:20]  # a few ties
    scores = queries.astype(np.float64) @ passages.astype(np.float64).T
    top = rank_relevant(suite, queries, passages, top_k=k).top
    assert top.tolist() == [ordered_pool(suite, scores[query], range(90))[:k] for query in range(40)]


@pytest.mark.parametrize("k", [1, 10, 40])
def test_the_pooled_list_equals_a_sort_when_many_scores_are_equal(k: int) -> None:
    suite, queries, passages = a_suite(13), tied_vectors(40, 1), tied_vectors(90, 2)
    scores = queries @ passages.T
    top = rank_relevant(suite, queries, passages, top_k=k).top
    assert top.tolist() == [ordered_pool(suite, scores[query], range(90))[:k] for query in range(40)]


@pytest.mark.parametrize("dimension", [32, 100, 384])
@pytest.mark.parametrize("queries", [1, 2, 7, 40, 513])
def test_copies_of_a_passage_are_ranked_by_id(dimension: int, queries: int) -> None:
    suite = a_suite(14, queries=queries, passages=150)
    copies = np.random.default_rng(0).choice(150, size=12, replace=False)
    suite.relevant = [copies] * queries
    passages = smooth_vectors(150, 2, dimension)
    passages[copies] = passages[copies[0]]
    ranks = rank_relevant(suite, smooth_vectors(queries, 1, dimension), passages, top_k=5)
    found = ranks.ahead.sum(1).reshape(queries, 12)
    by_id = np.argsort([suite.passages.ids[row] for row in copies])
    assert np.array_equal(np.diff(found[:, by_id], axis=1), np.ones((queries, 11)))


def test_blocks_of_queries_leave_no_seam() -> None:
    suite = a_suite(15, queries=1030, passages=40)
    queries, passages = tied_vectors(1030, 1), tied_vectors(40, 2)
    whole = rank_relevant(suite, queries, passages, top_k=3)
    for query in (0, 511, 512, 513, 1023, 1024, 1029):
        asked = Texts()
        asked.add(suite.queries.ids[query], suite.queries.languages[query], suite.queries.texts[query])
        alone = Suite("one", asked, suite.passages, [suite.relevant[query]], SETTINGS, "", "")
        single = rank_relevant(alone, queries[query : query + 1], passages, top_k=3)
        assert single.ahead.tolist() == whole.ahead[whole.query == query].tolist()
        assert single.top.tolist() == whole.top[query : query + 1].tolist()
