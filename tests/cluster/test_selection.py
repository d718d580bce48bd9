"""Selection, early stopping, the best k checkpoints, a killed driver and a damaged checkpoint in one run."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from .conftest import Jobs, processes_below, wait_for

SELECT = "made_up/multi/mAP"
SETTINGS = {
    "train.steps": 60, "train.evaluate_every": 5, "train.select": SELECT, "train.patience": 4, "train.keep_checkpoints": 2,
    "train.checkpoint_every": 7, "train.log_every": 3, "train.epsilon": 1e-5,
}  # fmt: skip
FLAGS = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]


def curve(out: Path, metric: str) -> dict[int, float]:
    """Step -> value in the one MLflow run; of a step that was trained twice, the last.

    Points of the last second before a driver was killed may be missing: they were on their way to it.
    """
    with sqlite3.connect(out / "mlflow.db") as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
        query = "select step, value from metrics where key = ? order by timestamp"
        return dict(database.execute(query, (metric,)))


def weights(model: str) -> np.ndarray:
    return np.concatenate([w.ravel() for _, w in sorted(load_file(Path(model) / "model.safetensors").items())])


def kept_steps(out: Path) -> list[int]:
    return sorted(json.loads(f.read_text())["step"] for f in out.glob("checkpoints/*/checkpoint_*/complete.json"))


def kill(driver: subprocess.Popen[str]) -> None:
    """Kill a driver and wait until the workers and the controller it had are gone too: they may still write."""
    training = [
        pid for pid, title in processes_below(driver.pid).items() if "RayTrainWorker" in title or "Controller" in title
    ]
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate(timeout=60)
    wait_for(lambda: not any(map(runs, training)), "the end of its workers and controller")


def runs(pid: int) -> bool:
    """Whether a process is there; one that has ended and was not waited for has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def damage_latest(out: Path) -> None:
    """Cut the weights of the checkpoint that Ray would go on from."""
    (listing,) = out.glob("checkpoints/*/checkpoint_manager_snapshot.json")
    latest = json.loads(listing.read_text())["latest_checkpoint_result"]["checkpoint_dir_name"]
    file = listing.parent / latest / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def test_a_killed_driver_and_a_damaged_checkpoint_change_neither_the_choice_nor_the_model(jobs: Jobs) -> None:
    calm, out = jobs.home / "calm", jobs.home / "out"
    whole = jobs.run("train", *FLAGS, "--set", f"output={calm}")
    assert whole.status == 0, whole.output
    scores = curve(calm, SELECT)
    best = sorted(scores, key=lambda step: (-scores[step], step))
    assert set(kept_steps(calm)) == {*best[:2], max(scores)}
    assert max(scores) == min(60, best[0] + 4 * 5)

    process = jobs.start("train", *FLAGS)
    wait_for(lambda: max(kept_steps(out), default=0) >= 15, "a checkpoint after three evaluations")
    kill(process)
    damage_latest(out)
    resumed = jobs.run("train", *FLAGS)
    assert resumed.status == 0, resumed.output
    assert "checkpoint left out: " in resumed.output and "is not the file named in complete.json" in resumed.output
    first = int(re.findall(r"step (\d+) of 60", resumed.output)[0])
    assert 1 < first < 60
    for metric, tolerance in ((SELECT, 1e-9), ("train/loss", 1e-6)):
        there, expected = curve(out, metric), curve(calm, metric)
        assert {step for step in expected if step >= first} <= there.keys() <= expected.keys()
        assert there == pytest.approx({step: expected[step] for step in there}, abs=tolerance)
    models = [weights(job.summary["outputs"]["model"]) for job in (resumed, whole)]
    assert np.abs(models[0] - models[1]).max() < 1e-6
