"""Passages of MIRACL and Mr. TyDi: shards of JSON lines in a folder, or the Hugging Face dataset that holds those shards."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hybrid_core.data.suites.beir import first_repeated
from hybrid_core.data.suites.columns import Columns, columns_of, line_of, read_columns
from hybrid_core.data.suites.published import Published
from hybrid_core.errors import RequestError

HUGGING_FACE = "hf://datasets/"


@dataclass
class Passages:
    """Parallel columns; `texts` is title, space and body."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    origins: list[tuple[Path | str, int]] = field(default_factory=list)
    """File or dataset each block of rows came from, and the number of rows read from it."""


def read_passages(place: str, about: Published, language: str, judged: set[str] | None) -> Passages:
    """All passages of one language, or the judged ones.

    Args:
        place: local folder that holds the corpus folders, or `hf://datasets/NAME`.
        about: names and fields of the collection.
        language: one of its languages.
        judged: ids to keep; None keeps all and checks the published number.

    Raises:
        RequestError: nothing is there (where to get it), a repeated id, an empty passage, or another number of passages.
    """
    (corpus,) = about.paths((about.corpus,), language)
    found = Passages()
    if place.startswith(HUGGING_FACE):
        if about.text_fields is None:
            raise RequestError(f"{about.title}: passages come from a folder of the published files, not from {place}")
        source = f"{place.rstrip('/')}/{corpus}/{about.shards}"
        _append(found, source, hugging_face_columns(source, _fields(about)), about, judged, _row_place(source))
        shown = source
    else:
        for shard in _shards(Path(place), about, language, corpus):
            columns = read_columns(shard, (about.id_field,), (), _fields(about)[1:])
            _append(found, shard, columns, about, judged, _line_place(shard))
        shown = f"{place}/{corpus}"
    _check(found, shown, about, language, judged)
    return found


def _fields(about: Published) -> tuple[str, ...]:
    return (about.id_field, *(about.text_fields or ("contents",)))


def _line_place(file: Path) -> Callable[[int], str]:
    return lambda row: f"{file}, line {line_of(file, row)}"


def _row_place(source: str) -> Callable[[int], str]:
    return lambda row: f"{source}, row {row}"


def _shards(folder: Path, about: Published, language: str, corpus: str) -> list[Path]:
    shards = sorted((folder / corpus).glob(about.shards), key=lambda f: [int(n) for n in re.findall(r"\d+", f.name)])
    if not shards:
        raise RequestError(
            f"{about.title}: the passages of language {language!r} are missing, there is no {folder / corpus}/{about.shards}; get "
            f"them from {about.get[1]} ({about.licence}) and put the folder {corpus} into {folder}"
        )
    return shards


def hugging_face_columns(source: str, names: tuple[str, ...]) -> Columns:
    """Columns of JSON-lines files through the `datasets` library, which downloads and caches them.

    Raises:
        RequestError: the files cannot be had; offline, or another name.
    """
    import datasets

    features = datasets.Features({name: datasets.Value("string") for name in names})
    try:
        rows = datasets.load_dataset("json", data_files=source, split="train", features=features)
    except Exception as error:  # hub, HTTP client and datasets each have errors of their own
        raise RequestError(
            f"{source} cannot be loaded ({type(error).__name__}: {str(error)[:300]}); check network and HF_HUB_OFFLINE, or fetch the "
            "files and name their folder"
        ) from error
    return columns_of(rows.with_format("arrow")[:], names)


def _append(
    found: Passages, origin: Path | str, columns: Columns, about: Published, judged: set[str] | None,
    place: Callable[[int], str],
) -> None:  # fmt: skip
    ids = columns[about.id_field]
    titles, bodies = _titles_and_bodies(columns, about)
    texts = [f"{t} {b}" if t and b else t or b for t, b in zip(titles, bodies, strict=True)]
    empty = next(
        (row for row, (id, text) in enumerate(zip(ids, texts, strict=True)) if not (id and text.strip())), None
    )
    if empty is not None:
        raise RequestError(f"{place(empty)}: passage {ids[empty]!r} has neither title nor text, or no id")
    again = first_repeated(ids)
    if again is not None:
        raise RequestError(f"{place(again)}, field {about.id_field!r}: {ids[again]!r} occurs twice")
    if judged is not None:
        kept = [row for row, id in enumerate(ids) if id in judged]
        ids, texts, bodies = ([column[row] for row in kept] for column in (ids, texts, bodies))
    found.ids += ids
    found.texts += texts
    found.bodies += [body or text for body, text in zip(bodies, texts, strict=True)]
    found.origins.append((origin, len(ids)))


def _titles_and_bodies(columns: Columns, about: Published) -> tuple[list[str], list[str]]:
    if about.text_fields:
        title, text = about.text_fields
        return columns[title], columns[text]
    parted = [content.partition("\n\n") for content in columns["contents"]]
    return [title if body else "" for title, _, body in parted], [body or title for title, _, body in parted]


def _check(found: Passages, shown: str, about: Published, language: str, judged: set[str] | None) -> None:
    again = first_repeated(found.ids)
    if again is not None:
        raise RequestError(f"{shown}: passage id {found.ids[again]!r} occurs in two files")
    expected = about.languages[language].passages
    if judged is None and len(found.ids) != expected:
        files = len(found.origins)
        smaller = ", or use miracl_judged for the judged documents only" if about.text_fields else ""
        raise RequestError(
            f"{shown}: {len(found.ids)} passages in {files} file{'s' * (files != 1)}, {about.title} has {expected} for language "
            f"{language!r}; a shard is missing or cut{smaller}"
        )
