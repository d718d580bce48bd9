"""What one training process does: load, restore, train, report, export. The only glue between Ray Train and the trainer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import ray.train
import ray.train.torch
import torch

from hybrid_core.data.corpus import Corpus
from hybrid_core.data.sample import corpus_location
from hybrid_core.model import export, exported_model, load_encoder
from hybrid_core.plan import BatchPlan
from hybrid_core.storage import mark_complete, upload_directory
from hybrid_core.trainer import Hooks, Trainer
from hybrid_core.validation import Validator
from ray_jobs._ray.training import TrainRequest


def run(request: TrainRequest) -> None:
    """Train this rank's part of the request; rank 0 exports the finished encoder."""
    config = request.config
    torch.set_num_threads(config.train.threads)
    corpus = Corpus.open(corpus_location(config.data.corpus), config.data.languages)
    encoder = load_encoder(exported_model(config.model, request.base), seed=config.seed).to(
        ray.train.torch.get_device()
    )
    plan = BatchPlan(corpus, config.plan, seed=config.seed, global_batch=config.train.global_batch)
    trainer = Trainer(encoder, corpus, plan, config.train)
    if latest := ray.train.get_checkpoint():
        with latest.as_directory() as directory:
            trainer.restore(Path(directory))
    validator = Validator(encoder, request.suites, config.encode) if request.suites else None
    trainer.run(Hooks(log=_report, save=lambda step, metrics: _report_checkpoint(trainer), evaluate=validator))
    if ray.train.get_context().get_world_rank() == 0:
        with tempfile.TemporaryDirectory() as scratch:
            export(encoder, Path(scratch))
            mark_complete(Path(scratch), kind="encoder", plan_hash=plan.hash)
            upload_directory(Path(scratch), request.target)


def _report(step: int, metrics: Mapping[str, float]) -> None:
    ray.train.report({"step": step, **metrics})


def _report_checkpoint(trainer: Trainer) -> None:
    if ray.train.get_context().get_world_rank() != 0:
        ray.train.report({"step": trainer.done})
        return
    with tempfile.TemporaryDirectory() as scratch:
        trainer.save(Path(scratch))
        ray.train.report({"step": trainer.done}, checkpoint=ray.train.Checkpoint.from_directory(scratch))
