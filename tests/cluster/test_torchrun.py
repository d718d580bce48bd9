"""The program of docs/training.md trains as it stands there: under plain python, under torchrun, and on from a checkpoint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]


def program(folder: Path, ranks: int | None, settings: list[str]) -> str:
    """Run the program in this folder, under torchrun or (None) plain python; what it printed."""
    folder.mkdir(exist_ok=True)
    (text,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/training.md").read_text(), re.DOTALL)
    (folder / "train.py").write_text(text)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks else []
    env = os.environ | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *torchrun, "train.py", *settings]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def weights(folder: Path) -> np.ndarray:
    return np.concatenate([w.ravel() for _, w in sorted(load_file(folder / "model" / "model.safetensors").items())])


def test_the_documented_program_trains_on_any_number_of_ranks(
    corpus_directory: Path, encoder_directory: Path, tmp_path: Path
) -> None:
    settings = [
        f"data.corpus={corpus_directory}", f"model.name={encoder_directory}", "train.global_batch=16", "train.steps=6",
        "train.learning_rate=1e-3", "train.epsilon=1e-5", "train.log_every=1", "train.checkpoint_every=3",
    ]  # fmt: skip
    plain, two = tmp_path / "plain", tmp_path / "two"
    losses = [
        [line.split() for line in program(folder, ranks, settings).splitlines()]
        for folder, ranks in ((plain, None), (two, 2))
    ]
    assert [step for step, _ in losses[0]] == [str(n) for n in range(1, 7)]
    assert [float(x) for _, x in losses[1]] == pytest.approx([float(x) for _, x in losses[0]], abs=1e-5)
    assert np.abs(weights(two) - weights(plain)).max() < 1e-4
    longer = program(two, None, [*settings, "train.steps=8"])  # goes on behind step 6
    assert [line.split()[0] for line in longer.splitlines()] == ["7", "8"]
