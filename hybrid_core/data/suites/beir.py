"""Folders of JSON lines and judgements: the form of this product and the original form of BEIR.

Ours: queries.jsonl, passages.jsonl (id, language, text[, meaning_id, domain]), qrels.tsv (query id, 0, passage id,
relevance; no header), optional suite.json. BEIR's: queries.jsonl, corpus.jsonl (_id, text[, title, language]) and
qrels/test.tsv or qrels/dev.tsv with a header; the text of a passage is its title, a space and its text, and a query
that the split does not judge is left out. suite.json may give name, domain, languages, settings, licence, source,
counts and relevant_from. Without settings those apply in which some query has a relevant passage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hybrid_core.data.languages import check_language
from hybrid_core.data.suites.about import About, place_of, read_about
from hybrid_core.data.suites.collection import Suite, Texts, applicable_settings, check_counts, check_settings
from hybrid_core.data.suites.columns import Columns, line_of, read_columns
from hybrid_core.data.suites.places import suite_folder
from hybrid_core.data.suites.qrels import BEIR_FORM, FOLDER_FORM, Judgements, read_judgements, relevant_rows
from hybrid_core.errors import RequestError
from hybrid_core.storage import exists, join


def is_beir(uri: str) -> bool:
    """Whether the address holds a folder of either form (both have queries.jsonl)."""
    return exists(join(uri, "queries.jsonl"))


def load_beir(folder: Path | str, counts: dict[str, int] | None = None) -> Suite:
    """Load a folder of either form.

    Args:
        folder: local path, `file://` or `s3://` address.
        counts: expected numbers of queries, passages and relevant pairs, checked like those of suite.json.

    Raises:
        RequestError: names file and line of an unknown id, a duplicate, an empty text, a wrong language, a broken or
            contradicting judgement; or the setting in which nothing is relevant.
    """
    with suite_folder(str(folder)) as local:
        about = read_about(local / "suite.json")
        suite = (_load_original if (local / "corpus.jsonl").exists() else _load_folder)(local, about)
        suite.name = about.name or str(folder).rstrip("/").split("/")[-1]
        _check_languages(suite, about, local)
        check_counts(suite, about.counts, place_of(local / "suite.json", "counts"))
        check_counts(suite, counts or {}, str(folder))
        return check_settings(suite, place_of(local / "suite.json", "settings"))


def _load_folder(folder: Path, about: About) -> Suite:
    queries = _read_texts(folder / "queries.jsonl", about.domain)
    passages = _read_texts(folder / "passages.jsonl", "")
    judgements = read_judgements(folder / "qrels.tsv", FOLDER_FORM)
    return _assemble(queries, passages, judgements, about)


def _read_texts(file: Path, domain: str) -> Texts:
    columns = read_columns(file, ("id", "language", "text"), ("meaning_id", "domain"))
    _check_ids(file, columns["id"], "id")
    _check_codes(file, columns["language"])
    texts = Texts()
    texts.extend(
        columns["id"], columns["language"], columns["text"],
        meaning_ids=[meaning or id for meaning, id in zip(columns["meaning_id"], columns["id"], strict=True)],
        domains=[d or domain for d in columns["domain"]],
    )  # fmt: skip
    return texts


def _load_original(folder: Path, about: About) -> Suite:
    judgements = read_judgements(_split_file(folder), BEIR_FORM)
    queries = _read_original(folder / "queries.jsonl", about, set(judgements.query_ids))
    passages = _read_original(folder / "corpus.jsonl", about, None)
    queries.domains = [domain or about.domain for domain in queries.domains]
    return _assemble(queries, passages, judgements, about)


def _split_file(folder: Path) -> Path:
    for split in ("test", "dev"):
        if (folder / "qrels" / f"{split}.tsv").is_file():
            return folder / "qrels" / f"{split}.tsv"
    raise RequestError(f"{folder / 'qrels'} holds neither test.tsv nor dev.tsv; BEIR's judgements lie there")


def _read_original(file: Path, about: About, judged: set[str] | None) -> Texts:
    columns = read_columns(file, ("_id",), ("language", "meaning_id", "domain"), ("title", "text"))
    ids = columns["_id"]
    _check_ids(file, ids, "_id")
    languages = _original_languages(file, columns, about)
    texts = [f"{t} {b}" if t and b else t or b for t, b in zip(columns["title"], columns["text"], strict=True)]
    empty = next((row for row, text in enumerate(texts) if not text.strip()), None)
    if empty is not None:
        raise RequestError(f"{file}, line {line_of(file, empty)}, field 'text': empty, and no title either")
    meanings = [m or id for m, id in zip(columns["meaning_id"], ids, strict=True)]
    bodies = [body or text for body, text in zip(columns["text"], texts, strict=True)]
    kept = [row for row, id in enumerate(ids) if judged is None or id in judged]
    found = Texts()
    table = [ids, languages, texts, meanings, columns["domain"], bodies]
    ids, languages, texts, meanings, domains, bodies = ([column[row] for row in kept] for column in table)
    found.extend(ids, languages, texts, meaning_ids=meanings, domains=domains, sentences=bodies)
    return found


def _original_languages(file: Path, columns: Columns, about: About) -> list[str]:
    """The field `language`, or the one language of suite.json: BEIR itself does not say."""
    default = about.languages[0] if len(about.languages) == 1 else ""
    languages = [language or default for language in columns["language"]]
    if "" in languages:
        raise RequestError(
            f"{file}, line {line_of(file, languages.index(''))}, field 'language': missing; give every record one, or name "
            'the only one in suite.json, for example {"languages": ["en"]}'
        )
    _check_codes(file, languages)
    return languages


def _check_ids(file: Path, ids: Sequence[str], field: str) -> None:
    if not ids:
        raise RequestError(f"{file} is empty")
    row = first_repeated(ids)
    if row is not None:
        raise RequestError(f"{file}, line {line_of(file, row)}, field {field!r}: {ids[row]!r} occurs twice")


def first_repeated(ids: Sequence[str]) -> int | None:
    """Row of the first id that was there before, None if all differ."""
    if len(set(ids)) == len(ids):
        return None
    seen = set[str]()
    return next(row for row, id in enumerate(ids) if id in seen or seen.add(id))  # type: ignore[func-returns-value]


def _check_codes(file: Path, languages: list[str]) -> None:
    for code in dict.fromkeys(languages):
        try:
            check_language(code, "")
        except RequestError:
            check_language(code, f"{file}, line {line_of(file, languages.index(code))}, field 'language'")


def rows_of(ids: Sequence[str], wanted: Iterable[str]) -> dict[str, int]:
    """Rows of the wanted ids; a corpus of millions needs no dictionary of all of them."""
    asked = set(wanted)
    return {id: row for row, id in enumerate(ids) if id in asked}


def _assemble(queries: Texts, passages: Texts, judgements: Judgements, about: About) -> Suite:
    relevant = relevant_rows(
        judgements, rows_of(queries.ids, judgements.query_ids), rows_of(passages.ids, judgements.passage_ids), len(queries),
        about.relevant_from,
    )  # fmt: skip
    settings = about.settings or applicable_settings(queries, passages, relevant)
    return Suite(about.name, queries, passages, relevant, settings, about.licence or "unknown", about.source)


def _check_languages(suite: Suite, about: About, folder: Path) -> None:
    suite.source = suite.source or suite.name
    present = set(suite.passages.languages)
    file = folder / ("corpus.jsonl" if (folder / "corpus.jsonl").exists() else "passages.jsonl")
    for language in about.languages:
        if language not in present:
            where = place_of(folder / "suite.json", "languages")
            raise RequestError(f"{where}: {language!r} is listed, but {file.name} holds no passage in it")
