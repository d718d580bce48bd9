"""How far an encoding is, how fast it goes, and when it will be done: on the terminal and, as rates, for a tracker.

The clock starts when the encoder of the first shard began with it: what Ray, processes and models take to start is no part
of a rate, nor of the time that is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hybrid_core.embeddings.shards import Shard

_SECONDS = 10.0


class Progress:
    """Prints at most every ten seconds. Time left goes by work: characters, or bytes of the source."""

    def __init__(
        self, work: float, *, total: str = "", log: Callable[[int, dict[str, float]], None] = lambda step, rates: None
    ) -> None:
        """Args:
        work: of all that is to be encoded; 0 where it is not known.
        total: words for all of it, such as "of 1,920".
        log: gets the number of shards so far and rates.
        """
        self.work, self.total, self.log = work, total, log
        self.done = 0.0
        self.rows = self.tokens = self.shards = 0
        self.printed = time.monotonic()
        self.started: float | None = None

    def add(self, shard: Shard, work: float, seconds: float) -> None:
        """A shard has been committed, which was so much work and took its encoder so many seconds."""
        if self.started is None:
            self.started = time.monotonic() - seconds
        self.rows, self.tokens, self.shards = self.rows + shard.rows, self.tokens + shard.tokens, self.shards + 1
        self.done += work
        if time.monotonic() - self.printed >= _SECONDS:
            self._report()
        elif self.shards == 1:
            self.log(1, self._rates())

    def finish(self) -> None:
        """All is done."""
        self.work = self.done
        self._report()

    def skip(self, work: float) -> None:
        """So much work is not needed: it was done before."""
        self.work = max(0.0, self.work - work)

    def left(self, seconds: float) -> float | None:
        """Seconds that are left after so many, if the rest goes as fast; None: not known."""
        if not self.work or not self.done:
            return None
        return seconds * max(0.0, self.work / self.done - 1)

    def _report(self) -> None:
        self.printed = time.monotonic()
        rates = self._rates()
        words = [f"encoded {self.rows:,}{self.total} texts"]
        words += [
            f"{rates['encode/tokens_per_second']:,.0f} tokens/s and {rates['encode/rows_per_second']:,.0f} texts/s since encoding began"
        ]
        words += [f"about {_span(rates['encode/seconds_left'])} left"] if "encode/seconds_left" in rates else []
        print(f"  {', '.join(words)}")
        self.log(self.shards, rates)

    def _rates(self) -> dict[str, float]:
        now = time.monotonic()
        seconds = max(1e-9, now - (now if self.started is None else self.started))
        left = self.left(seconds)
        return {
            "encode/rows_per_second": self.rows / seconds,
            "encode/tokens_per_second": self.tokens / seconds,
            "encode/rows_so_far": float(self.rows),
        } | ({} if left is None else {"encode/seconds_left": left})


def _span(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
