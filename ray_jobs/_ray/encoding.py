"""Ray Data: encode texts with a pool of actors."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import ray.data
import torch

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.encode import encode
from hybrid_core.model import exported_model, load_encoder
from hybrid_core.storage import join


def encode_texts(texts: pa.Table, model: str, target: str, config: Config) -> np.ndarray:
    """Encode a table (row, kind, text) with Ray Data; embeddings [rows, dimension] in the order of `row`.

    The shards under `target` are sealed by a marker that names the attempt they belong to, so an attempt that was cut
    short is never read; what is already there is not computed again.

    Raises:
        RuntimeError: rows out differ from rows in.
    """
    marker = join(target, storage.MARKER)
    if not storage.exists(marker):
        attempt = os.urandom(4).hex()
        _write_embeddings(texts, model, join(target, attempt), config)
        storage.write_json(marker, {"attempt": attempt, "rows": texts.num_rows})
    return _read_embeddings(join(target, storage.read_json(marker)["attempt"]), texts.num_rows)


def _write_embeddings(texts: pa.Table, model: str, folder: str, config: Config) -> None:
    c = config.encode
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    by_length = texts.take(pc.sort_indices(pc.utf8_length(texts["text"])))  # blocks of like lengths pad little
    blocks = [by_length.slice(start, c.rows_per_block) for start in range(0, by_length.num_rows, c.rows_per_block)]
    dataset = ray.data.from_arrow(blocks).map_batches(
        _EncoderActor,
        fn_constructor_args=(model, config),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=c.actors),
        num_cpus=1,
        num_gpus=1 if c.use_gpu else 0,
    )
    filesystem, path = storage.filesystem(folder)
    dataset.write_parquet(path, filesystem=filesystem)


class _EncoderActor:
    """Loads the model once; encodes blocks."""

    def __init__(self, model: str, config: Config) -> None:
        self.config = config
        torch.set_num_threads(self.config.encode.threads)
        self.encoder = load_encoder(exported_model(self.config.model, model))
        if self.config.encode.use_gpu:
            self.encoder.to("cuda")

    def __call__(self, block: pa.Table) -> pa.Table:
        c = self.config.encode
        vectors = np.empty((block.num_rows, self.encoder.dimension), dtype=np.float32)
        kinds = np.array(block["kind"].to_pylist())
        texts = block["text"].to_pylist()
        for kind in ("query", "passage"):
            rows = np.flatnonzero(kinds == kind)
            part = encode(
                self.encoder, [texts[i] for i in rows], kind, tokens_per_batch=c.tokens_per_batch, precision=c.precision
            )
            vectors[rows] = part
        embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), self.encoder.dimension)
        return pa.table({"row": block["row"], "embedding": embedding})


def _read_embeddings(folder: str, rows: int) -> np.ndarray:
    filesystem, path = storage.filesystem(folder)
    table = ds.dataset(path, filesystem=filesystem, format="parquet").to_table()
    order = table["row"].to_numpy()
    if not np.array_equal(np.sort(order), np.arange(rows)):
        raise RuntimeError(
            f"{folder}: {len(order)} embeddings for {rows} texts, or rows that occur twice; delete the folder and run again"
        )
    column = table["embedding"].combine_chunks()
    flat = (
        column.values
        if isinstance(column, pa.FixedSizeListArray)
        else pa.concat_arrays([c.values for c in column.chunks])
    )
    result = np.empty((rows, len(flat) // max(1, rows)), dtype=np.float32)
    result[order] = np.asarray(flat).reshape(rows, -1)
    return result
