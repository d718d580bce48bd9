"""Suite + embeddings -> ranks -> scores of every query in every setting -> averages per language and setting.

mono: query language = pool language. cross: every ordered pair of different languages. multi: one pool of all languages,
relevant passages of all languages count. A query without a relevant passage in a pool takes no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hybrid_core.data.suites import Suite
from hybrid_core.metrics import bias, ranking
from hybrid_core.search import RelevantRanks, rank_relevant

METRICS = ("mAP", "mAP_20", "R_1", "R_10", "R_100", "MRR", "MRR_10", "nDCG_10")
BIAS_METRICS = (
    "rank_distance", "rank_distance_share", "max_rank", "same_language_share", "language_preference", "list_overlap",
    "peer_relevant_100", "peer_nonrelevant_100",
)  # fmt: skip
PEER_DEPTH = 100
"""PEER needs a list many times longer than there are languages (see metrics.bias)."""
LIST_DEPTH = 10
"""Depth at which the lists of translations of a question are compared."""
ALL_LANGUAGES = "*"
"""Pool language of the multi setting in per-query tables."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of one encoder on one suite."""

    suite: str
    candidate_text: str
    per_query: pa.Table
    """One row per (setting, query, pool): setting, query_id, meaning_id, domain, query_language, passage_language, metrics."""
    language_histogram: dict[str, dict[str, float]]
    """Share of each passage language in the pooled top k, per query language."""
    pool_sizes: dict[str, int]


@dataclass(frozen=True)
class _Labels:
    """Labels of the queries as arrays, made once for all settings and pools: they take rows without a loop over queries."""

    columns: dict[str, pa.Array]
    query_language: np.ndarray
    passage_language: np.ndarray

    @classmethod
    def of(cls, suite: Suite) -> _Labels:
        q = suite.queries
        columns = {"query_id": q.ids, "meaning_id": q.meaning_ids, "domain": q.domains, "query_language": q.languages}
        arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        return cls(arrays, np.array(q.languages), np.array(suite.passages.languages))


def evaluate(suite: Suite, queries: np.ndarray, passages: np.ndarray, *, top_k: int = 10) -> Evaluation:
    """Score one encoder in all settings of a suite from one set of embeddings.

    Args:
        suite: the test collection.
        queries: vectors [queries, d] whose inner product with those of the passages is the score (for an encoder: unit vectors).
        passages: vectors [passages, d].
        top_k: depth of the language histogram.
    """
    depth = max(top_k, PEER_DEPTH) if "multi" in suite.settings else top_k
    return score(suite, rank_relevant(suite, queries, passages, top_k=depth), top_k=top_k)


def score(suite: Suite, ranks: RelevantRanks, *, top_k: int = 10) -> Evaluation:
    """From ranks to scores, in the settings of the suite. Arguments as in `evaluate`."""
    labels = _Labels.of(suite)
    tables = [_score_setting(suite, labels, ranks, setting, pool) for setting, pool in _pools(suite, ranks.languages)]
    histogram = {}
    if "multi" in suite.settings:
        shares = _language_shares(suite, ranks, top_k)
        tables.append(_score_setting(suite, labels, ranks, "multi", None, shares))
        histogram = {
            lang: dict(zip(ranks.languages, shares[labels.query_language == lang].mean(0).tolist(), strict=True))
            for lang in sorted(set(suite.queries.languages))
        }
    pools = dict(zip(ranks.languages, ranks.pool_sizes.tolist(), strict=True))
    return Evaluation(suite.name, suite.candidate_text, pa.concat_tables(tables), histogram, pools)


def _pools(suite: Suite, languages: Sequence[str]) -> list[tuple[str, int]]:
    return [
        (setting, pool) for setting in ("mono", "cross") if setting in suite.settings for pool in range(len(languages))
    ]


def _codes(languages: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Place of each language among the known ones; -1 for others."""
    place = {lang: i for i, lang in enumerate(known)}
    return np.array([place.get(lang, -1) for lang in languages], dtype=np.int64)


def _language_shares(suite: Suite, ranks: RelevantRanks, top_k: int) -> np.ndarray:
    passage_language = _codes(suite.passages.languages, ranks.languages)
    return bias.language_shares(ranks.top[:, :top_k], passage_language, len(ranks.languages))


def _score_setting(
    suite: Suite,
    labels: _Labels,
    ranks: RelevantRanks,
    setting: str,
    pool: int | None,
    shares: np.ndarray | None = None,
) -> pa.Table:
    """Per-query scores of one setting in one pool language (None: all languages pooled)."""
    query_language, passage_language = labels.query_language, labels.passage_language[ranks.passage]
    if pool is None:
        rank, judged = 1 + ranks.ahead.sum(1), np.ones(len(ranks.query), dtype=bool)
        asked = np.ones(len(query_language), dtype=bool)
        pool_name = ALL_LANGUAGES
    else:
        pool_name = ranks.languages[pool]
        rank, judged = 1 + ranks.ahead[:, pool], passage_language == pool_name
        asked = (query_language == pool_name) == (setting == "mono")
    sorted_ranks = ranking.sorted_ranks(ranks.query[judged], rank[judged], len(query_language))
    rows = np.flatnonzero(asked & (sorted_ranks > 0).any(1))
    sorted_ranks = sorted_ranks[rows]
    columns = _metric_columns(sorted_ranks) | _bias_columns(suite, ranks, rows, sorted_ranks, shares)
    return pa.table(_identity_columns(suite, labels, setting, rows, pool_name) | columns)


def _identity_columns(
    suite: Suite, labels: _Labels, setting: str, rows: np.ndarray, pool_name: str
) -> dict[str, pa.Array]:
    fixed = {"suite": suite.name, "setting": setting, "passage_language": pool_name}
    texts = {name: values.take(pa.array(rows)) for name, values in labels.columns.items()}
    texts |= {name: pa.repeat(pa.scalar(value, pa.string()), len(rows)) for name, value in fixed.items()}
    return {name: values.dictionary_encode() for name, values in texts.items()}


def _metric_columns(sorted_ranks: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "mAP": ranking.average_precision(sorted_ranks),
        "mAP_20": ranking.average_precision(sorted_ranks, 20),
        "R_1": ranking.recall(sorted_ranks, 1),
        "R_10": ranking.recall(sorted_ranks, 10),
        "R_100": ranking.recall(sorted_ranks, 100),
        "MRR": ranking.reciprocal_rank(sorted_ranks),
        "MRR_10": ranking.reciprocal_rank(sorted_ranks, 10),
        "nDCG_10": ranking.ndcg(sorted_ranks, 10),
    }


def _bias_columns(
    suite: Suite, ranks: RelevantRanks, rows: np.ndarray, sorted_ranks: np.ndarray, shares: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Language bias is defined on the pooled list; elsewhere the columns are NaN."""
    if shares is None:
        return {name: np.full(len(rows), np.nan) for name in BIAS_METRICS}
    distance = bias.rank_distance(sorted_ranks)
    own = _codes(suite.queries.languages, ranks.languages)
    passage_language = _codes(suite.passages.languages, ranks.languages)
    rank = 1 + ranks.ahead.sum(1)
    top_relevant = bias.relevant_in_top(ranks.query, ranks.passage, ranks.top)
    # A query whose meaning is unknown is a question of its own.
    asked = [meaning or f"{row}" for row, meaning in enumerate(suite.queries.meaning_ids)]
    _, meaning = np.unique(np.array(asked, dtype=str), return_inverse=True)
    written_in = passage_language[ranks.passage]
    each_query = {
        "same_language_share": np.where(own >= 0, shares[np.arange(len(own)), np.maximum(own, 0)], np.nan),
        "language_preference": bias.language_preference(ranks.query, rank, written_in, own),
        "list_overlap": bias.list_overlap(ranks.top[:, :LIST_DEPTH], meaning),
        "peer_relevant_100": bias.peer_relevant(ranks.query, rank, written_in, queries=len(own), k=PEER_DEPTH),
        "peer_nonrelevant_100": bias.peer_nonrelevant(passage_language[ranks.top], top_relevant, k=PEER_DEPTH),
    }
    return {
        "rank_distance": distance, "rank_distance_share": distance / ranks.pool_sizes.sum(), "max_rank": bias.max_rank(sorted_ranks),
    } | {name: values[rows] for name, values in each_query.items()}  # fmt: skip
