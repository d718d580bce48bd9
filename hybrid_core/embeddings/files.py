"""Files of a source: where they lie, and who is to blame for an error, the storage or the file.

A storage that fails is asked again for a while; a file that is damaged or cut short never gets better. Arrow raises
OSError for both, and the client of the Hugging Face hub raises errors that are none, so files are opened here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from hybrid_core import storage
from hybrid_core.errors import RequestError

HUGGING_FACE = "hf://"


@contextmanager
def storage_errors() -> Iterator[None]:
    """Nothing but the storage is used inside: whatever it raises becomes an OSError."""
    try:
        yield
    except (OSError, RequestError):
        raise
    except Exception as error:  # the hub's client and the HTTP client below it have errors of their own
        raise OSError(f"{type(error).__name__}: {error}") from error


def source_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """As `storage.filesystem`, and `hf://` for reading. What is known of the hub's files is no older than this call."""
    if not uri.startswith(HUGGING_FACE):
        return storage.filesystem(uri)
    from huggingface_hub import HfFileSystem  # comes with transformers

    return pafs.PyFileSystem(_Hub(HfFileSystem(skip_instance_cache=True))), uri.removeprefix(HUGGING_FACE)


class _Hub(pafs.FSSpecHandler):
    """The hub's files. What is not there is asked for so that a hub that fails is not taken for a missing file."""

    def open_input_file(self, path: str) -> pa.PythonFile:
        self.fs.info(path)
        return pa.PythonFile(self.fs.open(path, mode="rb"), mode="r")


def stamp_of(fs: pafs.FileSystem, file: pafs.FileInfo) -> str:
    """Changes when the file does: size and time of change, on the hub size and the hash that git keeps."""
    if isinstance(fs, pafs.PyFileSystem) and isinstance(fs.handler, _Hub):
        return f"{file.size} {fs.handler.fs.info(file.path).get('blob_id')}"
    return f"{file.size} {file.mtime_ns}"


class StoredFile:
    """A file for `pyarrow.PythonFile` that remembers how its storage failed.

    Raises, from every method that reads:
        OSError: the storage does not give the file, or gives less of it than there is.
    """

    def __init__(self, fs: pafs.FileSystem, path: str) -> None:
        self.error: OSError | None = None
        """What the storage raised; None while nothing but the file can be to blame."""
        with self._noted():
            self._file = fs.open_input_file(path)
            self.size: int = self._file.size()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, fewer only at the end."""
        with self._noted():
            left = self.size - self._file.tell()
            content = bytes(self._file.read(left if size < 0 else min(size, left)))
            if len(content) < min(left, size if size >= 0 else left):
                raise OSError(f"the storage gave {len(content)} bytes where the file has {left} more")
        return content

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a byte."""
        with self._noted():
            return int(self._file.seek(place, whence))

    def tell(self) -> int:
        """The byte that is read next."""
        return int(self._file.tell())

    @property
    def closed(self) -> bool:
        """Whether it can no longer be read."""
        return bool(self._file.closed)

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def __enter__(self) -> StoredFile:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            with storage_errors():
                yield
        except OSError as error:
            self.error = error
            raise
