"""Training sources in every format, written from records, and what reading them gives or says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from hybrid_core.config import PrepareConfig
from hybrid_core.data.corpus import Pair
from hybrid_core.data.readers import read_pairs
from hybrid_core.errors import RequestError

GOOD = {"meaning_id": "m1", "language": "en", "query": "Where?", "passage": "Here."}
FIELDS = tuple(GOOD)
CONTEXT = "The first sentence is about rivers. The second sentence is about hills. The third sentence is about sand."
modest = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
word = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=15).filter(str.strip)
Writer = Callable[[Path, list[dict[str, Any]]], tuple[Path, Callable[[int], str]]]


def pairs_from(source: Path | str, **options: str) -> list[Pair]:
    return list(read_pairs(PrepareConfig(source=str(source), **options)))


def refusal(source: Path | str, **options: str) -> str:
    with pytest.raises(RequestError) as error:
        pairs_from(source, **options)
    return str(error.value)


def as_json_lines(folder: Path, records: list[dict[str, Any]]) -> tuple[Path, Callable[[int], str]]:
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return file, lambda index: f"{file}, line {index + 1}"


def as_parquet(folder: Path, records: list[dict[str, Any]]) -> tuple[Path, Callable[[int], str]]:
    file = folder / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(records), file, row_group_size=2)
    return file, lambda index: f"{file}, row {index}"


def as_hugging_face(folder: Path, records: list[dict[str, Any]]) -> tuple[Path, Callable[[int], str]]:
    as_json_lines(folder, records)[0].rename(folder / "train.jsonl")
    return folder, lambda index: f"{folder}, row {index}"


def question(id: str, *answers: tuple[str, int], text: str = "What is it?") -> dict[str, Any]:
    return {"id": id, "question": text, "answers": [{"text": t, "answer_start": s} for t, s in answers]}


def squad_folder(folder: Path, **languages: list[dict[str, Any]]) -> Path:
    """One paragraph, CONTEXT, per language with these questions."""
    folder.mkdir(exist_ok=True)
    for language, qas in languages.items():
        data = {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": qas}]}]}
        (folder / f"{language}.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return folder


def squad_file(folder: Path, data: object) -> Path:
    file = folder / "en.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    return file
