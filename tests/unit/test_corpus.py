"""The corpus on disk: same bytes for the same rows, right values, right joins, and refusal of what is not whole."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import LANGUAGES, made_up_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.data.corpus import NO_GROUP, Corpus, Negative, Pair
from hybrid_core.data.corpus_writer import passage_groups, write_corpus
from hybrid_core.errors import RequestError
from hybrid_core.storage import MARKER, mark_complete, verify_complete

some_language = st.sampled_from(["ar", "de", "en", "zh"])
some_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
some_passage = st.one_of(st.sampled_from(["same text", "same  text ", "other text"]), some_text)
some_score = st.none() | st.floats(-100, 100, width=32)
some_negatives = st.lists(st.builds(Negative, some_passage, some_language, some_score), max_size=3).map(tuple)
some_pairs = st.dictionaries(
    st.tuples(st.sampled_from(["m0", "m1", "m2", "m3", "ü", "z-9"]), some_language),
    st.tuples(some_text, some_passage, some_negatives, some_score),
    min_size=1,
    max_size=16,
).map(lambda rows: [Pair(m, lang, q, p, "set", f"about {lang}", n, s) for (m, lang), (q, p, n, s) in rows.items()])
modest = settings(max_examples=25, deadline=None)


def written(directory: Path, pairs: list[Pair]) -> Corpus:
    write_corpus(directory, pairs, licence="Apache-2.0", sources=["tests"])
    return Corpus.open(str(directory))


def content(directory: Path) -> dict[str, bytes]:
    return {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}


def rows(corpus: Corpus) -> list[Pair]:
    everything = np.arange(corpus.manifest["rows"])
    names = [f.name for f in dataclasses.fields(Pair)]
    found = [Pair(*values) for values in zip(*(corpus.column(n, everything) for n in names), strict=True)]
    return [dataclasses.replace(p, negatives=negatives(p.negatives)) for p in found]


def negatives(found: Iterable[dict[str, Any]]) -> tuple[Negative, ...]:
    return tuple(Negative(n["text"], n["language"], n["score"]) for n in found)


def joined(corpus: Corpus, low: str, high: str) -> np.ndarray:
    """Rows [2, n] of all meanings that two languages share."""
    return corpus.pair_rows(np.arange(*corpus.pairs_of(low, high)))


def components(pairs: list[Pair]) -> set[frozenset[str]]:
    """Meanings joined by equal passages: the smallest label spreads until nothing changes."""
    label = {p.meaning_id: p.meaning_id for p in pairs}
    for _ in label:
        for p, q in itertools.product(pairs, pairs):
            if (p.language, p.passage.split()) == (q.language, q.passage.split()):
                label[p.meaning_id] = min(label[p.meaning_id], label[q.meaning_id])
    return {frozenset(m for m in label if label[m] == name) for name in label.values()}


@modest
@given(pairs=some_pairs, seed=st.integers(0, 999))
def test_any_order_of_the_input_gives_the_same_bytes(pairs: list[Pair], seed: int) -> None:
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        written(Path(one), pairs)
        written(Path(other), shuffled)
        assert content(Path(one)) == content(Path(other))


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


def test_manifest_counts_what_was_written(tmp_path: Path) -> None:
    pairs = made_up_pairs(12, missing=3)  # every third meaning lacks French
    write_corpus(tmp_path, pairs, licence="MIT", sources=["here", "there"], report={"rows_read": 99})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["rows"], manifest["meanings"], manifest["groups"]) == (32, 12, 12)
    assert manifest["languages"] == {"de": [0, 12], "en": [12, 24], "fr": [24, 32]}
    assert manifest["pairs"] == {"de-en": [0, 12], "de-fr": [12, 20], "en-fr": [20, 28]}
    assert (manifest["version"], manifest["negatives"], manifest["scores"]) == (2, 0, 0)
    assert (manifest["licence"], manifest["sources"], manifest["report"]) == (
        "MIT",
        ["here", "there"],
        {"rows_read": 99},
    )


CHANGES = {f.name: "it" for f in dataclasses.fields(Pair)} | {"negatives": (Negative("it", "en"),), "score": 0.5}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Pair)])
def test_fingerprint_changes_with_every_field(tmp_path: Path, field: str) -> None:
    pairs = made_up_pairs(3)
    changed = [dataclasses.replace(pairs[0], **{field: CHANGES[field]}), *pairs[1:]]
    assert written(tmp_path / "a", pairs).fingerprint != written(tmp_path / "b", changed).fingerprint


def test_fingerprint_changes_with_every_field_of_a_negative_and_with_their_order(tmp_path: Path) -> None:
    one, other = Negative("x", "en", 0.5), Negative("y", "en", 0.5)
    named = [
        (one, other), (other, one), (one,), (Negative("x", "de", 0.5), other), (Negative("x", "en"), other),
        (Negative("z", "en", 0.5), other),
    ]  # fmt: skip
    corpora = [written(tmp_path / str(i), [Pair("m", "en", "q", "p", negatives=n)]) for i, n in enumerate(named)]
    assert len({corpus.fingerprint for corpus in corpora}) == len(named)


def test_fingerprint_changes_when_text_moves_from_question_to_passage(tmp_path: Path) -> None:
    one = written(tmp_path / "a", [Pair("m", "en", "ab", "c")])
    other = written(tmp_path / "b", [Pair("m", "en", "a", "bc")])
    assert one.fingerprint != other.fingerprint


def test_fingerprint_is_the_same_for_other_licence_sources_and_place(tmp_path: Path) -> None:
    pairs = made_up_pairs(3)
    write_corpus(tmp_path / "a", pairs, licence="MIT", sources=["x"], report={"n": 1})
    assert Corpus.open(str(tmp_path / "a")).fingerprint == written(tmp_path / "b", pairs).fingerprint


def test_marker_carries_the_fingerprint_and_lists_every_file(tmp_path: Path) -> None:
    corpus = written(tmp_path, made_up_pairs(4))
    facts = verify_complete(tmp_path)
    assert (facts["kind"], facts["fingerprint"]) == ("corpus", corpus.fingerprint)
    assert set(facts["files"]) == set(content(tmp_path)) - {MARKER}


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


def test_duplicate_ids_in_a_language_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    pairs = [*made_up_pairs(3), Pair("m0001", "en", "another question", "another passage")]
    with pytest.raises(RequestError, match=r"meaning_id 'm0001' occurs twice in language 'en'; ids must be unique"):
        write_corpus(tmp_path / "corpus", pairs, licence="", sources=[])
    assert not (tmp_path / "corpus").exists()


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="the corpus has no query-passage pairs"):
        write_corpus(tmp_path / "corpus", [], licence="", sources=[])


def test_writing_over_another_corpus_leaves_nothing_of_it(tmp_path: Path) -> None:
    written(tmp_path, made_up_pairs(5))
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "de-en.npy").write_bytes(b"as format 1 wrote them")
    corpus = written(tmp_path, [Pair("a", "en", "q", "p"), Pair("b", "de", "q", "p")])
    assert joined(corpus, "de", "en").tolist() == [[], []]
    assert set(content(tmp_path)) == {"manifest.json", "rows.arrow", "pairs.npy", MARKER}


@pytest.mark.parametrize("version", [1, 3])
def test_a_corpus_of_another_format_is_refused_with_the_remedy(tmp_path: Path, version: int) -> None:
    written(tmp_path, made_up_pairs(3))
    manifest = json.loads((tmp_path / "manifest.json").read_text()) | {"version": version}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    mark_complete(tmp_path, kind="corpus")
    with pytest.raises(RequestError) as error:
        Corpus.open(str(tmp_path))
    assert f"data.corpus={str(tmp_path)!r} has format {version}, this release reads 2" in str(error.value)
    assert "run ray_jobs.prepare again" in str(error.value)


@pytest.mark.parametrize("made", [False, True], ids=["absent", "empty"])
def test_a_directory_without_marker_is_refused_with_the_remedy(tmp_path: Path, made: bool) -> None:
    place = tmp_path / "nothing"
    if made:
        place.mkdir()
    with pytest.raises(RequestError) as error:
        Corpus.open(str(place))
    assert f"data.corpus={str(place)!r} is not a prepared corpus ({MARKER} is missing)" in str(error.value)
    assert "python -m ray_jobs.prepare" in str(error.value)


def test_a_corpus_that_lost_its_marker_is_refused(corpus_directory: Path, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(corpus_directory, place)
    (place / MARKER).unlink()
    with pytest.raises(RequestError, match=rf"{MARKER} is missing"):
        Corpus.open(str(place))


def cut(directory: Path) -> Path:
    file = directory / "rows.arrow"
    file.write_bytes(file.read_bytes()[:-200])
    return file


def exchange_a_letter(directory: Path) -> Path:
    file = directory / "rows.arrow"
    letters = made_up_pairs(1)[0].passage.encode()[:12]
    file.write_bytes(file.read_bytes().replace(letters, letters[::-1]))
    return file


def remove(name: str) -> Callable[[Path], Path]:
    def damage(directory: Path) -> Path:
        (directory / name).unlink()
        return directory / name

    return damage


DAMAGES = {
    "rows cut short": cut, "rows gone": remove("rows.arrow"), "manifest gone": remove("manifest.json"),
    "pair rows gone": remove("pairs.npy"),
}  # fmt: skip
SAME_SIZE = {"text changed": exchange_a_letter}
ALL_DAMAGES = DAMAGES | SAME_SIZE


@pytest.mark.parametrize("damage", ALL_DAMAGES.values(), ids=ALL_DAMAGES.keys())
def test_verification_names_the_damaged_file(
    corpus_directory: Path, tmp_path: Path, damage: Callable[[Path], Path]
) -> None:
    place = tmp_path / "copy"
    shutil.copytree(corpus_directory, place)
    assert verify_complete(place)["kind"] == "corpus"
    assert Corpus.open(str(place), verify=True).languages == LANGUAGES
    file = damage(place)
    for check in (lambda: verify_complete(place), lambda: Corpus.open(str(place), verify=True)):
        with pytest.raises(RequestError) as error:
            check()
        assert f"{file} is not the file named in {MARKER}: damaged or replaced; delete {place}" in str(error.value)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_corpus_with_a_file_gone_or_cut_short_cannot_be_opened(
    corpus_directory: Path, tmp_path: Path, damage: Callable[[Path], Path]
) -> None:
    place = tmp_path / "copy"
    shutil.copytree(corpus_directory, place)
    file = damage(place)
    with pytest.raises(RequestError) as error:
        Corpus.open(str(place))
    assert str(file) in str(error.value)


def test_opening_without_verification_compares_sizes_only(corpus_directory: Path, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(corpus_directory, place)
    before, size = Corpus.open(str(place)).column("passage", np.arange(144)), (place / "rows.arrow").stat().st_size
    exchange_a_letter(place)
    assert (place / "rows.arrow").stat().st_size == size
    assert Corpus.open(str(place)).column("passage", np.arange(144)) != before
