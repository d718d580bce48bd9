"""Which step was the best so far by a named metric, and when to stop waiting for a better one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid_core.errors import RequestError, nearest


class Selection:
    """Best step and early stopping. The state goes into checkpoints, so a resumed run decides as an uninterrupted one."""

    def __init__(self, metric: str | None, patience: int) -> None:
        self.metric, self.patience = metric, patience
        self.best_step: int | None = None
        self.best_value = float("-inf")
        self._without_better = 0

    @property
    def exhausted(self) -> bool:
        """Whether the metric has not improved for `patience` evaluations."""
        return 0 < self.patience <= self._without_better

    def see(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Take note of an evaluation; whether it is the best so far (higher is better; the first of equals stays).

        Raises:
            RequestError: the evaluation has no such metric; the nearest is named.
        """
        if self.metric is None:
            return False
        if self.metric not in metrics:
            raise RequestError(f"train.select={self.metric!r} is not measured{nearest(self.metric, metrics)}")
        better = metrics[self.metric] > self.best_value
        if better:
            self.best_step, self.best_value = step, metrics[self.metric]
        self._without_better = 0 if better else self._without_better + 1
        return better

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint keeps."""
        if self.best_step is None:
            return None
        return {"step": self.best_step, "value": self.best_value, "without_better": self._without_better}

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Continue from what a checkpoint kept."""
        if state:
            self.best_step, self.best_value = int(state["step"]), float(state["value"])
            self._without_better = int(state["without_better"])
