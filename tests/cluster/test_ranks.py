"""Real gloo processes: training means the same on 1, 2, 3 and 4 ranks, and ranks that disagree or fail are stopped together."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import made_up_pairs
from safetensors.numpy import load_file

from hybrid_core.data.corpus import Negative
from hybrid_core.data.corpus_writer import write_corpus

from .ranks import run_ranks

PROGRAM = """
import json, sys
from pathlib import Path
import torch, torch.distributed as dist
from safetensors.torch import save_file
from hybrid_core.config import CorpusConfig, ModelConfig, PlanConfig, TrainConfig
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.sources import Source
from hybrid_core.errors import TrainingStoppedError
from hybrid_core.model import load_encoder
from hybrid_core.plan import BatchPlan
from hybrid_core.trainer import Hooks, Trainer

corpus_directory, encoder_directory, target, cases = sys.argv[1:]
corpus = Corpus.open(corpus_directory)


def keep_first_gradients(trainer, folder):
    update = trainer._update

    def keeping(step, loss):
        if rank == 0 and step == 0:
            named = trainer.module.named_parameters()
            save_file({name: p.grad.clone() for name, p in named if p.grad is not None}, folder / "gradients.safetensors")
        return update(step, loss)

    trainer._update = keeping


for name, case in json.loads(cases).items():
    folder = Path(target) / name
    folder.mkdir(exist_ok=True)
    seed = case.get("seed_of_rank_1", 0) if rank == 1 else 0
    plan = BatchPlan({"corpus": corpus}, PlanConfig(**case.get("plan", {})), seed=seed, global_batch=16)
    given = {"temperature": 0.05} | case.get("train", {})
    given["matryoshka"] = tuple(given.get("matryoshka", ()))
    fixed = {"steps": 6, "global_batch": 16, "learning_rate": 1e-3, "epsilon": 1e-5}  # a gradient of 1e-8 may differ in sign
    settings = TrainConfig(log_every=1, agree_every=1, tokens_per_forward=64, **fixed, **given)
    encoder = load_encoder(ModelConfig(name=encoder_directory))
    trainer = Trainer(encoder, {"corpus": Source(corpus, CorpusConfig())}, plan, settings)
    if case.get("poisoned") == rank:
        with torch.no_grad():
            trainer.parameters[0].view(-1)[0] = torch.nan
    keep_first_gradients(trainer, folder)
    losses, stopped = [], None
    try:
        trainer.run(Hooks(log=lambda step, metrics: losses.append(metrics["train/loss"])))
    except TrainingStoppedError as error:
        stopped = str(error)
    (folder / f"rank-{rank}.json").write_text(json.dumps({"losses": losses, "stopped": stopped}))
    if rank == 0:
        trainer.save(folder / "checkpoint")
    dist.barrier()
"""
RICH = {"policy": "multi_positive", "translations": 2, "hard_negatives": 2, "negative_language": "any"}
RICH_LOSS = {"loss": "info_nce_and_distillation", "learn_temperature": True, "matryoshka": [8, 16]}
CASES = {
    "hybrid": {},
    "hybrid_gradcache": {"train": {"gradcache": True}},
    "drawn_independently": {"plan": {"draws_per_step": 2}},
    "everything": {"plan": RICH, "train": RICH_LOSS},
    "everything_gradcache": {"plan": RICH, "train": RICH_LOSS | {"gradcache": True}},
}
STOPS = {"disagree": {"seed_of_rank_1": 1}, "poisoned": {"poisoned": 1}}


@dataclass
class Trained:
    """What one case left on rank 0."""

    losses: list[float]
    weights: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: Path) -> Trained:
        weights = load_file(folder / "checkpoint" / "weights.safetensors")
        losses = json.loads((folder / "rank-0.json").read_text())["losses"]
        return cls(losses, weights, load_file(folder / "gradients.safetensors"))


@pytest.fixture(scope="module")
def scored_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with teacher scores and up to three hard negatives a row, one of them a passage of another meaning."""
    pairs = made_up_pairs(48, missing=5)
    rows = []
    for number, pair in enumerate(pairs):
        wrong = [Negative(pairs[(number + 7) % len(pairs)].passage, pairs[(number + 7) % len(pairs)].language, 0.4)]
        wrong += [Negative(f"wrong {k} {pair.passage}", pair.language, 0.3 - 0.1 * k) for k in range(number % 3)]
        rows.append(replace(pair, negatives=tuple(wrong), score=0.8))
    directory = tmp_path_factory.mktemp("scored") / "corpus"
    write_corpus(directory, rows, licence="Apache-2.0", sources=["tests"])
    return directory


@pytest.fixture(scope="module")
def trained(scored_corpus: Path, encoder_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Number of ranks -> folder with what every case left there."""
    cases = {1: CASES, 2: CASES | STOPS, 3: CASES, 4: CASES}
    folders = {ranks: tmp_path_factory.mktemp(f"ranks-{ranks}") for ranks in cases}
    fixed = [str(scored_corpus), str(encoder_directory)]
    run_ranks(PROGRAM, [(n, [*fixed, str(folder), json.dumps(cases[n])]) for n, folder in folders.items()])
    return folders


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("case", CASES)
def test_any_number_of_ranks_gives_the_gradients_losses_and_weights_of_one(
    ranks: int, case: str, trained: dict[int, Path]
) -> None:
    one = Trained.read(trained[1] / case.removesuffix("_gradcache"))
    several = Trained.read(trained[ranks] / case)
    assert several.gradients.keys() == one.gradients.keys()
    largest = max(float(np.linalg.norm(g)) for g in one.gradients.values())
    assert largest > 1e-3
    for name, gradient in one.gradients.items():  # Adam would hide a gradient that is too large by the number of ranks
        assert np.linalg.norm(several.gradients[name] - gradient) < 1e-5 * largest, name
    assert several.losses == pytest.approx(one.losses, abs=1e-5)
    for name, weights in one.weights.items():
        assert np.abs(several.weights[name] - weights).max() < 1e-4, name


def test_the_case_with_everything_trains_the_temperature_on_hard_negatives(trained: dict[int, Path]) -> None:
    plain, rich = (Trained.read(trained[1] / case) for case in ("hybrid", "everything"))
    assert "objective.log_temperature" in rich.gradients and "objective.log_temperature" not in plain.gradients
    assert abs(float(rich.gradients["objective.log_temperature"])) > 1e-3


def stopped(folder: Path) -> list[str]:
    return [json.loads((folder / f"rank-{rank}.json").read_text())["stopped"] for rank in (0, 1)]


def test_ranks_that_plan_different_batches_are_stopped_and_named(trained: dict[int, Path]) -> None:
    messages = stopped(trained[2] / "disagree")
    assert all("rank(s) [1] planned another batch than rank 0" in message for message in messages)


def test_a_rank_whose_numbers_are_not_finite_stops_all_ranks_and_is_named(trained: dict[int, Path]) -> None:
    messages = stopped(trained[2] / "poisoned")
    assert messages[0] == messages[1]
    assert messages[0].startswith("step 0: loss nan, gradient norm nan: not finite on rank(s) [1] (weights)")
