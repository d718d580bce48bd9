"""Embedding directories: what is written is read back, what is unfinished or damaged is not."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from hybrid_core import storage
from hybrid_core.embeddings.numbers import Stored, from_columns, loss, to_columns
from hybrid_core.embeddings.shards import (
    DamagedShardError,
    Shard,
    committed,
    discard,
    file_of,
    open_embeddings,
    read_shard,
    seal,
    write_shard,
)
from hybrid_core.errors import RequestError

FORMS: tuple[Stored, ...] = ("float32", "float16", "int8")


def unit_vectors(rows: int, seed: int = 0, dimension: int = 32) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("stored", FORMS)
def test_what_is_written_is_read_back(tmp_path: Path, stored: Stored) -> None:
    uri, vectors = str(tmp_path / "e"), unit_vectors(7)
    shard = write_shard(
        uri, "s", [f"p{i}" for i in range(7)], ["de"] * 3 + ["sw"] * 4, vectors, stored=stored, tokens=70
    )
    assert (shard.rows, shard.languages, shard.tokens) == (7, {"de": 3, "sw": 4}, 70)
    assert committed(uri) == {"s": shard}
    seal(uri, [shard], dimension=32, stored=stored, facts={"model": "tiny"})
    found = open_embeddings(uri)
    assert (found.shards, found.dimension, found.stored) == ((shard,), 32, stored)
    assert found.languages == {"de": 3, "sw": 4} and found.facts == {"model": "tiny"}
    content = read_shard(uri, shard)
    assert content.ids.to_pylist() == [f"p{i}" for i in range(7)] and content.languages.to_pylist()[2:4] == ["de", "sw"]
    tolerance = {"float32": 0.0, "float16": 1e-3, "int8": 5e-3}[stored]
    assert np.abs(content.vectors.astype(np.float32) - vectors).max() <= tolerance


def test_the_loss_of_a_form_is_the_largest_distance_from_the_computed_vector() -> None:
    vectors = unit_vectors(50, dimension=384)
    losses = {stored: loss(vectors, to_columns(vectors, stored)) for stored in FORMS}
    assert losses["float32"] == 0.0 < losses["float16"] < 1e-6 < losses["int8"] < 2e-4
    kept = from_columns(pa.table(to_columns(vectors, "int8"))).astype(np.float64)
    cosine = (kept * vectors).sum(1) / np.linalg.norm(kept, axis=1) / np.linalg.norm(vectors.astype(np.float64), axis=1)
    assert losses["int8"] == pytest.approx(1 - cosine.min(), abs=1e-9)
    nothing = np.zeros((2, 4), np.float32)
    assert from_columns(pa.table(to_columns(nothing, "int8"))).tolist() == nothing.tolist()
    assert loss(nothing, to_columns(nothing, "int8")) == 0.0


@pytest.mark.parametrize("stored", FORMS)
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_no_number_is_refused_with_its_id(tmp_path: Path, stored: Stored, number: float) -> None:
    vectors = unit_vectors(3)
    vectors[1, 5] = number
    for ids in (["a", "b", "c"], pa.array(["a", "b", "c"])):
        with pytest.raises(ArithmeticError, match="'b' and 0 more of 3 texts"):
            write_shard(str(tmp_path), "s", ids, ["de"] * 3, vectors, stored=stored, tokens=3)
    assert list(tmp_path.iterdir()) == [], "nothing of it is committed"


def test_a_number_too_large_for_float16_is_refused(tmp_path: Path) -> None:
    vectors = np.full((1, 4), 70_000, np.float32)
    with pytest.raises(ArithmeticError, match=r"'a' .* float16"):
        write_shard(str(tmp_path), "s", ["a"], ["de"], vectors, stored="float16", tokens=1)


def test_the_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    rows = {"ids": ["a", "b"], "languages": ["de", "en"], "vectors": unit_vectors(2)}
    for folder in ("one", "two"):
        write_shard(str(tmp_path / folder), "s", **rows, stored="float16", tokens=3)
    one, two = (
        {f.name: f.read_bytes() for f in sorted((tmp_path / folder / "shards").iterdir())} for folder in ("one", "two")
    )
    assert one == two and set(one) == {"s.arrow", "s.json"}


def test_a_shard_without_marker_or_of_another_size_is_not_committed(tmp_path: Path) -> None:
    uri = str(tmp_path / "e")
    for name in ("whole", "unmarked", "cut", "torn"):
        write_shard(uri, name, ["a"], ["de"], unit_vectors(1), stored="float32", tokens=1)
    Path(file_of(uri, "unmarked", "json")).unlink()
    cut = Path(file_of(uri, "cut"))
    cut.write_bytes(cut.read_bytes()[:-8])
    Path(file_of(uri, "torn", "json")).write_text('{"name": "torn", "ro')
    assert set(committed(uri)) == {"whole"}
    assert committed(str(tmp_path / "absent")) == {}


@pytest.mark.parametrize("missing", [False, True], ids=["whole", "its file is gone"])
def test_a_shard_that_is_made_again_with_other_bytes_is_never_committed_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    uri, rows = str(tmp_path / "e"), {"ids": ["a"], "languages": ["de"], "stored": "float32", "tokens": 1}
    first = write_shard(uri, "s", vectors=unit_vectors(1, seed=1), **rows)
    if missing:
        Path(file_of(uri, "s")).unlink()

    def interrupted(place: str, value: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(storage, "write_json", interrupted)
        write_shard(uri, "s", vectors=unit_vectors(1, seed=2), **rows)  # as large, rounded otherwise
    there = committed(uri)
    assert there == ({} if missing else {"s": first})
    assert [read_shard(uri, shard).ids.to_pylist() for shard in there.values()] == [["a"]] * len(there)
    again = write_shard(uri, "s", vectors=unit_vectors(1, seed=2), **rows)
    assert committed(uri) == {"s": again} and (again == first) == (not missing)
    assert np.array_equal(read_shard(uri, again).vectors, unit_vectors(1, seed=2 if missing else 1))


def test_a_marker_that_another_process_removes_after_the_listing_is_no_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "e")
    for name in ("gone", "whole"):
        write_shard(uri, name, ["a"], ["de"], unit_vectors(1), stored="float32", tokens=1)
    read_json = storage.read_json

    def too_late(place: str) -> object:
        Path(file_of(uri, "gone", "json")).unlink(missing_ok=True)
        return read_json(place)

    monkeypatch.setattr(storage, "read_json", too_late)
    assert set(committed(uri)) == {"whole"}


def test_a_damaged_shard_is_refused_and_named(tmp_path: Path) -> None:
    uri = str(tmp_path / "e")
    shard = write_shard(uri, "s", ["a"], ["de"], unit_vectors(1), stored="float32", tokens=1)
    file = Path(file_of(uri, "s"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(RequestError, match=r"s\.arrow is not the file that was committed"):
        read_shard(uri, shard)
    file.unlink()
    with pytest.raises(RequestError, match=r"s\.arrow cannot be read: it is not there"):
        read_shard(uri, shard)


def test_a_file_that_is_not_embeddings_is_damaged_whatever_its_marker_says(tmp_path: Path) -> None:
    uri = str(tmp_path / "e")
    (tmp_path / "e" / "shards").mkdir(parents=True)
    for name, content in (("text", b"not arrow"), ("empty", b"")):
        shard = Shard(name, {"de": 1}, 1, len(content), hashlib.sha256(content).hexdigest(), 0.0)
        Path(file_of(uri, name)).write_bytes(content)
        with pytest.raises(DamagedShardError, match="is not the file that was committed"):
            read_shard(uri, shard)


def test_storage_that_fails_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = str(tmp_path / "e")
    shard = write_shard(uri, "s", ["a"], ["de"], unit_vectors(1), stored="float32", tokens=1)

    def fails(place: str) -> bytes:
        raise OSError("connection reset")

    monkeypatch.setattr(storage, "is_remote", lambda place: True)
    monkeypatch.setattr(storage, "filesystem", lambda place: (pafs.LocalFileSystem(), place))
    monkeypatch.setattr(storage, "read_bytes", fails)
    with pytest.raises(OSError, match=r"s\.arrow cannot be read: connection reset"):
        read_shard(uri, shard)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    uri = str(tmp_path / "e")
    for name in ("s", "old"):
        write_shard(uri, name, ["a"], ["de"], unit_vectors(1), stored="float32", tokens=1)
    for left in ("s.arrow.12345678.part", "gone.arrow.12345678.part", "gone.arrow"):
        (tmp_path / "e" / "shards" / left).write_bytes(b"half")
    discard(uri, {"s"})
    assert sorted(f.name for f in (tmp_path / "e" / "shards").iterdir()) == ["s.arrow", "s.json"]


def test_an_unfinished_directory_is_not_opened(tmp_path: Path) -> None:
    uri = str(tmp_path / "e")
    write_shard(uri, "s", ["a"], ["de"], unit_vectors(1), stored="float32", tokens=1)
    with pytest.raises(RequestError, match="holds no complete embeddings"):
        open_embeddings(uri)
    (tmp_path / "e" / "complete.json").write_text('{"files": {}}')
    with pytest.raises(RequestError, match="is no list of embedding shards"):
        open_embeddings(uri)
