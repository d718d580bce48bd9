"""MIRACL and Mr. TyDi in their published form: topics and judgements per language, passages in gzip shards.

Queries are asked in their own language only (setting mono). The text of a passage is its title, a space and its text;
ids carry the language (`sw-6`, `sw-32589#0`), because topics of two languages share numbers. `miracl_judged` searches
only the judged documents: a small, hard pool whose scores must not stand beside published ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hybrid_core.data.suites.beir import first_repeated, rows_of
from hybrid_core.data.suites.collection import Suite, Texts, check_settings
from hybrid_core.data.suites.passages import HUGGING_FACE, read_passages
from hybrid_core.data.suites.places import suite_folder
from hybrid_core.data.suites.published import MIRACL, MR_TYDI, Published
from hybrid_core.data.suites.qrels import Judgements, read_judgements, read_lines, relevant_rows
from hybrid_core.errors import RequestError, nearest

PUBLISHED = {"miracl": MIRACL, "miracl_judged": MIRACL, "tydi": MR_TYDI}


def load_published(name: str, languages: Sequence[str], folder: str, corpus: str | None = None) -> Suite:
    """Load `miracl`, `miracl_judged` or `tydi` and check the published counts of every language.

    Args:
        name: a key of PUBLISHED.
        languages: their codes; empty: all of the collection.
        folder: local or `s3://` folder of topics, judgements and, unless `corpus` says otherwise, passages.
        corpus: where the passages are instead: a local or `s3://` folder, or `hf://datasets/miracl/miracl-corpus`.

    Raises:
        RequestError: absent files (where to get them), other counts, or a judged document that no file holds.
    """
    about = PUBLISHED[name]
    chosen = sorted(languages or about.languages)
    for language in chosen:
        if language not in about.languages:
            raise RequestError(
                f"evaluate.suites: {name!r} has no language {language!r}{nearest(language, about.languages)}"
            )
    suite = _empty(name, chosen, about)
    for language in chosen:
        _add_language(suite, about, language, folder, corpus, only_judged=name == "miracl_judged")
    return check_settings(suite, folder)


def _empty(name: str, languages: Sequence[str], about: Published) -> Suite:
    source = f"{about.title} {about.split}, {' and '.join(dict.fromkeys(about.get))}"
    if name == "miracl_judged":
        source += "; only judged documents are searched, scores do not compare with published ones"
    return Suite(suite_name(name, languages), Texts(), Texts(), [], ("mono",), about.licence, source)


def suite_name(name: str, languages: Sequence[str]) -> str:
    """Name of the suite of some languages of a collection: `miracl_bn_sw`; of all of them, the collection's own."""
    return name if len(languages) == len(PUBLISHED[name].languages) else "_".join([name, *languages])


def collection_of(suite: str) -> str:
    """The collection of which a suite is a part or the whole, by its name: `miracl` of `miracl_bn_sw`; else the name itself."""
    for name, about in PUBLISHED.items():
        parts = suite.removeprefix(f"{name}_").split("_")
        if suite.startswith(f"{name}_") and set(parts) <= set(about.languages):
            return name
    return suite


def _add_language(
    suite: Suite, about: Published, language: str, folder: str, corpus: str | None, *, only_judged: bool
) -> None:
    wanted = _wanted(about, language)
    with suite_folder(folder, wanted) as local:
        topics = _first(local, about, about.topics, language, folder)
        judgements = read_judgements(_first(local, about, about.qrels, language, folder), None)
        ids, texts = _read_topics(topics)
        _check_published(about, language, topics, len(ids), judgements)
        judged = set(judgements.passage_ids) if only_judged else None
        place = corpus or folder
        if place.startswith(HUGGING_FACE):
            found = read_passages(place, about, language, judged)
        else:
            with suite_folder(place, wanted) as shards:
                found = read_passages(str(shards), about, language, judged)
        passage_row = rows_of(found.ids, judgements.passage_ids)
        relevant = relevant_rows(judgements, rows_of(ids, judgements.query_ids), passage_row, len(ids), None)
    suite.relevant += [rows + len(suite.passages) for rows in relevant]
    suite.queries.extend([f"{language}-{id}" for id in ids], language, texts)
    suite.passages.extend([f"{language}-{id}" for id in found.ids], language, found.texts, sentences=found.bodies)


def _wanted(about: Published, language: str) -> Callable[[str], bool]:
    files = set(about.paths(about.topics + about.qrels, language))
    (corpus,) = about.paths((about.corpus,), language)
    return lambda name: name in files or name.startswith(f"{corpus}/")


def _first(local: Path, about: Published, patterns: tuple[str, ...], language: str, folder: str) -> Path:
    names = about.paths(patterns, language)
    for name in names:
        if (local / name).is_file():
            return local / name
    raise RequestError(
        f"{folder} holds no {' and no '.join(names)}; get it from {about.get[0]} ({about.licence}), or "
        "name only the languages you have, for example as in miracl/sw"
    )


def _read_topics(file: Path) -> tuple[list[str], list[str]]:
    ids, texts = list[str](), list[str]()
    for number, line in read_lines(file):
        parts = line.split("\t")
        if len(parts) != 2 or not all(part.strip() for part in parts):
            raise RequestError(f"{file}, line {number}: {line[:80]!r} is not a topic (query id, tab, query)")
        ids.append(parts[0])
        texts.append(parts[1])
    again = first_repeated(ids)
    if again is not None:
        raise RequestError(f"{file}, line {again + 1}: query id {ids[again]!r} occurs twice")
    return ids, texts


def _check_published(about: Published, language: str, topics: Path, queries: int, judgements: Judgements) -> None:
    expected = about.languages[language]
    relevant = int(np.count_nonzero(np.array(judgements.grades) == "1"))
    for file, what, found, wanted in (
        (topics, "topics", queries, expected.topics),
        (judgements.file, "judgements", len(judgements.lines), expected.judged),
        (judgements.file, "relevant judgements", relevant, expected.relevant),
    ):
        if found != wanted:
            raise RequestError(
                f"{file}: {found} {what}, {about.title} has {wanted} for language {language!r}; the file is not the published one"
            )
