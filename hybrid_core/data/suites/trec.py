"""Judgements and runs in TREC form, for other tools (trec_eval, ir_measures, ranx).

Judgements: `query 0 passage relevance`. Runs: `query Q0 passage rank score tag`. Columns are parted by white space, so
ids must hold none. Tools order a run by score and break ties in ways of their own; ours puts the smaller passage id
first, and rank 1 is the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_core.data.suites.collection import Suite
from hybrid_core.errors import RequestError
from hybrid_core.storage import write_bytes


def write_qrels(suite: Suite, path: Path | str, *, pool: str | None = None) -> None:
    """Write the relevant pairs of a suite.

    Args:
        suite: the test collection.
        path: file to write, local or `s3://`.
        pool: only passages of this language (mono and cross have one pool per language); None: all (multi).

    Raises:
        RequestError: an id with white space in it.
    """
    query = np.repeat(np.arange(len(suite.relevant)), [len(rows) for rows in suite.relevant])
    passage = np.concatenate([*suite.relevant, np.empty(0, dtype=np.int64)])
    if pool is not None:
        kept = np.array(suite.passages.languages)[passage] == pool
        query, passage = query[kept], passage[kept]
    query_ids, passage_ids = pa.array(suite.queries.ids, pa.string()), pa.array(suite.passages.ids, pa.string())
    _write(path, [query_ids.take(query), "0", passage_ids.take(passage), "1"])


def write_run(
    path: Path | str,
    query_ids: Sequence[str],
    passage_ids: np.ndarray | Sequence[Sequence[str]],
    scores: np.ndarray,
    tag: str,
) -> None:
    """Write the best passages of each query.

    Args:
        path: file to write, local or `s3://`.
        query_ids: ids of the queries [n].
        passage_ids: ids of the best passages of each query, best first [n, k].
        scores: their scores, falling within a query [n, k]; written so that reading gives the same numbers. A list that is
            shorter than k ends with scores of -inf, whose ids are not looked at; an empty list leaves no line.
        tag: name of the system.

    Raises:
        RequestError: an id or tag with white space in it, scores that rise or are no numbers.
    """
    ids = np.asarray(passage_ids, dtype=object)
    if ids.shape != scores.shape or scores.shape[:1] != (len(query_ids),):
        raise ValueError(f"{len(query_ids)} queries, passage ids {ids.shape}, scores {scores.shape}: shapes must agree")
    if np.isnan(scores).any() or (scores[:, 1:] > scores[:, :-1]).any():
        row = int(np.flatnonzero(np.isnan(scores).any(1) | (scores[:, 1:] > scores[:, :-1]).any(1))[0])
        raise RequestError(f"run {tag!r}, query {query_ids[row]!r}: scores must be numbers and fall from rank to rank")
    line, column = np.nonzero(~np.isneginf(scores))
    query = pa.array(query_ids, pa.string()).take(line)
    rank = pa.array(column + 1).cast(pa.string())
    score = pa.array(scores[line, column]).cast(pa.string())
    _write(path, [query, "Q0", pa.array(ids[line, column], pa.string()), rank, score, tag])


def _write(path: Path | str, columns: list[pa.Array | str]) -> None:
    """One line per row; a text stands for the same value in all rows."""
    rows = len(columns[0])
    for column in columns:
        _check_no_space(pa.array([column], pa.string()) if isinstance(column, str) else column)
    filled = [pa.scalar(c, pa.string()) if isinstance(c, str) else c for c in columns]
    lines = pc.binary_join_element_wise(*filled, pa.scalar(" ", pa.string())).to_pylist() if rows else []
    write_bytes(str(path), "".join(f"{line}\n" for line in lines).encode())


def _check_no_space(column: pa.Array) -> None:
    # trec_eval splits at white space: an id that holds some would shift the columns
    wrong = column.filter(pc.or_(pc.match_substring_regex(column, r"\s"), pc.equal(column, "")))
    if len(wrong):
        raise RequestError(f"TREC files part columns by white space: id {wrong[0].as_py()!r} is empty or holds some")
