"""Texts through the store: what is there is not computed again, and storage that fails for a while is asked again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_helpers import exported_encoder
from stream_helpers import KINDS, TEXTS, a_config, computed, without_ray

from hybrid_core import storage
from hybrid_core.embeddings.shards import file_of
from ray_jobs import _patience
from ray_jobs.embed import embed_texts


@pytest.fixture(scope="module")
def model(encoder_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return exported_encoder(encoder_directory, tmp_path_factory.mktemp("model") / "exported")["uri"]


def test_a_second_run_makes_no_forward_pass(model: str, tmp_path: Path) -> None:
    with without_ray() as passes:
        first = embed_texts(TEXTS, KINDS, model, a_config(tmp_path))
        assert sum(passes) == len(TEXTS)
        passes.clear()
        again = embed_texts(TEXTS[::-1], KINDS[::-1], model, a_config(tmp_path, rows_per_shard=7))
        assert passes == [] and np.array_equal(again[::-1], first)
        embed_texts(["new", *TEXTS, "new"], ["query", *KINDS, "query"], model, a_config(tmp_path))
        assert passes == [1], "the new text, once"
    assert np.allclose(first, computed(model), atol=1e-6)


def test_only_what_a_damaged_shard_held_is_computed_again(model: str, tmp_path: Path) -> None:
    with without_ray() as passes:
        first = embed_texts(TEXTS, KINDS, model, a_config(tmp_path))
        passes.clear()
        damaged = max(tmp_path.glob("*/shards/*.arrow"))
        rows = sum(json.loads(damaged.with_suffix(".json").read_text())["languages"].values())
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
        again = embed_texts(TEXTS, KINDS, model, a_config(tmp_path))
        assert sum(passes) == rows < len(TEXTS)
    assert np.allclose(again, first, atol=1e-6)


@pytest.fixture
def unreliable(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file of the store fails when it is first read or written; the list gets their addresses."""
    failed: list[str] = []

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def access(place: Any, *args: Any) -> Any:
            address = str(place if len(args) != 1 or isinstance(args[0], bytes) else file_of(place, args[0].name))
            if "/store/" in address and f"{function.__name__} {address}" not in failed:
                failed.append(f"{function.__name__} {address}")
                raise OSError("connection reset")
            return function(place, *args)

        return access

    from hybrid_core.embeddings import store

    for module, name in ((storage, "write_bytes"), (storage, "read_bytes"), (store, "read_shard")):
        monkeypatch.setattr(module, name, failing(getattr(module, name)))
    monkeypatch.setattr(_patience.time, "sleep", lambda seconds: None)
    return failed


def test_storage_that_fails_for_a_while_costs_neither_the_run_nor_embeddings(
    model: str, tmp_path: Path, unreliable: list[str]
) -> None:
    config = a_config(tmp_path / "store", patience=60.0)
    with without_ray() as passes:
        first = embed_texts(TEXTS, KINDS, model, config)
        assert sum(passes) == len(TEXTS)
        assert {line.split()[0] for line in unreliable} == {"write_bytes", "read_bytes", "read_shard"}
        unreliable.clear()
        passes.clear()
        assert np.array_equal(embed_texts(TEXTS, KINDS, model, config), first)
        assert unreliable and passes == []


def test_storage_that_goes_on_failing_ends_the_run(model: str, tmp_path: Path, unreliable: list[str]) -> None:
    with without_ray(), pytest.raises(OSError, match=r"has failed for 0 s \(encode.patience\): connection reset"):
        embed_texts(TEXTS, KINDS, model, a_config(tmp_path / "store", patience=0.0))


def test_a_store_that_may_not_be_written_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def refused() -> None:
        calls.append(1)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_patience.time, "sleep", lambda seconds: pytest.fail("nobody grants it by waiting"))
    with pytest.raises(PermissionError):
        _patience.persistently(refused, 60.0, "s")
    assert calls == [1]


def test_patience_begins_with_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [1000.0], []

    def slow() -> str:
        clock[0] += 500.0
        calls.append(clock[0])
        if len(calls) < 2:
            raise OSError("timed out")
        return "done"

    monkeypatch.setattr(_patience.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(_patience.time, "sleep", lambda seconds: None)
    assert _patience.persistently(slow, 60.0, "s") == "done"
    calls.clear()
    with pytest.raises(OSError, match="timed out"):
        _patience.persistently(lambda: (_ for _ in ()).throw(OSError("timed out")), 0.0, "s")
