"""What is logged of the steps since the last logged point; part of a checkpoint, so that a resumed run draws the same curve."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class SinceLog:
    """Sums of the losses since the last logged step, and the time: logging and checkpoints count, evaluations do not."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        """`state`: what a checkpoint kept of the steps before it."""
        known = state or {"sums": {}, "seconds": 0.0}
        self._sums: dict[str, tuple[int, float]] = {
            mode: (count, total) for mode, (count, total) in known["sums"].items()
        }
        """Mode -> steps and sum of their losses."""
        self._seconds = float(known["seconds"])
        self.start()

    def start(self) -> None:
        """The clock goes on from what the checkpoint says."""
        self._started = time.perf_counter() - self._seconds

    def add(self, mode: str, loss: float) -> None:
        """Take note of one step."""
        count, total = self._sums.get(mode, (0, 0.0))
        self._sums[mode] = (count + 1, total + loss)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The clock stands still in the body."""
        before = time.perf_counter()
        yield
        self._started += time.perf_counter() - before

    def metrics(self) -> dict[str, float]:
        """Mean loss, overall and by mode, and seconds a step."""
        steps = sum(count for count, _ in self._sums.values())
        metrics = {"train/loss": sum(self._sums[mode][1] for mode in sorted(self._sums)) / steps}
        metrics["train/step_seconds"] = (time.perf_counter() - self._started) / steps
        return metrics | {f"train/loss_{mode}": total / count for mode, (count, total) in self._sums.items()}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"sums": self._sums, "seconds": time.perf_counter() - self._started}
