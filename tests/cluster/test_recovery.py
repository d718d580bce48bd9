"""Workers and drivers are killed in mid-run; the model that comes out is the one of an undisturbed run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from .conftest import Jobs, processes_below, wait_for

LONG = ["--set", "train.steps=300", "--set", "train.checkpoint_every=20", "--set", "train.log_every=50"]


def weights(model: str) -> np.ndarray:
    tensors = load_file(Path(model) / "model.safetensors")
    return np.concatenate([tensors[name].reshape(-1) for name in sorted(tensors)])


def first_checkpoint(out: Path) -> Path | None:
    return next(iter(out.glob("checkpoints/*/checkpoint_*/complete.json")), None)


def test_killed_worker_and_killed_driver_end_in_the_weights_of_one_undisturbed_worker(jobs: Jobs) -> None:
    calm = jobs.run("train", *LONG, "--set", "train.workers=1", "--set", f"output={jobs.home / 'calm'}")
    assert calm.status == 0, calm.output

    process = jobs.start("train", *LONG, "--json", str(jobs.home / "worker.json"))
    wait_for(lambda: first_checkpoint(jobs.home / "out"), "a checkpoint")
    workers = [pid for pid, title in processes_below(process.pid).items() if "RayTrainWorker" in title]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    (recovered,) = (p.parent for p in (jobs.home / "out" / "models").glob("hybrid-*/complete.json"))
    assert np.abs(weights(str(recovered)) - weights(calm.summary["outputs"]["model"])).max() < 1e-4

    elsewhere = ["--set", f"output={jobs.home / 'driver'}"]
    process = jobs.start("train", *LONG, *elsewhere)
    wait_for(
        lambda: len(list((jobs.home / "driver").glob("checkpoints/*/checkpoint_*/complete.json"))) > 1, "checkpoints"
    )
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert not list((jobs.home / "driver" / "models").glob("hybrid-*"))
    resumed = jobs.run("train", *LONG, *elsewhere)
    assert resumed.status == 0, resumed.output
    assert "hybrid: step 300 of 300" in resumed.output
    assert np.abs(weights(resumed.summary["outputs"]["model"]) - weights(calm.summary["outputs"]["model"])).max() < 1e-4
