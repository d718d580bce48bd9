"""A failure that a restart would only repeat ends the run at once, with its message."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .conftest import Jobs, processes_below, wait_for


def spoil(encoder: Path) -> None:
    """Make one weight of an exported encoder NaN, as training that diverged leaves it."""
    file = encoder / "model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("output.dense.weight"))
    tensors[name][0, 0] = torch.nan
    save_file(tensors, file, {"format": "pt"})


def test_a_loss_that_is_not_finite_ends_the_run_without_another_attempt(jobs: Jobs, encoder_directory: Path) -> None:
    broken = jobs.home / "broken"
    broken.mkdir()
    for file in encoder_directory.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    spoil(broken)
    summary = jobs.home / "train.json"
    process = jobs.start(
        "train", "--set", f"model.name={broken}", "--set", "train.max_failures=3", "--json", str(summary)
    )
    workers: set[int] = set()

    def ended() -> bool:
        workers.update(pid for pid, title in processes_below(process.pid).items() if "RayTrainWorker" in title)
        return process.poll() is not None

    wait_for(ended, "the end of the run")
    output, _ = process.communicate()
    assert process.returncode == 1, output
    assert "stopped: step 0: loss nan" in output.splitlines()[-1], output
    assert "stopped: step 0: loss nan" in json.loads(summary.read_text())["error"]
    assert len(workers) == 1, "another attempt starts new workers"
    with sqlite3.connect(jobs.home / "out" / "mlflow.db") as database:
        assert database.execute("select status from runs").fetchall() == [("FAILED",)]
    assert not list((jobs.home / "out" / "models").glob("hybrid-*"))
