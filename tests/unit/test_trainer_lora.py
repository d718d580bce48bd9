"""LoRA adapters are trained like whole weights: in every form of the step, and on from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hybrid_core.config import CorpusConfig, ModelConfig, PlanConfig, TrainConfig
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.sources import Source
from hybrid_core.model import export, load_encoder
from hybrid_core.plan import BatchPlan
from hybrid_core.trainer import Hooks, Trainer

FIXED = {"steps": 6, "global_batch": 12, "learning_rate": 0.1, "epsilon": 1e-5, "log_every": 1, "temperature": 0.05}
RICH = {"learn_temperature": True, "matryoshka": (8, 16)}
FORMS: dict[str, dict[str, object]] = {
    "gradcache": {"gradcache": True, "tokens_per_forward": 64},
    "recomputed": {"gradient_checkpointing": True},
    "both": {"gradcache": True, "tokens_per_forward": 64, "gradient_checkpointing": True},
    "in pieces": {"tokens_per_forward": 64},
}


def trainer(corpus: Corpus, directory: Path, **settings: object) -> Trainer:
    encoder = load_encoder(ModelConfig(name=str(directory), lora_rank=4))
    plan = BatchPlan({"corpus": corpus}, PlanConfig(), seed=0, global_batch=12)
    sources = {"corpus": Source(corpus, CorpusConfig())}
    return Trainer(encoder, sources, plan, TrainConfig(**(FIXED | settings)))  # type: ignore[arg-type]


def trained(t: Trainer) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in t.module.named_parameters() if p.requires_grad}


def frozen(t: Trainer) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in t.module.named_parameters() if not p.requires_grad}


def run(t: Trainer) -> list[float]:
    losses: list[float] = []
    t.run(Hooks(log=lambda step, metrics: losses.append(metrics["train/loss"])))
    return losses


def test_adapters_alone_are_trained_and_the_loss_falls(corpus: Corpus, encoder_directory: Path) -> None:
    t = trainer(corpus, encoder_directory, steps=150, learning_rate=0.03)
    before, still = trained(t), frozen(t)
    assert before and all("lora_" in name for name in before)
    losses = run(t)
    assert sum(losses[-30:]) < 0.95 * sum(losses[:30])
    assert all(not torch.equal(values, before[name]) for name, values in trained(t).items())
    assert all(torch.equal(values, still[name]) for name, values in frozen(t).items())


@pytest.mark.parametrize("rich", [{}, RICH], ids=["plain loss", "matryoshka and learned temperature"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_step_trains_the_same_adapters(
    corpus: Corpus, encoder_directory: Path, form: str, rich: dict[str, object]
) -> None:
    plain, other = (trainer(corpus, encoder_directory, **rich, **more) for more in ({}, FORMS[form]))
    before = trained(plain)
    assert run(other) == pytest.approx(run(plain), abs=1e-5)
    wanted = trained(plain)
    assert ("objective.log_temperature" in wanted) == bool(rich)
    for name, values in trained(other).items():
        assert (values - wanted[name]).abs().max() < 2e-5, name
        assert (wanted[name] - before[name]).abs().max() > 1e-3, f"{name} was not trained"


def test_adapters_in_bfloat16_follow_those_in_float32(corpus: Corpus, encoder_directory: Path) -> None:
    exact, rounded = (trainer(corpus, encoder_directory, steps=20, precision=p) for p in ("float32", "bfloat16"))
    before = trained(rounded)
    assert run(rounded) == pytest.approx(run(exact), rel=0.2)
    assert {p.dtype for p in rounded.parameters} == {torch.float32}
    assert all((values - before[name]).abs().max() > 1e-3 for name, values in trained(rounded).items())


@pytest.mark.parametrize("form", ["plain", "both"])
def test_resumed_adapters_are_the_uninterrupted_ones(
    corpus: Corpus, encoder_directory: Path, tmp_path: Path, form: str
) -> None:
    settings = RICH | FORMS.get(form, {}) | {"checkpoint_every": 4}
    whole = trainer(corpus, encoder_directory, **settings)
    whole.run(Hooks(save=lambda step, metrics: whole.save(tmp_path / str(step))))
    resumed = trainer(corpus, encoder_directory, **settings)
    resumed.restore(tmp_path / "4")
    assert len(run(resumed)) == 2
    wanted = trained(whole)
    assert all(torch.equal(values, wanted[name]) for name, values in trained(resumed).items())
    stored = sum(file.stat().st_size for file in (tmp_path / "4").glob("*.safetensors"))
    assert stored < sum(4 * p.numel() for p in whole.module.parameters()) / 2, "frozen weights are not stored"


def test_the_exported_model_holds_what_the_adapters_learned(
    corpus: Corpus, encoder_directory: Path, tmp_path: Path
) -> None:
    t = trainer(corpus, encoder_directory)
    run(t)
    ids = t.encoder.tokenize(["one text", "another and longer text"], "query")
    with torch.no_grad():
        wanted = t.encoder(*t.encoder.pad(ids))
        export(t.encoder, tmp_path / "model")
        loaded = load_encoder(ModelConfig(name=str(tmp_path / "model")))
        base = load_encoder(ModelConfig(name=str(encoder_directory)))
        assert (loaded(*loaded.pad(ids)) - wanted).abs().max() < 1e-5
        assert (base(*base.pad(ids)) - wanted).abs().max() > 1e-2
