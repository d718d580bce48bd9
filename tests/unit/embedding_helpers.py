"""Directories of embeddings for tests: made-up vectors, or passages encoded by a tiny encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from conftest import made_up_pairs

from hybrid_core import storage
from hybrid_core.config import ModelConfig
from hybrid_core.embeddings.shards import EmbeddingSet, open_embeddings, read_shard, seal, write_shard
from hybrid_core.encode import encode
from hybrid_core.model import export as export_model
from hybrid_core.model import exported_model, load_encoder
from hybrid_core.settings import digest


def unit_vectors(rows: int, seed: int = 0, dimension: int = 16) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_embeddings(
    folder: Path, ids: Sequence[str], languages: Sequence[str], vectors: np.ndarray, *,
    cuts: Sequence[int] = (), stored: str = "float32", facts: dict[str, Any] | None = None, reverse: bool = False,
) -> EmbeddingSet:  # fmt: skip
    """A complete directory whose shards end before the rows in `cuts`."""
    parts = [rows for rows in np.split(np.arange(len(ids)), sorted(cuts)) if len(rows)]
    shards = [
        write_shard(
            str(folder), f"s{n}", [ids[r] for r in rows], [languages[r] for r in rows], vectors[rows],
            stored=stored, tokens=len(rows),
        )
        for n, rows in enumerate(parts)
    ]  # fmt: skip
    seal(str(folder), shards[::-1] if reverse else shards, dimension=vectors.shape[1], stored=stored, facts=facts or {})
    return open_embeddings(str(folder))


def kept_rows(found: EmbeddingSet) -> tuple[list[str], list[str], np.ndarray]:
    """Ids, languages and vectors (float32) of all shards."""
    contents = [read_shard(found.uri, shard) for shard in found.shards]
    ids = [id for c in contents for id in c.ids.to_pylist()]
    languages = [code for c in contents for code in c.languages.to_pylist()]
    return ids, languages, np.concatenate([c.vectors for c in contents]).astype(np.float32)


def exported_encoder(source: Path, target: Path) -> dict[str, str]:
    """Export an encoder, and return what embeddings record of it."""
    export_model(
        load_encoder(ModelConfig(name=str(source), query_prefix="query: ", passage_prefix="passage: ")), target
    )
    storage.mark_complete(target, kind="encoder")
    files = storage.read_json(str(target / storage.MARKER))["files"]
    return {"name": "tiny", "uri": str(target), "fingerprint": digest(files)}


def encoded_pairs(folder: Path, model: dict[str, str], meanings: int, *, shards: int = 3) -> EmbeddingSet:
    """Passages of made-up pairs in three languages, with ids `<language>-<meaning>`."""
    pairs = made_up_pairs(meanings)
    vectors = encode(load_encoder(exported_model(ModelConfig(), model["uri"])), [p.passage for p in pairs], "passage")
    cuts = [len(pairs) * n // shards for n in range(1, shards)]
    ids = [f"{p.language}-{p.meaning_id}" for p in pairs]
    return write_embeddings(folder, ids, [p.language for p in pairs], vectors, cuts=cuts, facts={"model": model})
