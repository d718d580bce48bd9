"""Ray Data: encode texts with a pool of actors."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import ray.data
import torch

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.encode import encode_tokens
from hybrid_core.model import exported_model, load_encoder
from hybrid_core.storage import join
from ray_jobs._ray.mailbox import delivering, open_mailbox


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
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    order = pc.sort_indices(pc.utf8_length(texts["text"]))  # blocks of like lengths hold little padding
    by_length = texts.take(order)
    blocks = [by_length.slice(start, c.rows_per_block) for start in range(0, by_length.num_rows, c.rows_per_block)]
    mailbox = open_mailbox()
    dataset = ray.data.from_arrow(blocks).map_batches(
        _EncoderActor,
        fn_constructor_args=(model, config, mailbox),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=c.actors),
        num_cpus=1,
        num_gpus=1 if c.use_gpu else 0,
    )
    filesystem, path = storage.filesystem(folder)
    with delivering(mailbox, _Progress(texts.num_rows)):
        dataset.write_parquet(path, filesystem=filesystem)


class _Progress:
    """Prints how far an encoding is, at most every ten seconds."""

    def __init__(self, rows: int) -> None:
        self.rows, self.done, self.tokens = rows, 0, 0
        self.started = self.printed = time.monotonic()

    def __call__(self, rows: int, tokens: int) -> None:
        self.done += rows
        self.tokens += tokens
        now = time.monotonic()
        if now - self.printed >= 10 or self.done == self.rows:
            rate = self.tokens / (now - self.started)
            print(f"  encoded {self.done:,} of {self.rows:,} texts ({rate:,.0f} tokens/s, start-up included)")
            self.printed = now


class _EncoderActor:
    """Loads the model once; encodes blocks."""

    def __init__(self, model: str, config: Config, mailbox: Any) -> None:
        self.config, self.mailbox = config, mailbox
        torch.set_num_threads(self.config.encode.threads)
        self.encoder = load_encoder(exported_model(self.config.model, model))
        if self.config.encode.use_gpu:
            self.encoder.to("cuda")

    def __call__(self, block: pa.Table) -> pa.Table:
        c = self.config.encode
        kinds, texts = np.array(block["kind"].to_pylist()), block["text"].to_pylist()
        vectors = np.empty((block.num_rows, self.encoder.dimension), dtype=np.float32)
        useful = 0
        for kind in ("query", "passage"):
            rows = np.flatnonzero(kinds == kind)
            tokens = self.encoder.tokenize([texts[i] for i in rows], kind)
            vectors[rows] = encode_tokens(
                self.encoder, tokens, tokens_per_batch=c.tokens_per_batch, precision=c.precision
            )
            useful += sum(map(len, tokens))
        self.mailbox.put.remote(block.num_rows, useful)
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
    vectors = np.concatenate([chunk.flatten().to_numpy() for chunk in table["embedding"].chunks]).reshape(rows, -1)
    result = np.empty_like(vectors)
    result[order] = vectors
    return result
