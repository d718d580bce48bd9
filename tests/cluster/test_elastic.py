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

from .conftest import Jobs, wait_for
from .nodes import start_head

SETTINGS = {
    "train.checkpoint_every": 10, "train.log_every": 4, "train.learning_rate": 1e-4, "train.epsilon": 1e-5,
    "train.schedule": "constant", "train.warmup": 0, "train.min_workers": 1, "train.workers": 2, "train.keep_checkpoints": 1000,
}  # fmt: skip
FLAGS = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]


def checkpoints(out: Path) -> dict[int, Path]:
    """Step -> folder of the complete checkpoints that are there now."""
    files = out.glob("checkpoints/*/checkpoint_*/complete.json")
    return {json.loads(file.read_text())["step"]: file.parent for file in files}


def weights(checkpoint: Path) -> np.ndarray:
    tensors = load_file(checkpoint / "weights.safetensors")
    return np.concatenate([tensors[name].reshape(-1) for name in sorted(tensors)])


def losses(out: Path) -> list[tuple[int, float]]:
    """Every logged point (step, loss); a step that was trained twice has two."""
    with sqlite3.connect(out / "mlflow.db") as database:
        query = "select step, value from metrics where key = 'train/loss' and step % 4 = 0"
        return [(int(step), float(value)) for step, value in database.execute(query)]


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
    jobs.env |= {"RAY_ADDRESS": head.address, "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20"}
    jobs.env |= {name: value for name, value in head.env.items() if name.startswith("RAY_AUTH")}
    process = jobs.start("train", *FLAGS, "--set", "train.steps=1000000")

    def reaches(step: int) -> int:
        def there() -> int:
            assert process.poll() is None, process.communicate()[0]
            return max((found for found in checkpoints(out) if found >= step), default=0)

        return int(wait_for(there, f"the checkpoint of step {step}"))

    lost_at = reaches(30)
    os.killpg(node.pid, signal.SIGKILL)
    reaches(lost_at + 50)
    assert numbers_of_workers(out) == [2, 1]
    head.add_node(cpus=1)
    wait_for(lambda: numbers_of_workers(out) == [2, 1, 2], "the second worker")
    end = reaches(max(checkpoints(out)) + 20)
    ours, early = (weights(checkpoints(out)[step]) for step in (end, end - 10))
    wait_for(lambda: max(step for step, _ in losses(out)) >= end, "the last points of the curve")
    os.killpg(process.pid, signal.SIGKILL)

    for name in [name for name in jobs.env if name.startswith("RAY_")]:
        jobs.env.pop(name)
    one = ["--set", "train.workers=1", "--set", "train.min_workers=1", "--set", f"train.checkpoint_every={end}"]
    calm = jobs.run("train", *FLAGS, *one, "--set", f"train.steps={end}", "--set", f"output={jobs.home / 'calm'}")
    assert calm.status == 0, calm.output
    reference = weights(checkpoints(jobs.home / "calm")[end])
    assert np.abs(ours - reference).max() < 0.1 * np.abs(early - reference).max()
    expected = dict(losses(jobs.home / "calm"))
    curve = [(step, loss) for step, loss in losses(out) if step <= end]
    assert {step for step, _ in curve} == expected.keys() == set(range(4, end + 1, 4))
    assert [loss for _, loss in curve] == pytest.approx([expected[step] for step, _ in curve], abs=1e-5)
