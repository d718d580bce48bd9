"""Metrics that a tracking server did not take, kept on this machine until it does: one file per run, a point per line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Point:
    """One value of one metric."""

    name: str
    value: float
    timestamp: int
    """Milliseconds since 1970, when it was measured."""
    step: int


@dataclass(frozen=True)
class Spool:
    """Undelivered points of one run."""

    file: Path

    def waiting(self) -> list[Point]:
        """What was not delivered yet, oldest first."""
        if not self.file.exists():
            return []
        return [Point(**json.loads(line)) for line in self.file.read_text(encoding="utf-8").splitlines()]

    def keep(self, points: Sequence[Point]) -> None:
        """Add points to what waits."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(point)) + "\n" for point in points)

    def clear(self) -> None:
        """Forget what waited: it was delivered."""
        self.file.unlink(missing_ok=True)
