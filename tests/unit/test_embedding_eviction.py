"""Eviction beside other runs: what they use stays, what they remove or write meanwhile fails nobody."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest
from embedding_helpers import unit_vectors

from hybrid_core import storage
from hybrid_core.embeddings.shards import write_shard
from hybrid_core.embeddings.store import ModelStore, evict, mark_used


class WatchedFiles:
    """The local file system; something else happens just before a folder is removed."""

    def __init__(self, meanwhile: Any) -> None:
        self.fs, self.meanwhile = pafs.LocalFileSystem(), meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fs, name)

    def delete_dir(self, path: str) -> None:
        self.meanwhile(path)
        self.fs.delete_dir(path)


def watch(monkeypatch: pytest.MonkeyPatch, meanwhile: Any) -> None:
    files = WatchedFiles(meanwhile)
    monkeypatch.setattr(storage, "filesystem", lambda uri: (files, storage.absolute(uri)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with two models that were last used long ago, `older` before `old`."""
    for hours, model in ((2, "old"), (3, "older")):
        write_shard(str(tmp_path / model), "s", ["a"], [""], unit_vectors(1), stored="float32", tokens=1)
        mark_used(str(tmp_path), model)
        (tmp_path / model / "used.json").write_text(json.dumps({"seconds": time.time() - 3600 * hours}))
    return tmp_path


def test_a_model_that_another_run_removes_first_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch, lambda path: shutil.rmtree(path, ignore_errors=True))
    assert evict(str(folder), 0.0) == ["older", "old"]
    assert list(folder.iterdir()) == []


def test_a_note_of_use_that_another_run_removes_first_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_json = storage.read_json

    def reads_too_late(uri: str) -> Any:
        Path(uri).unlink(missing_ok=True)
        return read_json(uri)

    monkeypatch.setattr(storage, "read_json", reads_too_late)
    assert evict(str(folder), 0.0) == []


def test_a_folder_that_cannot_be_removed_now_is_said_and_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(path: str) -> None:
        if path.endswith("older"):
            raise OSError(39, "Directory not empty")

    watch(monkeypatch, fails)
    assert evict(str(folder), 0.0) == ["old"]
    assert "older cannot be removed now" in capsys.readouterr().out
    assert (folder / "older" / "used.json").exists(), "else no later run would know the folder as ours"
    monkeypatch.undo()
    assert evict(str(folder), 0.0) == ["older"], "a later run removes it"


def test_a_model_that_a_run_begins_to_use_meanwhile_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch, lambda path: mark_used(str(folder), "old") if "older" in path else None)
    assert evict(str(folder), 0.0) == ["older"]
    assert "a" in ModelStore(str(folder), "old")
