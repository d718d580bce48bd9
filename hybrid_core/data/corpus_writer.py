"""Write a training corpus (`hybrid_core.data.corpus`): the same pairs in any order give the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid_core.data.corpus import NO_GROUP, SCHEMA, VERSION, Pair
from hybrid_core.errors import RequestError
from hybrid_core.storage import MARKER, mark_complete, verify_complete


def write_corpus(
    directory: Path,
    pairs: Iterable[Pair],
    *,
    licence: str,
    sources: Sequence[str],
    report: dict[str, Any] | None = None,
) -> None:
    """Write a sealed corpus directory.

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
    shutil.rmtree(directory / "pairs", ignore_errors=True)  # left by format 1
    groups = passage_groups(ordered)
    _write_rows(directory / "rows.arrow", ordered, groups)
    bounds = _language_bounds(ordered)
    manifest = {
        "version": VERSION,
        "fingerprint": _fingerprint(ordered),
        "rows": len(ordered),
        "meanings": len({p.meaning_id for p in ordered}),
        "groups": len(set(groups)),
        "negatives": sum(len(p.negatives) for p in ordered),
        "scores": sum(p.score is not None for p in ordered),
        "languages": bounds,
        "pairs": _write_pair_rows(directory / "pairs.npy", ordered, bounds),
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
        other = first_with.setdefault(_text_key(p.language, p.passage), p.meaning_id)
        low, high = sorted((root(other), root(p.meaning_id)))
        parent[high] = low
    number = {meaning: i for i, meaning in enumerate(sorted({root(m) for m in parent}))}
    return [number[root(p.meaning_id)] for p in pairs]


def _text_key(language: str, text: str) -> tuple[str, str]:
    return language, " ".join(text.split())


def _write_rows(file: Path, pairs: Sequence[Pair], groups: Sequence[int]) -> None:
    columns: dict[str, Sequence[Any]] = {
        name: [getattr(p, name) for p in pairs]
        for name in ("meaning_id", "language", "query", "passage", "dataset", "domain", "score")
    }
    columns["group"] = groups
    columns["negatives"] = _negatives(pairs, groups)
    arrays = [_array(columns[f.name], f.type) for f in SCHEMA]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(table)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(values).cast(kind) if pa.types.is_dictionary(kind) else pa.array(values, type=kind)


def _negatives(pairs: Sequence[Pair], groups: Sequence[int]) -> list[list[Mapping[str, Any]]]:
    """Hard negatives with the group of their text, so that a negative of one query is no negative of the query it answers."""
    if not any(p.negatives for p in pairs):
        return [[] for _ in pairs]
    group_of = {_text_key(p.language, p.passage): group for p, group in zip(pairs, groups, strict=True)}
    return [
        [
            {"text": n.text, "language": n.language, "score": n.score, "group": group_of.get(_text_key(n.language, n.text), NO_GROUP)}
            for n in p.negatives
        ]
        for p in pairs
    ]  # fmt: skip


def _language_bounds(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    bounds: dict[str, list[int]] = {}
    for row, p in enumerate(pairs):
        bounds.setdefault(p.language, [row, row])[1] = row + 1
    return bounds


def _write_pair_rows(file: Path, pairs: Sequence[Pair], bounds: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Write the rows that languages share, pair of languages by pair; returns where each lies in the file."""
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for row, p in enumerate(pairs):
        rows[p.language][p.meaning_id] = row
    parts, where, end = [np.empty((2, 0), dtype=np.int64)], {}, 0
    for low, high in itertools.combinations(sorted(bounds), 2):
        shared = [(row, rows[high][meaning]) for meaning, row in rows[low].items() if meaning in rows[high]]
        if shared:
            parts.append(np.array(shared, dtype=np.int64).T)
            where[f"{low}-{high}"] = [end, end + len(shared)]
            end += len(shared)
    np.save(file, np.ascontiguousarray(np.concatenate(parts, axis=1)))
    return where


def _fingerprint(pairs: Sequence[Pair]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for p in pairs:
        negatives = [[n.text, n.language, n.score] for n in p.negatives]
        row = [p.language, p.meaning_id, p.query, p.passage, p.dataset, p.domain, p.score, negatives]
        hasher.update(json.dumps(row, ensure_ascii=False).encode())
        hasher.update(b"\n")
    return hasher.hexdigest()
