"""Real gloo processes: training means the same on 1, 2 and 4 ranks, and ranks that disagree are stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

PROGRAM = """
import json, sys
from pathlib import Path
import torch, torch.distributed as dist
from hybrid_core.config import CorpusConfig, ModelConfig, PlanConfig, TrainConfig
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.sources import Source
from hybrid_core.model import load_encoder
from hybrid_core.plan import BatchPlan
from hybrid_core.trainer import Hooks, Trainer

corpus_directory, encoder_directory, target, policy, gradcache, seed_of_rank_1 = sys.argv[1:]
torch.set_num_threads(1)
dist.init_process_group("gloo")
corpus = Corpus.open(corpus_directory)
seed = int(seed_of_rank_1) if dist.get_rank() == 1 else 0
plan = BatchPlan({"corpus": corpus}, PlanConfig(policy=policy), seed=seed, global_batch=16)
settings = TrainConfig(
    steps=6, global_batch=16, learning_rate=1e-3, log_every=1, agree_every=1, gradcache=bool(int(gradcache)), tokens_per_forward=64,
)
encoder = load_encoder(ModelConfig(name=encoder_directory))
trainer = Trainer(encoder, {"corpus": Source(corpus, CorpusConfig())}, plan, settings)
losses = []
trainer.run(Hooks(log=lambda step, metrics: losses.append(metrics["train/loss"])))
if dist.get_rank() == 0:
    trainer.save(Path(target) / "checkpoint")
    (Path(target) / "losses.json").write_text(json.dumps(losses))
dist.destroy_process_group()
"""


def run(ranks: int, arguments: list[str], port: int) -> list[tuple[int, str]]:
    """Start the ranks as processes of their own; (exit status, standard error) of each."""
    started = []
    for rank in range(ranks):
        env = os.environ | {
            "RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
        }  # fmt: skip
        command = [sys.executable, "-c", PROGRAM, *arguments]
        started.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=200)[1] for process in started]
    return [(process.returncode, error) for process, error in zip(started, errors, strict=True)]


def free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def trained(target: Path) -> tuple[list[float], np.ndarray]:
    weights = load_file(target / "checkpoint" / "weights.safetensors")
    return json.loads((target / "losses.json").read_text()), np.concatenate(
        [weights[k].reshape(-1) for k in sorted(weights)]
    )


@pytest.fixture(scope="module")
def reference(
    corpus_directory: Path, encoder_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[float], np.ndarray]:
    target = tmp_path_factory.mktemp("one")
    results = run(1, [str(corpus_directory), str(encoder_directory), str(target), "hybrid", "0", "0"], free_port())
    assert [status for status, _ in results] == [0], results
    return trained(target)


@pytest.mark.parametrize(("ranks", "gradcache"), [(2, 0), (4, 0), (3, 0), (2, 1)])
def test_any_number_of_ranks_gives_the_losses_and_weights_of_one(
    ranks: int,
    gradcache: int,
    reference: tuple[list[float], np.ndarray],
    corpus_directory: Path,
    encoder_directory: Path,
    tmp_path: Path,
) -> None:
    arguments = [str(corpus_directory), str(encoder_directory), str(tmp_path), "hybrid", str(gradcache), "0"]
    results = run(ranks, arguments, free_port())
    assert [status for status, _ in results] == [0] * ranks, results
    losses, weights = trained(tmp_path)
    assert losses == pytest.approx(reference[0], abs=1e-5)
    assert np.abs(weights - reference[1]).max() < 1e-4


def test_ranks_that_plan_different_batches_are_stopped_and_named(
    corpus_directory: Path, encoder_directory: Path, tmp_path: Path
) -> None:
    results = run(2, [str(corpus_directory), str(encoder_directory), str(tmp_path), "hybrid", "0", "1"], free_port())
    assert all(status != 0 for status, _ in results)
    assert any("rank(s) [1] planned another batch than rank 0" in error for _, error in results)
    assert not (tmp_path / "checkpoint").exists()
