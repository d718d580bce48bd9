"""Rows of texts from JSON lines (plain or gzip), Parquet and Arrow files, as a stream of checked tables id, language, text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from hybrid_core.config import EncodeConfig
from hybrid_core.data.jsonl import check_unicode, parse_record
from hybrid_core.embeddings.files import StoredFile
from hybrid_core.embeddings.row_checks import Where, checked, id_fields
from hybrid_core.errors import RequestError

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet", ".arrow")
MOST_BYTES = 1 << 24
"""Of text in a piece: several pieces are in memory at a time, however long the texts are."""
_BLOCK = 1 << 22  # bytes of JSON lines, or rows times a few hundred bytes, that are held at once
_LONGEST_LINE = 1 << 26
_ROWS = 8192

Raw = Iterator[tuple[pa.Table, Where, float]]
"""Tables of raw fields, where their rows are, and the share of the file that has been read with them."""


def read_file(
    fs: pafs.FileSystem, path: str, shown: str, config: EncodeConfig, language: str | None
) -> Iterator[tuple[pa.Table, float]]:
    """Checked rows of one file, each table with the share of the file that has been read with it.

    Args:
        fs: where the file lies.
        path: in that file system.
        shown: the file's name in errors.
        config: names of the fields.
        language: of rows without a field `language`.

    Raises:
        RequestError: names file, line or row, field and reason; the file is damaged or cut short.
        OSError: the storage does not give it.
    """
    read = _json_lines if path.endswith((".jsonl", ".jsonl.gz")) else _parquet if path.endswith(".parquet") else _arrow
    with StoredFile(fs, path) as stored:
        try:
            for table, where, share in read(stored, path, shown, config):
                yield checked(table, where, config, language), share
        except (pa.ArrowException, OSError) as error:  # OSError is what Arrow says of gzip that is cut short, too
            if stored.error:
                raise stored.error from None
            raise RequestError(
                f"{shown} cannot be read: {str(error)[:300]}; the file is damaged or cut short, fetch it again"
            ) from error


def _fields(config: EncodeConfig) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*id_fields(config), "language", *config.text_fields)))


def _json_lines(stored: StoredFile, path: str, shown: str, config: EncodeConfig) -> Raw:
    rest, line = b"", 1
    size, file = max(1, stored.size), pa.PythonFile(stored, mode="r")
    stream = pa.BufferedInputStream(file, _BLOCK)  # few large requests
    stream = pa.CompressedInputStream(stream, "gzip") if path.endswith(".gz") else stream
    while chunk := stream.read(_BLOCK):
        block, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield *_parsed(block, line, shown, config), stored.tell() / size
            line += block.count(b"\n") + 1
        elif len(rest) > _LONGEST_LINE:
            raise RequestError(
                f"{shown}, line {line}: longer than {_LONGEST_LINE:,} bytes; every line must be one record"
            )
    if rest.strip():
        yield *_parsed(rest, line, shown, config), 1.0


def _parsed(block: bytes, first_line: int, shown: str, config: EncodeConfig) -> tuple[pa.Table, Where]:
    """Arrow reads a block fast; one it stumbles over is read line by line, which finds the words for an error."""
    numbered = [(n, raw) for n, raw in enumerate(map(bytes.strip, block.split(b"\n")), start=first_line) if raw]
    schema = pa.schema([(name, pa.string()) for name in _fields(config)])
    table = _parsed_by_arrow(block, schema)
    if table is None or table.num_rows != len(numbered) or not all(map(_is_braced, numbered)):
        records = [_record(raw, f"{shown}, line {n}", config) for n, raw in numbered]
        table = pa.Table.from_pylist(records, schema=schema)
    numbers = [n for n, _ in numbered]
    return table, lambda row: f"{shown}, line {numbers[row]}"


def _parsed_by_arrow(block: bytes, schema: pa.Schema) -> pa.Table | None:
    options = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = pa_json.read_json(pa.BufferReader(block), pa_json.ReadOptions(block_size=len(block) + 1), options)
        table.validate(full=True)  # bytes that are not UTF-8
    except pa.ArrowException:
        return None
    return table


def _is_braced(line: tuple[int, bytes]) -> bool:
    """Arrow ignores where lines end. No object has a line end between } and {, so that where every line begins with { and
    ends with }, it ends as many objects as it begins; and if there are as many rows as lines, it holds one."""
    return line[1].startswith(b"{") and line[1].endswith(b"}")


def _record(raw: bytes, where: str, config: EncodeConfig) -> dict[str, str | None]:
    """The fields of a line; an id may be an integer."""
    record = parse_record(raw, where)
    found: dict[str, str | None] = {}
    for name in _fields(config):
        value, place = record.get(name), f"{where}, field {name!r}"
        if type(value) is int and name in id_fields(config):
            value = str(value)
        if not isinstance(value, str | None):
            kind = "text or an integer" if name in id_fields(config) else "text"
            raise RequestError(f"{place}: {json.dumps(value)[:80]} is not {kind}")
        found[name] = value and check_unicode(value, place)
    return found


def _parquet(stored: StoredFile, path: str, shown: str, config: EncodeConfig) -> Raw:
    file = pq.ParquetFile(pa.PythonFile(stored, mode="r"))
    names = [name for name in _fields(config) if name in file.schema_arrow.names]
    first = 0
    for batch in file.iter_batches(_ROWS, columns=names):
        where = partial(_row_place, shown, first)
        first += batch.num_rows
        yield pa.Table.from_batches([batch]), where, first / file.metadata.num_rows


def _arrow(stored: StoredFile, path: str, shown: str, config: EncodeConfig) -> Raw:
    """The file form, or the stream form, in which the `datasets` library saves."""
    stream = pa.PythonFile(stored, mode="r")
    try:
        file = pa.ipc.open_file(stream)
        count = file.num_record_batches
        batches = ((file.get_batch(i), (i + 1) / count) for i in range(count))
    except pa.ArrowInvalid:
        stream.seek(0)
        batches = ((batch, stored.tell() / stored.size) for batch in pa.ipc.open_stream(stream))
    first = 0
    for batch, share in batches:
        table = pa.Table.from_batches([batch]).select([n for n in _fields(config) if n in batch.schema.names])
        yield table, partial(_row_place, shown, first), share
        first += batch.num_rows


def _row_place(shown: str, first: int, row: int) -> str:
    return f"{shown}, row {first + row}"


def regroup(
    tables: Iterable[tuple[pa.Table, float]], rows: int, most: int = MOST_BYTES
) -> Iterator[tuple[pa.Table, float]]:
    """The same rows in pieces, each with the share that has been used up with it; memory is bounded by both limits.

    Args:
        tables: id, language, text; and how much of the source (0 to 1) has been read with each.
        rows: of a piece; the last one is shorter.
        most: bytes of text; a row that would go beyond begins a new piece. Where pieces end depends on the rows alone.
    """
    held: list[pa.Table] = []
    waiting, size, used = 0, 0, 0.0
    for table, share in tables:
        held.append(table)
        waiting, size = waiting + table.num_rows, size + _bytes_of(table)
        while waiting >= rows or size > most:
            whole = pa.concat_tables(held)
            end = _end_of_piece(whole, rows, most)
            piece, rest = whole.slice(0, end).combine_chunks(), whole.slice(end)
            used += (share - used) * end / waiting
            yield piece, used
            held, waiting, size = [rest], rest.num_rows, size - _bytes_of(piece)
    if waiting:
        yield pa.concat_tables(held).combine_chunks(), 1.0


def _bytes_of(table: pa.Table) -> int:
    return int(pc.sum(pc.binary_length(table["text"]), min_count=0).as_py())


def _end_of_piece(table: pa.Table, rows: int, most: int) -> int:
    """How many of the first rows make a piece, at least one."""
    sizes = pc.binary_length(table["text"].slice(0, rows)).to_numpy()
    return max(1, int(np.searchsorted(np.cumsum(sizes), most, side="right")))
