"""A node is lost in mid-run and comes back: 2 -> 1 -> 2 workers give the model of a run on one worker."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from .conftest import Jobs, end_group, wait_for
from .nodes import start_head

SETTINGS = {
    "train.steps": 6000, "train.checkpoint_every": 100, "train.log_every": 50, "train.learning_rate": 1e-5,
    "train.min_workers": 1, "train.workers": 2,
}  # fmt: skip
FLAGS = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]


def weights(model: str) -> np.ndarray:
    tensors = load_file(Path(model) / "model.safetensors")
    return np.concatenate([tensors[name].reshape(-1) for name in sorted(tensors)])


def latest_step(out: Path) -> int:
    files = out.glob("checkpoints/*/checkpoint_*/complete.json")
    return max((json.loads(file.read_text())["step"] for file in files), default=0)


def numbers_of_workers(out: Path) -> list[int]:
    """How many workers the run had, in the order in which it had them."""
    with sqlite3.connect(out / "mlflow.db") as database:
        rows = database.execute("select value from metrics where key = 'train/workers' order by timestamp, step")
        return [int(value) for value, _ in groupby(row[0] for row in rows)]


def test_losing_a_node_and_getting_it_back_changes_nothing(
    jobs: Jobs, background: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    head = start_head(jobs, background, tmp_path_factory.getbasetemp().parent / f"e{os.getpid()}", cpus=1)
    node = head.add_node(cpus=1)
    out = jobs.home / "out"
    jobs.env |= {"RAY_ADDRESS": head.address, "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "10"}
    jobs.env |= {name: value for name, value in head.env.items() if name.startswith("RAY_AUTH")}
    summary = jobs.home / "elastic.json"
    process = jobs.start("train", *FLAGS, "--json", str(summary))

    def reaches(step: int) -> None:
        wait_for(lambda: latest_step(out) >= step or process.poll() is not None, f"the checkpoint of step {step}")
        assert process.poll() is None, process.communicate()[0]

    reaches(300)
    os.killpg(node.pid, signal.SIGKILL)
    lost_at = latest_step(out)
    reaches(lost_at + 300)
    assert numbers_of_workers(out)[-1] == 1
    head.add_node(cpus=1)
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    assert numbers_of_workers(out) == [2, 1, 2], output

    end_group(process)
    for name in [name for name in jobs.env if name.startswith("RAY_")]:
        jobs.env.pop(name)
    calm = jobs.run("train", *FLAGS, "--set", "train.workers=1", "--set", f"output={jobs.home / 'calm'}")
    assert calm.status == 0, calm.output
    ours, reference = (
        weights(json.loads(summary.read_text())["outputs"]["model"]),
        weights(calm.summary["outputs"]["model"]),
    )
    start = weights(str(next((jobs.home / "calm" / "models").glob("base-*"))))
    assert np.abs(reference - start).max() > 1e-2
    assert np.abs(ours - reference).max() < 1e-3
