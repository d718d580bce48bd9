"""The books of an encoding: which rows there are, which shards they became, and how fast it goes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hybrid_core import storage
from hybrid_core.embeddings.shards import Shard
from hybrid_core.embeddings.sources import Part
from hybrid_core.errors import RequestError
from ray_jobs._parts import EncodeTask


class Ledger:
    """Which rows there are, which shards they became, and how fast it goes."""

    def __init__(self, task: EncodeTask, log: Callable[[int, dict[str, float]], None]) -> None:
        self.task, self.log = task, log
        self.records: dict[str, dict[str, Any]] = {}
        self.rows = self.tokens = self.shards = 0
        self.started = self.printed = time.monotonic()

    def record(self, part: Part, facts: dict[str, Any]) -> None:
        """A part has been read to its end."""
        self.records[part.name] = facts

    def noted(self, facts: dict[str, Any]) -> None:
        """Words of a reader: an error, or what a part holds."""
        if "error" in facts:
            raise RequestError(facts["error"])
        part = next(p for p in self.task.parts if p.name == facts["part"])
        storage.write_json(self.task.record_of(part), facts)
        self.record(part, facts)

    def received(self, shard: Shard) -> None:
        """A shard has been committed."""
        self.rows, self.tokens, self.shards = self.rows + shard.rows, self.tokens + shard.tokens, self.shards + 1
        if time.monotonic() - self.printed >= 10:
            self.printed = time.monotonic()
            self._report()

    def _report(self) -> None:
        seconds = time.monotonic() - self.started
        rates = {"encode/rows_per_second": self.rows / seconds, "encode/tokens_per_second": self.tokens / seconds}
        left = ""
        if len(self.records) == len(self.task.parts):
            waiting = sum(sum(r["languages"].values()) for r in self.records.values() if not r.get("done")) - self.rows
            left = f", about {max(0, waiting) / rates['encode/rows_per_second']:.0f} s left"
        print(
            f"  encoded {self.rows:,} texts ({rates['encode/tokens_per_second']:,.0f} tokens/s, start-up included), "
            f"read {len(self.records):,} of {len(self.task.parts):,} parts to the end{left}"
        )
        self.log(self.shards, rates | {"encode/rows": float(self.rows)})

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
                raise RuntimeError(
                    f"{part.name}: {len(missing)} of {len(facts['shards'])} shards are missing; run again"
                )
            shards += [found[name] for name in facts["shards"]]
        rows_out = sum((Counter(s.languages) for s in shards), Counter())
        if rows_in != rows_out:
            wrong = {k: (rows_in[k], rows_out[k]) for k in rows_in | rows_out if rows_in[k] != rows_out[k]}
            raise RuntimeError(
                f"rows in and rows out differ by language: {wrong}; delete {self.task.target} and run again"
            )
        return shards
