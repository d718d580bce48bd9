"""Where a suite's files lie: a folder of this machine, or a folder in object storage that is copied to the cache once.

The copy is keyed by address, names, sizes and times of its files, so a changed source is fetched anew. Errors name the
address that was asked for, never the copy.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from hybrid_core.errors import RequestError
from hybrid_core.storage import absolute, cache_directory, download, filesystem, is_remote, read_bytes


def everything(name: str) -> bool:
    """Wanted: every file."""
    return True


@contextmanager
def suite_folder(uri: str, wanted: Callable[[str], bool] = everything) -> Iterator[Path]:
    """A local folder with the wanted files (names relative to the folder) of a path, `file://` or `s3://` address.

    The folder does not exist when nothing is at the address. Errors raised inside name the address.

    Raises:
        RequestError: the storage cannot be read (its reason), or any error of the block, renamed.
    """
    if not is_remote(uri):
        yield Path(absolute(uri))
        return
    try:
        fs, path = filesystem(uri)
        local = copy_tree(fs, path, cache_directory() / "suites", wanted)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(uri, error) from error
    with naming(local, uri):
        yield local


@contextmanager
def local_file(uri: str) -> Iterator[Path]:
    """One file of a path, `file://` or `s3://` address as a local one. Errors raised inside name the address.

    Raises:
        RequestError: the storage cannot be read (its reason), or any error of the block, renamed.
    """
    if not is_remote(uri):
        yield Path(absolute(uri))
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / uri.rsplit("/", 1)[-1]
        try:
            file.write_bytes(read_bytes(uri))
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(uri, error) from error
        with naming(file, uri):
            yield file


@contextmanager
def naming(local: Path, shown: str) -> Iterator[None]:
    """Name `shown` in errors about the file or folder `local`, which the reader of the error has never heard of."""
    try:
        yield
    except RequestError as error:
        raise RequestError(str(error).replace(str(local), shown)) from error


def copy_tree(fs: pafs.FileSystem, path: str, cache: Path, wanted: Callable[[str], bool] = everything) -> Path:
    """Copy the wanted files below `path` into a folder of the cache, whole or not at all, and return that folder."""
    found = fs.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
    files = {f.path.removeprefix(path).lstrip("/"): f for f in found if f.type == pafs.FileType.File}
    names = sorted(name for name in files if wanted(name) and ".." not in Path(name).parts)
    identity = [path, *(f"{name} {files[name].size} {files[name].mtime_ns}" for name in names)]
    target = cache / hashlib.sha256("\n".join(identity).encode()).hexdigest()[:24]
    if target.exists() or not names:
        return target
    download(fs, path, names, target)
    return target


def file_names(uri: str) -> list[str]:
    """Names of the files directly in a folder, sorted; none when the folder is not there.

    Raises:
        RequestError: the storage cannot be read (its reason).
    """
    try:
        fs, path = filesystem(uri)
        found = fs.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    except NotADirectoryError:
        return []
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(uri, error) from error
    return sorted(f.base_name for f in found if f.type == pafs.FileType.File)


def _unreadable(uri: str, error: Exception) -> RequestError:
    return RequestError(f"{uri} cannot be read: {error}; check the address (credentials and endpoint come from AWS_*)")
