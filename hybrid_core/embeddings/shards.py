"""A directory of embeddings: Arrow files, each committed by a marker of its own, and one marker for the whole.

    <directory>/shards/<name>.arrow   id, language, embedding [, scale]: one record batch, to be memory-mapped
    <directory>/shards/<name>.json    rows by language, bytes, SHA-256: written after the file, so a file without is unfinished
    <directory>/complete.json         what was encoded and how, and the names of all shards in order: written last

A shard's name says what it holds, so a run that is repeated knows what is there. The bytes depend on nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from hybrid_core import storage
from hybrid_core.embeddings.numbers import Stored, from_columns, loss, to_columns
from hybrid_core.errors import RequestError
from hybrid_core.storage import join

_READERS = 16  # markers read at once: object storage answers slowly, one by one


class DamagedShardError(RequestError):
    """A shard's file was read to its end and is not the one that was committed."""


@dataclass(frozen=True)
class Shard:
    """What a marker says."""

    name: str
    languages: dict[str, int]
    """Rows by language."""
    tokens: int
    """Of the encoded texts, padding not counted."""
    bytes: int
    sha256: str
    loss: float
    """Largest 1 - cosine between a computed embedding and the one that is kept."""

    @property
    def rows(self) -> int:
        """Rows of all languages."""
        return sum(self.languages.values())


@dataclass(frozen=True)
class Content:
    """The rows of a shard."""

    ids: pa.Array
    languages: pa.Array
    vectors: np.ndarray
    """[rows, d], float32 or float16; int8 is expanded."""


@dataclass(frozen=True)
class EmbeddingSet:
    """A complete directory."""

    uri: str
    shards: tuple[Shard, ...]
    dimension: int
    stored: Stored
    facts: dict[str, Any]
    """Model, settings and source, as the encoding wrote them."""

    @property
    def languages(self) -> dict[str, int]:
        """Rows by language."""
        return dict(sorted(sum((Counter(s.languages) for s in self.shards), Counter()).items()))


def file_of(uri: str, name: str, suffix: str = "arrow") -> str:
    """Address of a shard's file or of its marker (suffix json)."""
    return join(uri, "shards", f"{name}.{suffix}")


def make_shard(
    name: str, ids: Sequence[str] | pa.Array, languages: Sequence[str] | pa.Array, vectors: np.ndarray, *,
    stored: Stored, tokens: int,
) -> tuple[Shard, bytes]:  # fmt: skip
    """A shard's marker and the bytes of its file.

    Args:
        name: says what the shard holds.
        ids: of the rows.
        languages: of the rows.
        vectors: [rows, d], float32.
        stored: how numbers are kept.
        tokens: of the texts.

    Raises:
        ArithmeticError: an embedding is no finite number; names its id.
    """
    _check_finite(ids, vectors, stored)
    columns = to_columns(vectors, stored)
    table = pa.table({"id": pa.array(ids, pa.string()), "language": pa.array(languages, pa.string())} | columns)
    content = _ipc(table)
    counts = {row["values"]: row["counts"] for row in pc.value_counts(table["language"]).to_pylist()}
    sha256 = hashlib.sha256(content).hexdigest()
    return Shard(name, dict(sorted(counts.items())), tokens, len(content), sha256, loss(vectors, columns)), content


def _check_finite(ids: Sequence[str] | pa.Array, vectors: np.ndarray, stored: Stored) -> None:
    """Such an embedding would be found out only by a search, long after the texts were encoded."""
    largest = np.finfo(np.float16 if stored == "float16" else np.float32).max
    wrong = np.flatnonzero(~(np.abs(vectors) <= largest).all(axis=1))  # so that NaN is wrong too
    if len(wrong):
        raise ArithmeticError(
            f"the embeddings of {str(ids[wrong[0]])!r} and {len(wrong) - 1} more of {len(vectors)} texts are no finite {stored} "
            "numbers: the model's weights are damaged, or encode.precision is too low for it"
        )


def commit(uri: str, shard: Shard, content: bytes) -> Shard:
    """Write a shard's file, then its marker, unless the shard is committed already.

    Who computes a shard again may round otherwise, so a file whose marker is there is never written over: killed between
    the two, that would leave a marker of other bytes. A marker without its file goes first.

    Returns:
        What is committed under this name now.
    """
    there = marker_of(uri, shard.name)
    if there is not None:
        if storage.size(file_of(uri, shard.name)) == there.bytes:
            return there
        remove_file(*storage.filesystem(file_of(uri, shard.name, "json")))
    storage.write_bytes(file_of(uri, shard.name), content)
    storage.write_json(file_of(uri, shard.name, "json"), asdict(shard))
    return shard


def write_shard(
    uri: str, name: str, ids: Sequence[str] | pa.Array, languages: Sequence[str] | pa.Array, vectors: np.ndarray, *,
    stored: Stored, tokens: int,
) -> Shard:  # fmt: skip
    """Make a shard and commit it. Arguments as in `make_shard`; `uri` is the directory."""
    return commit(uri, *make_shard(name, ids, languages, vectors, stored=stored, tokens=tokens))


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def committed(uri: str) -> dict[str, Shard]:
    """Shards of a directory, complete or not, whose marker is there and whose file has the marker's size; by name."""
    fs, path = storage.filesystem(join(uri, "shards"))
    found = fs.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    sizes = {f.base_name: f.size for f in found if f.type == pafs.FileType.File}
    names = [name.removesuffix(".json") for name in sorted(sizes) if name.endswith(".json")]
    with ThreadPoolExecutor(_READERS) as pool:
        shards = list(pool.map(lambda name: marker_of(uri, name), names))
    return {s.name: s for s in shards if s is not None and sizes.get(f"{s.name}.arrow") == s.bytes}


def marker_of(uri: str, name: str) -> Shard | None:
    """What a shard's marker says; None: it is not there, or not one of ours, so the shard is encoded again."""
    try:
        found = Shard(**storage.read_json(file_of(uri, name, "json")))
    except (FileNotFoundError, ValueError, TypeError):
        return None  # removed by another process since it was listed, cut short, or of another version
    return found if found.name == name else None


def remove_file(fs: pafs.FileSystem, path: str) -> None:
    """Remove a file that another process may remove at the same time."""
    with contextlib.suppress(FileNotFoundError):
        fs.delete_file(path)


def discard(uri: str, kept: set[str]) -> None:
    """Remove files of shards that are not to be kept: unfinished ones, and those of texts that have changed."""
    fs, path = storage.filesystem(join(uri, "shards"))
    for file in fs.get_file_info(pafs.FileSelector(path, allow_not_found=True)):
        name, _, suffix = file.base_name.rpartition(".")
        if suffix == "part" or (suffix in ("arrow", "json") and name not in kept):
            remove_file(fs, file.path)


def seal(uri: str, shards: Sequence[Shard], *, dimension: int, stored: Stored, facts: dict[str, Any]) -> None:
    """Declare a directory complete: these shards, in this order."""
    whole = {"dimension": dimension, "stored": stored, "facts": facts, "shards": [asdict(s) for s in shards]}
    storage.write_bytes(join(uri, storage.MARKER), json.dumps(whole, ensure_ascii=False, sort_keys=True).encode())


def is_sealed(uri: str) -> bool:
    """Whether a directory is complete."""
    return storage.exists(join(uri, storage.MARKER))


def open_embeddings(uri: str) -> EmbeddingSet:
    """Open a complete directory.

    Raises:
        RequestError: nothing is there, or it is not complete.
    """
    if not is_sealed(uri):
        raise RequestError(
            f"{uri} holds no complete embeddings; run ray_jobs.encode with encode.target={uri} to its end"
        )
    try:
        found = storage.read_json(join(uri, storage.MARKER))
        shards = tuple(Shard(**s) for s in found["shards"])
        return EmbeddingSet(uri, shards, found["dimension"], found["stored"], found["facts"])
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            f"{uri}/{storage.MARKER} is no list of embedding shards ({type(error).__name__}: {error})"
        ) from error


def read_shard(uri: str, shard: Shard) -> Content:
    """The rows of a shard, checked against its SHA-256. Local files are memory-mapped.

    Raises:
        DamagedShardError: the file is not what was committed.
        RequestError: the file is not there.
        OSError: the storage does not give it, which says nothing about the file.
    """
    place = file_of(uri, shard.name)
    buffer = _buffer(place)
    try:
        if hashlib.sha256(buffer).hexdigest() == shard.sha256:
            table = pa.ipc.open_file(buffer).read_all()
            ids, languages = (table[name].combine_chunks() for name in ("id", "language"))
            return Content(ids, languages, from_columns(table))
    except (pa.ArrowException, OSError, KeyError) as error:  # OSError is what Arrow says of a file cut short
        raise _damaged(place) from error
    raise _damaged(place)


def read_ids(uri: str, shard: Shard) -> pa.Array:
    """Ids of a shard's rows, without reading the rest of its file or checking its SHA-256.

    Raises:
        As `read_shard`, which decides where they cannot be had this way.
    """
    fs, path = storage.filesystem(file_of(uri, shard.name))
    with contextlib.suppress(pa.ArrowException, OSError, KeyError), fs.open_input_file(path) as file:
        first = pa.ipc.IpcReadOptions(included_fields=[0])
        ids = pa.ipc.open_file(file, options=first).read_all()["id"].combine_chunks()
        ids.validate(full=True)
        if len(ids) == shard.rows:
            return ids
    return read_shard(uri, shard).ids


def _buffer(place: str) -> pa.Buffer:
    try:
        if storage.is_remote(place):
            return pa.py_buffer(storage.read_bytes(place))
        path = Path(storage.absolute(place))
        return pa.memory_map(str(path)).read_buffer() if path.stat().st_size else pa.py_buffer(b"")
    except FileNotFoundError as error:
        raise RequestError(
            f"{place} cannot be read: it is not there; run the encoding again, it writes what is missing"
        ) from error
    except OSError as error:
        raise OSError(f"{place} cannot be read: {error}") from error


def _damaged(place: str) -> DamagedShardError:
    return DamagedShardError(
        f"{place} is not the file that was committed: damaged or replaced; delete it and its .json, and run the encoding again"
    )
