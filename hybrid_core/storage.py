"""Storage is a URI: a local path, `file://` or `s3://bucket/prefix`. One small set of operations for all of them.

Object storage is configured by the standard variables (AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...).
A directory counts as present only when its completion marker does: the marker is written last, so a directory cut short
by a crash is never mistaken for a whole one, and nothing is inferred from listings.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.fs as pafs

from hybrid_core.errors import RequestError

MARKER = "complete.json"
Result = TypeVar("Result")


class Attempt(Protocol):
    """How storage is accessed: once, or again while it fails."""

    def __call__(self, action: Callable[[], Result], what: str, /) -> Result:
        """Do what may be repeated; `what` is read or written, for an error."""


def once(action: Callable[[], Result], what: str) -> Result:
    """Not again."""
    return action()


def cache_directory() -> Path:
    """Where converted models and fetched directories are kept: HYBRID_CACHE, else hybrid-batches in the user's cache."""
    if "HYBRID_CACHE" in os.environ:
        return Path(os.environ["HYBRID_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hybrid-batches"


def is_remote(uri: str) -> bool:
    """True for `s3://...`, False for anything on this machine's file system."""
    scheme = urlparse(uri).scheme
    if scheme in ("", "file"):
        return False
    if scheme != "s3":
        raise RequestError(f"storage address {uri!r}: scheme {scheme!r} is not supported; use a path, file:// or s3://")
    return True


def absolute(uri: str) -> str:
    """The same place, independent of the working directory (workers of a cluster have another one)."""
    if is_remote(uri):
        return uri.rstrip("/")
    return str(Path(uri.removeprefix("file://")).expanduser().resolve())


def join(uri: str, *parts: str) -> str:
    """Append path components to a URI."""
    return "/".join([uri.rstrip("/"), *parts])


def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The Arrow file system of a URI and the path inside it."""
    if not is_remote(uri):
        return pafs.LocalFileSystem(), absolute(uri)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    path = uri.removeprefix("s3://").rstrip("/")
    if not endpoint:
        return pafs.S3FileSystem(), path
    parsed = urlparse(endpoint)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return pafs.S3FileSystem(endpoint_override=parsed.netloc, scheme=parsed.scheme, region=region), path


def exists(uri: str) -> bool:
    """Whether this one file is there."""
    fs, path = filesystem(uri)
    return bool(fs.get_file_info(path).type == pafs.FileType.File)


def size(uri: str) -> int | None:
    """Bytes of this one file; None: it is not there."""
    fs, path = filesystem(uri)
    found = fs.get_file_info(path)
    return int(found.size) if found.type == pafs.FileType.File else None


def read_bytes(uri: str) -> bytes:
    """The content of one file."""
    fs, path = filesystem(uri)
    with fs.open_input_stream(path, compression=None) as stream:
        return bytes(stream.read())


def write_bytes(uri: str, content: bytes) -> None:
    """Write one file so that readers see all of it or nothing (local: rename; S3: a put is atomic).

    It is on the disk when this returns: a marker that is written next never outlives, in a power cut, what it stands for.
    """
    fs, path = filesystem(uri)
    if is_remote(uri):
        with fs.open_output_stream(path, compression=None) as stream:
            stream.write(content)
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    scratch = f"{path}.{uuid.uuid4().hex[:8]}.part"
    try:
        with open(scratch, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scratch, path)
        _keep_names(Path(path).parent)
    finally:
        Path(scratch).unlink(missing_ok=True)


def _keep_names(folder: Path) -> None:
    """Put the names of a folder on the disk, not only the content of its files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(uri: str) -> Any:
    """The content of a JSON file."""
    return json.loads(read_bytes(uri))


def write_json(uri: str, value: Any) -> None:
    """Write a value as readable JSON."""
    write_bytes(uri, (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode())


def files_below(uri: str) -> set[str]:
    """Names of all files below a folder, relative to it. Object stores may show folders without any: those do not count."""
    fs, path = filesystem(uri)
    found = fs.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
    return {f.path.removeprefix(path).lstrip("/") for f in found if f.type == pafs.FileType.File}


def delete_folder(uri: str) -> None:
    """Remove a folder with all that is in it; one that is not there is no error."""
    fs, path = filesystem(uri)
    if fs.get_file_info(path).type == pafs.FileType.Directory:
        fs.delete_dir(path)


def check_writable(uri: str, field: str, *, make: bool = True) -> None:
    """Prove that `uri` can be written before anything expensive starts.

    Args:
        uri: a folder.
        field: of the config.
        make: make a local folder that is not there; False: leave nothing behind, and go by what its parent permits.

    Raises:
        RequestError: names the config field, the address, and the reason the storage gave.
    """
    try:
        if make or is_remote(uri):
            _probe(uri)
        else:
            _check_permissions(Path(absolute(uri)))
    except (OSError, pa.ArrowException) as error:
        raise RequestError(
            f"{field}={uri!r} cannot be written: {error}; choose a writable folder or bucket (credentials and endpoint come from AWS_*)"
        ) from error


def _probe(uri: str) -> None:
    probe = join(uri, f".write-check-{uuid.uuid4().hex[:8]}")
    write_bytes(probe, b"")
    fs, path = filesystem(probe)
    fs.delete_file(path)


def _check_permissions(folder: Path) -> None:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"{there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"no permission to write in {there}")


def mark_complete(directory: Path, **facts: Any) -> None:
    """Seal a local directory: list its files with sizes and SHA-256 in the marker, written last."""
    files = {
        str(f.relative_to(directory)): {"bytes": f.stat().st_size, "sha256": _sha256(f)}
        for f in sorted(directory.rglob("*"))
        if f.is_file() and f != directory / MARKER
    }
    write_json(str(directory / MARKER), {**facts, "files": files})


def verify_complete(directory: Path, *, hashes: bool = True) -> dict[str, Any]:
    """Check a sealed directory against its marker and return the marker's facts. Without `hashes` only sizes are compared.

    Raises:
        RequestError: no marker, a missing file, or a file whose content differs.
    """
    marker = directory / MARKER
    if not marker.exists():
        raise RequestError(
            f"{directory} has no {MARKER}: it was cut short while being written; delete it or use another"
        )
    try:
        facts: dict[str, Any] = json.loads(marker.read_bytes())
        files = {name: (expected["bytes"], expected["sha256"]) for name, expected in facts["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(
            f"{marker} cannot be read ({type(error).__name__}: {error}); delete {directory} and run again"
        ) from error
    for name, (size, sha256) in files.items():
        file = directory / name
        if not file.is_file() or file.stat().st_size != size or (hashes and _sha256(file) != sha256):
            raise RequestError(
                f"{file} is not the file named in {MARKER}: damaged or replaced; delete {directory} and run again"
            )
    return facts


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def upload_directory(local: Path, uri: str, *, keep: bool = True) -> None:
    """Put a sealed directory at a URI, marker last. A sealed directory already there is replaced, anything else is not.

    Args:
        local: the directory.
        uri: where it goes.
        keep: leave `local` as it is; False: it may be renamed to a local `uri` on the same file system, which copies nothing.

    Raises:
        RequestError: the place holds files that are not a sealed directory of ours.
    """
    fs, path = filesystem(uri)
    names = {str(f.relative_to(local)) for f in local.rglob("*") if f.is_file()}
    present = files_below(uri)
    ours = names | {MARKER}  # an upload that was cut short left some of these
    if exists(join(uri, MARKER)):
        ours |= set(read_json(join(uri, MARKER)).get("files", ()))
    if present - ours:
        raise RequestError(
            f"{uri} holds files that are not ours ({min(present - ours)}); choose another output or remove them"
        )
    if is_remote(uri):
        _upload(local, fs, path, names, stale=present - names)
    else:
        _replace(local, Path(path), keep)


def _replace(local: Path, target: Path, keep: bool) -> None:
    """Copy (or move) beside the target, then swap by renaming."""
    scratch, old = (target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.{kind}") for kind in ("part", "old"))
    try:
        if keep:
            shutil.copytree(local, scratch)
        else:
            local.rename(scratch)
        scratch.chmod(0o755)  # temporary directories are private
        if target.exists():
            target.rename(old)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _upload(local: Path, fs: pafs.FileSystem, path: str, names: set[str], stale: set[str]) -> None:
    """Copy file by file; the old marker goes first and the new one comes last, so that a reader never sees a mixture."""
    if fs.get_file_info(f"{path}/{MARKER}").type == pafs.FileType.File:
        fs.delete_file(f"{path}/{MARKER}")
    for name in stale - {MARKER}:
        fs.delete_file(f"{path}/{name}")
    for name in sorted(names, key=lambda n: (n == MARKER, n)):
        pafs.copy_files(
            str(local / name), f"{path}/{name}", source_filesystem=pafs.LocalFileSystem(), destination_filesystem=fs
        )


def local_directory(uri: str) -> Path:
    """A local directory with the files of a sealed one; remote ones are fetched once and kept in the cache.

    Raises:
        RequestError: nothing complete is at that address.
    """
    if not is_remote(uri):
        return Path(absolute(uri))
    if not exists(join(uri, MARKER)):
        raise RequestError(f"{uri} holds no complete directory ({MARKER} is missing)")
    marker = read_bytes(join(uri, MARKER))
    key = hashlib.sha256(uri.encode() + marker).hexdigest()[:24]
    target = cache_directory() / "fetched" / key
    if not (target / MARKER).exists():
        _fetch(uri, list(json.loads(marker)["files"]), marker, target)
    return target


def _fetch(uri: str, names: list[str], marker: bytes, target: Path) -> None:
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise RequestError(f"{uri}: {MARKER} names a file outside the directory: {name!r}")

    def finish(scratch: Path) -> None:
        (scratch / MARKER).write_bytes(marker)
        verify_complete(scratch)

    download(*filesystem(uri), names, target, finish)
    if not (target / MARKER).exists():
        raise RequestError(f"{target}, the copy of {uri}, has lost its {MARKER}; remove it")


def download(
    fs: pafs.FileSystem, path: str, names: Sequence[str], target: Path, finish: Callable[[Path], None] = lambda _: None
) -> None:
    """Copy files below `path` into a new local directory `target`, which appears whole or not at all.

    Args:
        names: of the files, relative to `path`.
        finish: called with the copy before it takes its name; may add to it or refuse it.

    Raises:
        OSError: a file cannot be copied, and no other process has made `target` meanwhile.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        for name in names:
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            pafs.copy_files(
                f"{path}/{name}",
                str(scratch / name),
                source_filesystem=fs,
                destination_filesystem=pafs.LocalFileSystem(),
            )
        finish(scratch)
        scratch.rename(target)
    except OSError:
        if not target.exists():  # else another process was first
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
