"""What is encoded: files of rows, or the passages of suites. Each part is read from its beginning, in pieces.

A piece is a fixed number of consecutive rows of one part, so that every run cuts a source in the same way. Rows are read
as a stream: memory does not grow with a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs

from hybrid_core import storage
from hybrid_core.config import Config, EncodeConfig
from hybrid_core.config.devices import rows_per_shard
from hybrid_core.data.languages import ISO_639_1
from hybrid_core.data.suites import Suite, load_suites
from hybrid_core.embeddings.rows import SUFFIXES, read_file, regroup
from hybrid_core.errors import RequestError
from hybrid_core.settings import digest

SUITES = "suites"
HUGGING_FACE = "hf://"


@dataclass(frozen=True)
class Part:
    """A file, or a suite."""

    name: str
    """Path below the source, or the suite's name."""
    place: str
    """Address of the file; "" for a suite."""
    stamp: str
    """Changes when the file does: size and time of change. "" for a suite, which is read every time."""
    bytes: int
    """Of the file; 0 for a suite."""
    language: str | None
    """Language of rows that do not say it."""


def list_parts(config: Config) -> list[Part]:
    """The parts of `encode.source`, in the order of their names.

    Raises:
        RequestError: no source, none of the files that can be read, storage that cannot be read.
    """
    source = config.encode.source
    if source is None:
        raise RequestError(
            "encode.source is not set; name a file or folder of .jsonl, .jsonl.gz, .parquet or .arrow (path, s3:// or "
            "hf://datasets/NAME), or `suites`"
        )
    if source == SUITES:
        _suites(config, config.evaluate.suites)  # refuses a suite that is named twice, also as one of several
        return [Part(name, "", "", 0, None) for name in config.evaluate.suites]
    try:
        fs, path = _filesystem(source)
        root = fs.get_file_info(path)
        folder = root.type == pafs.FileType.Directory
        found = fs.get_file_info(pafs.FileSelector(path, recursive=True)) if folder else [root]
    except (OSError, pa.ArrowException, ValueError) as error:
        raise RequestError(
            f"encode.source={source!r} cannot be read: {error}; check the address (credentials and endpoint come from AWS_*)"
        ) from error
    files = sorted(
        (f for f in found if f.type == pafs.FileType.File and f.path.endswith(SUFFIXES)), key=lambda f: f.path
    )
    if not files:
        raise RequestError(f"encode.source={source!r} holds no file that ends with {', '.join(SUFFIXES)}")
    below = path if folder else str(PurePosixPath(path).parent)
    return [_part(f, source, below, config.encode) for f in files]


def _part(file: pafs.FileInfo, source: str, below: str, config: EncodeConfig) -> Part:
    name = file.path.removeprefix(below).lstrip("/")
    scheme = source.partition("://")[0] + "://" if "://" in source else ""
    language = config.language or _language_of(PurePosixPath(file.path).parent.name)
    return Part(name, f"{scheme}{file.path}", _stamp(file), file.size or 0, language)


def _stamp(file: pafs.FileInfo) -> str:
    return f"{file.size} {file.mtime_ns}"


def check_unchanged(part: Part) -> None:
    """Refuse a file that is not the one that was listed.

    Raises:
        RequestError: names the file.
    """
    if part.place:
        fs, path = _filesystem(part.place)
        if _stamp(fs.get_file_info(path)) != part.stamp:
            raise RequestError(f"{part.place} has changed while it was read; run again")


def _language_of(folder: str) -> str | None:
    """`sw` from `miracl-corpus-v1.0-sw`, and from `sw`."""
    code = folder.rpartition("-")[2]
    return code if code in ISO_639_1 else None


def _filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    if not uri.startswith(HUGGING_FACE):
        return storage.filesystem(uri)
    from huggingface_hub import HfFileSystem  # comes with transformers

    return pafs.PyFileSystem(pafs.FSSpecHandler(HfFileSystem())), uri.removeprefix(HUGGING_FACE)


def read_part(part: Part, config: Config) -> Iterator[tuple[pa.Table, float]]:
    """Pieces of a part: tables id, language, text of `encode.rows_per_shard` rows, the last one shorter; and how much
    of the part (0 to 1, about) has been read with each.

    Raises:
        RequestError: names file, line (or row), field and reason of what cannot be used.
        OSError: the storage does not give it.
    """
    c = config.encode
    if part.place:
        fs, path = _filesystem(part.place)
        return regroup(read_file(fs, path, part.place, c, part.language), rows_per_shard(c))
    return regroup(_suite(part.name, config), rows_per_shard(c))


def _suite(name: str, config: Config) -> Iterator[tuple[pa.Table, float]]:
    suites = _suites(config, (name,))
    for number, suite in enumerate(suites):
        texts = suite.passages if config.encode.kind == "passage" else suite.queries
        ids = [f"{suite.name}/{id}" for id in texts.ids]  # ids of two suites may be the same
        yield pa.table({"id": ids, "language": texts.languages, "text": texts.texts}), (number + 1) / len(suites)


def _suites(config: Config, names: tuple[str, ...]) -> list[Suite]:
    c = config.evaluate
    return load_suites(names, config.data.suites, c.candidate_text, corpus=config.data.suite_passages)


def content_hash(texts: pa.Table, *settings: object) -> str:
    """16 hex digits that name texts (id, language, text) and what is done to them."""
    found = hashlib.blake2b(digest(settings).encode(), digest_size=8)
    for name in texts.column_names:
        column = texts[name].to_pylist()
        found.update(np.array([len(value) for value in column], dtype=np.int64).tobytes())
        found.update("".join(column).encode())
    return found.hexdigest()
