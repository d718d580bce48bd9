"""Hard negatives for a corpus: for every query the nearest wrong passages, the same number in every language.

Mining over one mixed pool gives a query negatives in few languages (those its encoder favours), and the model then
learns that such a language is wrong. Here every language is searched by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from hybrid_core.config import MineConfig
from hybrid_core.data.corpus import Corpus, Negative, Pair

_SCORES_AT_ONCE = 2**25
"""Similarities held in memory: 128 MB."""


@dataclass(frozen=True)
class Mined:
    """The rows of a corpus with their negatives and the scores of the model that found them."""

    pairs: list[Pair]
    report: dict[str, Any]


@dataclass(frozen=True)
class _Rows:
    """What mining needs of every row of the corpus, in row order."""

    pairs: Sequence[Pair]
    groups: np.ndarray
    queries: torch.Tensor
    passages: torch.Tensor


def mine(corpus: Corpus, queries: np.ndarray, passages: np.ndarray, config: MineConfig) -> Mined:
    """Find negatives for the rows of the languages in use.

    A passage is left out when it is of the query's group (a translation, a duplicate), or when it scores more than
    `max_share` of the score of the query's own passage in that language (or, where the meaning has none, of its own row).

    Args:
        corpus: the corpus.
        queries: unit embeddings of all queries [rows in use, d], in the order of `rows_in_use`.
        passages: the same for passages.
        config: how many, in which languages, and what counts as too similar.
    """
    rows = rows_in_use(corpus)
    found = _Rows(
        read_rows(corpus, rows),
        np.array(corpus.column("group", rows)),
        torch.from_numpy(queries),
        torch.from_numpy(passages),
    )
    own = (found.queries * found.passages).sum(1)
    negatives: list[list[Negative]] = [[] for _ in rows]
    too_similar: Counter[str] = Counter()
    for language in config.languages or corpus.languages:
        pool = _distinct_passages(found, language)
        wanted = _own_scores(found, own, language)
        for start in range(0, len(rows), max(1, _SCORES_AT_ONCE // len(pool))):
            block = np.arange(start, min(len(rows), start + max(1, _SCORES_AT_ONCE // len(pool))))
            too_similar[language] += _add_nearest(found, block, pool, language, wanted, config, negatives)
    pairs = [
        replace(pair, negatives=tuple(chosen), score=float(score))
        for pair, chosen, score in zip(found.pairs, negatives, own, strict=True)
    ]
    return Mined(pairs, _report(pairs, too_similar))


def rows_in_use(corpus: Corpus) -> np.ndarray:
    """Rows of the languages in use, ascending."""
    return np.concatenate([np.arange(*corpus.rows_of(language)) for language in corpus.languages])


def read_rows(corpus: Corpus, rows: np.ndarray) -> list[Pair]:
    """Rows as pairs, without their negatives and scores."""
    fields = ("meaning_id", "language", "query", "passage", "dataset", "domain")
    return [Pair(*values) for values in zip(*(corpus.column(name, rows) for name in fields), strict=True)]


def _distinct_passages(rows: _Rows, language: str) -> np.ndarray:
    """One row for each distinct passage text of a language."""
    first: dict[str, int] = {}
    for row, pair in enumerate(rows.pairs):
        if pair.language == language:
            first.setdefault(pair.passage, row)
    return np.fromiter(first.values(), dtype=np.int64)


def _own_scores(rows: _Rows, own: torch.Tensor, language: str) -> torch.Tensor:
    """For every query its similarity with its own passage in a language, or in its own where there is none."""
    translation = {pair.meaning_id: row for row, pair in enumerate(rows.pairs) if pair.language == language}
    there = torch.tensor([translation.get(pair.meaning_id, row) for row, pair in enumerate(rows.pairs)])
    return (rows.queries * rows.passages[there]).sum(1)


def _add_nearest(
    rows: _Rows,
    block: np.ndarray,
    pool: np.ndarray,
    language: str,
    wanted: torch.Tensor,
    config: MineConfig,
    negatives: list[list[Negative]],
) -> int:
    """Add the nearest allowed passages of the pool to the block's queries; returns how many were too similar."""
    scores = rows.queries[block] @ rows.passages[pool].T
    same = torch.from_numpy(rows.groups[block][:, None] == rows.groups[pool][None, :])
    similar = ~same & (scores > config.max_share * wanted[block][:, None])
    scores = scores.masked_fill(same | similar, float("-inf"))
    best = scores.topk(min(config.skip + config.per_language, len(pool)), dim=1)
    for query, values, places in zip(block, best.values.tolist(), best.indices.tolist(), strict=True):
        for score, place in list(zip(values, places, strict=True))[config.skip :]:
            if score > float("-inf"):
                negatives[query].append(Negative(rows.pairs[pool[place]].passage, language, score))
    return int(similar.sum())


def _report(pairs: Sequence[Pair], too_similar: Counter[str]) -> dict[str, Any]:
    per_pair = Counter((p.language, n.language) for p in pairs for n in p.negatives)
    languages = Counter(p.language for p in pairs)
    return {
        "queries": len(pairs),
        "queries_without_negatives": sum(not p.negatives for p in pairs),
        "negatives": sum(per_pair.values()),
        "per_query": {
            query: {n: per_pair[query, n] / count for q, n in sorted(per_pair) if q == query}
            for query, count in sorted(languages.items())
        },
        "too_similar": dict(sorted(too_similar.items())),
    }
