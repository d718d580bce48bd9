"""The training loop on one process: resume, schedule, guards, checkpoints."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from hybrid_core.config import CorpusConfig, ModelConfig, PlanConfig, TrainConfig
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.sources import Source
from hybrid_core.errors import RequestError
from hybrid_core.model import load_encoder
from hybrid_core.plan import BatchPlan
from hybrid_core.trainer import Hooks, Metrics, Trainer


def trainer(corpus: Corpus, directory: Path, *, seed: int = 0, **settings: object) -> Trainer:
    values = {"steps": 6, "global_batch": 12, "learning_rate": 1e-3, "log_every": 1, "checkpoint_every": 2} | settings
    encoder = load_encoder(ModelConfig(name=str(directory)))
    sources = {"corpus": Source(corpus, CorpusConfig())}
    plan = BatchPlan({"corpus": corpus}, PlanConfig(), seed=seed, global_batch=12)
    return Trainer(encoder, sources, plan, TrainConfig(**values))  # type: ignore[arg-type]


def weights(t: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in t.parameters])


def test_training_lowers_the_loss(corpus: Corpus, encoder_directory: Path) -> None:
    losses: list[float] = []
    trainer(corpus, encoder_directory, steps=40, temperature=0.05).run(
        Hooks(log=lambda step, m: losses.append(m["train/loss"]))
    )
    assert len(losses) == 40
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


def test_resumed_equals_uninterrupted(corpus: Corpus, encoder_directory: Path, tmp_path: Path) -> None:
    whole = trainer(corpus, encoder_directory)

    def save(step: int, metrics: Metrics) -> None:
        if step == 4:
            whole.save(tmp_path / "at4")

    whole.run(Hooks(save=save))
    resumed = trainer(corpus, encoder_directory)
    resumed.restore(tmp_path / "at4")
    steps: list[int] = []
    resumed.run(Hooks(log=lambda step, metrics: steps.append(step)))
    assert steps == [5, 6]
    assert torch.equal(weights(resumed), weights(whole))


def test_gradcache_trains_like_the_plain_step(corpus: Corpus, encoder_directory: Path) -> None:
    plain, cached = (
        trainer(corpus, encoder_directory),
        trainer(corpus, encoder_directory, gradcache=True, tokens_per_forward=64),
    )
    plain.run(Hooks())
    cached.run(Hooks())
    assert torch.allclose(weights(plain), weights(cached), atol=2e-5)


def test_a_checkpoint_cut_short_is_refused(corpus: Corpus, encoder_directory: Path, tmp_path: Path) -> None:
    t = trainer(corpus, encoder_directory)
    t.step(t.plan.step(0))
    t.save(tmp_path / "c")
    file = tmp_path / "c" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(RequestError, match=r"optimizer\.safetensors is not the file named in complete\.json"):
        trainer(corpus, encoder_directory).restore(tmp_path / "c")
    (tmp_path / "c" / "complete.json").unlink()
    with pytest.raises(RequestError, match="cut short"):
        trainer(corpus, encoder_directory).restore(tmp_path / "c")


def test_a_checkpoint_of_another_plan_is_refused(corpus: Corpus, encoder_directory: Path, tmp_path: Path) -> None:
    t = trainer(corpus, encoder_directory)
    t.save(tmp_path / "c")
    with pytest.raises(RuntimeError, match="was written under plan"):
        trainer(corpus, encoder_directory, seed=1).restore(tmp_path / "c")


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step(corpus: Corpus, encoder_directory: Path) -> None:
    t = trainer(corpus, encoder_directory)
    with torch.no_grad():
        t.parameters[0].fill_(float("nan"))
    with pytest.raises(RuntimeError, match=r"step 0: loss nan.*not finite on some rank"):
        t.run(Hooks())


def test_learning_rate_warms_up_and_falls_to_zero(corpus: Corpus, encoder_directory: Path) -> None:
    t = trainer(corpus, encoder_directory, steps=100, warmup=0.1)
    rates = [t.learning_rate(k) for k in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == rates[9] == pytest.approx(1e-3)
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(1e-3 / 90)
    constant = trainer(corpus, encoder_directory, steps=100, warmup=0.0, schedule="constant")
    assert {constant.learning_rate(k) for k in range(100)} == {1e-3}


def test_hooks_are_called_at_their_steps(corpus: Corpus, encoder_directory: Path) -> None:
    seen: dict[str, list[int]] = {"log": [], "save": [], "evaluate": []}

    def evaluate(step: int) -> Metrics:
        seen["evaluate"].append(step)
        return {"suite/multi/mAP": 0.5}

    logged: dict[int, Metrics] = {}
    trainer(corpus, encoder_directory, steps=7, log_every=3, checkpoint_every=4, evaluate_every=2).run(
        Hooks(log=logged.__setitem__, save=lambda step, m: seen["save"].append(step), evaluate=evaluate)
    )
    assert seen["save"] == [4, 7]
    assert seen["evaluate"] == [2, 4, 6, 7]
    assert list(logged) == [2, 3, 4, 6, 7]
    assert "suite/multi/mAP" in logged[2] and "suite/multi/mAP" not in logged[3]
