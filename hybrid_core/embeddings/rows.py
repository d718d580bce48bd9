"""Rows of texts from JSON lines (plain or gzip), Parquet and Arrow files, as a stream of checked tables id, language, text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from hybrid_core.config import EncodeConfig
from hybrid_core.data.jsonl import MAX_CHARACTERS, parse_record
from hybrid_core.data.languages import check_language
from hybrid_core.errors import RequestError

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet", ".arrow")
ID_FIELDS = ("id", "docid", "_id")
SCHEMA = pa.schema([("id", pa.string()), ("language", pa.string()), ("text", pa.string())])
MOST_BYTES = 1 << 24
"""Of text in a piece: several pieces are in memory at a time, however long the texts are."""
_BLOCK = 1 << 22  # bytes of JSON lines, or rows times a few hundred bytes, that are held at once
_LONGEST_LINE = 1 << 26
_ROWS = 8192

Where = Callable[[int], str]
"""Row of a table, from 0 -> the words that name its place in the file."""
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
        RequestError: names file, line or row, field and reason.
        OSError: the storage does not give it, or gzip is cut short.
    """
    fields = _fields(config)
    read = _json_lines if path.endswith((".jsonl", ".jsonl.gz")) else _parquet if path.endswith(".parquet") else _arrow
    try:
        for table, where, share in read(fs, path, shown, fields):
            yield _checked(table, where, config, language), share
    except (pa.ArrowException, EOFError) as error:
        raise RequestError(f"{shown} cannot be read: {str(error)[:300]}") from error


def _fields(config: EncodeConfig) -> tuple[str, ...]:
    ids = (config.id_field,) if config.id_field else ID_FIELDS
    return tuple(dict.fromkeys((*ids, "language", *config.text_fields)))


def _json_lines(fs: pafs.FileSystem, path: str, shown: str, fields: tuple[str, ...]) -> Raw:
    rest, line = b"", 1
    with fs.open_input_file(path) as file:
        size, stream = max(1, file.size()), pa.BufferedInputStream(file, _BLOCK)  # few large requests
        stream = pa.CompressedInputStream(stream, "gzip") if path.endswith(".gz") else stream
        while chunk := stream.read(_BLOCK):
            block, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                yield *_parsed(block, line, shown, fields), file.tell() / size
                line += block.count(b"\n") + 1
            elif len(rest) > _LONGEST_LINE:
                raise RequestError(
                    f"{shown}, line {line}: longer than {_LONGEST_LINE:,} bytes; every line must be one record"
                )
    if rest.strip():
        yield *_parsed(rest, line, shown, fields), 1.0


def _parsed(block: bytes, first_line: int, shown: str, fields: tuple[str, ...]) -> tuple[pa.Table, Where]:
    """Arrow reads a block fast; one it stumbles over is read line by line, which finds the words for an error."""
    schema = pa.schema([(name, pa.string()) for name in fields])
    options = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")

    def lines() -> Iterator[tuple[int, bytes]]:
        return ((n, raw) for n, raw in enumerate(block.split(b"\n"), start=first_line) if raw.strip())

    def where(row: int) -> str:
        return f"{shown}, line {next(n for place, (n, _) in enumerate(lines()) if place == row)}"

    try:
        table = pa_json.read_json(pa.BufferReader(block), pa_json.ReadOptions(block_size=len(block) + 1), options)
        table.validate(full=True)  # bytes that are not UTF-8
    except pa.ArrowException:
        records = [_texts(raw, f"{shown}, line {n}", fields) for n, raw in lines()]
        table = pa.Table.from_pylist(records, schema=schema)
    return table, where


def _texts(raw: bytes, where: str, fields: tuple[str, ...]) -> dict[str, str | None]:
    record = parse_record(raw, where)
    for name in fields:
        if not isinstance(record.get(name), str | None):
            raise RequestError(f"{where}, field {name!r}: {json.dumps(record[name])[:80]} is not text")
    return {name: record.get(name) for name in fields}


def _parquet(fs: pafs.FileSystem, path: str, shown: str, fields: tuple[str, ...]) -> Raw:
    with fs.open_input_file(path) as stream:
        file = pq.ParquetFile(stream)
        names = [name for name in fields if name in file.schema_arrow.names]
        first = 0
        for batch in file.iter_batches(_ROWS, columns=names):
            where = partial(_row_place, shown, first)
            first += batch.num_rows
            yield pa.Table.from_batches([batch]), where, first / file.metadata.num_rows


def _arrow(fs: pafs.FileSystem, path: str, shown: str, fields: tuple[str, ...]) -> Raw:
    """The file form, or the stream form, in which the `datasets` library saves."""
    with fs.open_input_file(path) as stream:
        try:
            file = pa.ipc.open_file(stream)
            count = file.num_record_batches
            batches = ((file.get_batch(i), (i + 1) / count) for i in range(count))
        except pa.ArrowInvalid:
            stream.seek(0)
            size = stream.size()
            batches = ((batch, stream.tell() / size) for batch in pa.ipc.open_stream(stream))
        first = 0
        for batch, share in batches:
            table = pa.Table.from_batches([batch]).select([n for n in fields if n in batch.schema.names])
            yield table, partial(_row_place, shown, first), share
            first += batch.num_rows


def _row_place(shown: str, first: int, row: int) -> str:
    return f"{shown}, row {first + row}"


def _checked(table: pa.Table, where: Where, config: EncodeConfig, language: str | None) -> pa.Table:
    """Ids, languages and texts of a table of raw fields."""
    columns = {name: _text_column(table, name, where) for name in table.column_names}
    nothing = pa.nulls(table.num_rows, pa.string())
    id_fields = (config.id_field,) if config.id_field else ID_FIELDS
    ids = pc.coalesce(*(columns.get(name, nothing) for name in id_fields))
    _refuse_missing(ids, where, f"field {' or '.join(id_fields)!r}: missing or empty; encode.id_field names the field")
    texts = nothing
    for name in config.text_fields:
        part = columns.get(name, nothing)
        texts = pc.coalesce(pc.binary_join_element_wise(texts, part, " "), texts, part)
    _refuse_missing(texts, where, f"no text in {', '.join(config.text_fields)}; encode.text_fields names the fields")
    length = pc.utf8_length(texts)
    _refuse_missing(
        pc.if_else(pc.greater(length, MAX_CHARACTERS), None, length),
        where,
        f"more than {MAX_CHARACTERS:,} characters; split the text",
    )
    return pa.table([ids, _languages(columns.get("language", nothing), language, where), texts], schema=SCHEMA)


def _text_column(table: pa.Table, name: str, where: Where) -> pa.ChunkedArray:
    """As text without white space around it; empty is null."""
    column = table[name]
    readable = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null, pa.types.is_integer)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not any(is_type(kind) for is_type in readable):
        raise RequestError(f"{where(0)}, field {name!r}: {column.type} is not text")
    trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


def _languages(column: pa.ChunkedArray | pa.Array, default: str | None, where: Where) -> pa.ChunkedArray | pa.Array:
    given = column if default is None else pc.coalesce(column, default)
    _refuse_missing(
        given, where, "field 'language': missing, and the folder's name does not end with one; set encode.language"
    )
    for code in pc.unique(given).to_pylist():
        row = pc.index(given, code).as_py()
        check_language(code, f"{where(row)}, field 'language'")
    return given


def _refuse_missing(column: pa.ChunkedArray | pa.Array, where: Where, what: str) -> None:
    if column.null_count:
        raise RequestError(f"{where(pc.index(pc.is_null(column), True).as_py())}, {what}")


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
