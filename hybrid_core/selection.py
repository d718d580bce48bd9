"""Which evaluations were the best so far by a named metric, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hybrid_core.errors import RequestError, nearest


class Selection:
    """The best steps and early stopping. The state goes into checkpoints, so a resumed run decides as an uninterrupted one."""

    def __init__(self, metric: str | None, patience: int, keep: int = 1) -> None:
        """`keep`: how many of the best evaluations are remembered, which is how many checkpoints are kept."""
        self.metric, self.patience, self.keep = metric, patience, keep
        self.kept: list[tuple[int, float]] = []
        """(step, value) of the best evaluations, best first; of equal ones the first."""
        self._without_better = 0

    @property
    def best_step(self) -> int | None:
        """Step of the best evaluation; None before the first finite one."""
        return self.kept[0][0] if self.kept else None

    @property
    def best_value(self) -> float:
        """Value of the best evaluation."""
        return self.kept[0][1] if self.kept else -math.inf

    @property
    def exhausted(self) -> bool:
        """Whether the metric has not improved for `patience` evaluations."""
        return 0 < self.patience <= self._without_better

    def see(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Take note of an evaluation; whether it is one of the `keep` best so far (higher is better; the first of equals stays).

        Raises:
            RequestError: the evaluation has no such metric; the nearest is named.
        """
        if self.metric is None:
            return False
        if self.metric not in metrics:
            raise RequestError(f"train.select={self.metric!r} is not measured{nearest(self.metric, metrics)}")
        value = metrics[self.metric]
        better = math.isfinite(value) and value > self.best_value
        self._without_better = 0 if better else self._without_better + 1
        place = sum(known >= value for _, known in self.kept)
        if not math.isfinite(value) or place >= self.keep:
            return False
        self.kept = [*self.kept[:place], (step, value), *self.kept[place:]][: self.keep]
        return True

    def score(self, step: int) -> float | None:
        """The value at a step that is among the best, lower by a rounding for every equal one before it; None for other steps.

        So the order of the scores is that of `kept`, for whoever keeps checkpoints by a number. (Values that are not equal, yet
        differ by fewer roundings than there are equal ones, may change places.)
        """
        places = {known: place for place, (known, _) in enumerate(self.kept)}
        if step not in places:
            return None
        value = self.kept[places[step]][1]
        score = value
        for _, earlier in self.kept[: places[step]]:
            score = math.nextafter(score, -math.inf) if earlier == value else score
        return score

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"kept": self.kept, "without_better": self._without_better}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what a checkpoint kept."""
        self.kept = [(int(step), float(value)) for step, value in state["kept"]][: self.keep]
        self._without_better = int(state["without_better"])
