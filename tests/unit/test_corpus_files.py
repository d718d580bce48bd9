"""The corpus on disk: same bytes for the same rows, a fingerprint of the content, and refusal of what is not whole."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import LANGUAGES, made_up_pairs
from corpus_helpers import (
    content,
    joined,
    modest,
    some_pairs,
    written,
)
from hypothesis import given
from hypothesis import strategies as st

from hybrid_core.data.corpus import SCHEMA, Corpus, Negative, Pair
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.errors import RequestError
from hybrid_core.storage import MARKER, mark_complete, verify_complete


@modest
@given(pairs=some_pairs, seed=st.integers(0, 999))
def test_any_order_of_the_input_gives_the_same_bytes(pairs: list[Pair], seed: int) -> None:
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        written(Path(one), pairs)
        written(Path(other), shuffled)
        assert content(Path(one)) == content(Path(other))


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


def test_negatives_have_offsets_for_more_than_two_billion_of_them() -> None:
    kind = SCHEMA.field("negatives").type
    assert pa.types.is_large_list(kind)
    assert all(pa.types.is_large_string(kind.value_type.field(name).type) for name in ("text", "language"))


def test_a_corpus_whose_negatives_have_short_offsets_is_read_the_same(tmp_path: Path) -> None:
    named = (Negative("wrong", "de", 0.5), Negative("wrong too", "en"))
    pairs = [dataclasses.replace(p, negatives=named[: number % 3]) for number, p in enumerate(made_up_pairs(6))]
    corpus = written(tmp_path, pairs)
    short = pa.list_(
        pa.struct(
            [("text", pa.large_string()), ("language", pa.string()), ("score", pa.float32()), ("group", pa.int64())]
        )
    )
    table = corpus.table.set_column(
        corpus.table.schema.get_field_index("negatives"),
        "negatives",
        pa.array(corpus.table.column("negatives").to_pylist(), short),
    )
    older = dataclasses.replace(corpus, table=table)
    rows = np.array([3, 17, 4, 4])
    for one, other in zip(corpus.negatives_of(rows), older.negatives_of(rows), strict=True):
        assert one.tolist() == other.tolist() and len(one) > 0
    for name in ("text", "language", "score", "group"):
        numbers = corpus.negatives_of(rows)[1]
        assert corpus.negative_column(name, numbers).equals(older.negative_column(name, numbers))
    assert list(corpus.texts()) == list(older.texts())


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
