"""Judgement files, checked line by line, to the rows of relevant passages per query.

Every metric here is binary. So a graded judgement (2, 3, ...) is refused until it is said from which grade on a passage
counts as relevant: where that cut lies changes the scores, and nobody should have it made for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_core.errors import RequestError

FOLDER_FORM = ("query id", "0", "passage id", "relevance")
BEIR_FORM = ("query id", "passage id", "relevance")


@dataclass(frozen=True)
class Judgements:
    """Parallel columns, one entry per line of a judgement file."""

    file: Path
    lines: list[int]
    query_ids: list[str]
    passage_ids: list[str]
    grades: list[str]

    def place(self, entry: int) -> str:
        """File and line of an entry."""
        return f"{self.file}, line {self.lines[entry]}"


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """(line number, text) of a UTF-8 file; only a line feed (after an optional carriage return) ends a line.

    Raises:
        RequestError: the file is missing or not UTF-8.
    """
    if not file.is_file():
        raise RequestError(f"{file} does not exist")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        yield number, line.removesuffix("\r")


def read_judgements(file: Path, form: Sequence[str] | None) -> Judgements:
    """Read a judgement file.

    Args:
        file: the file.
        form: tab-separated columns: FOLDER_FORM, or BEIR_FORM whose first line is a header. None: TREC, four columns
            parted by any white space.

    Raises:
        RequestError: names file and line of a line with another number of columns.
    """
    found = Judgements(file, [], [], [], [])
    names = FOLDER_FORM if form is None else form
    for number, line in read_lines(file):
        if form is BEIR_FORM and number == 1:
            _check_header(line, f"{file}, line 1")
            continue
        parts = line.split() if form is None else line.split("\t")
        if len(parts) != len(names):
            kind = "columns" if form is None else "tab-separated columns"
            raise RequestError(
                f"{file}, line {number}: {len(parts)} {kind} instead of {len(names)} ({', '.join(names)})"
            )
        found.lines.append(number)
        found.query_ids.append(parts[0])
        found.passage_ids.append(parts[-2])
        found.grades.append(parts[-1])
    return found


def _check_header(line: str, where: str) -> None:
    if line.split("\t")[-1].strip().lstrip("-").isdigit():
        raise RequestError(
            f"{where}: {line!r} is no header; the first line of BEIR judgements names the columns (query-id, corpus-id, score)"
        )


def relevant_rows(
    found: Judgements,
    query_row: Mapping[str, int],
    passage_row: Mapping[str, int],
    queries: int,
    relevant_from: int | None,
) -> list[np.ndarray]:
    """Rows of the relevant passages of each query, ascending.

    Args:
        found: the judgements.
        query_row: row of each known query id.
        passage_row: row of each known passage id.
        queries: number of queries.
        relevant_from: smallest grade that counts as relevant; None: judgements must be 0 or 1.

    Raises:
        RequestError: names file and line of an unknown id, a wrong relevance, two judgements of one pair that contradict
            each other, or the file when nothing is relevant.
    """
    query = _rows(found, found.query_ids, query_row, "query")
    passage = _rows(found, found.passage_ids, passage_row, "passage")
    grade = _grades(found, relevant_from)
    order = np.lexsort((np.array(found.lines), passage, query))
    query, passage, grade = query[order], passage[order], grade[order]
    again = (query[1:] == query[:-1]) & (passage[1:] == passage[:-1])
    _check_contradictions(found, order, again & (grade[1:] != grade[:-1]))
    kept = np.concatenate([[True], ~again])[: len(query)] & (grade >= (1 if relevant_from is None else relevant_from))
    if not kept.any():
        raise RequestError(
            f"{found.file} judges no passage relevant (no line has a relevance of at least {relevant_from or 1})"
        )
    query, passage = query[kept], passage[kept]
    return list(np.split(passage, np.searchsorted(query, np.arange(1, queries))))


def _rows(found: Judgements, ids: list[str], row: Mapping[str, int], what: str) -> np.ndarray:
    rows = np.array([row.get(id, -1) for id in ids], dtype=np.int64)
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        raise RequestError(f"{found.place(int(unknown[0]))}: unknown {what} id {ids[int(unknown[0])]!r}")
    return rows


def _grades(found: Judgements, relevant_from: int | None) -> np.ndarray:
    known: dict[str, int] = {}
    for text in dict.fromkeys(found.grades):
        entry = found.grades.index(text)
        if not text.isascii() or not text.removeprefix("-").isdigit():
            raise RequestError(f"{found.place(entry)}: relevance {text!r} is not a whole number")
        if relevant_from is None and int(text) not in (0, 1):
            raise RequestError(
                f"{found.place(entry)}: relevance {text!r}; the metrics are binary: judge 0 or 1, or say in suite.json from "
                "which relevance on a passage counts (field 'relevant_from')"
            )
        known[text] = int(text)
    return np.array([known[text] for text in found.grades], dtype=np.int64)


def _check_contradictions(found: Judgements, order: np.ndarray, contradicts: np.ndarray) -> None:
    if not contradicts.any():
        return
    place = int(np.flatnonzero(contradicts)[0])
    first, second = int(order[place]), int(order[place + 1])
    raise RequestError(
        f"{found.place(second)}: judges passage {found.passage_ids[second]!r} for query {found.query_ids[second]!r} with "
        f"{found.grades[second]}, line {found.lines[first]} with {found.grades[first]}; keep one of them"
    )
