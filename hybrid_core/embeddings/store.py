"""Embeddings keyed by what they are computed from: what one run has computed, others with the same weights, settings and text find.

    <store>/<model>/shards/...     as in `shards`; the id of a row is the key of its text
    <store>/<model>/used.json      when the model was last used, for eviction

A model's folder is named by weights, tokenizer, pooling, precision and attention; a row's key holds prefix, length limit and text. Files
are only ever added, each whole, so runs may write at the same time: at worst both compute a text.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence

import numpy as np
import pyarrow.fs as pafs

from hybrid_core import storage
from hybrid_core.embeddings.shards import (
    Content,
    DamagedShardError,
    Shard,
    committed,
    file_of,
    marker_of,
    read_ids,
    read_shard,
    remove_file,
)
from hybrid_core.errors import RequestError
from hybrid_core.model import EncoderSettings, Kind, attention_on
from hybrid_core.settings import digest
from hybrid_core.storage import Attempt, join, once

_USED = "used.json"
_IN_USE = 3600.0  # seconds; a model used this recently may be in use now and is not removed


def model_key(weights: str, settings: EncoderSettings, precision: str, *, gpu: bool, engine: str) -> str:
    """Name of a model's folder.

    Args:
        weights: hash of the exported model's files, tokenizer included.
        settings: of the encoder as it is used.
        precision: of the forward pass.
        gpu: whether GPUs compute it, with other roundings.
        engine: `torch` or `openvino`.
    """
    return digest([weights, settings.pooling, precision, attention_on(gpu=gpu), engine])


def text_keys(texts: Sequence[str], kinds: Sequence[Kind], settings: EncoderSettings) -> list[str]:
    """Key of each text: 32 hex digits of prefix, length limit and text."""
    starts = {
        "query": f"{settings.max_query_tokens}\t{settings.query_prefix}",
        "passage": f"{settings.max_passage_tokens}\t{settings.passage_prefix}",
    }
    return [
        hashlib.blake2b(f"{starts[kind]}{text}".encode(), digest_size=16).hexdigest()
        for text, kind in zip(texts, kinds, strict=True)
    ]


class ModelStore:
    """What the store has of one model, as of now."""

    def __init__(
        self, store: str, model: str, attempt: Attempt = once, *, wanted: frozenset[str] | None = None
    ) -> None:
        """Look what is there. Of each shard only the keys are read; its SHA-256 is checked where `vectors` reads it.

        Args:
            store: folder or URI.
            model: from `model_key`.
            attempt: each shard is read by one, so that a large store is not read from its beginning again.
            wanted: keys that may be asked for; None: all. Memory goes by their number, not by the size of the store.

        Raises:
            OSError: the storage fails; nothing has been removed for it.
        """
        self.uri, self._attempt = join(store, model), attempt
        self._places: dict[str, tuple[Shard, int]] = {}
        for shard in attempt(lambda: committed(self.uri), self.uri).values():
            for row, key in enumerate(self._keys(shard)):
                if wanted is None or key in wanted:
                    self._places[key] = shard, row

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def _keys(self, shard: Shard) -> list[str]:
        """Keys of a shard; none: its texts are computed again."""
        try:
            ids = self._attempt(lambda: read_ids(self.uri, shard), file_of(self.uri, shard.name))
            return list(ids.to_pylist())
        except DamagedShardError as error:
            self._give_up(shard, error)
        except RequestError:
            pass  # another run has removed it between listing and reading
        return []

    def _give_up(self, shard: Shard, error: DamagedShardError) -> None:
        """Remove a damaged shard, and no other: one that the storage does not give now may be whole."""
        print(f"  {error}; its embeddings are computed again")
        self._attempt(lambda: self._remove(shard), self.uri)

    def _remove(self, shard: Shard) -> None:
        if marker_of(self.uri, shard.name) == shard:  # else another run has written it anew since it was listed
            for suffix in ("json", "arrow"):
                remove_file(*storage.filesystem(file_of(self.uri, shard.name, suffix)))

    def vectors(self, keys: Sequence[str]) -> np.ndarray:
        """Embeddings of these keys [keys, d], float32.

        Raises:
            KeyError: one that is not there.
            DamagedShardError: of shards that hold them; these are gone from the store now.
            RequestError: another run has removed a shard since the store was opened.
            OSError: the storage fails.
        """
        by_shard: dict[str, tuple[Shard, list[int], list[int]]] = {}
        for place, key in enumerate(keys):
            shard, row = self._places[key]
            _, places, rows = by_shard.setdefault(shard.name, (shard, [], []))
            places.append(place)
            rows.append(row)
        found: np.ndarray | None = None
        damage: DamagedShardError | None = None
        for shard, places, rows in by_shard.values():
            try:
                vectors = self._read(shard).vectors
            except DamagedShardError as error:
                self._give_up(shard, error)
                damage = error
                continue  # so that all damage is found at once
            if found is None:
                found = np.empty((len(keys), vectors.shape[1]), dtype=np.float32)
            found[places] = vectors[rows]
        if damage:
            raise damage
        return np.empty((0, 0), np.float32) if found is None else found

    def _read(self, shard: Shard) -> Content:
        return self._attempt(lambda: read_shard(self.uri, shard), file_of(self.uri, shard.name))


def mark_used(store: str, model: str) -> None:
    """Note that a model is used now."""
    storage.write_json(join(store, model, _USED), {"seconds": time.time()})


def evict(store: str, gigabytes: float) -> list[str]:
    """Remove the models used longest ago until the store is within its budget, and return the keys of those that have gone.

    Models used within the last hour stay. Other runs may use the store and evict meanwhile; a model that cannot be removed
    now is left to a later run.

    Raises:
        OSError: the store cannot be listed.
    """
    sizes = _sizes(store)
    used = {model: _last_use(store, model) for model in sizes}
    total, removed = sum(sizes.values()), []
    for model in sorted(sizes, key=lambda m: used[m] or 0.0):
        if total <= gigabytes * 1e9:
            break
        if _remove_idle(store, model):
            total -= sizes[model]
            removed.append(model)
    return removed


def _sizes(store: str) -> dict[str, int]:
    """Bytes of each folder of the store."""
    fs, path = storage.filesystem(store)
    sizes: dict[str, int] = {}
    for file in fs.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True)):
        if file.type == pafs.FileType.File:
            model = file.path.removeprefix(path).lstrip("/").partition("/")[0]
            sizes[model] = sizes.get(model, 0) + file.size
    return sizes


def _remove_idle(store: str, model: str) -> bool:
    """Remove a model unless a run uses it now; whether it has gone."""
    last = _last_use(store, model)  # asked just before: another run may have begun since the store was listed
    if last is None or time.time() - last <= _IN_USE:
        return False
    fs, path = storage.filesystem(join(store, model))
    try:
        for folder in (f"{path}/shards", path):  # the note of use goes last: a later run finds what is left
            with contextlib.suppress(FileNotFoundError):  # another run removes it too
                fs.delete_dir(folder)
    except OSError as error:
        print(f"  embeddings of model {model} cannot be removed now from {store}: {error}")
        return False
    return True


def _last_use(store: str, model: str) -> float | None:
    """None for a folder that is not ours, or that another run has just removed."""
    place = join(store, model, _USED)
    with contextlib.suppress(FileNotFoundError):
        return float(storage.read_json(place)["seconds"]) if storage.exists(place) else None
    return None
