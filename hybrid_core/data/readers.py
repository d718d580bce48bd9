"""Training sources: SQuAD-format JSON (one file per language), JSON lines, Parquet, Hugging Face datasets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_core.config import PrepareConfig
from hybrid_core.data.corpus import Negative, Pair
from hybrid_core.data.jsonl import check_text, read_jsonl
from hybrid_core.data.languages import check_language
from hybrid_core.errors import RequestError

_FIELDS = ("meaning_id", "language", "query", "passage")
_SENTENCE_END = re.compile(r"[.!?…।॥؟۔][\"'”’»)\]]*\s+|[。！？]+[”’」』）]*\s*")
_SHORTEST_SENTENCE = 20  # characters; a shorter piece is an abbreviation or a number, not a sentence


def read_pairs(config: PrepareConfig) -> Iterator[Pair]:
    """All pairs of the configured source.

    Raises:
        RequestError: names file, line, field and reason of what cannot be used.
    """
    if not config.source:
        raise RequestError(
            "prepare.source is not set; name a folder of SQuAD-format JSON, a JSONL or Parquet file, or hf://datasets/NAME"
        )
    source = config.source
    kind = _detected(source) if config.format == "auto" else config.format
    if kind == "huggingface":
        return _read_hugging_face(source)
    path = Path(source)
    if not path.exists():
        raise RequestError(f"prepare.source={source!r} does not exist")
    if kind == "squad":
        return _read_squad_folder(path, whole_paragraph=config.passage == "paragraph")
    return _read_jsonl(path) if kind == "jsonl" else _read_parquet(path)


def _detected(source: str) -> str:
    if source.startswith("hf://"):
        return "huggingface"
    if Path(source).is_dir():
        return "squad"
    return "parquet" if source.endswith(".parquet") else "jsonl"


def _read_jsonl(file: Path) -> Iterator[Pair]:
    for number, record in read_jsonl(file, _FIELDS):
        yield _pair(record, f"{file}, line {number}")


def _read_parquet(file: Path) -> Iterator[Pair]:
    try:
        names = pq.read_schema(file).names
    except (pa.ArrowInvalid, OSError) as error:
        raise RequestError(f"{file} is not a Parquet file: {error}") from error
    for field in _FIELDS:
        if field not in names:
            raise RequestError(f"{file}: column {field!r} is missing (columns: {', '.join(names)})")
    row = 0
    for batch in pq.ParquetFile(file).iter_batches():
        for record in batch.to_pylist():
            yield _pair(record, f"{file}, row {row}")
            row += 1


def _read_hugging_face(source: str) -> Iterator[Pair]:
    import datasets

    name = source.removeprefix("hf://datasets/")
    try:
        rows = datasets.load_dataset(name, split="train")
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise RequestError(f"prepare.source={source!r} cannot be loaded: {error}") from error
    for number, record in enumerate(rows):
        yield _pair(dict(record), f"{source}, row {number}")


def _pair(record: dict[str, Any], where: str) -> Pair:
    for field in _FIELDS:
        check_text(record.get(field), f"{where}, field {field!r}", present=field in record)
    language = check_language(record["language"], f"{where}, field 'language'")
    return Pair(
        record["meaning_id"], language, record["query"].strip(), record["passage"].strip(), str(record.get("dataset") or ""),
        str(record.get("domain") or ""), _negatives(record.get("negatives"), language, where), _score(record.get("score"), where),
    )  # fmt: skip


def _negatives(values: Any, language: str, where: str) -> tuple[Negative, ...]:
    """Hard negatives: texts in the row's language, or objects with text and optionally language and score."""
    if values is None:
        return ()
    if not isinstance(values, list):
        raise RequestError(f"{where}, field 'negatives': {str(values)[:80]!r} is not a list of texts or objects")
    found = []
    for number, value in enumerate(values):
        place = f"{where}, field 'negatives'[{number}]"
        entry = value if isinstance(value, dict) else {"text": value}
        text = check_text(entry.get("text"), place, present="text" in entry).strip()
        found.append(
            Negative(text, check_language(entry.get("language") or language, place), _score(entry.get("score"), place))
        )
    return tuple(found)


def _score(value: Any, where: str) -> float | None:
    """A teacher's score, if one is given."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RequestError(f"{where}, field 'score': {value!r} is not a finite number")
    return float(value)


def _read_squad_folder(folder: Path, *, whole_paragraph: bool) -> Iterator[Pair]:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise RequestError(f"{folder} holds no <language>.json")
    for file in files:
        yield from _read_squad(file, check_language(file.stem, str(file)), folder.name, whole_paragraph)


def _read_squad(file: Path, language: str, dataset: str, whole_paragraph: bool) -> Iterator[Pair]:
    try:
        articles = json.loads(file.read_text(encoding="utf-8"))["data"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise RequestError(
            f"{file}: not SQuAD-format JSON ({type(error).__name__}: {error}); expected an object with 'data'"
        ) from error
    for a, article in enumerate(_objects({"data": articles}, "data", str(file))):
        for p, paragraph in enumerate(_objects(article, "paragraphs", f"{file}, data[{a}]")):
            where = f"{file}, data[{a}].paragraphs[{p}]"
            context = check_text(paragraph.get("context"), f"{where}.context", present="context" in paragraph)
            for qa in _objects(paragraph, "qas", where):
                id = check_text(qa.get("id"), f"{where}, a question's id", present="id" in qa)
                start = _answer_start(qa, f"{where}, question {id!r}")
                if start is None:
                    continue  # no answer with text: nothing says which sentence is relevant
                if not 0 <= start < len(context):
                    raise RequestError(f"{where}, question {id!r}: answer_start {start} is outside the context")
                query = check_text(qa.get("question"), f"{where}, question {id!r}", present="question" in qa)
                passage = context if whole_paragraph else sentence_at(context, start)
                yield Pair(id, language, query.strip(), passage.strip(), dataset)


def _answer_start(qa: dict[str, Any], where: str) -> int | None:
    """Start of the first answer that has text (some translations lost the span of the first)."""
    answers = [a for a in _objects(qa, "answers", where) if str(a.get("text", "")).strip()]
    if not answers:
        return None
    start = answers[0].get("answer_start")
    if not isinstance(start, int):
        raise RequestError(f"{where}, field 'answer_start': {start!r} is not a number")
    return start


def _objects(parent: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    found = parent.get(name) or []
    if not isinstance(found, list) or not all(isinstance(f, dict) for f in found):
        raise RequestError(f"{where}: {name!r} is not a list of objects")
    return found


def sentences(text: str) -> list[tuple[int, int]]:
    """Character spans of the sentences of a text, by punctuation; very short pieces join the sentence after them."""
    spans, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        if match.end() - start >= _SHORTEST_SENTENCE or text[match.start()] in "。！？":
            spans.append((start, match.end()))
            start = match.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def sentence_at(text: str, position: int) -> str:
    """The sentence that holds a character position (the LAReQA rule: the sentence of the answer's start)."""
    return next((text[start:end].strip() for start, end in sentences(text) if start <= position < end), text.strip())
