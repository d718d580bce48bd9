"""The batch plan over a corpus of 10^9 rows: seconds to start, milliseconds a step, memory.

    python benchmarks/plan_at_scale.py [rows]

The corpus is an index without texts, the same meanings in every language, with rows computed instead of read: what is
measured is the plan. Steps are drawn at random places of a run of 10^7 steps (nothing of a step is left from the one
before), and in order; with a schedule, of a run of 1,000 steps.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import sys
import time

import numpy as np

from hybrid_core.config import PlanConfig
from hybrid_core.plan import BatchPlan

STEPS = 300


class Index:
    """What the plan asks of a corpus, for `meanings` meanings in each of `count` languages."""

    def __init__(self, count: int, meanings: int) -> None:
        self.languages = tuple(f"l{i:02d}" for i in range(count))
        self.meanings = meanings
        self.fingerprint = f"{count} languages, {meanings} meanings"
        self._number = {pair: n for n, pair in enumerate(itertools.combinations(self.languages, 2))}
        self._ends = np.array(list(itertools.combinations(range(count), 2)))

    def rows_of(self, language: str) -> tuple[int, int]:
        """Meanings of a language, one row each."""
        first = self.languages.index(language) * self.meanings
        return first, first + self.meanings

    def pairs_of(self, low: str, high: str) -> tuple[int, int]:
        """Every meaning is shared."""
        first = self._number[low, high] * self.meanings
        return first, first + self.meanings

    def pair_rows(self, numbers: np.ndarray) -> np.ndarray:
        """Computed, not read."""
        pair, meaning = np.divmod(numbers, self.meanings)
        return np.asarray(self._ends[pair].T * self.meanings + meaning)

    def translations(self, rows: np.ndarray, source: str, target: str) -> np.ndarray:
        """Always there."""
        return np.asarray(rows - self.rows_of(source)[0] + self.rows_of(target)[0])

    def has_negatives(self) -> bool:
        """None."""
        return False


def main(rows: int) -> None:
    """Print one line for each policy and shape, and one for a schedule that changes in every block."""
    print(
        "| languages | batch | policy | start ms | step ms at random: median, 99% | step ms in order: median | memory grown by MB |"
    )
    print("|---|---|---|---|---|---|---|")
    schedule = {"alpha": 1.0, "alpha_schedule": "cosine", "alpha_end": 0.0}
    policies = {name: {"policy": name} for name in ("mono", "cross", "hybrid", "multi_positive", "x_x")}
    policies["hybrid, alpha by cosine"] = {"policy": "hybrid"} | schedule
    for (languages, batch), (name, config) in itertools.product(((6, 100), (11, 1024), (30, 1024)), policies.items()):
        run = 1000 if "alpha" in config else 10**7
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = time.perf_counter()
        corpus = Index(languages, rows // languages)
        plan = BatchPlan({"corpus": corpus}, PlanConfig(**config), seed=0, global_batch=batch, steps=run)  # type: ignore[arg-type]
        start = 1e3 * (time.perf_counter() - before)
        anywhere = timed(plan, np.random.default_rng(0).integers(0, run, STEPS).tolist())
        in_order = timed(plan, list(range(run // 10, run // 10 + STEPS)))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
        print(
            f"| {languages} | {batch} | {name} | {start:.1f} | {statistics.median(anywhere):.2f}, {np.percentile(anywhere, 99):.2f} "
            f"| {statistics.median(in_order):.2f} | {grown:.1f} |"
        )


def timed(plan: BatchPlan, numbers: list[int]) -> list[float]:
    """Milliseconds of each step."""
    found = []
    for number in numbers:
        before = time.perf_counter()
        plan.step(number)
        found.append(1e3 * (time.perf_counter() - before))
    return found


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**9)
