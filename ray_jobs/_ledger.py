"""The books of an encoding: which rows there are, and which shards they became."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hybrid_core import storage
from hybrid_core.embeddings.shards import Shard
from hybrid_core.errors import RequestError
from ray_jobs._parts import EncodeTask
from ray_jobs._patience import persistently


class Ledger:
    """Which rows there are, and which shards they became."""

    def __init__(self, task: EncodeTask) -> None:
        self.task = task
        self.records: dict[str, dict[str, Any]] = {}

    def record(self, facts: dict[str, Any]) -> None:
        """What a part holds, as its reader or an earlier run has found."""
        self.records[facts["part"]] = facts

    def noted(self, facts: dict[str, Any]) -> None:
        """Words of a reader: an error, what a part holds, or nothing."""
        if "error" in facts:
            raise RequestError(facts["error"])
        if "part" in facts:
            place = self.task.record_of(facts["part"])
            persistently(lambda: storage.write_json(place, facts), self.task.config.encode.patience, place)
            self.record(facts)

    def check(self, found: dict[str, Shard]) -> list[Shard]:
        """The shards in the order of the source.

        Raises:
            RuntimeError: rows out differ from rows in.
        """
        rows_in: Counter[str] = Counter()
        shards: list[Shard] = []
        for part in self.task.parts:
            facts = self.records[part.name]
            rows_in.update(facts["languages"])
            missing = [name for name in facts["shards"] if name not in found]
            if missing:
                languages = ", ".join(facts["languages"])
                raise RuntimeError(
                    f"{part.name} ({languages}): {len(missing)} of {len(facts['shards'])} shards are missing; run again"
                )
            shards += [found[name] for name in facts["shards"]]
        rows_out = sum((Counter(s.languages) for s in shards), Counter())
        if rows_in != rows_out:
            wrong = {k: (rows_in[k], rows_out[k]) for k in rows_in | rows_out if rows_in[k] != rows_out[k]}
            raise RuntimeError(
                f"rows in and rows out differ by language: {wrong}; delete {self.task.target} and run again"
            )
        return shards
