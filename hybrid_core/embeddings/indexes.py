"""Indexes of faiss for approximate search: fitted, filled, opened and searched. faiss is imported where it is used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from hybrid_core import storage
from hybrid_core.config import ExportConfig
from hybrid_core.embeddings.searching import Asked, PassageLists, compact, merge_lists
from hybrid_core.errors import RequestError
from hybrid_core.top_lists import TopK

ABOUT, IDS, INDEX = "about.json", "ids.jsonl", "index.faiss"
_PER_CENTROID = 39  # vectors that faiss wants for each cell it fits
_CODES = 256  # of a byte


def faiss_library() -> Any:
    """The package faiss, imported on first use; its own type hints do not fit what it takes."""
    import faiss

    return faiss


def parameters_of(config: ExportConfig, rows: int, dimension: int) -> dict[str, int]:
    """What an index of this form is made with, by name.

    Args:
        config: the request.
        rows: passages.
        dimension: of their embeddings.

    Raises:
        RequestError: parameters that do not fit the embeddings.
    """
    if config.form == "ivf_pq":
        return _ivf_pq(config, rows, dimension)
    if config.form == "hnsw":
        return {name: getattr(config, name) for name in ("links", "ef_construction", "ef")}
    return {}


def _ivf_pq(config: ExportConfig, rows: int, dimension: int) -> dict[str, int]:
    fitted = min(rows, config.training)
    if fitted < _CODES:
        raise RequestError(
            f"export.form=ivf_pq needs at least {_CODES} passages to fit, there are {rows}; use flat or hnsw"
        )
    lists = config.lists or max(1, min(round(4 * math.sqrt(rows)), fitted // _PER_CENTROID))
    if lists > fitted:
        raise RequestError(f"export.lists={lists} is more than the {fitted:,} passages they are fitted to; lower it")
    divisors = [n for n in range(1, dimension + 1) if dimension % n == 0]
    code = config.code_bytes or max(n for n in divisors if n <= max(1, dimension // 4))
    if code not in divisors:
        raise RequestError(
            f"export.code_bytes={code} does not divide the dimension {dimension}; allowed: {', '.join(map(str, divisors))}"
        )
    return {"lists": lists, "probes": config.probes, "code_bytes": code, "training": fitted}


def new_index(form: str, dimension: int, parameters: dict[str, int], seed: int) -> Any:
    """An empty index for inner products.

    Args:
        form: flat, ivf_pq or hnsw.
        dimension: of the vectors.
        parameters: from `parameters_of`.
        seed: of the k-means that fits an ivf_pq index.
    """
    faiss = faiss_library()
    if form == "flat":
        return faiss.IndexFlatIP(dimension)
    if form == "hnsw":
        graph = faiss.IndexHNSWFlat(dimension, parameters["links"], faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = parameters["ef_construction"]
        return graph
    cells = faiss.IndexFlatIP(dimension)
    sizes = dimension, parameters["lists"], parameters["code_bytes"], 8
    index = faiss.IndexIVFPQ(cells, *sizes, faiss.METRIC_INNER_PRODUCT)
    for clustering in (index.cp, index.pq.cp):
        clustering.seed = seed
        clustering.min_points_per_centroid = 1  # else it writes a warning to the terminal
    return index


def search_rows(
    index: Any, vectors: np.ndarray, k: int, parameters: dict[str, int], allowed: np.ndarray | None
) -> TopK:
    """Rows and scores [q, k] that an index finds, best first; -1 and -inf where it finds no more.

    Args:
        index: of faiss.
        vectors: of the queries [q, d].
        k: length of the lists.
        parameters: `probes` or `ef`, where the form has them.
        allowed: rows that may be found [n] bool; None: all.
    """
    faiss = faiss_library()
    chosen = {} if allowed is None else {"sel": faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))}
    if "probes" in parameters:
        how = faiss.SearchParametersIVF(nprobe=parameters["probes"], **chosen)
    elif "ef" in parameters:
        how = faiss.SearchParametersHNSW(efSearch=max(parameters["ef"], k), **chosen)
    else:
        how = faiss.SearchParameters(**chosen)
    scores, rows = index.search(np.ascontiguousarray(vectors, dtype=np.float32), k, params=how)
    return TopK(rows, np.where(rows >= 0, scores.astype(np.float64), -np.inf))


@dataclass(frozen=True)
class Index:
    """An exported index with its ids."""

    about: dict[str, Any]
    index: Any
    ids: pa.Array
    languages: pa.Array

    def search(self, asked: Asked, parameters: dict[str, int]) -> PassageLists:
        """As `search_shards`, but approximately: lists may lack passages, and be shorter where languages are chosen.

        faiss is told which passages take part, so that a list of them is not what is left of a longer one.
        """
        shape = len(asked.vectors), asked.k
        top = TopK(np.full(shape, -1, dtype=np.int64), np.full(shape, -np.inf))
        for here, allowed in self._pools(asked):
            found = search_rows(self.index, asked.vectors[here], asked.k, parameters, allowed)
            top.rows[here], top.scores[here] = found
        return merge_lists([compact(PassageLists(top, self.ids, self.languages))], asked.k)

    def _pools(self, asked: Asked) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Rows of queries, and which passages they see."""
        among = None if asked.among is None else self._of(asked.among)
        if asked.languages is None:
            yield np.arange(len(asked.vectors)), among
            return
        for code in sorted(set(asked.languages)):
            own = self._of((code,))
            yield np.flatnonzero(np.array(asked.languages) == code), own if among is None else own & among

    def _of(self, languages: tuple[str, ...]) -> np.ndarray:
        mask = pc.is_in(self.languages, pa.array(languages, pa.string()))
        return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)


def read_about(uri: str) -> dict[str, Any]:
    """What an exported index says of itself.

    Raises:
        RequestError: there is none.
    """
    if not all(storage.exists(storage.join(uri, name)) for name in (storage.MARKER, ABOUT, INDEX)):
        raise RequestError(f"{uri} holds no index; make one with ray_jobs.export and export.form=flat, ivf_pq or hnsw")
    about: dict[str, Any] = storage.read_json(storage.join(uri, ABOUT))
    return about


def open_index(uri: str) -> Index:
    """Read an exported index into memory, checked against its SHA-256; one in object storage is copied to the cache.

    Raises:
        RequestError: there is none, or a file is damaged.
    """
    about = read_about(uri)
    directory = storage.local_directory(uri)
    storage.verify_complete(directory)
    index = faiss_library().read_index(str(directory / INDEX))
    ids = read_ids(directory / IDS)
    return Index(about, index, *(ids[name].combine_chunks() for name in ("id", "language")))


def read_ids(file: Path) -> pa.Table:
    """Ids and languages of an export, in the order of its rows."""
    schema = pa.schema([("id", pa.string()), ("language", pa.string())])
    return pa_json.read_json(
        file, pa_json.ReadOptions(block_size=1 << 24), pa_json.ParseOptions(explicit_schema=schema)
    )
