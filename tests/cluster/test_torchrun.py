"""The program of docs/training.md trains under torchrun as it stands there: two ranks and one, and on from a checkpoint."""

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


def torchrun(folder: Path, ranks: int, settings: list[str]) -> str:
    """Run the program in this folder; what it printed."""
    folder.mkdir(exist_ok=True)
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/training.md").read_text(), re.DOTALL)
    (folder / "train.py").write_text(program)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "train.py"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([*command, *settings], cwd=folder, env=env, capture_output=True, text=True, timeout=240)
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
    one, two = tmp_path / "one", tmp_path / "two"
    losses = [
        [line.split() for line in torchrun(folder, n, settings).splitlines()] for folder, n in ((one, 1), (two, 2))
    ]
    assert [step for step, _ in losses[0]] == [str(n) for n in range(1, 7)]
    assert [float(x) for _, x in losses[1]] == pytest.approx([float(x) for _, x in losses[0]], abs=1e-5)
    assert np.abs(weights(two) - weights(one)).max() < 1e-4
    longer = torchrun(two, 1, [*settings, "train.steps=8"])  # goes on behind step 6
    assert [line.split()[0] for line in longer.splitlines()] == ["7", "8"]
