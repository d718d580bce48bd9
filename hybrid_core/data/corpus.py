"""The training corpus on disk: memory-mapped Arrow rows, sorted by language, and the rows shared by language pairs.

    manifest.json           languages, pairs, licence, sources, fingerprint
    rows.arrow              meaning_id, language, query, passage, group, dataset, domain, negatives, score
    pairs.npy               int64 [2, n], for every two languages the rows of the meanings that both have
    complete.json           written last, with size and SHA-256 of every file

`meaning_id` joins translations. `group` joins meanings whose passages are the same text in some language (several
questions about one sentence): a passage of a query's own group is never counted as a negative.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from hybrid_core.errors import RequestError, nearest
from hybrid_core.storage import MARKER, local_directory, verify_complete

NO_GROUP = -1
"""Group of a hard negative whose text is no passage of the corpus."""
SCHEMA = pa.schema(
    [
        ("meaning_id", pa.large_string()), ("language", pa.dictionary(pa.int32(), pa.string())), ("query", pa.large_string()),
        ("passage", pa.large_string()), ("group", pa.int64()), ("dataset", pa.dictionary(pa.int32(), pa.string())),
        ("domain", pa.dictionary(pa.int32(), pa.string())), ("score", pa.float32()),
        ("negatives", pa.large_list(pa.struct(
            [("text", pa.large_string()), ("language", pa.large_string()), ("score", pa.float32()), ("group", pa.int64())]))),
    ]
)  # fmt: skip
"""What is written. Corpora whose negatives have 32-bit offsets (`list`, `string`), as they once had, are read the same."""
VERSION = 2


@dataclass(frozen=True, slots=True)
class Negative:
    """A hard negative of one query: a passage that looks relevant and is not."""

    text: str
    language: str
    score: float | None = None
    """What a teacher gives the query with this text."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One row: a question and the passage that answers it, in one language."""

    meaning_id: str
    language: str
    query: str
    passage: str
    dataset: str = ""
    domain: str = ""
    negatives: tuple[Negative, ...] = ()
    score: float | None = None
    """What a teacher gives the query with its passage."""


@dataclass
class Corpus:
    """An opened corpus. Rows stay on disk; only what a batch asks for is read."""

    directory: Path
    manifest: dict[str, Any]
    table: pa.Table
    pairs: np.ndarray
    chosen: tuple[str, ...] = ()

    @classmethod
    def open(cls, uri: str, languages: Sequence[str] = (), *, verify: bool = False) -> Self:
        """Open a corpus made by `write_corpus`, restricted to some languages if any are named.

        Sizes of the files are compared with the marker; `verify` compares their hashes too, which reads them whole.

        Raises:
            RequestError: not a complete corpus, one of an older format, or a language it does not have.
        """
        directory = local_directory(uri)
        if not (directory / MARKER).exists():
            raise RequestError(
                f"data.corpus={uri!r} is not a prepared corpus ({MARKER} is missing); make one with: python -m ray_jobs.prepare"
            )
        verify_complete(directory, hashes=verify)
        manifest = json.loads((directory / "manifest.json").read_bytes())
        if manifest["version"] != VERSION:
            raise RequestError(
                f"data.corpus={uri!r} has format {manifest['version']}, this release reads {VERSION}; run ray_jobs.prepare again"
            )
        for language in languages:
            if not manifest["languages"].get(language):
                raise RequestError(
                    f"data.languages: {language!r} has no pairs in {uri}{nearest(language, manifest['languages'])}"
                )
        table = pa.ipc.open_file(pa.memory_map(str(directory / "rows.arrow"))).read_all()
        pairs = np.load(directory / "pairs.npy", mmap_mode="r" if manifest["pairs"] else None, allow_pickle=False)
        return cls(directory, manifest, table, pairs, tuple(sorted(set(languages))))

    @property
    def fingerprint(self) -> str:
        """Hash of all rows in order."""
        return str(self.manifest["fingerprint"])

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages in use, sorted."""
        return self.chosen or tuple(sorted(self.manifest["languages"]))

    def rows_of(self, language: str) -> tuple[int, int]:
        """First row and one past the last row of a language."""
        first, end = self.manifest["languages"][language]
        return first, end

    def pairs_of(self, low: str, high: str) -> tuple[int, int]:
        """First pair and one past the last pair of two languages, named in alphabetical order."""
        first, end = self.manifest["pairs"].get(f"{low}-{high}", (0, 0))
        return first, end

    def pair_rows(self, numbers: np.ndarray) -> np.ndarray:
        """Rows [2, n] of some pairs: first the alphabetically lower language, then the higher."""
        return np.asarray(self.pairs[:, numbers])

    def translations(self, rows: np.ndarray, source: str, target: str) -> np.ndarray:
        """For rows of one language the rows of the same meanings in another; -1 where it has none."""
        low, high = sorted((source, target))
        first, end = self.pairs_of(low, high)
        if first == end:
            return np.full(len(rows), -1)
        here, there = (0, 1) if source == low else (1, 0)
        own = self.pairs[here, first:end]  # ascending: rows of a language are sorted by meaning, and so are pairs
        place = np.minimum(np.searchsorted(own, rows), end - first - 1)
        return np.where(own[place] == rows, self.pairs[there, first:end][place], -1)

    def column(self, name: str, rows: np.ndarray) -> list[Any]:
        """Values of a column at some rows."""
        return list(self.table.column(name).take(pa.array(rows)).to_pylist())

    def negatives_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hard negatives of some rows: of each the place of its row in `rows`, and its number in the corpus."""
        offsets = self._negatives.offsets.to_numpy()
        lengths = offsets[rows + 1] - offsets[rows]
        place = np.repeat(np.arange(len(rows)), lengths)
        within = np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return place, offsets[rows][place] + within

    def negative_column(self, name: str, numbers: np.ndarray) -> pa.Array:
        """`text`, `language`, `score` or `group` of some hard negatives."""
        found = self._negatives.values.field(name).take(pa.array(numbers))
        return found.cast(pa.string()) if name == "language" else found

    @property
    def _negatives(self) -> pa.LargeListArray | pa.ListArray:
        return self.table.column("negatives").chunk(0)  # the writer makes one chunk

    def has_negatives(self) -> bool:
        """Whether any row names hard negatives."""
        return bool(self.manifest["negatives"])

    def texts(self) -> Iterable[str]:
        """Every query, passage and hard negative of the languages in use (what a trimmed vocabulary must cover)."""
        for language in self.languages:
            first, end = self.rows_of(language)
            part = self.table.slice(first, end - first)
            for name in ("query", "passage"):
                yield from part.column(name).to_pylist()
            for negatives in part.column("negatives").to_pylist() if self.has_negatives() else ():
                yield from (n["text"] for n in negatives)
