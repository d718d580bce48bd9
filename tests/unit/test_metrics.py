"""Ranks, ranking metrics and language bias against ir_measures and brute force, with ties and uneven judgements."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ir_measures
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.data.suites import SETTINGS, Suite, Texts, load_suites
from hybrid_core.evaluate import ALL_LANGUAGES, BIAS_METRICS, METRICS, Evaluation, evaluate
from hybrid_core.metrics import bias, ranking
from hybrid_core.search import rank_relevant

quick = settings(deadline=None, max_examples=30)
random_seeds = st.integers(0, 2**32 - 1)
MEASURES = {
    "mAP": ir_measures.AP,
    "R_1": ir_measures.R @ 1,
    "R_10": ir_measures.R @ 10,
    "MRR": ir_measures.RR,
    "nDCG_10": ir_measures.nDCG @ 10,
}
SAMPLE = ("sample_finance",)


def a_suite(
    seed: int, *, queries: int = 40, passages: int = 90, languages: tuple[str, ...] = ("de", "en", "fr"),
    query_languages: tuple[str, ...] = (), most_relevant: int = 30, settings_: tuple[str, ...] = SETTINGS,
) -> Suite:  # fmt: skip
    """Random judgements, from none to many a query; ids in another order than the rows."""
    rng = np.random.default_rng(seed)
    asked, answers = Texts(), Texts()
    names = rng.permutation(10 * (queries + passages))
    for i in range(queries):
        asked.add(f"q{names[i]:05d}", str(rng.choice(query_languages or languages)), f"query {i}", f"m{i % 17}")
    for i in range(passages):
        answers.add(f"p{names[queries + i]:05d}", languages[i % len(languages)], f"passage {i}")
    relevant = []
    for _ in range(queries):
        count = int(rng.choice([0, 1, 2, 5, most_relevant]))
        relevant.append(np.sort(rng.choice(passages, size=count, replace=False)).astype(np.int64))
    return Suite("made_up", asked, answers, relevant, settings_, "Apache-2.0", "tests")


def tied_vectors(rows: int, seed: int) -> np.ndarray:
    """Few distinct values, so that sums are exact in float32 and many scores are equal."""
    return np.random.default_rng(seed).integers(-1, 2, size=(rows, 4)).astype(np.float32)


def smooth_vectors(rows: int, seed: int, dimension: int = 24) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ordered_pool(suite: Suite, scores: np.ndarray, pool: Iterable[int]) -> list[int]:
    """Brute force: passages of the pool, best first, equal scores by id."""
    return sorted(pool, key=lambda row: (-scores[row], suite.passages.ids[row]))


def pools_of(suite: Suite, query: int) -> dict[tuple[str, str], list[int]]:
    """(setting, pool language) -> passage rows, for one query."""
    rows = range(len(suite.passages))
    pools = {("multi", ALL_LANGUAGES): list(rows)}
    for language in suite.languages:
        setting = "mono" if suite.queries.languages[query] == language else "cross"
        pools[setting, language] = [row for row in rows if suite.passages.languages[row] == language]
    return pools


def expected_ranks(suite: Suite, scores: np.ndarray) -> dict[tuple[str, str, str], tuple[list[str], set[str]]]:
    """(setting, pool, query id) -> ranked passage ids and relevant ids; queries without relevant passage are left out."""
    expected = {}
    for query, query_id in enumerate(suite.queries.ids):
        for (setting, language), pool in pools_of(suite, query).items():
            relevant = {suite.passages.ids[row] for row in suite.relevant[query].tolist() if row in set(pool)}
            if relevant:
                ids = [suite.passages.ids[row] for row in ordered_pool(suite, scores[query], pool)]
                expected[setting, language, query_id] = ids, relevant
    return expected


def found_scores(evaluation: Evaluation) -> dict[tuple[str, str, str], dict[str, float]]:
    rows = evaluation.per_query.to_pylist()
    found = {(r["setting"], r["passage_language"], r["query_id"]): {m: r[m] for m in METRICS} for r in rows}
    assert len(found) == len(rows)
    return found


def trec_eval_scores(
    expected: dict[tuple[str, str, str], tuple[list[str], set[str]]],
) -> dict[tuple[str, str, str], dict[str, float]]:
    """Scores of every list; its order is given by distinct scores, because trec_eval breaks ties in its own way."""
    name_of = {"\t".join(key): key for key in expected}
    qrels = [ir_measures.Qrel(name, id, 1) for name, key in name_of.items() for id in expected[key][1]]
    run = [
        ir_measures.ScoredDoc(name, id, float(len(expected[key][0]) - place))
        for name, key in name_of.items()
        for place, id in enumerate(expected[key][0])
    ]
    metric_of = {measure: metric for metric, measure in MEASURES.items()}
    scores: dict[tuple[str, str, str], dict[str, float]] = {key: {} for key in expected}
    for result in ir_measures.pytrec_eval.iter_calc(list(MEASURES.values()), qrels, run):
        scores[name_of[result.query_id]][metric_of[result.measure]] = result.value
    return scores


def cut_average_precision(ids: list[str], relevant: set[str], cutoff: int) -> float:
    hits, total = 0, 0.0
    for place, id in enumerate(ids[:cutoff], start=1):
        if id in relevant:
            hits += 1
            total += hits / place
    return total / min(len(relevant), cutoff)


def check_against_trec_eval(suite: Suite, queries: np.ndarray, passages: np.ndarray) -> None:
    expected = expected_ranks(suite, queries.astype(np.float64) @ passages.astype(np.float64).T)
    found = found_scores(evaluate(suite, queries, passages))
    assert found.keys() == expected.keys()
    assert {setting for setting, _, _ in found} == set(SETTINGS)
    for key, scores in trec_eval_scores(expected).items():
        assert {m: found[key][m] for m in MEASURES} == pytest.approx(scores, abs=1e-12)
        assert found[key]["mAP_20"] == pytest.approx(cut_average_precision(*expected[key], 20), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_trec_eval_in_every_setting(seed: int) -> None:
    check_against_trec_eval(a_suite(seed), smooth_vectors(40, seed), smooth_vectors(90, seed + 100))


@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_trec_eval_when_many_scores_are_equal(seed: int) -> None:
    suite, queries, passages = a_suite(seed), tied_vectors(40, seed), tied_vectors(90, seed + 100)
    scores = queries @ passages.T
    assert all(len(set(row)) < 10 for row in scores.tolist())
    check_against_trec_eval(suite, queries, passages)


def test_metrics_equal_trec_eval_when_all_scores_are_equal() -> None:
    check_against_trec_eval(a_suite(7), np.ones((40, 2), np.float32), np.ones((90, 2), np.float32))


@quick
@given(seed=random_seeds, queries=st.integers(1, 12), passages=st.integers(3, 40), most=st.integers(1, 3))
def test_metrics_equal_brute_force_on_small_suites(seed: int, queries: int, passages: int, most: int) -> None:
    suite = a_suite(seed, queries=queries, passages=max(passages, 6), most_relevant=most)
    suite.relevant[0] = np.array([0, 1, 2])  # every suite has a judgement
    expected_lists = expected_ranks(
        suite, (left := tied_vectors(queries, seed)) @ (right := tied_vectors(len(suite.passages), seed + 1)).T
    )
    found = found_scores(evaluate(suite, left, right))
    assert found.keys() == expected_lists.keys()
    for key, (ids, relevant) in expected_lists.items():
        places = [place for place, id in enumerate(ids, start=1) if id in relevant]
        assert found[key]["MRR"] == pytest.approx(1 / places[0])
        assert found[key]["R_1"] == pytest.approx((places[0] == 1) / len(relevant))
        assert found[key]["mAP"] == pytest.approx(cut_average_precision(ids, relevant, len(ids)))


def test_average_precision_at_k_divides_by_the_smaller_of_relevant_and_k() -> None:
    ranks = np.array([[1, 2, 3, 4, 5], [1, 30, 0, 0, 0], [25, 0, 0, 0, 0], [2, 4, 0, 0, 0]])
    assert ranking.average_precision(ranks, 3).tolist() == [1.0, 0.5, 0.0, 0.25]
    assert ranking.average_precision(ranks).tolist() == pytest.approx([1.0, (1 + 2 / 30) / 2, 1 / 25, 0.5])


def test_average_precision_at_20_equals_trec_eval_below_21_relevant() -> None:
    rng = np.random.default_rng(3)
    for count in (1, 4, 19, 20):
        places = np.sort(rng.choice(np.arange(1, 60), size=count, replace=False))
        qrels = [ir_measures.Qrel("q", str(place), 1) for place in places]
        run = [ir_measures.ScoredDoc("q", str(place), 100.0 - place) for place in range(1, 60)]
        wanted = ir_measures.pytrec_eval.calc_aggregate([ir_measures.AP @ 20], qrels, run)[ir_measures.AP @ 20]
        assert ranking.average_precision(places[None, :], 20)[0] == pytest.approx(wanted, abs=1e-12)


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
        bias.rank_distance(ranks) + 1, bias.max_rank(ranks),
    ]  # fmt: skip
    for column in columns:
        assert np.isnan(column[0]) and column[1] == 1.0


def test_reciprocal_rank_is_zero_beyond_its_cutoff() -> None:
    assert ranking.reciprocal_rank(np.array([[10, 12], [11, 12]]), 10).tolist() == [0.1, 0.0]


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
        alone = Suite(
            "one", _selected(suite.queries, [query]), suite.passages, [suite.relevant[query]], SETTINGS, "", ""
        )
        single = rank_relevant(alone, queries[query : query + 1], passages, top_k=3)
        assert single.ahead.tolist() == whole.ahead[whole.query == query].tolist()
        assert single.top.tolist() == whole.top[query : query + 1].tolist()


def _selected(texts: Texts, rows: Iterable[int]) -> Texts:
    selected = Texts()
    for row in rows:
        selected.add(texts.ids[row], texts.languages[row], texts.texts[row], texts.meaning_ids[row], texts.domains[row])
    return selected


def _sorted_rows(table: pa.Table) -> list[dict[str, object]]:
    rows = [{name: None if value != value else value for name, value in row.items()} for row in table.to_pylist()]
    return sorted(rows, key=lambda row: [row[name] for name in ("setting", "passage_language", "query_id")])


@pytest.mark.parametrize("vectors", [tied_vectors, smooth_vectors])
def test_scores_do_not_depend_on_the_order_of_texts(vectors: Callable[[int, int], np.ndarray]) -> None:
    suite, queries, passages = a_suite(16), vectors(40, 1), vectors(90, 2)
    rng = np.random.default_rng(5)
    new_queries, new_passages = rng.permutation(40), rng.permutation(90)
    place = np.argsort(new_passages)
    shuffled = Suite(
        suite.name, _selected(suite.queries, new_queries), _selected(suite.passages, new_passages),
        [np.sort(place[suite.relevant[query]]) for query in new_queries], suite.settings, suite.licence, suite.source,
    )  # fmt: skip
    before = evaluate(suite, queries, passages)
    after = evaluate(shuffled, queries[new_queries], passages[new_passages])
    assert _sorted_rows(after.per_query) == _sorted_rows(before.per_query)
    for language, shares in before.language_histogram.items():
        assert after.language_histogram[language] == pytest.approx(shares)
    assert after.pool_sizes == before.pool_sizes


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
        assert all(np.isnan(row[metric]) != (row["setting"] == "multi") for metric in BIAS_METRICS)


def test_a_query_without_relevant_passage_in_a_pool_takes_no_part_in_it() -> None:
    queries, passages = Texts(), Texts()
    for language in ("de", "en"):
        queries.add(f"q-{language}", language, "query")
    queries.add("q-none", "de", "query without an answer")
    for language in ("de", "de", "en"):
        passages.add(f"p{len(passages)}-{language}", language, "passage")
    relevant = [np.array([0]), np.array([1, 2]), np.array([], dtype=np.int64)]
    suite = Suite("made_up", queries, passages, relevant, SETTINGS, "", "")
    rows = evaluate(suite, smooth_vectors(3, 1), smooth_vectors(3, 2)).per_query.to_pylist()
    found = {(row["setting"], row["passage_language"], row["query_id"]) for row in rows}
    assert found == {
        ("mono", "de", "q-de"), ("mono", "en", "q-en"), ("cross", "de", "q-en"),
        ("multi", "*", "q-de"), ("multi", "*", "q-en"),
    }  # fmt: skip


def test_settings_of_a_suite_whose_passages_miss_a_language() -> None:
    queries, passages = Texts(), Texts()
    for m in range(10):
        for language in ("de", "en", "fr"):
            queries.add(f"{language}-{m}", language, "query", f"m{m}")
        for language in ("de", "en"):
            passages.add(f"{language}-{m}", language, "passage", f"m{m}")
    relevant = [np.array([2 * m, 2 * m + 1]) for m in range(10) for _ in range(3)]
    suite = Suite("made_up", queries, passages, relevant, SETTINGS, "", "")
    evaluation = evaluate(suite, smooth_vectors(30, 1), smooth_vectors(20, 2))
    rows = evaluation.per_query.to_pylist()
    found = {(row["setting"], row["query_language"], row["passage_language"]) for row in rows}
    mono, cross = {("de", "de"), ("en", "en")}, {("de", "en"), ("en", "de"), ("fr", "de"), ("fr", "en")}
    assert found == (
        {("mono", *pair) for pair in mono}
        | {("cross", *pair) for pair in cross}
        | {("multi", language, ALL_LANGUAGES) for language in ("de", "en", "fr")}
    )
    assert len(rows) == 10 * len(found)
    assert evaluation.pool_sizes == {"de": 10, "en": 10}
    assert evaluation.language_histogram.keys() == {"de", "en", "fr"}
    for row in rows:
        undefined = row["setting"] != "multi" or row["query_language"] == "fr"
        assert np.isnan(row["same_language_share"]) == undefined


@pytest.mark.parametrize("chosen", [("mono",), ("cross",), ("multi",), ("mono", "multi")])
def test_only_the_settings_of_the_suite_are_scored(chosen: tuple[str, ...]) -> None:
    evaluation = evaluate(a_suite(19, settings_=chosen), smooth_vectors(40, 1), smooth_vectors(90, 2))
    assert set(evaluation.per_query["setting"].to_pylist()) == set(chosen)


def test_a_suite_without_any_judgement_has_no_scores() -> None:
    suite = a_suite(20)
    suite.relevant = [np.empty(0, dtype=np.int64)] * 40
    assert evaluate(suite, smooth_vectors(40, 1), smooth_vectors(90, 2)).per_query.num_rows == 0


def test_vectors_that_only_know_the_meaning_score_one_everywhere() -> None:
    (suite,) = load_suites(SAMPLE, None, "sentence")
    meanings = {meaning: row for row, meaning in enumerate(sorted(set(suite.queries.meaning_ids)))}
    identity = np.eye(len(meanings), dtype=np.float32)
    queries, passages = (identity[[meanings[m] for m in t.meaning_ids]] for t in (suite.queries, suite.passages))
    evaluation = evaluate(suite, queries, passages)
    languages = suite.languages
    assert evaluation.per_query.num_rows == len(meanings) * len(languages) * (len(languages) + 1)
    for row in evaluation.per_query.to_pylist():
        in_pool = len(languages) if row["setting"] == "multi" else 1
        wanted = {"mAP": 1.0, "mAP_20": 1.0, "R_1": 1 / in_pool, "R_10": 1.0, "MRR": 1.0, "nDCG_10": 1.0}
        assert {metric: row[metric] for metric in METRICS} == pytest.approx(wanted)
        if row["setting"] == "multi":
            assert (row["rank_distance"], row["max_rank"]) == (in_pool - 1, in_pool)


def test_language_shares_of_a_hand_made_list() -> None:
    top, passage_language = np.array([[0, 1, 2, 3], [3, 3, 3, 2]]), np.array([0, 0, 1, 2])
    assert bias.language_shares(top, passage_language, 4).tolist() == [[0.5, 0.25, 0.25, 0.0], [0.0, 0.25, 0.75, 0.0]]
