"""1, 2 and 4 workers, a killed worker, a killed driver: losses and model are those of an undisturbed run on one worker."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from .conftest import Jobs, processes_below, wait_for

SETTINGS = {
    "train.steps": 240,
    "train.checkpoint_every": 20,
    "train.log_every": 15,
    "train.epsilon": 1e-5,
    "train.workers": 2,
}
LONG = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]


def weights(model: str) -> np.ndarray:
    tensors = load_file(Path(model) / "model.safetensors")
    return np.concatenate([tensors[name].reshape(-1) for name in sorted(tensors)])


def losses(out: Path) -> dict[int, float]:
    """Step -> loss in the one MLflow run; of a step that was trained twice, the last."""
    with sqlite3.connect(out / "mlflow.db") as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
        return dict(database.execute("select step, value from metrics where key = 'train/loss' order by timestamp"))


def plan_hashes(out: Path) -> set[str]:
    """Identity of what the runs drew. (That ranks are shown these rows is in test_gloo.)"""
    with sqlite3.connect(out / "mlflow.db") as database:
        return {value for (value,) in database.execute("select value from tags where key = 'hybrid.plan_hash'")}


def checkpointed_steps(out: Path) -> list[int]:
    """Steps of the complete checkpoints that are there now."""
    return [json.loads(file.read_text())["step"] for file in out.glob("checkpoints/*/checkpoint_*/complete.json")]


def test_two_workers_one_killed_then_the_driver_then_four_workers_equal_one_undisturbed_worker(jobs: Jobs) -> None:
    calm, out = jobs.home / "calm", jobs.home / "out"
    rarely = ["--set", "train.checkpoint_every=240"]  # a report of a checkpoint takes most of a second
    one = jobs.run("train", *LONG, *rarely, "--set", "train.workers=1", "--set", f"output={calm}")
    assert one.status == 0, one.output

    process = jobs.start("train", *LONG)
    wait_for(lambda: max(checkpointed_steps(out), default=0) >= 60, "a checkpoint well past step 20")
    workers = [pid for pid, title in processes_below(process.pid).items() if "RayTrainWorker" in title]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    lost_at = max(checkpointed_steps(out))
    wait_for(lambda: max(checkpointed_steps(out)) >= lost_at + 40, "a checkpoint of the restarted workers")
    assert not set(workers) & set(processes_below(process.pid))
    os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert output.count("hybrid: step 15 of 240") == 1, "the run started from the beginning again"
    assert not list((out / "models").glob("hybrid-*"))

    resumed = jobs.run("train", *LONG, "--set", "train.workers=4")
    assert resumed.status == 0, resumed.output
    assert "hybrid: step 15 of 240" not in resumed.output, "the run started from the beginning again"
    assert sorted(losses(calm)) == list(range(15, 241, 15))
    assert losses(out) == pytest.approx(losses(calm), abs=1e-5)
    assert plan_hashes(out) == plan_hashes(calm) and len(plan_hashes(out)) == 1
    ours, reference = weights(resumed.summary["outputs"]["model"]), weights(one.summary["outputs"]["model"])
    assert np.abs(ours - reference).max() < 1e-5
