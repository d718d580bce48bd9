"""The batch plan: which rows make up global batch number k, and in which mode, as a pure function.

    plan(corpus, plan config, seed, global batch size).step(k) -> mode, query rows, passage rows

Ranks only slice it. Hence the same data order at any number of workers, resume from an integer, replay on a laptop.
A batch mixes languages only where its policy says so: if ranks drew their own batches and gathered the passages, a
monolingual query would meet negatives in other languages, and the model would learn to tell languages apart (LAReQA X-X).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from hybrid_core.config import PlanConfig, as_dict, digest
from hybrid_core.errors import RequestError
from hybrid_core.permutation import derive_key, draw_without_replacement, exact_choice, exact_coin

Mode = Literal["mono", "cross", "x_x"]
DEFAULT_ALPHA = 0.5


class CorpusIndex(Protocol):
    """What the plan must know of a corpus: identity, and where the rows of a language or language pair are."""

    @property
    def fingerprint(self) -> str:
        """Hash of all rows in order."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages with at least one row."""
        ...

    def rows_of(self, language: str) -> tuple[int, int]:
        """First row and one past the last row of a language (rows are sorted by language)."""
        ...

    def pair_rows(self, first: str, second: str) -> np.ndarray:
        """Rows [n, 2] of the meanings that exist in both languages."""
        ...


@dataclass(frozen=True)
class StepPlan:
    """One global batch: example i asks the query of `query_rows[i]` and is answered by the passage of `passage_rows[i]`."""

    step: int
    mode: Mode
    query_rows: np.ndarray
    passage_rows: np.ndarray

    @property
    def digest(self) -> int:
        """63 bits that name the batch's content; ranks compare it while training."""
        hasher = hashlib.blake2b(f"{self.step} {self.mode}".encode(), digest_size=8)
        hasher.update(self.query_rows.astype("<i8").tobytes())
        hasher.update(self.passage_rows.astype("<i8").tobytes())
        return int.from_bytes(hasher.digest(), "big") >> 1

    def slice_for(self, rank: int, world_size: int) -> slice:
        """The examples of one worker: equal, contiguous parts in rank order."""
        share = len(self.query_rows) // world_size
        return slice(rank * share, (rank + 1) * share)


class BatchPlan:
    """The endless, deterministic sequence of global batches of one run."""

    def __init__(self, corpus: CorpusIndex, config: PlanConfig, *, seed: int, global_batch: int) -> None:
        """Check that every language (pair) the policy needs can fill a batch.

        Raises:
            RequestError: a language without pairs, too few languages, or fewer rows than a batch needs.
        """
        self._corpus, self._config, self._seed, self._batch = corpus, config, seed, global_batch
        self.alpha = {"mono": 1.0, "cross": 0.0, "x_x": 0.0}.get(
            config.policy, DEFAULT_ALPHA if config.alpha is None else config.alpha
        )
        self._languages = corpus.languages
        self._pairs = [(a, b) for a in self._languages for b in self._languages if a != b]
        self._language_sizes = [self._size(language) for language in self._languages]
        self._check_languages()
        if config.policy != "x_x" and self.alpha < 1.0:
            self._pair_sizes = [len(corpus.pair_rows(a, b)) for a, b in self._pairs]
            self._check_pairs()

    @property
    def hash(self) -> str:
        """Identity of the whole sequence: equal hashes mean equal batches at every step."""
        plan = as_dict(self._config) | {"alpha": self.alpha}  # an alpha left unset and the same one named are one plan
        data = [self._corpus.fingerprint, list(self._languages)]
        return digest({"data": data, "plan": plan, "seed": self._seed, "global_batch": self._batch, "version": 2})

    def step(self, number: int) -> StepPlan:
        """Global batch `number` (0, 1, 2, ...), computed without those before it."""
        if self._config.policy == "x_x":
            rows = self._mixed_rows(number)
            return StepPlan(number, "x_x", rows, rows)
        mono, rank = exact_coin(np.array([number]), self.alpha, self._config.block, self._key("mode"))
        if mono[0]:
            rows = self._monolingual_rows(int(rank[0]))
            return StepPlan(number, "mono", rows, rows)
        query_rows, passage_rows = self._cross_lingual_rows(int(rank[0]))
        return StepPlan(number, "cross", query_rows, passage_rows)

    def _monolingual_rows(self, batch: int) -> np.ndarray:
        """Rows of monolingual batch `batch`: one language, drawn without replacement until it is exhausted."""
        language, nth = exact_choice(
            np.array([batch]), self._weights(self._language_sizes), self._config.block, self._key("language")
        )
        return self._rows_in(int(language[0]), int(nth[0]) * self._batch + np.arange(self._batch), "mono")

    def _cross_lingual_rows(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Query and passage rows of cross-lingual batch `batch`: an ordered pair of languages per example, or per batch."""
        per_batch = self._config.cross_pair == "per_batch"
        draws = np.array([batch]) if per_batch else batch * self._batch + np.arange(self._batch)
        pairs, nth = exact_choice(draws, self._weights(self._pair_sizes), self._config.block, self._key("pair"))
        if per_batch:
            pairs, nth = np.repeat(pairs, self._batch), nth[0] * self._batch + np.arange(self._batch)
        rows = np.empty((self._batch, 2), dtype=np.int64)
        for pair in np.unique(pairs):
            here = pairs == pair
            chosen = draw_without_replacement(nth[here], self._pair_sizes[pair], self._key("cross", *self._pairs[pair]))
            rows[here] = self._corpus.pair_rows(*self._pairs[pair])[chosen]
        return rows[:, 0], rows[:, 1]

    def _mixed_rows(self, batch: int) -> np.ndarray:
        """Negative control: every example is monolingual, but the batch mixes languages."""
        draws = batch * self._batch + np.arange(self._batch)
        languages, nth = exact_choice(
            draws, self._weights(self._language_sizes), self._config.block, self._key("language")
        )
        rows = np.empty(self._batch, dtype=np.int64)
        for language in np.unique(languages):
            here = languages == language
            rows[here] = self._rows_in(int(language), nth[here], "x_x")
        return rows

    def _rows_in(self, language: int, nth: np.ndarray, mode: Mode) -> np.ndarray:
        name = self._languages[language]
        first, _ = self._corpus.rows_of(name)
        return first + draw_without_replacement(nth, self._language_sizes[language], self._key(mode, name))

    def _weights(self, sizes: Sequence[int]) -> list[float]:
        return [size**self._config.language_exponent if size else 0.0 for size in sizes]

    def _key(self, *purpose: object) -> int:
        return derive_key(self._seed, *purpose)

    def _size(self, language: str) -> int:
        first, end = self._corpus.rows_of(language)
        return end - first

    def _check_languages(self) -> None:
        for language, size in zip(self._languages, self._language_sizes, strict=True):
            if size < self._batch and self._config.policy != "cross":
                raise RequestError(
                    f"language {language!r} has {size} query-passage pairs, fewer than train.global_batch={self._batch}; "
                    "lower the batch or leave the language out with data.languages"
                )

    def _check_pairs(self) -> None:
        if len(self._languages) < 2:
            raise RequestError(
                f"plan.policy={self._config.policy!r} needs at least two languages, the corpus has {', '.join(self._languages) or 'none'}; "
                "use plan.policy=mono or another data.corpus"
            )
        for language in self._languages:
            if not any(size for pair, size in zip(self._pairs, self._pair_sizes, strict=True) if language in pair):
                raise RequestError(
                    f"language {language!r} shares no meaning with any other language, so it has no cross-lingual pairs; "
                    "leave it out with data.languages or use plan.policy=mono"
                )
        smallest = min(size for size in self._pair_sizes if size)
        if self._config.cross_pair == "per_batch" and smallest < self._batch:
            raise RequestError(
                f"plan.cross_pair=per_batch: the smallest language pair has {smallest} pairs, fewer than train.global_batch={self._batch}; "
                "lower the batch or use per_example"
            )
