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
from hybrid_core.distributed import ranks_where
from hybrid_core.errors import RequestError, TrainingStoppedError
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
    _resume(trainer, channel)
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


def _resume(trainer: Trainer, channel: Channel) -> None:
    """Go on from the latest checkpoint, or from the one before it that is whole on every rank.

    Raises:
        TrainingStoppedError: there are checkpoints, and none is whole; another attempt would find the same.
    """
    latest = ray.train.get_checkpoint()
    if latest is None or _restored_everywhere(trainer, latest, channel):
        return
    older = sorted(ray.train.get_all_reported_checkpoints(), key=lambda reported: -int(reported.metrics["step"]))
    for reported in older:
        if reported.checkpoint != latest and _restored_everywhere(trainer, reported.checkpoint, channel):
            return
    raise TrainingStoppedError(
        f"no checkpoint in {Path(latest.path).parent} is whole; delete that folder to start from the beginning"
    )


def _restored_everywhere(trainer: Trainer, checkpoint: ray.train.Checkpoint, channel: Channel) -> bool:
    """Restore on every rank; False on all of them where one finds the checkpoint damaged or gone."""
    problem = _problem_of_restoring(trainer, checkpoint)
    damaged = ranks_where(problem is not None, trainer.device)
    if damaged and ray.train.get_context().get_world_rank() == damaged[0]:
        channel.mailbox.put.remote(f"checkpoint left out: {problem}")
    return not damaged


def _problem_of_restoring(trainer: Trainer, checkpoint: ray.train.Checkpoint) -> str | None:
    try:
        with checkpoint.as_directory() as directory:
            trainer.restore(Path(directory))
    except (RequestError, FileNotFoundError) as problem:
        return str(problem)
    return None


def _report(channel: Channel, step: int, metrics: Mapping[str, float]) -> None:
    context = ray.train.get_context()
    if context.get_world_rank() == 0:
        channel.mailbox.put.remote(step, {**metrics, "train/workers": float(context.get_world_size())})
    if channel.to_tune and any(name.count("/") == 2 for name in metrics):
        ray.train.report({"step": step, **metrics})


def score(trainer: Trainer) -> float:
    """By which Ray orders the checkpoint of this step: the latest are kept, or the best evaluations in the order of `Selection`."""
    if not trainer.config.select:
        return float(trainer.done)
    value = trainer.selection.score(trainer.done)
    return NOT_EVALUATED if value is None else value


def _report_checkpoint(trainer: Trainer) -> None:
    """Write a checkpoint beside the training and let Ray upload it while training goes on."""
    report = {"step": trainer.done, SCORE: score(trainer)}
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
    there = [r for r in ray.train.get_all_reported_checkpoints() if r.metrics["step"] == wanted]
    if not any(_problem_of_restoring(trainer, reported.checkpoint) is None for reported in reversed(there)):
        raise RuntimeError(
            f"the checkpoint of step {wanted}, the best by train.select={trainer.config.select}, is not there any more, or is damaged"
        )
