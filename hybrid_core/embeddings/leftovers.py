"""What the `datasets` library leaves beside the files of a dataset: copies of its rows, which must not be read twice."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow.fs as pafs

from hybrid_core.errors import RequestError

_CACHE = re.compile(r"cache-[0-9a-f]{16}(_\d+_of_\d+)?\.arrow")
"""Results of `map`, `filter` and others, named by a hash."""
_STATE = "state.json"
"""Written by `save_to_disk`: names the files that are the dataset. Those of an earlier one may lie beside them."""


def without_leftovers(fs: pafs.FileSystem, found: Sequence[pafs.FileInfo]) -> list[pafs.FileInfo]:
    """The files that hold rows of their own.

    Args:
        fs: where they lie.
        found: all files below a folder.

    Raises:
        RequestError: a dataset lacks one of its files.
        OSError: a state.json cannot be read.
    """
    folders: dict[str, dict[str, pafs.FileInfo]] = defaultdict(dict)
    for file in found:
        folders[file.path.rpartition("/")[0]][file.base_name] = file
    return [file for folder, files in folders.items() for file in _own(fs, folder, files)]


def _own(fs: pafs.FileSystem, folder: str, files: dict[str, pafs.FileInfo]) -> list[pafs.FileInfo]:
    named = _named(fs, files[_STATE].path) if _STATE in files else None
    if named is not None and not named <= files.keys():
        raise RequestError(
            f"{folder}/{_STATE} names {min(named - files.keys())!r}, which is not there; save the dataset again"
        )
    return [
        file
        for name, file in files.items()
        if not _CACHE.fullmatch(name) and (named is None or not name.endswith(".arrow") or name in named)
    ]


def _named(fs: pafs.FileSystem, path: str) -> set[str] | None:
    """Files of a dataset; None where another program has written this state.json."""
    with fs.open_input_stream(path) as stream:
        content = bytes(stream.read())
    try:
        state: Any = json.loads(content)
        return {file["filename"] for file in state["_data_files"]}
    except (ValueError, KeyError, TypeError):
        return None
