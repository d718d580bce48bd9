"""The batch plan: which rows make up global batch number k, and in which mode, as a pure function.

    plan(corpora, plan config, seed, global batch size).step(k) -> mode, corpus, rows of queries and passages

Ranks only slice it. Hence the same data order at any number of workers, resume from an integer, replay on a laptop.
A batch mixes languages only where its policy says so: if ranks drew their own batches and gathered the passages, a
monolingual query would meet negatives in other languages, and the model would learn to tell languages apart (LAReQA X-X).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from hybrid_core.config import PlanConfig
from hybrid_core.draws import CorpusDraws, CorpusIndex, RowLanguages
from hybrid_core.errors import RequestError
from hybrid_core.exact import ExactDraws, Schedule, Shares
from hybrid_core.permutation import derive_key
from hybrid_core.schedule import alpha_points, ends_with_the_run
from hybrid_core.settings import digest

Mode = Literal["mono", "cross", "multi_positive", "x_x", "several"]
"""`several`: batches of more than one mode were joined (plan.draws_per_step > 1)."""
_VERSION = 4
_MODES: tuple[Mode, ...] = ("mono", "cross")


def _no_rows() -> np.ndarray:
    return np.empty((0, 0), dtype=np.int64)


@dataclass(frozen=True)
class StepPlan:
    """One global batch: example i asks the query of `query_rows[i]` and is answered by the passage of `passage_rows[i]`."""

    step: int
    mode: Mode
    query_rows: np.ndarray
    passage_rows: np.ndarray
    translation_rows: np.ndarray = field(default_factory=_no_rows)
    """Rows [n, t] of further positives (t is 0 outside `multi_positive`); -1 where a meaning has fewer translations."""
    corpus: str = ""
    """Name of the corpus that all rows are of."""
    plan_hash: str = ""
    """Hash of the plan: data, config and seed."""
    row_languages: RowLanguages = field(default_factory=RowLanguages, repr=False, compare=False)
    """The languages of the corpus, of which `languages` is computed when asked for."""

    @property
    def languages(self) -> tuple[tuple[str, str], ...]:
        """The distinct pairs of languages (query, positive passage) in the batch, sorted."""
        positives = np.column_stack([self.passage_rows, self.translation_rows.reshape(len(self.query_rows), -1)])
        asked = np.broadcast_to(self.row_languages.of(self.query_rows)[:, None], positives.shape)
        there = positives >= 0
        found = np.stack([asked[there], self.row_languages.of(positives[there])])
        names = self.row_languages.names
        return tuple((names[q], names[p]) for q, p in np.unique(found, axis=1).T)

    @property
    def digest(self) -> int:
        """63 bits that name the batch's content; ranks compare it while training."""
        hasher = hashlib.blake2b(f"{self.step} {self.mode} {self.corpus} {self.plan_hash}".encode(), digest_size=8)
        for rows in (self.query_rows, self.passage_rows, self.translation_rows):
            hasher.update(rows.astype("<i8").tobytes())
        return int.from_bytes(hasher.digest(), "big") >> 1

    def slice_for(self, rank: int, world_size: int) -> slice:
        """The examples of one worker: contiguous parts in rank order whose sizes differ by one at most."""
        size = len(self.query_rows)
        return slice(rank * size // world_size, (rank + 1) * size // world_size)


class BatchPlan:
    """The endless, deterministic sequence of global batches of one run."""

    def __init__(
        self,
        corpora: Mapping[str, CorpusIndex],
        config: PlanConfig,
        *,
        seed: int,
        global_batch: int,
        weights: Mapping[str, float | None] | None = None,
        negatives: Mapping[str, PlanConfig] | None = None,
        steps: int | None = None,
    ) -> None:
        """Check that every corpus and language the policy draws can fill a batch.

        Args:
            corpora: training corpora by name; every batch is of one of them.
            config: the policy.
            seed: decides all draws.
            global_batch: examples in a step, over all workers.
            weights: share of each corpus; one without is weighted by its size and plan.corpus_exponent.
            negatives: for a corpus with hard negatives of its own kind, the config that says which.
            steps: length of the run; only an alpha schedule needs it.

        Raises:
            RequestError: a language without pairs, too few languages, or fewer rows than a batch needs.
        """
        self.config, self.seed, self._batch = config, seed, global_batch
        self._negatives = {name: (negatives or {}).get(name, config) for name in sorted(corpora)}
        self._points = alpha_points(config, steps)
        self._draws = {
            name: CorpusDraws(corpus, config, name=name, seed=seed, batch=global_batch // config.draws_per_step)
            for name, corpus in sorted(corpora.items())
        }
        self._corpora = {name: [c.fingerprint, list(c.languages)] for name, c in sorted(corpora.items())}
        self._check(corpora)
        # An alpha that ends with the run is exact over the run; another plan is the same for a run that goes on for longer.
        self._run = (steps or 0) * config.draws_per_step if ends_with_the_run(config, self._points) else 0
        self._modes = ExactDraws(Schedule(self._points), config.block, derive_key(seed, "mode"), end=self._run)
        self._weights = {name: self._weight(name, (weights or {}).get(name)) for name in self._draws}
        self._chosen = {mode: self._corpus_draws(mode) for mode in ("cross", config.policy, "mono")}

    @property
    def alpha(self) -> float:
        """Share of monolingual batches at the first step."""
        return self._points[0][1]

    def config_of(self, corpus: str) -> PlanConfig:
        """The config with the hard negatives of a corpus."""
        return self._negatives[corpus]

    @cached_property
    def hash(self) -> str:
        """Identity of the whole sequence: equal hashes mean equal batches at every step."""
        negatives = {
            name: [c.hard_negatives, c.negative_language] if c.hard_negatives else []
            for name, c in self._negatives.items()
        }
        identity = {"data": self._corpora, "negatives": negatives, "plan": self._decisive()}
        return digest(identity | {"seed": self.seed, "global_batch": self._batch, "version": _VERSION})

    def modes_in_words(self, steps: int) -> str:
        """How many batches of the first `steps` steps are monolingual, in words; and how many alpha asks for, if others."""
        draws = steps * self.config.draws_per_step
        if len(self._drawn_modes) == 1:
            return f"all {draws} batches are {self._drawn_modes[0]}"
        found, wanted = (int(counts[0]) for counts in (self._modes.drawn(draws), Schedule(self._points).until(draws)))
        told = f"{found} of {draws} batches are monolingual"
        if found == wanted:
            return told
        return (
            f"{told}, where alpha asks for {wanted}: its share is exact after every plan.block={self.config.block} batches; "
            "choose a block that divides the run"
        )

    @cached_property
    def _drawn_modes(self) -> tuple[str, ...]:
        """The modes of the batches."""
        if self.config.policy in ("multi_positive", "x_x"):
            return (self.config.policy,)
        alphas = [alpha for _, alpha in self._points]
        return (("mono",) if max(alphas) > 0.0 else ()) + (("cross",) if min(alphas) < 1.0 else ())

    def _decisive(self) -> dict[str, object]:
        """What of the config decides rows: a field that no batch depends on is not part of the plan's identity.

        An alpha left unset and the same one named are one plan, and so are `hybrid` with alpha 1 and `mono`.
        """
        config, modes, several = self.config, self._drawn_modes, len(self._draws) > 1
        paired = "cross" in modes or "multi_positive" in modes
        blocks = several or "mono" in modes or ("cross" in modes and config.cross_pair == "per_batch")
        decisive = {
            "modes": modes,
            "alpha": [self._points, self._run] if len(modes) > 1 else None,
            "weights": self._weights if several else None,
            "cross_pair": config.cross_pair if "cross" in modes else None,
            "pivot": config.pivot if paired else None,
            "translations": config.translations if "multi_positive" in modes else None,
            "block": config.block if blocks else None,
        }
        return decisive | {name: getattr(config, name) for name in ("language_exponent", "draws_per_step")}

    def step(self, number: int) -> StepPlan:
        """Global batch `number` (0, 1, 2, ...), computed without those before it."""
        parts = self.config.draws_per_step
        if parts == 1:
            found = self._batch_at(number, number)
        else:
            found = _joined(number, [self._batch_at(number, number * parts + part) for part in range(parts)])
        return replace(found, plan_hash=self.hash, row_languages=self._draws[found.corpus].row_languages)

    def _batch_at(self, step: int, number: int) -> StepPlan:
        mode, nth = self._mode(number)
        names, draws = self._chosen[mode]
        corpus, nth = (0, nth) if len(names) == 1 else draws.draw(nth)
        name = names[corpus]
        found = self._draws[name]
        if mode == "mono":
            rows = found.monolingual(nth)
            return StepPlan(step, "mono", rows, rows, corpus=name)
        if mode == "x_x":
            rows = found.mixed(nth)
            return StepPlan(step, "x_x", rows, rows, corpus=name)
        if mode == "multi_positive":
            rows, translations = found.multi_positive(nth)
            return StepPlan(step, "multi_positive", rows, rows, translations, name)
        queries, passages = found.cross_lingual(nth)
        return StepPlan(step, "cross", queries, passages, corpus=name)

    def _mode(self, number: int) -> tuple[str, int]:
        """Mode of a batch and how many of that mode came before it."""
        if self.config.policy in ("multi_positive", "x_x"):
            return self.config.policy, number
        mode, nth = self._modes.draw(number)
        return _MODES[mode], nth

    def _corpus_draws(self, mode: str) -> tuple[list[str], ExactDraws]:
        """The corpora that batches of a mode are drawn from, and the draws among them."""
        paired = mode in ("cross", "multi_positive")
        names = [name for name, draws in self._draws.items() if draws.has_pairs or not paired]
        weights = [self._weights[name] for name in names] or [1.0]
        return names, ExactDraws(Shares(weights), self.config.block, derive_key(self.seed, "corpus", mode))

    def _weight(self, name: str, weight: float | None) -> float:
        return float(self._draws[name].size) ** self.config.corpus_exponent if weight is None else weight

    def _check(self, corpora: Mapping[str, CorpusIndex]) -> None:
        config, modes = self.config, self._drawn_modes
        draws_mono, draws_pairs = ("mono" in modes or "x_x" in modes), ("cross" in modes or "multi_positive" in modes)
        if config.draws_per_step > 1 and len(corpora) > 1:
            raise RequestError(
                "plan.draws_per_step above 1 is a control for one corpus; it has no meaning for data.corpora"
            )
        for name, draws in self._draws.items():
            if config.policy == "x_x":
                draws.check_mixed()
            elif draws_mono:
                draws.check_monolingual()
            needed = not draws_mono or len(corpora) == 1 or config.unpaired == "refuse"
            if draws_pairs and (needed or draws.has_pairs):
                draws.check_pairs(only=not draws_mono)
            wanted = self._negatives[name].hard_negatives
            if wanted and not corpora[name].has_negatives():
                raise RequestError(
                    f"hard_negatives={wanted}: corpus {name!r} names none; find some with python -m ray_jobs.mine"
                )
        if draws_pairs and not any(draws.has_pairs for draws in self._draws.values()):
            raise RequestError(
                f"plan.policy={config.policy!r}: no corpus has meanings in two languages; use plan.policy=mono"
            )


def _joined(step: int, parts: list[StepPlan]) -> StepPlan:
    """One global batch of several that were drawn one by one: the negative control of docs/plan.md."""
    modes = {part.mode for part in parts}
    return StepPlan(
        step,
        modes.pop() if len(modes) == 1 else "several",
        np.concatenate([part.query_rows for part in parts]),
        np.concatenate([part.passage_rows for part in parts]),
        np.concatenate([part.translation_rows for part in parts]),
        parts[0].corpus,
    )
