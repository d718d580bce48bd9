"""Embeddings for other tools: one numpy file, or an index for faiss with its recall against the exact lists.

<folder>/vectors.npy or index.faiss   row by row, in the order of the shards
<folder>/ids.jsonl                    id and language of each row
<folder>/about.json                   form, model, sizes, parameters, measured recall
<folder>/complete.json                names and SHA-256 of these files: written last
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_core import storage
from hybrid_core.config import ExportConfig
from hybrid_core.embeddings.indexes import ABOUT, IDS, INDEX, faiss_library, new_index, parameters_of, search_rows
from hybrid_core.embeddings.searching import Asked, search_shards
from hybrid_core.embeddings.shards import EmbeddingSet, read_shard
from hybrid_core.scores import exact_pairs

VECTORS = "vectors.npy"
OUTPUTS = (VECTORS, INDEX, IDS, ABOUT)
"""Names of the files an export may have, beside its marker."""
DEPTHS = (10, 100)
"""Lengths of the lists whose recall is measured."""
_AS_NEAR = 1e-6  # float32 cannot order scores that are nearer than this


def export(
    found: EmbeddingSet, config: ExportConfig, directory: Path, *, seed: int, queries: np.ndarray | None = None
) -> dict[str, Any]:
    """Write an export, all but its marker, and return what about.json says.

    Memory: for npy a shard; for an index the index, `training` vectors while it is fitted, and a shard.

    Args:
        found: the embeddings.
        config: form and parameters.
        directory: empty.
        seed: of samples and of k-means.
        queries: vectors [q, d] by which recall is measured; None: some of the passages.

    Raises:
        RequestError: parameters that do not fit, a damaged shard.
    """
    rows, started = sum(s.rows for s in found.shards), time.perf_counter()
    about: dict[str, Any] = {
        "form": config.form, "rows": rows, "dimension": found.dimension, "languages": found.languages, "seed": seed,
        "embeddings": found.uri, "stored": found.stored, "facts": found.facts,
    }  # fmt: skip
    if config.form == "npy":
        write_vectors(found, directory)
    else:
        about["parameters"] = parameters_of(config, rows, found.dimension)
        index = build_index(found, config.form, about["parameters"], directory, seed)
        about["seconds_to_build"] = round(time.perf_counter() - started, 3)
        about["recall"] = _recall(found, index, about["parameters"], config, seed, queries)
    about["bytes"] = {f.name: f.stat().st_size for f in sorted(directory.iterdir())}
    storage.write_json(str(directory / ABOUT), about)
    return about


def bytes_of(config: ExportConfig, found: EmbeddingSet) -> int:
    """How many bytes an export has, its ids not counted."""
    rows, dimension = sum(s.rows for s in found.shards), found.dimension
    parameters = parameters_of(config, rows, dimension)
    if config.form == "ivf_pq":
        return rows * (parameters["code_bytes"] + 8) + 4 * dimension * (parameters["lists"] + 256)  # codes of a byte
    neighbours = 8 * parameters["links"] if config.form == "hnsw" else 0
    return rows * (4 * dimension + neighbours)


def write_vectors(found: EmbeddingSet, directory: Path) -> None:
    """Write vectors.npy, float32, through a memory map, and the ids."""
    shape = sum(s.rows for s in found.shards), found.dimension
    target = np.lib.format.open_memmap(directory / VECTORS, mode="w+", dtype=np.float32, shape=shape)

    def put(first: int, vectors: np.ndarray) -> None:
        target[first : first + len(vectors)] = vectors

    _for_each_shard(found, directory / IDS, put)
    target.flush()


def build_index(found: EmbeddingSet, form: str, parameters: dict[str, int], directory: Path, seed: int) -> Any:
    """Fit an index to a sample, add shard by shard, write it with its ids, and return it."""
    index = new_index(form, found.dimension, parameters, seed)
    if not index.is_trained:
        index.train(sample(found, parameters["training"], seed)[1])
    _for_each_shard(found, directory / IDS, lambda first, vectors: index.add(vectors))
    faiss_library().write_index(index, str(directory / INDEX))
    return index


def _for_each_shard(found: EmbeddingSet, ids: Path, put: Callable[[int, np.ndarray], None]) -> None:
    """Hand on the first row and the vectors (float32) of every shard; write ids and languages."""
    first = 0
    with ids.open("w", encoding="utf-8") as file:
        for shard in found.shards:
            content = read_shard(found.uri, shard)
            put(first, np.ascontiguousarray(content.vectors, dtype=np.float32))
            for id, language in zip(content.ids.to_pylist(), content.languages.to_pylist(), strict=True):
                file.write(json.dumps({"id": id, "language": language}, ensure_ascii=False) + "\n")
            first += shard.rows


def sample(found: EmbeddingSet, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Some rows, ascending, without repetition [size], and their vectors [size, d] float32."""
    total = sum(s.rows for s in found.shards)
    rows = np.sort(np.random.default_rng(seed).choice(total, min(size, total), replace=False, shuffle=False))
    vectors = np.empty((len(rows), found.dimension), dtype=np.float32)
    first = 0
    for shard in found.shards:
        here = slice(*np.searchsorted(rows, [first, first + shard.rows]))
        if here.stop > here.start:
            vectors[here] = read_shard(found.uri, shard).vectors[rows[here] - first]
        first += shard.rows
    return rows, vectors


def _recall(
    found: EmbeddingSet, index: Any, parameters: dict[str, int], config: ExportConfig, seed: int, queries: np.ndarray | None
) -> dict[str, Any]:  # fmt: skip
    """What about.json says of recall, and of the queries it was measured by."""
    if queries is None:
        queries = sample(found, config.sample, seed)[1]
        what = f"stored passages drawn by seed {seed}; each finds itself, so queries of another kind may find less"
    else:
        what = f"queries of {config.queries}"
    values = measure_recall(found, index, parameters, queries)
    return {"measured_by": f"{len(queries)} {what}", "queries": len(queries), **values}


def measure_recall(
    found: EmbeddingSet, index: Any, parameters: dict[str, int], queries: np.ndarray
) -> dict[str, float]:
    """Share of the exact lists that an index finds, mean over queries, as `recall@10` and `recall@100`.

    What it finds is held against the score of the last passage of the exact list: any of several copies of a passage is as
    good as another (the definition of ann-benchmarks, arXiv 1807.05614, with scores for distances). Lists longer than
    the corpus are as long as it.
    """
    longest = min(max(DEPTHS), sum(s.rows for s in found.shards))
    exact = search_shards(found.uri, found.shards, Asked(queries, longest)).top.scores
    values = {}
    for depth in DEPTHS:
        k = min(depth, longest)  # searched for by itself: a longer list of a graph is found with more candidates
        hits = search_rows(index, queries, k, parameters, None).rows
        good = _exact_scores(found, queries, hits) >= exact[:, [k - 1]] - _AS_NEAR
        values[f"recall@{depth}"] = float(good.mean())
    return values


def _exact_scores(found: EmbeddingSet, queries: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Exact scores [q, k] of the rows that were found; -inf for -1."""
    scores = np.full(hits.shape, -np.inf)
    first = 0
    for shard in found.shards:
        line, column = np.nonzero((hits >= first) & (hits < first + shard.rows))
        if len(line):
            vectors = read_shard(found.uri, shard).vectors
            scores[line, column] = exact_pairs(queries, vectors, line, hits[line, column] - first)
        first += shard.rows
    return scores
