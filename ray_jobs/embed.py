"""Embeddings of texts that fit into memory (suites, training corpora), through the store: what it holds is not computed again.

texts -> keys -> those the store lacks -> Ray Data -> store -> vectors
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.config.devices import rows_per_shard
from hybrid_core.embeddings.shards import Shard
from hybrid_core.embeddings.store import ModelStore, evict, mark_used, model_key, text_keys
from hybrid_core.errors import RequestError
from hybrid_core.model import Kind, encoder_settings, exported_model
from hybrid_core.settings import digest
from hybrid_core.storage import absolute, join
from ray_jobs._patience import Patience
from ray_jobs._progress import Progress

_ATTEMPTS = 5
"""To look what is there and compute the rest, to find a damaged shard and compute that, and once more."""
_CHARACTERS = 400_000
"""Of a piece: about a minute on two processor cores, which is what a crash may cost."""


def embed_texts(texts: Sequence[str], kinds: Sequence[Kind], model: str, config: Config) -> np.ndarray:
    """Unit embeddings [texts, dimension] float32, in the order of the texts.

    Shards are committed as they are made, so a run that was cut short begins where it ended.

    Args:
        texts: may repeat.
        kinds: of each text.
        model: URI of an exported encoder.
        config: how to encode, and where the store lies.

    Raises:
        RuntimeError: embeddings are missing after they were computed.
        OSError: the store fails for longer than `encode.patience` seconds.
    """
    settings = encoder_settings(exported_model(config.model, model))
    store = absolute(config.encode.store or join(config.output, "embeddings"))
    c = config.encode
    name = model_key(weights_of(model), settings, c.precision, gpu=c.use_gpu, engine=c.engine)
    keys = text_keys(texts, kinds, settings)
    attempt = Patience(config.encode.patience)
    for _ in range(_ATTEMPTS):  # another run may remove a damaged shard, or evict, between looking and reading
        attempt(lambda: mark_used(store, name), store)
        found = ModelStore(store, name, attempt, wanted=frozenset(keys))
        missing = {key: row for row, key in enumerate(keys) if key not in found}
        if missing:
            _compute(missing, texts, kinds, model, store, name, config)
            continue
        _evict(store, config)
        with contextlib.suppress(RequestError):
            return found.vectors(keys)
    raise RuntimeError(
        f"{store}/{name}: {len(missing):,} embeddings are missing after they were computed; is it being deleted?"
    )


def _evict(store: str, config: Config) -> None:
    budget = config.encode.store_gigabytes
    for removed in Patience(config.encode.patience)(lambda: evict(store, budget), store):
        print(f"  removed embeddings of model {removed} from {store}: over {budget:g} GB")


def weights_of(model: str) -> str:
    """Hash of an exported model's files, tokenizer included."""
    return digest(storage.read_json(join(model, storage.MARKER))["files"])


def _compute(
    missing: dict[str, int],
    texts: Sequence[str],
    kinds: Sequence[Kind],
    model: str,
    store: str,
    name: str,
    config: Config,
) -> None:
    from ray_jobs._ray.encoding import encode_stream, from_tables, piece

    pieces = [piece(*p) for p in _pieces(missing, texts, kinds, config)]
    progress = Progress(sum(len(texts[row]) for row in missing.values()), total=f" of {len(missing):,}")

    def received(shard: Shard, work: float, seconds: float) -> None:
        progress.add(shard, work, seconds)
        Patience(config.encode.patience)(
            lambda: mark_used(store, name), store
        )  # so that no other run evicts it meanwhile

    encode_stream(from_tables(pieces), model, join(store, name), config, "float32", received)
    progress.finish()


def _pieces(
    missing: dict[str, int], texts: Sequence[str], kinds: Sequence[Kind], config: Config
) -> Iterator[tuple[str, Kind, pa.Table, float]]:
    """Name, kind, rows and characters of each piece: texts of like lengths together, long ones first, so that actors end together."""
    most = min(rows_per_shard(config.encode), -(-len(missing) // config.encode.actors))
    both: tuple[Kind, Kind] = ("passage", "query")
    for kind in both:
        chosen = [key for key, row in missing.items() if kinds[row] == kind]
        chosen.sort(key=lambda key: (-len(texts[missing[key]]), key))
        while chosen:
            size = max(1, min(most, _CHARACTERS // len(texts[missing[chosen[0]]])))
            keys, chosen = chosen[:size], chosen[size:]
            columns = {"id": keys, "language": [""] * len(keys), "text": [texts[missing[key]] for key in keys]}
            yield digest(keys), kind, pa.table(columns), sum(map(len, columns["text"]))
