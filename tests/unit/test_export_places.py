"""Exports: where they are built, whether there is room, and what may lie at their target."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from embedding_helpers import unit_vectors, write_embeddings

from hybrid_core.config import Config, ExportConfig
from hybrid_core.embeddings.exporting import bytes_of, export
from hybrid_core.embeddings.shards import EmbeddingSet
from hybrid_core.errors import RequestError
from ray_jobs import export as export_job
from ray_jobs.cli import main
from ray_jobs.export import _already_there, _check_room


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingSet:
    """1,500 passages in two shards."""
    ids, vectors = [f"p{n}" for n in range(1500)], unit_vectors(1500, dimension=32)
    return write_embeddings(tmp_path_factory.mktemp("embeddings"), ids, ["de"] * 1500, vectors, cuts=[700])


@pytest.mark.parametrize("form", ["npy", "flat", "ivf_pq", "hnsw"])
def test_the_room_an_export_needs_is_known_before_it_is_made(found: EmbeddingSet, tmp_path: Path, form: str) -> None:
    about = export(found, ExportConfig(form=form, sample=10), tmp_path, seed=5)
    vectors = sum(size for name, size in about["bytes"].items() if name != "ids.jsonl")
    assert 0.85 * vectors <= bytes_of(ExportConfig(form=form), found) <= 1.15 * vectors


def test_an_export_without_room_is_refused_before_it_is_made(
    found: EmbeddingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(export_job.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = ["--set", f"export.embeddings={found.uri}", "--set", f"export.target={tmp_path / 'new' / 'x'}"]
    for more in (["--dry-run"], []):
        assert main(export_job.JOB, [*asked, *more]) == 2
        assert (
            f"is built in {tmp_path} and needs 0.000 GB, 0.000 GB are free; choose another" in capsys.readouterr().err
        )
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RequestError, match=rf"is built in {tmp_path} and .* set TMPDIR to a folder with more"):
        _check_room(Config(), found, "s3://bucket/x")


def test_what_an_upload_that_was_cut_short_has_left_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x" / "folder").mkdir(parents=True)
    assert _already_there(str(tmp_path / "x"), "identity") is None  # object stores show folders without files
    (tmp_path / "x" / "ids.jsonl").write_text("{}")
    with pytest.raises(RequestError, match=r"holds files \(ids\.jsonl\); choose an empty folder"):
        _already_there(str(tmp_path / "x"), "identity")
    monkeypatch.setattr(export_job, "is_remote", lambda place: True)
    assert _already_there(str(tmp_path / "x"), "identity") is None
    (tmp_path / "x" / "folder" / "mine").write_text("")
    with pytest.raises(RequestError, match=r"holds files \(folder/mine\)"):
        _already_there(str(tmp_path / "x"), "identity")
