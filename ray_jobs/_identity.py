"""What makes two requests the same training: one model, one MLflow run, whatever they say of workers, logging and restarts."""

from __future__ import annotations

from typing import Any

from hybrid_core.config import Config, TrainConfig
from hybrid_core.settings import as_dict, digest

_MAY_CHANGE = (
    "tokens_per_forward", "gradcache", "gradient_checkpointing", "workers", "min_workers", "threads", "use_gpu", "log_every",
    "agree_every", "checkpoint_every", "evaluate_every", "patience", "keep_checkpoints", "max_failures",
)  # fmt: skip
"""Training fields that may change between resumptions; a model's identity depends on all others."""
_OF_SELECTION = ("evaluate_every", "patience")
"""These two decide the model when the best evaluation does."""


def training_settings(train: TrainConfig) -> dict[str, Any]:
    """The fields that decide what is trained."""
    may_change = set(_MAY_CHANGE) - set(_OF_SELECTION if train.select else ())
    return {field: value for field, value in as_dict(train).items() if field not in may_change}


def request_identity(config: Config) -> str:
    """Identity of a request under which its run goes on: as `config_hash`, less the training fields that may change."""
    values = as_dict(config) | {"train": training_settings(config.train)}
    for key in ("output", "experiment"):
        values.pop(key)
    return digest(values)
