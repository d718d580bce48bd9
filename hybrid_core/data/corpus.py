"""The training corpus on disk: memory-mapped Arrow rows, sorted by language, and the rows shared by language pairs.

    manifest.json           languages, counts, licence, sources, fingerprint
    rows.arrow              meaning_id, language, query, passage, group, dataset, domain
    pairs/<a>-<b>.npy       int64 [n, 2], rows of the meanings that both languages have
    complete.json           written last, with size and SHA-256 of every file

`meaning_id` joins translations. `group` joins meanings whose passages are the same text in some language (several
questions about one sentence): a passage of a query's own group is never counted as a negative.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from hybrid_core.errors import RequestError, nearest
from hybrid_core.storage import MARKER, local_directory, mark_complete, verify_complete

SCHEMA = pa.schema(
    [
        ("meaning_id", pa.large_string()), ("language", pa.dictionary(pa.int32(), pa.string())), ("query", pa.large_string()),
        ("passage", pa.large_string()), ("group", pa.int64()), ("dataset", pa.dictionary(pa.int32(), pa.string())),
        ("domain", pa.dictionary(pa.int32(), pa.string())),
    ]
)  # fmt: skip
VERSION = 1


@dataclass(frozen=True, slots=True)
class Pair:
    """One row: a question and the passage that answers it, in one language."""

    meaning_id: str
    language: str
    query: str
    passage: str
    dataset: str = ""
    domain: str = ""


@dataclass
class Corpus:
    """An opened corpus. Rows stay on disk; only what a batch asks for is read."""

    directory: Path
    manifest: dict[str, Any]
    table: pa.Table
    chosen: tuple[str, ...] = ()
    _pairs: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def open(cls, uri: str, languages: Sequence[str] = ()) -> Self:
        """Open a corpus made by `write_corpus`, restricted to some languages if any are named.

        Raises:
            RequestError: not a complete corpus, or a language it does not have.
        """
        directory = local_directory(uri)
        if not (directory / MARKER).exists():
            raise RequestError(
                f"data.corpus={uri!r} is not a prepared corpus ({MARKER} is missing); make one with: python -m ray_jobs.prepare"
            )
        verify_complete(directory)
        manifest = json.loads((directory / "manifest.json").read_bytes())
        for language in languages:
            if not manifest["languages"].get(language):
                raise RequestError(
                    f"data.languages: {language!r} has no pairs in {uri}{nearest(language, manifest['languages'])}"
                )
        source = pa.memory_map(str(directory / "rows.arrow"))
        return cls(directory, manifest, pa.ipc.open_file(source).read_all(), tuple(sorted(set(languages))))

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

    def pair_rows(self, first: str, second: str) -> np.ndarray:
        """Rows [n, 2] of the meanings that both languages have, in the order of the arguments."""
        low, high = sorted((first, second))
        name = f"{low}-{high}"
        if name not in self._pairs:
            file = self.directory / "pairs" / f"{name}.npy"
            self._pairs[name] = (
                np.load(file, mmap_mode="r", allow_pickle=False) if file.exists() else np.empty((0, 2), np.int64)
            )
        rows = self._pairs[name]
        return rows if (first, second) == (low, high) else rows[:, ::-1]

    def column(self, name: str, rows: np.ndarray) -> list[Any]:
        """Values of a column at some rows."""
        return list(self.table.column(name).take(pa.array(rows)).to_pylist())

    def texts(self) -> Iterable[str]:
        """Every query and passage of the languages in use (what a trimmed vocabulary must cover)."""
        for language in self.languages:
            first, end = self.rows_of(language)
            part = self.table.slice(first, end - first)
            for name in ("query", "passage"):
                yield from part.column(name).to_pylist()


def write_corpus(
    directory: Path,
    pairs: Iterable[Pair],
    *,
    licence: str,
    sources: Sequence[str],
    report: dict[str, Any] | None = None,
) -> None:
    """Write a sealed corpus directory. The same pairs in any order give the same bytes.

    Raises:
        RequestError: no pairs, or two rows with one meaning id and language.
    """
    ordered = sorted(pairs, key=lambda p: (p.language, p.meaning_id))
    if not ordered:
        raise RequestError("the corpus has no query-passage pairs")
    for before, after in itertools.pairwise(ordered):
        if (before.language, before.meaning_id) == (after.language, after.meaning_id):
            raise RequestError(
                f"meaning_id {after.meaning_id!r} occurs twice in language {after.language!r}; ids must be unique within a language"
            )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER).unlink(missing_ok=True)
    shutil.rmtree(directory / "pairs", ignore_errors=True)
    groups = passage_groups(ordered)
    _write_rows(directory / "rows.arrow", ordered, groups)
    bounds = _language_bounds(ordered)
    counts = _write_pair_rows(directory / "pairs", ordered, bounds)
    manifest = {
        "version": VERSION,
        "fingerprint": _fingerprint(ordered),
        "rows": len(ordered),
        "meanings": len({p.meaning_id for p in ordered}),
        "groups": len(set(groups)),
        "languages": bounds,
        "pairs": counts,
        "licence": licence,
        "sources": list(sources),
        "report": report or {},
    }
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
    mark_complete(directory, kind="corpus", fingerprint=manifest["fingerprint"])
    verify_complete(directory)


def passage_groups(pairs: Sequence[Pair]) -> list[int]:
    """For each pair the number of its group: meanings are joined when their passage is the same text in some language."""
    parent: dict[str, str] = {p.meaning_id: p.meaning_id for p in pairs}

    def root(meaning: str) -> str:
        while parent[meaning] != meaning:
            parent[meaning] = parent[parent[meaning]]
            meaning = parent[meaning]
        return meaning

    first_with: dict[tuple[str, str], str] = {}
    for p in pairs:
        other = first_with.setdefault((p.language, " ".join(p.passage.split())), p.meaning_id)
        low, high = sorted((root(other), root(p.meaning_id)))
        parent[high] = low
    number = {meaning: i for i, meaning in enumerate(sorted({root(m) for m in parent}))}
    return [number[root(p.meaning_id)] for p in pairs]


def _write_rows(file: Path, pairs: Sequence[Pair], groups: Sequence[int]) -> None:
    columns = {
        name: [getattr(p, name) for p in pairs]
        for name in ("meaning_id", "language", "query", "passage", "dataset", "domain")
    }
    arrays = [
        pa.array(groups, type=f.type) if f.name == "group" else pa.array(columns[f.name]).cast(f.type) for f in SCHEMA
    ]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(table)


def _language_bounds(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    bounds: dict[str, list[int]] = {}
    for row, p in enumerate(pairs):
        bounds.setdefault(p.language, [row, row])[1] = row + 1
    return bounds


def _write_pair_rows(directory: Path, pairs: Sequence[Pair], bounds: dict[str, list[int]]) -> dict[str, int]:
    directory.mkdir(exist_ok=True)
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for row, p in enumerate(pairs):
        rows[p.language][p.meaning_id] = row
    counts = {}
    for low in sorted(bounds):
        for high in sorted(language for language in bounds if language > low):
            shared = [(row, rows[high][meaning]) for meaning, row in rows[low].items() if meaning in rows[high]]
            counts[f"{low}-{high}"] = len(shared)
            if shared:
                np.save(directory / f"{low}-{high}.npy", np.array(shared, dtype=np.int64))
    return counts


def _fingerprint(pairs: Sequence[Pair]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for p in pairs:
        hasher.update("\x1e".join((p.language, p.meaning_id, p.query, p.passage, p.dataset, p.domain, "")).encode())
    return hasher.hexdigest()
