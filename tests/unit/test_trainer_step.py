"""What one step does besides the loss: corpora with settings of their own, clipping, recomputation, and how often ranks talk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from conftest import made_up_pairs
from torch import Tensor, nn

from hybrid_core.config import Config, CorpusConfig, DataConfig, ModelConfig, PlanConfig, TrainConfig
from hybrid_core.data.corpus import Negative
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.data.sources import open_sources, plan_for
from hybrid_core.model import load_encoder
from hybrid_core.trainer import Hooks, Trainer

OWN = {"query_prefix": "frage ", "passage_prefix": "antwort ", "loss": "info_nce_and_distillation", "negatives": "own",
       "hard_negatives": 2}  # fmt: skip
STILL = {"global_batch": 12, "learning_rate": 0.0, "log_every": 1}
"""A step without a step: losses of the same weights can be compared."""


def built(config: Config) -> Trainer:
    sources = open_sources(config)
    return Trainer(load_encoder(config.model), sources, plan_for(config, sources), config.train)


def trainer(corpus_directory: Path, encoder_directory: Path, **settings: object) -> Trainer:
    train = TrainConfig(**({"steps": 2} | STILL | settings))  # type: ignore[arg-type]
    data = DataConfig(corpus=str(corpus_directory))
    return built(Config(model=ModelConfig(name=str(encoder_directory)), data=data, train=train))


@pytest.fixture(scope="module")
def scored_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with teacher scores and two hard negatives a row."""
    directory = tmp_path_factory.mktemp("scored") / "corpus"
    rows = [
        replace(
            p, score=0.9, negatives=tuple(Negative(f"{k} {p.query} {k}", p.language, 0.5 - 0.2 * k) for k in (0, 1))
        )
        for p in made_up_pairs(48)
    ]
    write_corpus(directory, rows, licence="Apache-2.0", sources=["tests"])
    return directory


def alone(corpus: Path, encoder: Path, settings: dict[str, object]) -> Trainer:
    """A trainer of one corpus (still named faq), with the same settings for the whole request."""
    prefixes = {name: value for name, value in settings.items() if name.endswith("prefix")}
    train = {name: value for name, value in settings.items() if name in ("loss", "negatives")}
    config = Config(
        model=ModelConfig(name=str(encoder), **prefixes),  # type: ignore[arg-type]
        data=DataConfig(corpora={"faq": CorpusConfig(corpus=str(corpus))}),
        plan=PlanConfig(hard_negatives=settings.get("hard_negatives", 0)),  # type: ignore[arg-type]
        train=TrainConfig(steps=8, **STILL, **train),  # type: ignore[arg-type]
    )
    return built(config)


def test_every_corpus_is_trained_with_its_own_prefixes_loss_and_negatives(
    corpus_directory: Path, scored_corpus: Path, encoder_directory: Path
) -> None:
    corpora = {
        "plain": CorpusConfig(corpus=str(corpus_directory)),
        "faq": CorpusConfig(corpus=str(scored_corpus), **OWN),  # type: ignore[arg-type]
    }
    config = Config(
        model=ModelConfig(name=str(encoder_directory)),
        data=DataConfig(corpora=corpora),
        train=TrainConfig(steps=8, **STILL),  # type: ignore[arg-type]
    )
    both = built(config)
    planned = {step.corpus: step for step in map(both.plan.step, range(8))}
    assert planned.keys() == {"plain", "faq"}
    losses = {name: both.step(step) for name, step in planned.items()}
    whole = alone(scored_corpus, encoder_directory, OWN)
    assert losses["faq"] == pytest.approx(whole.step(planned["faq"]), rel=1e-6)
    for name in OWN:
        if name != "hard_negatives":  # its loss and negatives need them; without, the request is refused
            without = alone(scored_corpus, encoder_directory, {k: v for k, v in OWN.items() if k != name})
            assert losses["faq"] != pytest.approx(without.step(planned["faq"]), rel=1e-4), f"{name} is ignored"
    plain = trainer(corpus_directory, encoder_directory)
    plain.sources = {"plain": plain.sources["corpus"]}
    plain.plan = both.plan
    assert losses["plain"] == pytest.approx(plain.step(planned["plain"]), rel=1e-6)


def gradients(t: Trainer) -> Tensor:
    return torch.cat([p.grad.reshape(-1) for p in t.parameters if p.grad is not None])


def test_gradients_are_scaled_down_to_the_norm_that_is_asked_for(
    corpus_directory: Path, encoder_directory: Path
) -> None:
    whole, clipped, loose = (trainer(corpus_directory, encoder_directory, clip_norm=norm) for norm in (0.0, 0.01, 1e6))
    for t in (whole, clipped, loose):
        t.step(t.plan.step(0))
    norm = gradients(whole).norm()
    assert norm > 0.1
    assert torch.equal(gradients(loose), gradients(whole))
    assert gradients(clipped).norm() == pytest.approx(0.01, rel=1e-3)
    assert torch.allclose(gradients(clipped), gradients(whole) * (0.01 / norm), atol=1e-7)


def layer_passes(t: Trainer) -> int:
    """How often an inner part of the first layer is run in one step."""
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    inner = next(m for name, m in t.encoder.named_modules() if name.endswith("layer.0.intermediate.dense"))
    assert isinstance(inner, nn.Linear)
    inner.register_forward_hook(count)
    t.encoder.train()
    t.step(t.plan.step(0))
    return passes


def test_checkpointed_layers_are_run_again_in_the_backward_pass(
    corpus_directory: Path, encoder_directory: Path
) -> None:
    once = layer_passes(trainer(corpus_directory, encoder_directory, tokens_per_forward=64))
    twice = layer_passes(
        trainer(corpus_directory, encoder_directory, tokens_per_forward=64, gradient_checkpointing=True)
    )
    assert once > 2
    assert twice == 2 * once


class Wire:
    """A process group of two ranks that hold the same; counts what goes over it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reduced: list[int] = []
        self.gathered = 0
        replaced = {"is_initialized": lambda: True, "get_rank": lambda: 0, "get_world_size": lambda: 2,
                    "all_reduce": self.all_reduce, "all_gather": self.all_gather}  # fmt: skip
        for name, function in replaced.items():
            monkeypatch.setattr(dist, name, function)

    def all_reduce(self, tensor: Tensor) -> None:
        self.reduced.append(tensor.numel())

    def all_gather(self, parts: list[Tensor], mine: Tensor) -> None:
        self.gathered += 1
        for part in parts:
            part.copy_(mine)


@pytest.mark.parametrize("gradcache", [False, True])
def test_a_step_reduces_gradients_once_however_many_pieces_it_has(
    corpus_directory: Path, encoder_directory: Path, monkeypatch: pytest.MonkeyPatch, gradcache: bool
) -> None:
    t = trainer(corpus_directory, encoder_directory, steps=3, tokens_per_forward=64, gradcache=gradcache, agree_every=3)
    wire = Wire(monkeypatch)
    t.run(Hooks())
    parameters = sum(p.numel() for p in t.parameters if p.grad is not None)
    assert wire.reduced.count(parameters) == 3
    # besides: the gradient of the passages, and the loss; passages once a step, and the digest once
    assert wire.reduced == 3 * [t.encoder.dimension * 12, parameters, 1]
    assert wire.gathered == 3 + 1
