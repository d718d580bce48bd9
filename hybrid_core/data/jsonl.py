"""JSON lines from outside, checked: every error names file, line, field and reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hybrid_core.errors import RequestError

MAX_CHARACTERS = 200_000


def read_jsonl(file: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, record) of a UTF-8 JSON-lines file; the required fields are non-empty strings.

    Raises:
        RequestError: missing file, bytes that are not UTF-8, a line that is not a JSON object, a missing, empty,
            non-text or over-long field.
    """
    if not file.is_file():
        raise RequestError(f"{file} is not a file" if file.exists() else f"{file} does not exist")
    with file.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if raw.strip():
                yield number, _record(raw, f"{file}, line {number}", required)


def _record(raw: bytes, where: str, required: Sequence[str]) -> dict[str, Any]:
    record = parse_record(raw, where)
    for name in required:
        check_text(record.get(name), f"{where}, field {name!r}", present=name in record)
    return record


def parse_record(raw: bytes, where: str) -> dict[str, Any]:
    """One line as a JSON object.

    Raises:
        RequestError: bytes that are not UTF-8, not JSON, or not an object.
    """
    try:
        record = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RequestError(f"{where}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise RequestError(
            f"{where}: not JSON ({error.msg} at character {error.pos}); every line must be one JSON object"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of nested lists
        raise RequestError(f"{where}: not JSON that can be read ({error})") from error
    if not isinstance(record, dict):
        raise RequestError(f"{where}: a {type(record).__name__} instead of a JSON object")
    return record


def check_text(value: object, where: str, *, present: bool = True) -> str:
    """Return a text that can be used, or say what is wrong with it."""
    if not present:
        raise RequestError(f"{where}: missing")
    if not isinstance(value, str):
        raise RequestError(f"{where}: {value!r} is not text")
    check_unicode(value, where)
    if not value.strip():
        raise RequestError(f"{where}: empty")
    if len(value) > MAX_CHARACTERS:
        raise RequestError(f"{where}: {len(value):,} characters, more than {MAX_CHARACTERS:,}; split the text")
    return value


def check_unicode(value: str, where: str) -> str:
    """Return a text that can be written as UTF-8, or refuse it."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"{where}: half of a surrogate pair (a cut \\uXXXX escape); text must be valid Unicode"
        ) from error
    return value
