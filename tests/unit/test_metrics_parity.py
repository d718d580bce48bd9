"""Ranking metrics equal ir_measures (trec_eval) and ranx, with ties, uneven judgements and cut-offs beyond the pool.

Our rule for equal scores is the smaller passage id. trec_eval puts the LARGER id first (and compares scores as 32-bit
floats); ranx sorts by score alone, so equal scores stand in the order its sort leaves them in. Neither can be told
otherwise. So our order, ties broken, is handed to both as strictly decreasing scores, small whole numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_suites import a_suite, ordered_pool, pools_of, smooth_vectors, tied_vectors

from hybrid_core.data.suites import SETTINGS, Suite
from hybrid_core.evaluate import METRICS, Evaluation, evaluate
from hybrid_core.metrics import ranking
from hybrid_core.search import rank_relevant

quick = settings(max_examples=30)
random_seeds = st.integers(0, 2**32 - 1)
MEASURES = {
    "mAP": ir_measures.AP,
    "R_1": ir_measures.R @ 1,
    "R_10": ir_measures.R @ 10,
    "R_100": ir_measures.R @ 100,
    "MRR": ir_measures.RR,
    "MRR_10": ir_measures.RR @ 10,
    "nDCG_10": ir_measures.nDCG @ 10,
}
CUTOFFS = (1, 5, 20, 200)
Lists = dict[str, tuple[list[str], set[str]]]
"""Query id -> (ranked passage ids, relevant ids)."""


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
    for result in ir_measures.iter_calc(list(MEASURES.values()), qrels, run):
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


def test_metrics_equal_trec_eval_in_pools_deeper_than_their_cutoffs() -> None:
    suite = a_suite(0, passages=700)
    found = evaluate(suite, smooth_vectors(40, 0), smooth_vectors(700, 100))
    check_against_trec_eval(suite, smooth_vectors(40, 0), smooth_vectors(700, 100))
    assert min(found.pool_sizes.values()) > 100
    for shallow, deep in (("R_10", "R_100"), ("MRR_10", "MRR")):
        below, above = (found.per_query[name].to_numpy() for name in (shallow, deep))
        assert (below <= above).all() and (below < above).any(), "each cut-off is told apart from the next"
    assert (found.per_query["R_100"].to_numpy() < 1).any()


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


def test_average_precision_at_20_equals_trec_eval_below_21_relevant() -> None:
    rng = np.random.default_rng(3)
    for count in (1, 4, 19, 20):
        places = np.sort(rng.choice(np.arange(1, 60), size=count, replace=False))
        qrels = [ir_measures.Qrel("q", str(place), 1) for place in places]
        run = [ir_measures.ScoredDoc("q", str(place), 100.0 - place) for place in range(1, 60)]
        wanted = ir_measures.pytrec_eval.calc_aggregate([ir_measures.AP @ 20], qrels, run)[ir_measures.AP @ 20]
        assert ranking.average_precision(places[None, :], 20)[0] == pytest.approx(wanted, abs=1e-12)


def tied_run(seed: int) -> tuple[Suite, np.ndarray, Lists]:
    """A pool of 90 with many equal scores: ranks of the relevant passages, and our lists with their ties broken."""
    suite, queries, passages = a_suite(seed), tied_vectors(40, seed), tied_vectors(90, seed + 100)
    found = rank_relevant(suite, queries, passages, top_k=1)
    ranks = ranking.sorted_ranks(found.query, 1 + found.ahead.sum(1), 40)
    scores, ids = queries @ passages.T, suite.passages.ids
    lists = {
        query_id: ([ids[row] for row in ordered_pool(suite, scores[query], range(90))], {ids[row] for row in rows})
        for query, (query_id, rows) in enumerate(zip(suite.queries.ids, suite.relevant, strict=True)) if len(rows)
    }  # fmt: skip
    return suite, ranks[(ranks > 0).any(1)], lists


def our_scores(ranks: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics whose definition all three share, and nDCG, recall and RR at cut-offs from 1 to beyond the pool."""
    found = {"map": ranking.average_precision(ranks), "mrr": ranking.reciprocal_rank(ranks)}
    for k in CUTOFFS:
        shared = np.minimum((ranks > 0).sum(1), k) / (ranks > 0).sum(1)  # theirs divide by all relevant passages
        found |= {
            f"map@{k}": ranking.average_precision(ranks, k) * shared, f"recall@{k}": ranking.recall(ranks, k),
            f"ndcg@{k}": ranking.ndcg(ranks, k), f"mrr@{k}": ranking.reciprocal_rank(ranks, k),
        }  # fmt: skip
    return found


def decreasing(ids: list[str]) -> dict[str, float]:
    return {id: float(len(ids) - place) for place, id in enumerate(ids)}


def in_ir_measures(name: str) -> ir_measures.Measure:
    base, _, k = name.partition("@")
    measure = {"map": ir_measures.AP, "recall": ir_measures.R, "ndcg": ir_measures.nDCG, "mrr": ir_measures.RR}[base]
    return measure @ int(k) if k else measure


@pytest.mark.parametrize("seed", range(3))
def test_metrics_at_every_cutoff_equal_ir_measures_on_runs_with_ties(seed: int) -> None:
    _, ranks, lists = tied_run(seed)
    assert len({len(relevant) for _, relevant in lists.values()}) > 2
    wanted = our_scores(ranks)
    measures = {in_ir_measures(name): name for name in wanted}
    qrels = {query: dict.fromkeys(relevant, 1) for query, (_, relevant) in lists.items()}
    run = {query: decreasing(ids) for query, (ids, _) in lists.items()}
    place = {query: row for row, query in enumerate(lists)}
    seen = 0
    # `iter_calc` of the package itself picks a provider per measure: trec_eval has no RR@k, a port of MS MARCO's script does.
    for result in ir_measures.iter_calc(list(measures), qrels, run):
        assert wanted[measures[result.measure]][place[result.query_id]] == pytest.approx(result.value, abs=1e-9)
        seen += 1
    assert seen == len(lists) * len(wanted)


RANX = """
import json, sys, ranx
given = json.load(sys.stdin)
run = ranx.Run(given["run"])
ranx.evaluate(ranx.Qrels(given["qrels"]), run, given["metrics"])
json.dump({name: dict(scores) for name, scores in run.scores.items()}, sys.stdout)
"""


@pytest.mark.skipif(find_spec("ranx") is None, reason="ranx is not installed")
def test_metrics_at_every_cutoff_equal_ranx_on_runs_with_ties() -> None:
    """In a process of its own, where numba runs ranx's functions as they stand: compiling them takes a minute."""
    _, ranks, lists = tied_run(3)
    wanted = our_scores(ranks)
    given = {
        "qrels": {query: dict.fromkeys(relevant, 1) for query, (_, relevant) in lists.items()},
        "run": {query: decreasing(ids) for query, (ids, _) in lists.items()},
        "metrics": list(wanted),
    }
    done = subprocess.run(
        [sys.executable, "-c", RANX], input=json.dumps(given), env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert theirs.keys() == wanted.keys()
    for name, values in wanted.items():
        assert theirs[name] == pytest.approx(dict(zip(lists, values.tolist(), strict=True)), abs=1e-9)


def test_a_run_that_retrieved_nothing_relevant_scores_zero_as_in_ir_measures() -> None:
    """Our ranks are always complete; a run cut at 20 has lost what ranks deeper, and the metrics at 20 cannot tell."""
    ranks = ranking.sorted_ranks(np.array([0, 0, 1, 2, 2]), np.array([21, 40, 50, 3, 30]), 3)
    qrels = {str(q): {str(rank): 1 for rank in row if rank} for q, row in enumerate(ranks.tolist())}
    run = {str(q): decreasing([str(rank) for rank in range(1, 21)]) for q in range(3)}
    wanted = {name: values for name, values in our_scores(ranks).items() if name.endswith("@20")}
    for name, values in wanted.items():
        assert values[:2].tolist() == [0.0, 0.0] and values[2] > 0
        theirs = {r.query_id: r.value for r in ir_measures.iter_calc([in_ir_measures(name)], qrels, run)}
        assert theirs == pytest.approx({str(q): value for q, value in enumerate(values.tolist())}, abs=1e-9)


def test_average_precision_at_k_is_that_of_trec_eval_times_relevant_over_the_smaller_of_relevant_and_k() -> None:
    _, ranks, lists = tied_run(4)
    qrels = {query: dict.fromkeys(relevant, 1) for query, (_, relevant) in lists.items()}
    run = {query: decreasing(ids) for query, (ids, _) in lists.items()}
    ours = dict(zip(lists, ranking.average_precision(ranks, 20).tolist(), strict=True))
    more = 0
    for result in ir_measures.pytrec_eval.iter_calc([ir_measures.AP @ 20], qrels, run):
        relevant = len(lists[result.query_id][1])
        assert ours[result.query_id] == pytest.approx(result.value * relevant / min(relevant, 20), abs=1e-12)
        more += relevant > 20 and result.value > 0
    assert more > 3
