"""How embeddings are searched, and what is written of them for other tools."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_core.settings import setting


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """What `ray_jobs.search` looks for, and where (docs/search.md)."""

    embeddings: str | None = setting(None, "folder or URI that ray_jobs.encode has filled; searched exactly")
    index: str | None = setting(
        None, "folder or URI that ray_jobs.export has filled; searched instead of `embeddings`, approximately"
    )
    queries: str | None = setting(
        None, "file of JSON lines id, text and language (.jsonl or .jsonl.gz), local or s3://; or give --query TEXT"
    )
    k: int = setting(100, "passages of a list", low=1, high=10_000)
    languages: tuple[str, ...] = setting((), "languages of the passages that take part; empty: all")
    same_language: bool = setting(False, "a query sees the passages of its own language only")
    qualified_ids: bool = setting(
        False, "write passage ids as `language/id`, for corpora whose languages use the same ids"
    )
    run: str | None = setting(
        None, "file of the TREC run, local or s3://; unset: `<output>/search/<hash of the request>.run`"
    )
    tasks: int | None = setting(
        None,
        "tasks that share the passages of an exact search, each one processor; unset: one for 65,536 passages, at most 512",
        low=1,
        high=100_000,
    )
    probes: int | None = setting(
        None, "cells of an ivf_pq index that are looked into; unset: as exported", low=1, high=10_000_000
    )
    ef: int | None = setting(None, "candidates that are held in an hnsw index; unset: as exported", low=1, high=100_000)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What `ray_jobs.export` makes of embeddings: plain vectors or an index for faiss, with its measured recall."""

    embeddings: str | None = setting(None, "folder or URI that ray_jobs.encode has filled")
    target: str | None = setting(
        None,
        "folder or URI of the export, which is built beside it, or, for s3://, in TMPDIR (/tmp where that is not set)",
    )
    form: str = setting(
        "npy",
        "numpy vectors, or an index for faiss: exact (flat), compressed in cells (ivf_pq), or a graph (hnsw)",
        choices=("npy", "flat", "ivf_pq", "hnsw"),
    )
    queries: str | None = setting(
        None, "file of JSON lines id and text by which recall is measured; unset: some of the passages themselves"
    )
    sample: int = setting(200, "passages by which recall is measured where `queries` is unset", low=1, high=100_000)
    lists: int | None = setting(
        None, "cells of an ivf_pq index; unset: 4 sqrt(passages), at most one for 39 of them", low=1, high=10_000_000
    )
    probes: int = setting(32, "cells of an ivf_pq index that a search looks into", low=1, high=10_000_000)
    code_bytes: int | None = setting(
        None,
        "bytes of a vector in an ivf_pq index, a divisor of the dimension; unset: the largest up to a quarter of it",
        low=1,
        high=65_536,
    )
    training: int = setting(
        200_000, "passages, drawn by `seed`, that an ivf_pq index is fitted to", low=256, high=100_000_000
    )
    links: int = setting(32, "neighbours of a passage in an hnsw index", low=2, high=512)
    ef_construction: int = setting(200, "candidates that are held while an hnsw index is built", low=1, high=100_000)
    ef: int = setting(128, "candidates that are held while an hnsw index is searched", low=1, high=100_000)
