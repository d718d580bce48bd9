"""Queries of a search: read from a file or given as texts, and encoded as the passages' model was exported."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_core.config import ModelConfig
from hybrid_core.data.languages import language_problem
from hybrid_core.data.suites.columns import Columns, line_of, read_columns
from hybrid_core.data.suites.places import suite_folder
from hybrid_core.encode import encode
from hybrid_core.errors import RequestError
from hybrid_core.model import exported_model, load_encoder
from hybrid_core.storage import absolute


@dataclass(frozen=True)
class Queries:
    """Texts to look for, with their ids, and their languages ("" where none is said)."""

    ids: tuple[str, ...]
    languages: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Queries:
        """Named 1, 2, ...

        Raises:
            RequestError: one is empty.
        """
        if not all(text.strip() for text in texts):
            raise RequestError("--query is empty; give it a text")
        return cls(tuple(str(n + 1) for n in range(len(texts))), ("",) * len(texts), tuple(texts))

    def hash(self) -> str:
        """32 hex digits of ids, languages and texts."""
        content = repr((self.ids, self.languages, self.texts)).encode(errors="surrogatepass")
        return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_queries(uri: str, *, with_languages: bool = False) -> Queries:
    """Queries of a file of JSON lines `id, text, language`, plain or gzip, local or `s3://`.

    Args:
        uri: the file.
        with_languages: every query must say its language.

    Raises:
        RequestError: names file, line, field and reason.
    """
    folder, _, name = absolute(uri).rpartition("/")
    with suite_folder(folder, lambda found: found == name) as local:
        file = local / name
        required = ("id", "text", "language") if with_languages else ("id", "text")
        columns = read_columns(file, required, () if with_languages else ("language",))
        _check(file, columns)
    return Queries(*(tuple(columns[field]) for field in ("id", "language", "text")))


def _check(file: Path, columns: Columns) -> None:
    seen: set[str] = set()
    for row, (id, language) in enumerate(zip(columns["id"], columns["language"], strict=True)):
        if problem := _problem(id, language, seen):
            raise RequestError(f"{file}, line {line_of(file, row)}, {problem}")
        seen.add(id)
    if not seen:
        raise RequestError(f"{file} holds no queries; every line must be a JSON object with id, text and language")


def _problem(id: str, language: str, seen: set[str]) -> str | None:
    if id in seen:
        return f"field 'id': {id!r} is the id of a line before it"
    if re.search(r"\s", id):
        return f"field 'id': {id!r} holds white space, which parts the columns of a TREC run"
    if language and (problem := language_problem(language)):
        return f"field 'language': {problem}"
    return None


def encode_queries(model: str, texts: Sequence[str], *, precision: str) -> np.ndarray:
    """Unit embeddings [texts, dimension] float32, with the prefix and the length limit the model was exported with.

    Args:
        model: URI of an exported encoder.
        texts: of the queries.
        precision: of the forward pass.

    Raises:
        RequestError: an embedding that is no number.
    """
    vectors = encode(load_encoder(exported_model(ModelConfig(), model), gpu=False), texts, "query", precision=precision)
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(1)))
        raise RequestError(f"{model} gives query {texts[row][:80]!r} an embedding that is not finite; train it again")
    return vectors
