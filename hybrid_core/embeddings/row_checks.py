"""Raw fields of a file to ids, languages and texts; what cannot be used is refused with its row, field and reason."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from hybrid_core.config import EncodeConfig
from hybrid_core.data.jsonl import MAX_CHARACTERS
from hybrid_core.data.languages import check_language
from hybrid_core.errors import RequestError

ID_FIELDS = ("id", "docid", "_id")
SCHEMA = pa.schema([("id", pa.string()), ("language", pa.string()), ("text", pa.string())])
LONGEST_ID = 2_000
"""Characters. Ids are kept with every embedding and printed with every result."""
_SPACE = r"[\s\v\x1c-\x1f\x{85}\p{Z}]"  # of Unicode, as Python's \s

Where = Callable[[int], str]
"""Row of a table, from 0 -> the words that name its place in the file."""


def id_fields(config: EncodeConfig) -> tuple[str, ...]:
    """Where an id may be, the first that is there counts."""
    return (config.id_field,) if config.id_field else ID_FIELDS


def checked(table: pa.Table, where: Where, config: EncodeConfig, language: str | None) -> pa.Table:
    """Ids, languages and texts of a table of raw fields.

    Args:
        table: the fields that are there, of any type.
        where: names a row in errors.
        config: names of the fields.
        language: of rows that do not say theirs.

    Raises:
        RequestError: names row, field and reason.
    """
    may_be_integers = id_fields(config)
    columns = {name: _text_column(table, name, where, name in may_be_integers) for name in table.column_names}
    nothing = pa.nulls(table.num_rows, pa.string())
    ids = pc.coalesce(*(columns.get(name, nothing) for name in may_be_integers))
    _refuse_missing(
        ids, where, f"field {' or '.join(may_be_integers)!r}: missing or empty; encode.id_field names the field"
    )
    check_ids(ids, where)
    texts = nothing
    for name in config.text_fields:
        part = columns.get(name, nothing)
        texts = pc.coalesce(pc.binary_join_element_wise(texts, part, " "), texts, part)
    _refuse_missing(texts, where, f"no text in {', '.join(config.text_fields)}; encode.text_fields names the fields")
    _refuse_longer(texts, MAX_CHARACTERS, where, f"more than {MAX_CHARACTERS:,} characters; split the text")
    return pa.table([ids, _languages(columns.get("language", nothing), language, where), texts], schema=SCHEMA)


def check_ids(ids: pa.ChunkedArray | pa.Array, where: Where) -> None:
    """Refuse ids that the results of a search could not hold.

    Raises:
        RequestError: white space in an id, or more than `LONGEST_ID` characters.
    """
    _refuse_longer(
        ids, LONGEST_ID, where, f"an id of more than {LONGEST_ID:,} characters; encode.id_field names the field"
    )
    row = pc.index(pc.match_substring_regex(ids, _SPACE), True).as_py()
    if row >= 0:
        raise RequestError(
            f"{where(row)}, id {ids[row].as_py()!r} holds white space, which parts the columns of a TREC run; replace it, or "
            "name another field (encode.id_field)"
        )


def _text_column(table: pa.Table, name: str, where: Where, may_be_integers: bool) -> pa.ChunkedArray:
    """As text without white space around it; empty is null."""
    column = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    readable = [pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null]
    readable += [pa.types.is_integer] if may_be_integers else []
    if not any(is_type(column.type) for is_type in readable):
        raise RequestError(
            f"{where(0)}, field {name!r}: {table[name].type} is not text{' or an integer' if may_be_integers else ''}"
        )
    column = column.cast(pa.string())
    _refuse_other_bytes(column, name, where)
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


def _refuse_other_bytes(column: pa.ChunkedArray, name: str, where: Where) -> None:
    """Arrow takes a writer's word for it that a text is UTF-8."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as invalid:
        for row, content in enumerate(column.cast(pa.binary()).to_pylist()):
            try:
                (content or b"").decode()
            except UnicodeDecodeError as error:
                raise RequestError(
                    f"{where(row)}, field {name!r}: byte {error.start} is not UTF-8; write the file with valid texts"
                ) from error
        raise invalid


def _languages(column: pa.ChunkedArray | pa.Array, default: str | None, where: Where) -> pa.ChunkedArray | pa.Array:
    given = column if default is None else pc.coalesce(column, default)
    _refuse_missing(
        given, where, "field 'language': missing, and no folder name says it (language=sw, or a version and a code as "
        "miracl-corpus-v1.0-sw); set encode.language",
    )  # fmt: skip
    for code in pc.unique(given).to_pylist():
        row = pc.index(given, code).as_py()
        check_language(code, f"{where(row)}, field 'language'")
    return given


def _refuse_missing(column: pa.ChunkedArray | pa.Array, where: Where, what: str) -> None:
    if column.null_count:
        raise RequestError(f"{where(pc.index(pc.is_null(column), True).as_py())}, {what}")


def _refuse_longer(column: pa.ChunkedArray | pa.Array, most: int, where: Where, what: str) -> None:
    row = pc.index(pc.greater(pc.utf8_length(column), most), True).as_py()
    if row >= 0:
        raise RequestError(f"{where(row)}, {what}")
