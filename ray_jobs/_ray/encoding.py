"""Ray Data: texts -> tokens -> embeddings -> committed shards, as a stream.

    read (tasks) -> [tokenize (actors) ->] encode (actors, one model load each) -> commit (tasks) -> driver

What flows is one row a piece: its name, how much work it is, its content as Arrow bytes, and, at the end, the marker of
the committed shard. The driver receives markers only, so its memory does not grow with the texts. Ray repeats what a lost
process did; a piece that is done twice is committed once. Encoders only compute: what surrounds that (reading, checking,
hashing, writing, and on GPUs tokenizing) happens beside it, in processes that import no torch and start fast.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray.data
from ray.exceptions import RayTaskError

from hybrid_core.config import Config
from hybrid_core.config.devices import tokenizers, tokens_per_batch
from hybrid_core.embeddings.numbers import Stored, from_columns, to_columns
from hybrid_core.embeddings.shards import Shard, commit, make_shard
from ray_jobs._patience import persistently
from ray_jobs._ray.attempts import limited
from ray_jobs._ray.cluster import threads_that_fit

if TYPE_CHECKING:
    from hybrid_core.encode import Forward, Tokens
    from hybrid_core.model import Kind

NOTE = ""
"""Name of a row that carries a word from a reader to the driver and no piece."""
_FLOW = pa.schema(
    [
        ("name", pa.string()),
        ("kind", pa.string()),
        ("work", pa.float64()),
        ("seconds", pa.float64()),  # that the encoder took
        ("marker", pa.string()),
        ("content", pa.large_binary()),
    ]
)
_TOKENIZE = 0.5
"""Share of a processor. Reading and committing ask for none: encoders may take all that a lost node has left, and
pieces that were lost with it must be read again. Instead their number is limited."""
_READERS, _COMMITTERS = 2, 2
"""At most so many for each encoder at a time."""


def piece(name: str, kind: str, texts: pa.Table, work: float) -> pa.Table:
    """A row of the stream: texts (id, language, text) that become the shard `name`, and are so much work."""
    return _row(name, kind, work, "", _packed(texts))


def note(work: float, **facts: Any) -> pa.Table:
    """A row that goes through to the driver: so much work is not needed, and what else there is to say."""
    return _row(NOTE, "", work, json.dumps(facts), b"")


def encode_stream(
    pieces: ray.data.Dataset, model: str, target: str, config: Config, stored: Stored,
    received: Callable[[Shard, float, float], None],
    noted: Callable[[dict[str, Any], float], None] = lambda facts, work: None,
    *, encoder: type | None = None,
) -> None:  # fmt: skip
    """Encode pieces and commit them as shards of `target`.

    Args:
        pieces: rows made by `piece` and `note`.
        model: URI of an exported encoder.
        target: directory of the shards.
        config: how many processes, precision, patience.
        stored: numbers of a kept embedding.
        received: called with every committed shard, its work and the seconds its encoder took, in any order.
        noted: called with the facts and the work of every note.
        encoder: class of the actors, constructed and called as `Encoder`; None: that one.

    Raises:
        RuntimeError: one piece has cost several processes their lives.
        OSError: the target fails for longer than `encode.patience` seconds.
        ArithmeticError: an embedding is no finite number.
    """
    c = replace(config.encode, threads=threads_that_fit(config.encode))
    config = replace(config, encode=c)  # so that an encoder computes with as many threads as Ray gives it processors
    sizes = {"size": c.actors} if c.min_actors is None else {"min_size": c.min_actors, "max_size": c.actors}
    if count := tokenizers(c):
        pool = ray.data.ActorPoolStrategy(size=count)
        pieces = pieces.map_batches(
            limited(_Tokenizer, "tokenizer"), fn_constructor_args=(model, config), compute=pool, num_cpus=_TOKENIZE, **_ONE_ROW,
        )  # fmt: skip
    encoded = pieces.map_batches(
        limited(encoder or Encoder, "encoder"), fn_constructor_args=(model, config), compute=ray.data.ActorPoolStrategy(**sizes),
        num_cpus=c.threads, num_gpus=1 if c.use_gpu else 0, **_ONE_ROW,
    )  # fmt: skip
    stream = encoded.map_batches(
        _commit,
        fn_args=(target, stored, c.patience),
        num_cpus=0,
        compute=ray.data.TaskPoolStrategy(size=_COMMITTERS * c.actors),
        **_ONE_ROW,
    )
    for name, work, seconds, marker in _received(stream):
        if name == NOTE:
            noted(json.loads(marker), work)
        else:
            received(Shard(**json.loads(marker)), work, seconds)


def _received(stream: ray.data.Dataset) -> Iterator[tuple[str, float, float, str]]:
    """Name, work, seconds and marker of every row; what a step has raised is raised as it was."""
    try:
        for batch in stream.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            columns = (batch[key].to_pylist() for key in ("name", "work", "seconds", "marker"))
            yield from zip(*columns, strict=True)
    except RayTaskError as error:
        raise error.cause from error


_ONE_ROW: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "zero_copy_batch": True}


def from_tables(tables: Sequence[pa.Table]) -> ray.data.Dataset:
    """A stream of pieces that are in the driver's memory."""
    prepare_context()
    return ray.data.from_arrow(list(tables))


def from_parts(count: int, actors: int, read: Callable[[int], Iterator[pa.Table]]) -> ray.data.Dataset:
    """A stream of what `read(number)` yields for each part, read where there is room.

    Args:
        count: number of parts.
        actors: encoders that are to be kept busy.
        read: yields rows made by `piece` and `note`; runs in other processes.
    """
    prepare_context()

    def pieces(batch: pa.Table) -> Iterator[pa.Table]:
        for number in batch["part"].to_pylist():
            yield from read(number)

    parts = ray.data.from_items([{"part": number} for number in range(count)], override_num_blocks=count)
    return parts.map_batches(pieces, num_cpus=0, compute=ray.data.TaskPoolStrategy(size=_READERS * actors), **_ONE_ROW)


def prepare_context() -> None:
    """Ray Data's settings for streams of pieces."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # a piece is a block of its own, handed on as soon as it is there
    context.actor_init_retry_on_errors = False
    context.raise_original_map_exception = (
        True  # what a step raises names the shard or the text; Ray's wrapper does not
    )
    logging.getLogger("ray.data").setLevel(logging.ERROR)


class _Tokenizer:
    """Splits texts into tokens."""

    def __init__(self, model: str, config: Config) -> None:
        from hybrid_core.model import exported_model, load_tokenizer

        self.tokenizer, self.settings = load_tokenizer(
            persistently(lambda: exported_model(config.model, model), config.encode.patience, model)
        )

    def __call__(self, row: pa.Table) -> pa.Table:
        from hybrid_core.encode import Tokens
        from hybrid_core.model import tokenize

        name, kind, work, texts = unpacked(row)
        if texts is None:
            return row
        found = Tokens.of(tokenize(self.tokenizer, self.settings, texts["text"].to_pylist(), kind))
        ends = np.concatenate([[0], np.cumsum(found.lengths)])
        tokens = pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(found.ids, pa.int32()))
        return _row(name, kind, work, "", _packed(texts.drop_columns(["text"]).append_column("tokens", tokens)))


class Encoder:
    """Loads the model once; computes embeddings."""

    def __init__(self, model: str, config: Config) -> None:
        import torch

        from hybrid_core.model import exported_model, load_encoder

        self.config = config.encode
        torch.set_num_threads(self.config.threads)
        found = persistently(lambda: exported_model(config.model, model), self.config.patience, model)
        self.encoder = load_encoder(found, gpu=self.config.use_gpu)
        if self.config.use_gpu:
            self.encoder.to("cuda")
        self.forward = self._compiled() if self.config.engine == "openvino" else None

    def _compiled(self) -> Forward:
        from hybrid_core.openvino import by_openvino

        return by_openvino(self.encoder, precision=self.config.precision, threads=self.config.threads)

    def __call__(self, row: pa.Table) -> pa.Table:
        from hybrid_core.encode import encode_tokens

        name, kind, work, texts = unpacked(row)
        if texts is None:
            return row
        started = time.monotonic()
        tokens, c = self._tokens(texts, kind), self.config
        vectors = encode_tokens(
            self.encoder, tokens, tokens_per_batch=tokens_per_batch(c), precision=c.precision, forward=self.forward
        )
        return encoded(name, work, texts, vectors, tokens=len(tokens.ids), seconds=time.monotonic() - started)

    def _tokens(self, texts: pa.Table, kind: Kind) -> Tokens:
        from hybrid_core.encode import Tokens

        if "tokens" not in texts.column_names:
            return Tokens.of(self.encoder.tokenize(texts["text"].to_pylist(), kind))
        column = texts["tokens"].combine_chunks()
        return Tokens(column.flatten().to_numpy(), np.diff(column.offsets.to_numpy()))


def _commit(row: pa.Table, target: str, stored: Stored, patience: float) -> pa.Table:
    """Make a shard of texts with embeddings and write it; while the storage fails, try again."""
    name, marker, work, seconds = (row[key][0].as_py() for key in ("name", "marker", "work", "seconds"))
    if name == NOTE:
        return _row(name, "", work, marker, b"")
    found = pa.ipc.open_stream(row["content"][0].as_buffer()).read_all()
    ids, languages = (found[column].combine_chunks() for column in ("id", "language"))
    vectors, tokens = from_columns(found), json.loads(marker)["tokens"]
    made = make_shard(name, ids, languages, vectors, stored=stored, tokens=tokens)
    shard = persistently(lambda: commit(target, *made), patience, f"{target}, shard {name}")
    return _row(name, "", work, json.dumps(asdict(shard)), b"", seconds)


def _row(name: str, kind: str, work: float, marker: str, content: bytes, seconds: float = 0.0) -> pa.Table:
    return pa.table([[name], [kind], [work], [seconds], [marker], [content]], schema=_FLOW)


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpacked(row: pa.Table) -> tuple[str, Kind, float, pa.Table | None]:
    """Name, kind, work and texts of a row; of a note no texts."""
    name, kind, work = (row[key][0].as_py() for key in ("name", "kind", "work"))
    if name == NOTE:
        return name, "passage", work, None
    return name, kind, work, pa.ipc.open_stream(row["content"][0].as_buffer()).read_all()


def encoded(name: str, work: float, texts: pa.Table, vectors: np.ndarray, *, tokens: int, seconds: float) -> pa.Table:
    """A row with the embeddings [rows, d] float32 of texts that have so many tokens and took so many seconds."""
    columns = {column: texts[column] for column in ("id", "language")} | to_columns(vectors, "float32")
    return _row(name, "", work, json.dumps({"tokens": tokens}), _packed(pa.table(columns)), seconds)
