"""Made-up texts, and the encoding stream in the test's own process: the real actors and commits, without Ray between them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import torch
from conftest import made_up_pairs
from torch import nn

from hybrid_core.config import Config
from hybrid_core.embeddings.shards import Shard
from hybrid_core.encode import encode
from hybrid_core.model import Encoder, Kind, exported_model, load_encoder
from hybrid_core.settings import build
from ray_jobs._ray import encoding

TEXTS = [text for pair in made_up_pairs(12) for text in (pair.query, pair.passage)]
KINDS: list[Kind] = ["query", "passage"] * (len(TEXTS) // 2)


def a_config(store: Path, **encode: Any) -> Config:
    """Small shards, so that the texts make several."""
    return build(Config, {"encode": {"store": str(store), "rows_per_shard": 10, "threads": 1} | encode})


def computed(model: str, texts: Sequence[str] = TEXTS, kinds: Sequence[Kind] = KINDS) -> np.ndarray:
    """The embeddings of each text by itself, without a store."""
    encoder = load_encoder(exported_model(Config().model, model))
    return np.concatenate([encode(encoder, [text], kind) for text, kind in zip(texts, kinds, strict=True)])


def _stream(
    pieces: Sequence[pa.Table], model: str, target: str, config: Config, stored: str,
    received: Callable[[Shard, float, float], None], *rest: Any,
) -> None:  # fmt: skip
    encoder = encoding.Encoder(model, config)
    for piece in pieces:
        row = encoding._commit(encoder(piece), target, stored, config.encode.patience)
        marker, work, seconds = (row[key][0].as_py() for key in ("marker", "work", "seconds"))
        received(Shard(**json.loads(marker)), work, seconds)


@contextlib.contextmanager
def without_ray() -> Iterator[list[int]]:
    """Encode in this process; gives a list that gets the number of texts of every forward pass of any encoder."""
    passes: list[int] = []

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        if isinstance(module, Encoder):
            passes.append(len(args[0]))

    hook = nn.modules.module.register_module_forward_pre_hook(note)
    threads = torch.get_num_threads()
    try:
        with mock.patch.multiple(encoding, encode_stream=_stream, from_tables=list):
            yield passes
    finally:
        hook.remove()
        torch.set_num_threads(threads)
