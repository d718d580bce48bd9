"""The corpus in memory: right values, right joins, right groups, and only the chosen languages."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import LANGUAGES, made_up_pairs
from corpus_helpers import (
    joined,
    modest,
    some_pairs,
    written,
)
from hypothesis import given
from hypothesis import strategies as st

from hybrid_core.data.corpus import NO_GROUP, Corpus, Negative, Pair
from hybrid_core.data.corpus_writer import passage_groups, write_corpus
from hybrid_core.errors import RequestError


def rows(corpus: Corpus) -> list[Pair]:
    everything = np.arange(corpus.manifest["rows"])
    names = [f.name for f in dataclasses.fields(Pair)]
    found = [Pair(*values) for values in zip(*(corpus.column(n, everything) for n in names), strict=True)]
    return [dataclasses.replace(p, negatives=negatives(p.negatives)) for p in found]


def negatives(found: Iterable[dict[str, Any]]) -> tuple[Negative, ...]:
    return tuple(Negative(n["text"], n["language"], n["score"]) for n in found)


def components(pairs: list[Pair]) -> set[frozenset[str]]:
    """Meanings joined by equal passages: the smallest label spreads until nothing changes."""
    label = {p.meaning_id: p.meaning_id for p in pairs}
    for _ in label:
        for p, q in itertools.product(pairs, pairs):
            if (p.language, p.passage.split()) == (q.language, q.passage.split()):
                label[p.meaning_id] = min(label[p.meaning_id], label[q.meaning_id])
    return {frozenset(m for m in label if label[m] == name) for name in label.values()}


@modest
@given(pairs=some_pairs)
def test_rows_come_back_as_written_sorted_by_language_and_meaning(pairs: list[Pair]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        corpus = written(Path(directory), pairs)
        assert rows(corpus) == sorted(pairs, key=lambda p: (p.language, p.meaning_id))


@modest
@given(pairs=some_pairs)
def test_rows_of_a_language_are_exactly_its_pairs(pairs: list[Pair]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        corpus = written(Path(directory), pairs)
        found = rows(corpus)
        for language in corpus.languages:
            first, end = corpus.rows_of(language)
            assert [p.language for p in found[first:end]] == [language] * sum(p.language == language for p in pairs)
        assert set(corpus.languages) == {p.language for p in pairs}


@modest
@given(pairs=some_pairs)
def test_pair_rows_join_every_shared_meaning_once_lower_language_first(pairs: list[Pair]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        corpus = written(Path(directory), pairs)
        found = rows(corpus)
        ids = {lang: {p.meaning_id for p in pairs if p.language == lang} for lang in corpus.languages}
        seen = 0
        for low, high in itertools.combinations(corpus.languages, 2):
            pair_rows = joined(corpus, low, high)
            assert pair_rows.shape == (2, len(ids[low] & ids[high]))
            shared = [(found[a], found[b]) for a, b in pair_rows.T]
            assert all((a.language, b.language) == (low, high) for a, b in shared)
            assert all(a.meaning_id == b.meaning_id for a, b in shared)
            assert [a.meaning_id for a, _ in shared] == sorted(ids[low] & ids[high])
            seen += len(shared)
        assert np.load(corpus.directory / "pairs.npy").shape == (2, seen)


@modest
@given(pairs=some_pairs, data=st.data())
def test_translations_are_the_rows_of_the_same_meanings_or_minus_one(pairs: list[Pair], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        corpus = written(Path(directory), pairs)
        source = data.draw(st.sampled_from(corpus.languages))
        asked = data.draw(st.lists(st.sampled_from(range(*corpus.rows_of(source))), max_size=6))  # any order, repeats
        place = {(p.language, p.meaning_id): row for row, p in enumerate(rows(corpus))}
        meanings = corpus.column("meaning_id", np.array(asked, dtype=np.int64))
        for target in set(corpus.languages) - {source}:
            found = corpus.translations(np.array(asked, dtype=np.int64), source, target)
            assert found.tolist() == [place.get((target, meaning), -1) for meaning in meanings]


@modest
@given(pairs=some_pairs)
def test_a_negative_has_the_group_of_its_text_if_that_is_a_passage_of_its_language(pairs: list[Pair]) -> None:
    ordered = sorted(pairs, key=lambda p: (p.language, p.meaning_id))
    group_of = {
        (p.language, *p.passage.split()): group for p, group in zip(ordered, passage_groups(ordered), strict=True)
    }
    with tempfile.TemporaryDirectory() as directory:
        corpus = written(Path(directory), pairs)
        for named in corpus.column("negatives", np.arange(len(pairs))):
            for n in named:
                assert n["group"] == group_of.get((n["language"], *n["text"].split()), NO_GROUP)


def test_a_negative_that_answers_its_own_query_is_known_by_its_group(tmp_path: Path) -> None:
    named = (
        Negative("own  text", "en", 0.5),
        Negative("b text", "en"),
        Negative("nowhere", "en"),
        Negative("own text", "de"),
    )
    corpus = written(tmp_path, [Pair("a", "en", "q1", "own text", negatives=named), Pair("b", "en", "q2", "b text")])
    own, other = corpus.column("group", np.array([0, 1]))
    found, none = corpus.column("negatives", np.array([0, 1]))
    assert [n["group"] for n in found] == [own, other, NO_GROUP, NO_GROUP]
    assert [n["score"] for n in found] == [0.5, None, None, None]
    assert none == []
    assert corpus.has_negatives() and corpus.manifest["negatives"] == 4


def test_a_corpus_without_negatives_and_scores_says_so(corpus: Corpus) -> None:
    assert not corpus.has_negatives()
    assert (corpus.manifest["negatives"], corpus.manifest["scores"]) == (0, 0)
    assert corpus.column("negatives", np.array([3, 0])) == [[], []]
    assert corpus.column("score", np.array([3, 0])) == [None, None]


@modest
@given(pairs=some_pairs)
def test_groups_are_the_meanings_connected_by_equal_passages(pairs: list[Pair]) -> None:
    found: dict[int, set[str]] = {}
    for p, group in zip(pairs, passage_groups(pairs), strict=True):
        found.setdefault(group, set()).add(p.meaning_id)
    assert {frozenset(s) for s in found.values()} == components(pairs)
    assert sorted(found) == list(range(len(found)))


def test_groups_join_over_a_chain_of_languages_and_ignore_spacing() -> None:
    pairs = [
        Pair("a", "en", "q1", "one  passage"), Pair("b", "en", "q2", "one passage "), Pair("b", "de", "q2", "ein Text"),
        Pair("c", "de", "q3", "ein Text"), Pair("d", "de", "q4", "one passage"),
    ]  # fmt: skip
    a, b_en, b_de, c, d = passage_groups(pairs)
    assert a == b_en == b_de == c
    assert d != a  # the same text in another language is another passage


def test_group_column_joins_questions_about_one_passage(tmp_path: Path) -> None:
    pairs = [Pair("a", "en", "q1", "shared"), Pair("b", "en", "q2", "shared"), Pair("c", "en", "q3", "own")]
    corpus = written(tmp_path, pairs)
    assert corpus.column("group", np.array([0, 1, 2])) == [0, 0, 1]
    assert corpus.manifest["groups"] == 2


def test_column_returns_rows_in_the_order_asked_for_with_repeats(corpus: Corpus) -> None:
    first, _ = corpus.rows_of("en")
    assert corpus.column("meaning_id", np.array([first + 3, first, first + 3])) == ["m0003", "m0000", "m0003"]


def test_opening_maps_the_rows_instead_of_reading_them(tmp_path: Path) -> None:
    long = [Pair(f"m{i}", "en", "q", f"{i} {'x' * 100_000}") for i in range(50)]
    write_corpus(tmp_path, long, licence="", sources=[])
    before = pa.total_allocated_bytes()
    corpus = Corpus.open(str(tmp_path))
    assert (tmp_path / "rows.arrow").stat().st_size > 5_000_000
    assert pa.total_allocated_bytes() - before < 100_000
    assert corpus.column("passage", np.array([49]))[0] == dict((p.meaning_id, p.passage) for p in long)["m9"]


def test_languages_without_shared_meanings_have_no_pair_rows(tmp_path: Path) -> None:
    corpus = written(tmp_path, [Pair("a", "en", "q", "p"), Pair("b", "de", "q", "p")])
    assert joined(corpus, "de", "en").shape == (2, 0)
    assert (corpus.pairs_of("de", "en"), corpus.manifest["pairs"]) == ((0, 0), {})
    assert corpus.translations(np.array([0]), "de", "en").tolist() == [-1]


def test_texts_cover_the_chosen_languages_only(corpus_directory: Path) -> None:
    expected = [t for p in made_up_pairs(48) if p.language in ("de", "fr") for t in (p.query, p.passage)]
    assert sorted(Corpus.open(str(corpus_directory), ["fr", "de"]).texts()) == sorted(expected)


def test_texts_cover_the_hard_negatives_of_the_chosen_languages(tmp_path: Path) -> None:
    pairs = [
        Pair("a", "en", "q1", "p1", negatives=(Negative("n1", "de"), Negative("n2", "en"))),
        Pair("a", "de", "q2", "p2", negatives=(Negative("n3", "en"),)),
    ]
    written(tmp_path, pairs)
    assert sorted(Corpus.open(str(tmp_path), ["en"]).texts()) == ["n1", "n2", "p1", "q1"]
    assert sorted(Corpus.open(str(tmp_path)).texts()) == ["n1", "n2", "n3", "p1", "p2", "q1", "q2"]


def test_restriction_keeps_the_row_numbers_of_the_whole_corpus(corpus_directory: Path) -> None:
    whole, part = Corpus.open(str(corpus_directory)), Corpus.open(str(corpus_directory), ["fr", "de"])
    assert (whole.languages, part.languages) == (LANGUAGES, ("de", "fr"))
    assert part.rows_of("fr") == whole.rows_of("fr")
    assert part.pairs_of("de", "fr") == whole.pairs_of("de", "fr")
    np.testing.assert_array_equal(joined(part, "de", "fr"), joined(whole, "de", "fr"))


def test_a_language_named_twice_is_used_once(corpus_directory: Path) -> None:
    assert Corpus.open(str(corpus_directory), ["en", "de", "en"]).languages == ("de", "en")


def test_unknown_language_names_the_field_the_value_and_what_is_there(corpus_directory: Path) -> None:
    with pytest.raises(RequestError) as error:
        Corpus.open(str(corpus_directory), ["en", "it"])
    message = f"data.languages: 'it' has no pairs in {corpus_directory}; allowed: de, en, fr"
    assert str(error.value) == message


def test_unknown_language_names_the_nearest_one(corpus_directory: Path) -> None:
    with pytest.raises(RequestError, match=r"data\.languages: 'eng' has no pairs in .*; did you mean 'en'\?"):
        Corpus.open(str(corpus_directory), ["eng"])
