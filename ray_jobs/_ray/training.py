"""Ray Train: run a gang of training workers until a model exists, through crashes of any process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.tune.integration.ray_train import TuneReportCallback

from hybrid_core import storage
from hybrid_core.config import Config, TrainConfig
from hybrid_core.data.suites import Suite
from hybrid_core.errors import TrainingStoppedError
from hybrid_core.storage import absolute, join
from ray_jobs._ray.mailbox import delivering, open_mailbox

OnMetrics = Callable[[int, Mapping[str, float]], None]
SCORE = "checkpoint_score"
"""Field of a report that decides which checkpoints are kept: the selected metric, or the step."""
NOT_EVALUATED = -1e30
_COLLECTIVE_TIMEOUT_S = 300
_RESIZE_CHECK_S = 15.0
"""Between two looks whether missing machines are back."""


@dataclass(frozen=True)
class TrainRequest:
    """One training run. Plain values, so that it travels to workers."""

    config: Config
    base: str
    """URI of the exported base encoder every worker starts from."""
    target: str
    """URI the finished encoder is exported to."""
    name: str
    """Identity of the run: the same name resumes from its last checkpoint."""
    suites: tuple[Suite, ...] = ()
    """Evaluated in mid-training when train.evaluate_every is set."""


@dataclass(frozen=True)
class Channel:
    """How a worker says what it measured. `ray.train.report` waits for the controller to look, up to seconds; a letter does not."""

    mailbox: Any
    to_tune: bool
    """Whether evaluations are also reported to Tune's scheduler."""


def train(request: TrainRequest, on_metrics: OnMetrics, *, inside_tune: bool = False) -> None:
    """Train with Ray Train until the encoder lies at `request.target`; resumes by itself after a crash of any process.

    Raises:
        TrainingStoppedError: the loss or the plan does not allow to go on; no other attempt was made.
        RuntimeError: training failed for good (the cause is chained).
    """
    config = request.config
    mailbox = open_mailbox()
    trainer = ray.train.torch.TorchTrainer(
        _run_worker,
        train_loop_config={"request": vars(request), "channel": Channel(mailbox, to_tune=inside_tune)},
        torch_config=ray.train.torch.TorchConfig(
            backend="nccl" if config.train.use_gpu else "gloo", timeout_s=_COLLECTIVE_TIMEOUT_S
        ),
        scaling_config=_scaling(config.train),
        run_config=ray.train.RunConfig(
            name=request.name,
            storage_path=join(absolute(config.output), "checkpoints"),
            failure_config=ray.train.FailureConfig(max_failures=config.train.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=config.train.keep_checkpoints,
                checkpoint_score_attribute=SCORE,
                checkpoint_score_order="max",
            ),
            callbacks=[_ForwardToTune()] if inside_tune else [],
        ),
    )
    try:
        with delivering(mailbox, partial(_received, on_metrics)):
            stopped = trainer.fit().return_value
    except ray.exceptions.RayError as error:  # the controller itself died: the run can be continued under its name
        raise RuntimeError(
            f"training {request.name} lost its controller; run the same command again to resume"
        ) from error
    if stopped:
        raise TrainingStoppedError(f"training {request.name} stopped: {stopped}")
    if not storage.exists(join(request.target, storage.MARKER)):
        raise RuntimeError(f"training {request.name} ended without a model at {request.target}")


def _received(on_metrics: OnMetrics, *letter: Any) -> None:
    """A letter from a worker: a step with its metrics, or a line for the terminal."""
    if len(letter) == 1:
        print(f"  {letter[0]}")
    else:
        on_metrics(*letter)


def _scaling(train: TrainConfig) -> ray.train.ScalingConfig:
    """A fixed gang, or one that shrinks and grows with the cluster."""
    if train.min_workers is None:
        return ray.train.ScalingConfig(num_workers=train.workers, use_gpu=train.use_gpu)
    return ray.train.ScalingConfig(
        num_workers=(train.min_workers, train.workers),
        use_gpu=train.use_gpu,
        elastic_resize_monitor_interval_s=_RESIZE_CHECK_S,
    )


class _ForwardToTune(TuneReportCallback):
    """Only reports that hold an evaluation concern the scheduler; a checkpoint alone would be a result without its metric."""

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        if any(name.count("/") == 2 for name in metrics[0]):
            super().after_report(run_context, metrics, checkpoint)


def _run_worker(loop_config: dict[str, Any]) -> str | None:
    """Import the training loop only in the workers: the controller, which unpickles this function, does without torch models."""
    from ray_jobs._ray import worker

    return worker.run(TrainRequest(**loop_config["request"]), loop_config["channel"])
