"""The store: a text is found again under the same model and settings only; damage and eviction cost time, not results."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hybrid_core.embeddings import shards, store
from hybrid_core.embeddings.shards import (
    Content,
    DamagedShardError,
    Shard,
    file_of,
    read_ids,
    read_shard,
    write_shard,
)
from hybrid_core.embeddings.store import ModelStore, evict, mark_used, model_key, text_keys
from hybrid_core.model import EncoderSettings

SETTINGS = EncoderSettings("mean", "query: ", "passage: ", 64, 256)


def fill(folder: Path, model: str, keys: list[str], seed: int = 0, name: str = "s") -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((len(keys), 8)).astype(np.float32)
    write_shard(str(folder / model), name, keys, [""] * len(keys), vectors, stored="float32", tokens=1)
    mark_used(str(folder), model)
    return vectors


def test_a_key_holds_prefix_length_and_text() -> None:
    (passage,) = text_keys(["x"], ["passage"], SETTINGS)
    assert text_keys(["x"], ["passage"], SETTINGS) == [passage] and len(passage) == 32
    others = [
        text_keys(["y"], ["passage"], SETTINGS), text_keys(["x"], ["query"], SETTINGS),
        text_keys(["x"], ["passage"], replace(SETTINGS, passage_prefix="")),
        text_keys(["x"], ["passage"], replace(SETTINGS, max_passage_tokens=128)),
    ]  # fmt: skip
    assert len({passage, *(key for (key,) in others)}) == 5
    same = replace(SETTINGS, query_prefix="", passage_prefix="", max_query_tokens=256)
    assert text_keys(["x"], ["query"], same) == text_keys(["x"], ["passage"], same), "no difference, no second pass"


def test_a_model_is_weights_pooling_precision_and_what_computes() -> None:
    def key(weights: str = "w", settings: EncoderSettings = SETTINGS, precision: str = "float32", **by: object) -> str:
        return model_key(weights, settings, precision, **({"gpu": False, "engine": "torch"} | by))  # type: ignore[arg-type]

    keys = {
        key(), key("v"), key(precision="bfloat16"), key(gpu=True), key(engine="openvino"),
        key(settings=replace(SETTINGS, pooling="cls")),
    }  # fmt: skip
    assert len(keys) == 6
    assert key(settings=replace(SETTINGS, query_prefix="?")) in keys, "prefixes are part of a text's key"


def test_vectors_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    one, two = fill(tmp_path, "m", ["a", "b"], 1, "s1"), fill(tmp_path, "m", ["c", "a"], 2, "s2")
    stored = ModelStore(str(tmp_path), "m")
    assert "b" in stored and "z" not in stored
    found = stored.vectors(["c", "b", "c"])
    assert np.array_equal(found, np.stack([two[0], one[1], two[0]]))
    assert "a" not in ModelStore(str(tmp_path), "other")


def test_a_damaged_shard_is_dropped_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, "m", ["a"], name="bad")
    fill(tmp_path, "m", ["b"], name="good")
    file = Path(file_of(str(tmp_path / "m"), "bad"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    stored = ModelStore(str(tmp_path), "m")
    with pytest.raises(DamagedShardError):
        stored.vectors(["a", "b"])
    assert "computed again" in capsys.readouterr().out and not file.exists()
    again = ModelStore(str(tmp_path), "m")
    assert "a" not in again and len(again.vectors(["b"])) == 1


@pytest.mark.parametrize("left", [0, 8, 100, -8])
def test_a_shard_that_cannot_even_be_opened_is_dropped_at_once(
    tmp_path: Path, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, "m", ["a"])
    file = Path(file_of(str(tmp_path / "m"), "s"))
    content = file.read_bytes()
    file.write_bytes(content[:left] + b"x" * (len(content) - len(content[:left])))
    assert "a" not in ModelStore(str(tmp_path), "m") and not file.exists()
    assert "computed again" in capsys.readouterr().out


def test_opening_a_store_reads_keys_and_holds_those_that_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = fill(tmp_path, "m", ["a", "b", "c"])
    with monkeypatch.context() as patch:
        patch.setattr(store, "read_shard", lambda uri, shard: pytest.fail("no vector is needed to know what is there"))
        patch.setattr(shards, "read_shard", lambda uri, shard: pytest.fail("no vector is needed to know what is there"))
        found = ModelStore(str(tmp_path), "m", wanted=frozenset(["b", "z"]))
    assert ["b" in found, "a" in found, "z" in found] == [True, False, False]
    assert np.array_equal(found.vectors(["b"]), vectors[1:2])


def test_a_storage_that_fails_once_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = fill(tmp_path, "m", ["a"])
    failing = [OSError("connection reset")]

    def fails_once(uri: str, shard: Shard) -> Content:
        if failing:
            raise failing.pop()
        return read_shard(uri, shard)

    monkeypatch.setattr(store, "read_shard", fails_once)
    with pytest.raises(OSError, match="connection reset"):
        ModelStore(str(tmp_path), "m").vectors(["a"])
    assert np.array_equal(ModelStore(str(tmp_path), "m").vectors(["a"]), vectors), "nothing was removed"


def test_a_shard_that_another_run_removes_meanwhile_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, "m", ["a"])
    file = Path(file_of(str(tmp_path / "m"), "s"))

    def too_late(uri: str, shard: Shard) -> pa.Array:
        file.unlink()
        return read_ids(uri, shard)

    monkeypatch.setattr(store, "read_ids", too_late)
    assert "a" not in ModelStore(str(tmp_path), "m")
    assert file.with_suffix(".json").exists(), "the other run may be about to write both again"
    assert capsys.readouterr().out == ""


def test_a_shard_that_another_run_writes_anew_meanwhile_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "m", ["a"], seed=1)

    def overtaken(uri: str, shard: Shard) -> Content:
        monkeypatch.undo()
        for file in (tmp_path / "m" / "shards").iterdir():  # the other run has found the damage, too
            file.unlink()
        fill(tmp_path, "m", ["a"], seed=2)  # other bytes under the same name: another processor rounds otherwise
        return read_shard(uri, shard)

    monkeypatch.setattr(store, "read_shard", overtaken)
    with pytest.raises(DamagedShardError):
        ModelStore(str(tmp_path), "m").vectors(["a"])
    assert "a" in ModelStore(str(tmp_path), "m")


def test_models_used_longest_ago_leave_first_and_those_in_use_stay(tmp_path: Path) -> None:
    for age, model in enumerate(("new", "old", "oldest")):
        fill(tmp_path, model, [f"{i}" for i in range(500)])
        (tmp_path / model / "used.json").write_text(json.dumps({"seconds": time.time() - 4000 * age}))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("x" * 50_000)
    each = sum(f.stat().st_size for f in (tmp_path / "new").rglob("*") if f.is_file())
    assert evict(str(tmp_path), 1.0) == []
    assert evict(str(tmp_path), (50_000 + 2.5 * each) / 1e9) == ["oldest"]
    assert evict(str(tmp_path), 0.0) == ["old"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "notes"], "what is in use or not ours stays"
