"""Workers and drivers are killed in mid-run; the model that comes out is the one of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from .conftest import Jobs, processes_below, wait_for

LONG = ["--set", "train.steps=240", "--set", "train.checkpoint_every=20", "--set", "train.log_every=40"]


def weights(model: str) -> np.ndarray:
    tensors = load_file(Path(model) / "model.safetensors")
    return np.concatenate([tensors[name].reshape(-1) for name in sorted(tensors)])


def checkpointed_steps(out: Path) -> list[int]:
    """Steps of the complete checkpoints that are there now."""
    return [json.loads(file.read_text())["step"] for file in out.glob("checkpoints/*/checkpoint_*/complete.json")]


def difference(model: str, other: str) -> float:
    return float(np.abs(weights(model) - weights(other)).max())


def test_killed_worker_and_killed_driver_end_in_the_weights_of_one_undisturbed_worker(jobs: Jobs) -> None:
    calm = jobs.run("train", *LONG, "--set", "train.workers=1", "--set", f"output={jobs.home / 'calm'}")
    assert calm.status == 0, calm.output
    reference = calm.summary["outputs"]["model"]

    summary = jobs.home / "worker.json"
    process = jobs.start("train", *LONG, "--json", str(summary))
    wait_for(lambda: max(checkpointed_steps(jobs.home / "out"), default=0) >= 80, "a checkpoint well past step 40")
    workers = [pid for pid, title in processes_below(process.pid).items() if "RayTrainWorker" in title]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.count("hybrid: step 40 of 240") == 1, "the run started from the beginning again"
    assert difference(json.loads(summary.read_text())["outputs"]["model"], reference) < 1e-4

    elsewhere = ["--set", f"output={jobs.home / 'driver'}"]
    process = jobs.start("train", *LONG, *elsewhere)
    wait_for(lambda: max(checkpointed_steps(jobs.home / "driver"), default=0) >= 80, "a checkpoint well past step 40")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert not list((jobs.home / "driver" / "models").glob("hybrid-*"))
    resumed = jobs.run("train", *LONG, *elsewhere, "--set", "train.workers=1")
    assert resumed.status == 0, resumed.output
    assert "hybrid: step 40 of 240" not in resumed.output, "the run started from the beginning again"
    assert "hybrid: step 200 of 240" in resumed.output
    assert difference(resumed.summary["outputs"]["model"], reference) < 1e-4
