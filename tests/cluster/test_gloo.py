"""Real gloo processes: which rows and texts a step has on any number of ranks, and whose numbers were not finite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .ranks import run_ranks

PROGRAM = """
import json, sys
from pathlib import Path
import torch, torch.distributed as dist
from hybrid_core.config import CorpusConfig, ModelConfig, PlanConfig, TrainConfig
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.sources import Source
from hybrid_core.errors import RequestError, TrainingStoppedError
from hybrid_core.model import load_encoder
from hybrid_core.plan import BatchPlan
from hybrid_core.trainer import Hooks, Trainer

corpus_directory, encoder_directory, target, cases = sys.argv[1:]
BAD_STEP = 2


class NotFiniteBackwards(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.nan


def spoil(trainer, where):
    def spoiled(function):
        return lambda *args: function(*args) if trainer.done == BAD_STEP else None

    layer = trainer.encoder.get_submodule("backbone.encoder.layer.0.output.dense")
    if where == "activation":
        layer.register_forward_hook(spoiled(lambda module, args, output: output * torch.nan))
    elif where == "gradient":
        layer.weight.register_hook(spoiled(lambda gradient: gradient * torch.nan))
    elif where == "loss":
        trainer.objective.register_forward_hook(spoiled(lambda module, args, output: output * torch.nan))
    elif where == "gradient of the loss":
        replaced = spoiled(lambda module, args: (args[0], NotFiniteBackwards.apply(args[1]), *args[2:]))
        trainer.objective.register_forward_pre_hook(replaced)


def watch(trainer, seen):
    step, tokenize = trainer.step, trainer.encoder.tokenize

    def watched_step(planned):
        seen.append({"digest": planned.digest, "query": [], "passage": []})
        return step(planned)

    def watched_tokenize(texts, kind, prefix=None):
        seen[-1][kind] += texts
        return tokenize(texts, kind, prefix)

    trainer.step, trainer.encoder.tokenize = watched_step, watched_tokenize


for name, case in json.loads(cases).items():
    plan = BatchPlan({"corpus": Corpus.open(corpus_directory)}, PlanConfig(**case.get("plan", {})), seed=0, global_batch=14)
    settings = {"steps": 4, "global_batch": 14, "epsilon": 1e-5, "log_every": 1, "tokens_per_forward": 64} | case.get("train", {})
    encoder = load_encoder(ModelConfig(name=encoder_directory, **case.get("model", {})))
    seen, losses, said, stopped_at = [], [], None, None
    try:
        source = {"corpus": Source(Corpus.open(corpus_directory), CorpusConfig())}
        trainer = Trainer(encoder, source, plan, TrainConfig(**settings))
        watch(trainer, seen)
        if rank == 1:
            spoil(trainer, case.get("spoiled"))
        trainer.run(Hooks(log=lambda step, metrics: losses.append(metrics["train/loss"])))
    except (TrainingStoppedError, RequestError) as error:
        said = str(error)
    found = {"seen": seen, "losses": losses, "said": said}
    (Path(target) / f"{name}-{rank}.json").write_text(json.dumps(found))
    dist.barrier()
"""
POLICIES: dict[str, dict[str, Any]] = {
    policy: {"plan": {"policy": policy}} for policy in ("mono", "cross", "hybrid", "x_x", "multi_positive")
} | {"lora": {"model": {"lora_rank": 4}}}
PLACES = ("activation", "gradient", "loss", "gradient of the loss")
SPOILED = {
    f"{place}{' cached' if cached else ''}": {"spoiled": place, "train": {"gradcache": cached}}
    for place in PLACES
    for cached in (False, True)
}
CALLED = {"activation": "embeddings"}
"""What a place is called where it shows first."""


Found = dict[str, list[dict[str, Any]]]
FEW = {"few": {"train": {"global_batch": 2}}}


@pytest.fixture(scope="module")
def results(
    corpus_directory: Path, encoder_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Found]:
    """Number of ranks -> case -> what every rank found."""
    cases = {1: POLICIES, 2: POLICIES, 3: SPOILED | FEW, 4: POLICIES}
    folders = {ranks: tmp_path_factory.mktemp(f"ranks-{ranks}") for ranks in cases}
    fixed = [str(corpus_directory), str(encoder_directory)]
    run_ranks(PROGRAM, [(n, [*fixed, str(folder), json.dumps(cases[n])]) for n, folder in folders.items()])
    return {
        n: {name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(n)] for name in cases[n]}
        for n, folder in folders.items()
    }


def steps(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the ranks were shown together, in rank order, with the digest that they agree on."""
    together = []
    for parts in zip(*(of_rank["seen"] for of_rank in found), strict=True):
        assert len({part["digest"] for part in parts}) == 1
        shown = {kind: [text for part in parts for text in part[kind]] for kind in ("query", "passage")}
        together.append(shown | {"digest": parts[0]["digest"]})
    return together


def test_any_number_of_ranks_is_shown_the_same_rows_at_every_step(results: dict[int, Found]) -> None:
    one = results[1]
    assert {len(steps(found)) for found in one.values()} == {4}
    digests = [step["digest"] for found in one.values() for step in steps(found)]
    assert len(set(digests)) >= 5 * 4, "policies and steps differ, so the digest tells rows apart"
    for ranks in (2, 4):
        for policy, found in results[ranks].items():
            assert steps(found) == steps(one[policy]), f"{policy} on {ranks} ranks"
            assert found[0]["losses"] == pytest.approx(one[policy][0]["losses"], abs=1e-5), f"{policy} on {ranks} ranks"


def test_numbers_that_are_not_finite_are_said_to_be_of_the_rank_that_made_them(results: dict[int, Found]) -> None:
    for case in SPOILED:
        found = results[3][case]
        place = SPOILED[case]["spoiled"]
        said = {of_rank["said"] for of_rank in found}
        assert len(said) == 1, case
        message = said.pop()
        assert message.startswith("step 2: "), case
        assert f"not finite on rank(s) [1] ({CALLED.get(place, place)})" in message, case
        assert len(found[0]["losses"]) == 2, case


def test_more_ranks_than_examples_are_refused_on_every_rank(results: dict[int, Found]) -> None:
    for of_rank in results[3]["few"]:
        assert "train.global_batch=2 is less than the 3 ranks" in of_rank["said"]
        assert of_rank["seen"] == []
