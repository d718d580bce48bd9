"""How embeddings are kept: float32, float16, or int8 with one scale a vector, and how far the kept ones are from the computed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

Stored = str
"""How numbers are kept: one of `FORMS`."""
FORMS = ("float32", "float16", "int8")
_ARROW = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8()}


def to_columns(vectors: np.ndarray, stored: Stored) -> dict[str, pa.Array]:
    """Columns `embedding` (a list of d numbers a row) and, for int8, `scale`.

    int8: each vector is divided by its largest component and multiplied by 127; `scale` takes it back. A scale for each
    vector needs no sample to fit ranges on, so a shard does not depend on the others.
    """
    if stored == "int8":
        scale = np.abs(vectors).max(1, keepdims=True) / np.float32(127)
        numbers = np.rint(np.divide(vectors, scale, out=np.zeros_like(vectors), where=scale > 0)).astype(np.int8)
        return {"embedding": _lists(numbers, stored), "scale": pa.array(scale[:, 0])}
    return {"embedding": _lists(vectors.astype(stored), stored)}


def _lists(numbers: np.ndarray, stored: Stored) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(numbers).reshape(-1), _ARROW[stored])
    return pa.FixedSizeListArray.from_arrays(flat, numbers.shape[1])


def from_columns(table: pa.Table) -> np.ndarray:
    """Vectors [rows, d]: float32 or float16 as they lie there (no copy where the table is one chunk), int8 as float32."""
    column = table["embedding"].combine_chunks()
    numbers = np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(column), column.type.list_size)
    if "scale" in table.column_names:
        return np.asarray(numbers * table["scale"].to_numpy()[:, None].astype(np.float32), dtype=np.float32)
    return numbers


def loss(vectors: np.ndarray, columns: dict[str, pa.Array]) -> float:
    """Largest 1 - cosine between a vector and what is kept of it: 0.0 for float32."""
    kept = from_columns(pa.table(columns)).astype(np.float64)
    exact = vectors.astype(np.float64)
    if np.array_equal(kept, exact):
        return 0.0
    lengths = np.linalg.norm(kept, axis=1) * np.linalg.norm(exact, axis=1)
    cosine = np.divide((kept * exact).sum(1), lengths, out=np.ones(len(exact)), where=lengths > 0)
    return float(1.0 - cosine.min(initial=1.0))
