"""Which query takes part in which setting and pool, and that nothing else decides a score."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pytest
from made_up_suites import a_suite, smooth_vectors, tied_vectors

from hybrid_core.data.suites import SETTINGS, Suite, Texts, load_suites
from hybrid_core.evaluate import ALL_LANGUAGES, evaluate


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
    (suite,) = load_suites(("sample_finance",), None, "sentence")
    meanings = {meaning: row for row, meaning in enumerate(sorted(set(suite.queries.meaning_ids)))}
    identity = np.eye(len(meanings), dtype=np.float32)
    queries, passages = (identity[[meanings[m] for m in t.meaning_ids]] for t in (suite.queries, suite.passages))
    evaluation = evaluate(suite, queries, passages)
    languages = suite.languages
    assert evaluation.per_query.num_rows == len(meanings) * len(languages) * (len(languages) + 1)
    for row in evaluation.per_query.to_pylist():
        in_pool = len(languages) if row["setting"] == "multi" else 1
        wanted = {"mAP": 1.0, "mAP_20": 1.0, "R_1": 1 / in_pool, "R_10": 1.0, "MRR": 1.0, "nDCG_10": 1.0}
        assert {metric: row[metric] for metric in wanted} == pytest.approx(wanted)
        if row["setting"] == "multi":
            assert (row["rank_distance"], row["max_rank"]) == (in_pool - 1, in_pool)
