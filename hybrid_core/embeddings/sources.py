"""What is encoded: files of rows, or the passages of suites. Each part is read from its beginning, in pieces.

A piece is a fixed number of consecutive rows of one part, so that every run cuts a source in the same way. Rows are read
as a stream: memory does not grow with a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs

from hybrid_core.config import Config, EncodeConfig
from hybrid_core.config.devices import rows_per_shard
from hybrid_core.data.languages import ISO_639_1
from hybrid_core.data.suites import Suite, load_suites
from hybrid_core.embeddings.files import HUGGING_FACE, source_filesystem, stamp_of, storage_errors
from hybrid_core.embeddings.leftovers import without_leftovers
from hybrid_core.embeddings.row_checks import check_ids
from hybrid_core.embeddings.rows import SUFFIXES, read_file, regroup
from hybrid_core.errors import RequestError
from hybrid_core.settings import digest
from hybrid_core.storage import absolute, join

SUITES = "suites"
_LANGUAGE = re.compile(r"(?:language=|.+-v\d+(?:\.\d+)*-|\d{8}\.)([a-z]{2})")
"""Names of folders that say a language and can mean nothing else: `language=sw`, as tables are parted; a version and a
code, `miracl-corpus-v1.0-sw`; a date and a code, `20231101.sw` of Wikipedia. Two letters alone may be a word: `is`, `my`."""


@dataclass(frozen=True)
class Part:
    """A file, or a suite."""

    name: str
    """Path below the source, or the suite's name."""
    place: str
    """Address of the file; "" for a suite."""
    stamp: str
    """Changes when the file does. "" for a suite, which is read every time."""
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
        with storage_errors():
            return _listed(source, config.encode)
    except OSError as error:
        hub = source.startswith(HUGGING_FACE)
        remedy = (
            "check the address, the network and HF_HUB_OFFLINE, or fetch the files and name their folder" if hub
            else "check the address (credentials and endpoint come from AWS_*)"
        )  # fmt: skip
        raise RequestError(f"encode.source={source!r} cannot be read: {error}; {remedy}") from error


def _listed(source: str, config: EncodeConfig) -> list[Part]:
    fs, path = source_filesystem(source)
    root = fs.get_file_info(path)
    if root.type == pafs.FileType.NotFound:
        raise RequestError(f"encode.source={source!r} does not exist; check the address")
    folder = root.type == pafs.FileType.Directory
    found = [root]
    if folder:
        found = without_leftovers(fs, fs.get_file_info(pafs.FileSelector(path, recursive=True)))
    files = sorted(
        (f for f in found if f.type == pafs.FileType.File and f.path.endswith(SUFFIXES)), key=lambda f: f.path
    )
    if not files:
        raise RequestError(f"encode.source={source!r} holds no file that ends with {', '.join(SUFFIXES)}")
    below = path if folder else str(PurePosixPath(path).parent)
    scheme = source.partition("://")[0] + "://" if "://" in source else ""
    return [
        Part(
            f.path.removeprefix(below).lstrip("/"), f"{scheme}{f.path}", stamp_of(fs, f), f.size or 0,
            config.language or _language_of(PurePosixPath(f.path).parent.name),
        )
        for f in files
    ]  # fmt: skip


def check_apart(source: str | None, target: str) -> None:
    """Refuse a source that holds, or lies in, what is written: the next run would read it, or remove it.

    Args:
        source: `encode.source`.
        target: absolute address of the embeddings.

    Raises:
        RequestError: names both.
    """
    if source is None or source == SUITES or source.startswith(HUGGING_FACE):
        return
    ours, theirs = (place.rstrip("/") + "/" for place in (join(target, "shards"), absolute(source)))
    if ours.startswith(theirs) or theirs.startswith(ours):
        raise RequestError(
            f"encode.target={target!r} and encode.source={source!r} lie in each other: embeddings would be read as texts; choose "
            "a target outside the source"
        )


def check_unchanged(part: Part) -> None:
    """Refuse a file that is not the one that was listed.

    Raises:
        RequestError: names the file.
        OSError: the storage does not say.
    """
    if part.place:
        with storage_errors():
            fs, path = source_filesystem(part.place)
            stamp = stamp_of(fs, fs.get_file_info(path))
        if stamp != part.stamp:
            raise RequestError(f"{part.place} has changed while it was read; run again")


def _language_of(folder: str) -> str | None:
    """`sw` from `language=sw` and `miracl-corpus-v1.0-sw`; None from a name that only looks like it."""
    found = _LANGUAGE.fullmatch(folder)
    return found[1] if found and found[1] in ISO_639_1 else None


def read_part(part: Part, config: Config) -> Iterator[tuple[pa.Table, float]]:
    """Pieces of a part: tables id, language, text of `encode.rows_per_shard` rows, the last one shorter; and how much
    of the part (0 to 1, about) has been read with each.

    Raises:
        RequestError: names file, line (or row), field and reason of what cannot be used.
        OSError: the storage does not give it.
    """
    c = config.encode
    if part.place:
        with storage_errors():
            fs, path = source_filesystem(part.place)
        return regroup(read_file(fs, path, part.place, c, part.language), rows_per_shard(c))
    return regroup(_suite(part.name, config), rows_per_shard(c))


def _suite(name: str, config: Config) -> Iterator[tuple[pa.Table, float]]:
    suites = _suites(config, (name,))
    for number, suite in enumerate(suites):
        texts = suite.passages if config.encode.kind == "passage" else suite.queries
        ids = pa.array([f"{suite.name}/{id}" for id in texts.ids], pa.string())  # ids of two suites may be the same
        check_ids(ids, partial(_suite_place, suite.name))
        yield pa.table({"id": ids, "language": texts.languages, "text": texts.texts}), (number + 1) / len(suites)


def _suite_place(suite: str, row: int) -> str:
    return f"suite {suite!r}, row {row}"


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
