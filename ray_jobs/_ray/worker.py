"""What one training process does: load, restore, train, report, export. The only glue between Ray Train and the trainer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import ray.train
import ray.train.torch
import torch

from hybrid_core.data.sources import open_sources, plan_for
from hybrid_core.errors import TrainingStoppedError
from hybrid_core.model import export, exported_model, load_encoder
from hybrid_core.storage import mark_complete, upload_directory
from hybrid_core.trainer import Hooks, Trainer
from hybrid_core.validation import Validator
from ray_jobs._ray.training import NOT_EVALUATED, SCORE, Channel, TrainRequest


def run(request: TrainRequest, channel: Channel) -> str | None:
    """Train this rank's part of the request; rank 0 exports the finished encoder.

    Returns:
        Why training stopped for good, None when it did not. Were it raised, Ray Train would try again.
    """
    try:
        _train(request, channel)
    except TrainingStoppedError as stopped:
        return str(stopped)
    return None


def _train(request: TrainRequest, channel: Channel) -> None:
    config = request.config
    torch.set_num_threads(config.train.threads)
    sources = open_sources(config)
    encoder = load_encoder(exported_model(config.model, request.base), seed=config.seed).to(
        ray.train.torch.get_device()
    )
    plan = plan_for(config, sources)
    trainer = Trainer(encoder, sources, plan, config.train)
    if latest := ray.train.get_checkpoint():
        with latest.as_directory() as directory:
            trainer.restore(Path(directory))
    validator = Validator(encoder, request.suites, config.encode) if request.suites else None
    trainer.run(
        Hooks(log=partial(_report, channel), save=lambda step, metrics: _report_checkpoint(trainer), evaluate=validator)
    )
    if config.train.select:
        _restore_best(trainer)
    if ray.train.get_context().get_world_rank() == 0:
        with tempfile.TemporaryDirectory() as scratch:
            export(encoder, Path(scratch))
            mark_complete(Path(scratch), kind="encoder", plan_hash=plan.hash)
            upload_directory(Path(scratch), request.target)


def _report(channel: Channel, step: int, metrics: Mapping[str, float]) -> None:
    context = ray.train.get_context()
    if context.get_world_rank() == 0:
        channel.mailbox.put.remote(step, {**metrics, "train/workers": float(context.get_world_size())})
    if channel.to_tune and any(name.count("/") == 2 for name in metrics):
        ray.train.report({"step": step, **metrics})


def _report_checkpoint(trainer: Trainer) -> None:
    """Write a checkpoint beside the training and let Ray upload it while training goes on."""
    # Only a new best has a score: of two equal ones Ray would keep the later, and we have promised the earlier.
    best = trainer.selection.best_value if trainer.selection.best_step == trainer.done else NOT_EVALUATED
    report = {"step": trainer.done, SCORE: best if trainer.config.select else float(trainer.done)}
    if ray.train.get_context().get_world_rank() != 0:
        ray.train.report(report)
        return
    scratch = tempfile.mkdtemp()
    trainer.save(Path(scratch))
    ray.train.report(
        report,
        checkpoint=ray.train.Checkpoint.from_directory(scratch),
        checkpoint_upload_mode=ray.train.CheckpointUploadMode.ASYNC,
        delete_local_checkpoint_after_upload=True,
    )


def _restore_best(trainer: Trainer) -> None:
    """Go back to the best evaluation's weights; waits for uploads that are under way."""
    wanted = trainer.selection.best_step
    if wanted is None:
        raise TrainingStoppedError(f"train.select={trainer.config.select}: no evaluation gave a finite value")
    for reported in ray.train.get_all_reported_checkpoints():
        if reported.metrics["step"] == wanted:
            with reported.checkpoint.as_directory() as directory:
                trainer.restore(Path(directory))
            return
    raise RuntimeError(
        f"the checkpoint of step {wanted}, the best by train.select={trainer.config.select}, is not there any more"
    )
