"""Small collections on disk in the forms the suite loaders read, and how tests load them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hybrid_core.data.suites import Suite, load_suites
from hybrid_core.errors import RequestError


def load(name: str, folder: Path | str | None = None, candidate_text: str = "sentence", **options: Any) -> Suite:
    (suite,) = load_suites([name], None if folder is None else str(folder), candidate_text, **options)
    return suite


def refusal(name: str, folder: Path | str | None = None, **options: Any) -> str:
    with pytest.raises(RequestError) as error:
        load(name, folder, **options)
    return str(error.value)


QUERIES = [
    {"id": "q1", "language": "en", "text": "Who?", "meaning_id": "a", "domain": "news"},
    {"id": "q2", "language": "zh", "text": "谁？", "meaning_id": "a"},
    {"id": "q3", "language": "en", "text": "When?"},
]
PASSAGES = [
    {"id": "p1", "language": "en", "text": "Me.", "meaning_id": "a"},
    {"id": "p2", "language": "zh", "text": "我。", "meaning_id": "a"},
    {"id": "p3", "language": "en", "text": "Now."},
]
QRELS = ["q1\t0\tp1\t1", "q1\t0\tp2\t1", "q2\t0\tp2\t1", "q2\t0\tp1\t1", "q3\t0\tp3\t1", "q3\t0\tp1\t0"]


def lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)


def beir(folder: Path, about: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "queries.jsonl").write_text(lines(QUERIES), encoding="utf-8")
    (folder / "passages.jsonl").write_text(lines(PASSAGES), encoding="utf-8")
    (folder / "qrels.tsv").write_text("".join(f"{line}\n" for line in QRELS), encoding="utf-8")
    if about is not None:
        (folder / "suite.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def export(suite: Suite, folder: Path) -> None:
    """Write a suite in the BEIR shape."""
    folder.mkdir()
    for name, t in (("queries", suite.queries), ("passages", suite.passages)):
        columns = zip(t.ids, t.languages, t.texts, t.meaning_ids, t.domains, strict=True)
        records = [dict(zip(("id", "language", "text", "meaning_id", "domain"), row, strict=True)) for row in columns]
        (folder / f"{name}.jsonl").write_text(lines(records), encoding="utf-8")
    judgements = [
        f"{suite.queries.ids[q]}\t0\t{suite.passages.ids[row]}\t1\n"
        for q, rows in enumerate(suite.relevant)
        for row in rows
    ]
    (folder / "qrels.tsv").write_text("".join(judgements), encoding="utf-8")
    about = {"name": suite.name, "settings": suite.settings, "licence": suite.licence, "source": suite.source}
    (folder / "suite.json").write_text(json.dumps(about | {"languages": suite.languages}), encoding="utf-8")
