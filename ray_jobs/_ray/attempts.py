"""A piece of work that costs one process after the other its life ends the run instead of going on for ever.

Ray repeats what a lost process did without a limit. A limit of Ray's own (`max_task_retries`) will not do: it counts calls
that found nobody too, and a node that is gone uses up any number of them before the cluster knows.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import ray

from ray_jobs._ray.cluster import beside_driver

_LIVES = 6


class _Attempts:
    """Knows, outside the processes that may be lost, how often each unfinished piece was begun."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, piece: str) -> int:
        self._begun[piece] += 1
        return self._begun[piece]

    def finish(self, piece: str) -> None:
        del self._begun[piece]


def limited(step: type, what: str) -> type:
    """The class of a step on rows with a `name`, with a limit to the processes that one row may cost.

    Args:
        step: constructed in a process of its own and called with one row at a time.
        what: what to call such a process in the message.

    Returns:
        A class of the same name; called with a row that has cost so many processes, it raises a RuntimeError.
    """
    attempts = beside_driver(_Attempts)

    class Limited(step):
        def __call__(self, row: pa.Table) -> Any:
            name = row["name"][0].as_py()
            if not name:  # carries a word, no work
                return super().__call__(row)
            if ray.get(attempts.begin.remote(name)) > _LIVES:
                raise RuntimeError(
                    f"one piece of the texts has cost {_LIVES} {what} processes their lives, one after the other; what is committed "
                    "stays. Mostly memory ran out: lower encode.rows_per_shard or encode.tokens_per_batch, or take fewer encode.actors "
                    "on a node; why a process ended stands in Ray's logs (/tmp/ray/session_latest/logs)"
                )
            done = super().__call__(row)
            attempts.finish.remote(name)
            return done

    Limited.__name__ = Limited.__qualname__ = step.__name__
    return Limited
