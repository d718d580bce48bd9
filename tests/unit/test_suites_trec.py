"""TREC files: what is written is read back, and a second implementation scores it the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from suite_files import beir, load

from hybrid_core.data.suites import Suite, load_beir
from hybrid_core.data.suites.trec import write_qrels, write_run
from hybrid_core.errors import RequestError
from hybrid_core.metrics import ranking
from hybrid_core.search import rank_relevant


def pairs_of(suite: Suite) -> set[tuple[str, str]]:
    return {(suite.queries.ids[q], suite.passages.ids[row]) for q, rows in enumerate(suite.relevant) for row in rows}


def test_judgements_survive_the_way_through_a_file(tmp_path: Path) -> None:
    suite = load_beir(beir(tmp_path / "mine"))
    write_qrels(suite, tmp_path / "qrels.txt")
    assert (tmp_path / "qrels.txt").read_text().splitlines() == [
        "q1 0 p1 1", "q1 0 p2 1", "q2 0 p1 1", "q2 0 p2 1", "q3 0 p3 1"
    ]  # fmt: skip
    found = list(ir_measures.read_trec_qrels(str(tmp_path / "qrels.txt")))
    assert {(q.query_id, q.doc_id) for q in found} == pairs_of(suite)
    assert [q.relevance for q in found] == [1] * 5


def test_judgements_of_one_pool_hold_its_passages_only(tmp_path: Path) -> None:
    write_qrels(load_beir(beir(tmp_path / "mine")), tmp_path / "qrels.txt", pool="zh")
    assert (tmp_path / "qrels.txt").read_text() == "q1 0 p2 1\nq2 0 p2 1\n"


@given(st.integers(1, 5), st.integers(0, 4), st.sampled_from([np.float32, np.float64]), st.integers(0, 2**32 - 1))
def test_a_run_survives_the_way_through_a_file(n: int, k: int, kind: type[np.floating], seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = -np.sort(-generator.normal(size=(n, k)).astype(kind), axis=1)
    ids = np.array([[f"p{generator.integers(99)}-{j}" for j in range(k)] for _ in range(n)], dtype=object).reshape(n, k)
    with tempfile.TemporaryDirectory() as folder:
        write_run(f"{folder}/run.txt", [f"q{i}" for i in range(n)], ids, scores, "ours")
        lines = [line.split() for line in Path(folder, "run.txt").read_text().splitlines()]
        found = list(ir_measures.read_trec_run(f"{folder}/run.txt"))
    assert [(s.query_id, s.doc_id) for s in found] == [(f"q{i}", ids[i, j]) for i in range(n) for j in range(k)]
    assert [line[3] for line in lines] == [str(rank) for rank in range(1, k + 1)] * n
    assert {(line[1], line[5]) for line in lines} <= {("Q0", "ours")}
    assert np.array_equal(np.array([s.score for s in found]).astype(kind), scores.ravel())


def test_other_tools_find_our_average_precision_in_the_files(tmp_path: Path) -> None:
    suite = load("sample_law")
    generator = np.random.default_rng(0)
    queries, passages = (
        (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)
        for v in (generator.normal(size=(len(t), 16)) for t in (suite.queries, suite.passages))
    )
    ranks = rank_relevant(suite, queries, passages, top_k=len(suite.passages))
    ours = ranking.average_precision(
        ranking.sorted_ranks(ranks.query, 1 + ranks.ahead.sum(1), len(suite.queries))
    )  # fmt: skip
    scores = np.take_along_axis(queries @ passages.T, ranks.top, axis=1)
    scores = np.minimum.accumulate(scores, axis=1)  # a second product may differ in the last bit
    write_qrels(suite, tmp_path / "qrels.txt")
    write_run(
        tmp_path / "run.txt", suite.queries.ids, np.array(suite.passages.ids, dtype=object)[ranks.top], scores, "x"
    )
    theirs = {
        m.query_id: m.value
        for m in ir_measures.iter_calc(
            [ir_measures.AP],
            ir_measures.read_trec_qrels(str(tmp_path / "qrels.txt")),
            ir_measures.read_trec_run(str(tmp_path / "run.txt")),
        )
    }
    assert [theirs[id] for id in suite.queries.ids] == pytest.approx(ours.tolist(), abs=1e-9)


def test_lists_may_be_shorter_than_others_and_empty(tmp_path: Path) -> None:
    ids = np.array([["a", "b", "c"], [None, None, None], ["d", None, "never looked at"]], dtype=object)
    scores = np.array([[3.0, 2.0, 1.0], [-np.inf] * 3, [0.5, -np.inf, -np.inf]])
    write_run(tmp_path / "run.txt", ["q1", "q2", "q3"], ids, scores, "ours")
    assert (tmp_path / "run.txt").read_text().splitlines() == [
        "q1 Q0 a 1 3 ours", "q1 Q0 b 2 2 ours", "q1 Q0 c 3 1 ours", "q3 Q0 d 1 0.5 ours"
    ]  # fmt: skip
    scores[2] = [-np.inf, 0.5, -np.inf]
    with pytest.raises(RequestError, match="query 'q3': scores must be numbers and fall"):
        write_run(tmp_path / "run.txt", ["q1", "q2", "q3"], ids, scores, "ours")


@pytest.mark.parametrize("id", ["a b", "a\tb", ""])
def test_ids_that_would_shift_the_columns_are_refused(tmp_path: Path, id: str) -> None:
    with pytest.raises(RequestError, match="TREC files part columns by white space"):
        write_run(tmp_path / "run.txt", ["q"], [[id]], np.ones((1, 1)), "ours")
    with pytest.raises(RequestError, match="TREC files part columns by white space"):
        write_run(tmp_path / "run.txt", ["q"], [["p"]], np.ones((1, 1)), id)
    assert not (tmp_path / "run.txt").exists()


@pytest.mark.parametrize("scores", [[1.0, 2.0], [1.0, float("nan")]])
def test_scores_that_rise_or_are_no_numbers_are_refused(tmp_path: Path, scores: list[float]) -> None:
    with pytest.raises(RequestError, match="query 'b': scores must be numbers and fall from rank to rank"):
        write_run(tmp_path / "run.txt", ["a", "b"], [["p", "r"]] * 2, np.array([[2.0, 1.0], scores]), "ours")


def test_shapes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shapes must agree"):
        write_run(tmp_path / "run.txt", ["a"], [["p", "r"]], np.ones((1, 1)), "ours")
