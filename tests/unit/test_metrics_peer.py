"""PEER equals the authors' package on random runs, and the levels at which it says nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_suites import a_suite, smooth_vectors
from scipy.stats import chi2, kruskal

from hybrid_core.evaluate import evaluate
from hybrid_core.metrics import bias
from hybrid_core.search import rank_relevant

quick = settings(max_examples=30)
random_seeds = st.integers(0, 2**32 - 1)


class Run:
    """Random pooled lists: languages of the passages, complete rankings [queries, passages], relevant pairs."""

    def __init__(self, seed: int, *, queries: int = 30, passages: int = 60, languages: int = 4) -> None:
        rng = np.random.default_rng(seed)
        self.language = rng.integers(0, languages, size=passages)
        self.order = np.stack([rng.permutation(passages) for _ in range(queries)])
        relevant = rng.random((queries, passages)) < rng.choice([0.02, 0.1, 0.5], size=(queries, 1))
        relevant[np.arange(queries), rng.integers(0, passages, size=queries)] = True
        self.query, self.passage = np.nonzero(relevant)
        self.rank = 1 + np.argsort(self.order, axis=1)[self.query, self.passage]

    def relevant_level(self, k: int) -> np.ndarray:
        return bias.peer_relevant(self.query, self.rank, self.language[self.passage], queries=len(self.order), k=k)

    def other_level(self, k: int) -> np.ndarray:
        top = self.order  # deeper than k: the cut is the measure's own
        return bias.peer_nonrelevant(self.language[top], bias.relevant_in_top(self.query, self.passage, top), k=k)

    def published(self, k: int, relevant_weight: float) -> np.ndarray:
        """PEER@k of the package, which looks only at relevance levels that are judged: here everything is.

        Its evaluator is called directly: release 0.0.1 builds it by `ir_measures.util.flatten_measures`, which ir_measures
        no longer has, so `ir_measures.iter_calc` fails on the measure.
        """
        peer_measure = pytest.importorskip("peer_measure")
        names = {str(row): str(language) for row, language in enumerate(self.language.tolist())}
        weights = {1: relevant_weight, 0: 1.0 - relevant_weight}
        measure = peer_measure.PEER(weights=weights, lang_mapping=names) @ k
        qrels = {str(query): dict.fromkeys(names, 0) for query in range(len(self.order))}
        for query, passage in zip(self.query.tolist(), self.passage.tolist(), strict=True):
            qrels[str(query)][str(passage)] = 1
        run = {
            str(query): {str(row): float(-place) for place, row in enumerate(rows)}
            for query, rows in enumerate(self.order.tolist())
        }
        evaluator = peer_measure.PEEREvaluator([measure], qrels, {id(names): [(k, measure)]}, {id(names): names})
        found = {int(r.query_id): r.value for r in evaluator.iter_calc(run)}
        return np.array([found[query] for query in range(len(self.order))])


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # the package's 0/0, see below
@pytest.mark.parametrize("weight", [1.0, 0.0, 0.3])
@pytest.mark.parametrize("k", [5, 20, 200])
def test_peer_equals_the_published_package(k: int, weight: float) -> None:
    run = Run(k)
    relevant = run.relevant_level(k)
    trapped = np.isnan(relevant)  # one relevant passage per language, where the published value is a constant
    found = weight * np.where(trapped, 0.0, relevant) + (1.0 - weight) * run.other_level(k)
    wanted = run.published(k, weight)
    undefined = np.isnan(wanted)  # two passages on the same tied rank: no difference at all, which is 1.0 here
    assert undefined.sum() < 3
    undefined |= trapped & (weight > 0)
    assert undefined.sum() < 20
    assert found[~undefined] == pytest.approx(wanted[~undefined], abs=1e-9)
    assert len(np.unique(found.round(6))) > 10


@pytest.mark.parametrize("languages", [2, 3, 4, 11])
def test_where_the_published_relevant_level_is_a_constant_it_has_no_value(languages: int) -> None:
    """One relevant passage per language: the package gives the same number for every ranking."""
    run = Run(languages, languages=languages)
    run.language = np.arange(60) % languages
    run.query = np.repeat(np.arange(30), languages)
    run.passage = np.tile(np.arange(languages), 30)
    run.rank = 1 + np.argsort(run.order, axis=1)[run.query, run.passage]
    constant = chi2.sf(languages - 1, languages - 1)
    assert constant == pytest.approx({2: 0.317, 3: 0.368, 4: 0.392, 11: 0.440}[languages], abs=5e-4)
    assert run.published(60, 1.0) == pytest.approx(np.full(30, constant), abs=1e-9)
    assert np.isnan(run.relevant_level(60)).all()


def test_the_columns_hold_the_depth_of_their_names() -> None:
    suite, queries, passages = a_suite(3, passages=300), smooth_vectors(40, 1), smooth_vectors(300, 2)
    found = evaluate(suite, queries, passages).per_query.to_pandas().query("setting == 'multi'").set_index("query_id")
    ranks = rank_relevant(suite, queries, passages, top_k=150)
    language = np.array([suite.languages.index(x) for x in suite.passages.languages])
    relevant = bias.relevant_in_top(ranks.query, ranks.passage, ranks.top)
    rank, written_in = 1 + ranks.ahead.sum(1), language[ranks.passage]
    asked = [suite.queries.ids.index(id) for id in found.index]
    levels = {
        k: (bias.peer_nonrelevant(language[ranks.top], relevant, k=k)[asked],
            bias.peer_relevant(ranks.query, rank, written_in, queries=40, k=k)[asked])
        for k in (20, 100)
    }  # fmt: skip
    for column, at_100, at_20 in zip(
        ("peer_nonrelevant_100", "peer_relevant_100"), levels[100], levels[20], strict=True
    ):
        np.testing.assert_array_equal(found[column].to_numpy(), at_100)
        assert not np.array_equal(at_100, at_20, equal_nan=True)


def test_one_language_with_two_relevant_passages_is_enough_for_a_value() -> None:
    query, rank, language = np.array([0, 0, 0, 1, 1]), np.array([1, 2, 9, 1, 2]), np.array([0, 0, 1, 0, 1])
    found = bias.peer_relevant(query, rank, language, queries=2, k=10)
    assert 0 < found[0] < 1 and np.isnan(found[1])


def test_the_non_relevant_level_tells_rankings_of_parallel_passages_apart() -> None:
    """Relevant ranks are the same constant trap; the wrong passages below them are mixed or sorted by language."""
    relevant = np.tile(np.arange(60) < 3, (2, 1))
    mixed, by_language = np.arange(60) % 3, np.arange(60) // 20
    found = bias.peer_nonrelevant(np.stack([mixed, by_language]), relevant, k=60)
    assert found[0] > 0.9 and found[1] < 1e-6


@quick
@given(seed=random_seeds, k=st.integers(5, 80))
def test_a_level_equals_kruskal_wallis_where_everything_of_one_level_was_retrieved(seed: int, k: int) -> None:
    run = Run(seed, queries=8)
    run.query, run.passage = np.empty(0, np.int64), np.empty(0, np.int64)  # nothing relevant: positions are the ranks
    for value, row in zip(run.other_level(k), run.order[:, :k], strict=True):
        places = np.arange(1, len(row) + 1)
        groups = [places[run.language[row] == language] for language in np.unique(run.language[row])]
        assert value == pytest.approx(kruskal(*groups).pvalue if len(groups) > 1 else 1.0, abs=1e-9)


@quick
@given(seed=random_seeds, k=st.integers(1, 80))
def test_peer_does_not_depend_on_the_names_of_languages(seed: int, k: int) -> None:
    run = Run(seed, queries=8)
    before = run.relevant_level(k), run.other_level(k)
    run.language = np.random.default_rng(seed).permutation(4)[run.language]
    assert run.relevant_level(k) == pytest.approx(before[0], abs=1e-9, nan_ok=True)
    assert run.other_level(k) == pytest.approx(before[1], abs=1e-9)
    assert all((level >= 0).all() and (level <= 1).all() for level in (before[0][~np.isnan(before[0])], before[1]))


def test_the_rank_of_unretrieved_passages_is_the_published_one_ahead_of_deep_retrieved_ones() -> None:
    """Language 0 at 80 and 90, language 1 beyond 100: 4 + 1.5 puts the unretrieved ones first."""
    query, rank, language = np.zeros(4, np.int64), np.array([80, 90, 150, 160]), np.array([0, 0, 1, 1])
    values = np.array([80, 90, 5.5, 5.5])
    found = bias.peer_relevant(query, rank, language, queries=1, k=100)
    means, centre = np.array([values[:2].mean(), values[2:].mean()]), values.mean()
    h = 3 * (2 * (means - centre) ** 2).sum() / ((values - centre) ** 2).sum()
    assert found[0] == pytest.approx(chi2.sf(h, 1), abs=1e-12)


def test_a_query_without_relevant_passages_has_no_relevant_level_and_one_language_counts_as_fair() -> None:
    found = bias.peer_relevant(np.array([1, 1]), np.array([1, 5]), np.array([2, 2]), queries=2, k=10)
    assert np.isnan(found[0]) and found[1] == 1.0
    one_language = bias.peer_nonrelevant(np.zeros((1, 10), np.int64), np.zeros((1, 10), dtype=bool), k=10)
    assert one_language.tolist() == [1.0]
