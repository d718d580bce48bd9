"""JSON lines, plain or gzip, as columns. Arrow reads them fast; a file it stumbles over is read again line by line.

The slow way decides what is an error and names the line, so both ways refuse the same files.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.json as pa_json

from hybrid_core.data.jsonl import MAX_CHARACTERS, check_text, read_jsonl
from hybrid_core.data.suites.places import naming
from hybrid_core.errors import RequestError

_BLOCK = 1 << 24  # bytes; longer than any line that is accepted

Columns = dict[str, list[str]]


def read_columns(
    file: Path, required: Sequence[str], optional: Sequence[str] = (), maybe_empty: Sequence[str] = ()
) -> Columns:
    """Read fields of a `.jsonl` or `.jsonl.gz` file as parallel lists, one entry per record.

    Args:
        file: UTF-8 JSON lines; blank lines are skipped.
        required: fields that must be texts with something in them.
        optional: labels; absent or null becomes "", anything else its text.
        maybe_empty: texts that may be absent or empty, but nothing else.

    Raises:
        RequestError: names file, line, field and reason.
    """
    if not file.is_file():
        raise RequestError(f"{file} is not a file" if file.exists() else f"{file} does not exist")
    columns = _by_arrow(file, (*required, *optional, *maybe_empty))
    if columns is None or not _usable(columns, required):
        columns = _by_line(file, required, optional, maybe_empty)
    return columns


def _by_arrow(file: Path, names: Sequence[str]) -> Columns | None:
    schema = pa.schema([(name, pa.string()) for name in names])
    parse = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = pa_json.read_json(str(file), pa_json.ReadOptions(block_size=_BLOCK), parse)
        return columns_of(table, names)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return None  # the slow way finds the line and the words for it


def columns_of(table: pa.Table, names: Sequence[str]) -> Columns:
    """Text columns of an Arrow table as lists; null is ""."""
    return {name: [text or "" for text in table.column(name).to_pylist()] for name in names}


def _usable(columns: Columns, required: Sequence[str]) -> bool:
    whole = all(all(map(str.strip, columns[name])) for name in required)
    return whole and all(max(map(len, column), default=0) <= MAX_CHARACTERS for column in columns.values())


def _by_line(file: Path, required: Sequence[str], optional: Sequence[str], maybe_empty: Sequence[str]) -> Columns:
    columns: Columns = {name: [] for name in (*required, *optional, *maybe_empty)}
    with _unzipped(file) as plain:
        for number, record in read_jsonl(plain, required):
            for name in maybe_empty:
                if record.get(name) not in (None, ""):
                    _check_maybe_empty(record[name], f"{plain}, line {number}, field {name!r}")
            for name in columns:
                columns[name].append(str(record.get(name) or ""))
    return columns


def _check_maybe_empty(value: object, where: str) -> None:
    if not (isinstance(value, str) and not value.strip()):
        check_text(value, where)


@contextmanager
def _unzipped(file: Path) -> Iterator[Path]:
    """The plain file, or an unpacked temporary copy of a gzip file; errors name the file itself."""
    if file.suffix != ".gz":
        yield file
        return
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / file.stem
        try:
            with gzip.open(file, "rb") as packed, plain.open("wb") as out:
                shutil.copyfileobj(packed, out)
        except (OSError, EOFError, zlib.error) as error:
            raise RequestError(f"{file}: damaged gzip ({error}); fetch it again") from error
        with naming(plain, str(file)):
            yield plain


def open_lines(file: Path) -> BinaryIO:
    """The bytes of a plain or gzip file."""
    return cast("BinaryIO", gzip.open(file, "rb")) if file.suffix == ".gz" else file.open("rb")


def line_of(file: Path, row: int) -> int:
    """Line number, from 1, of the record in row `row`, from 0: blank lines are no records."""
    with open_lines(file) as stream:
        numbers = (number for number, raw in enumerate(stream, start=1) if raw.strip())
        return next(number for place, number in enumerate(numbers) if place == row)
