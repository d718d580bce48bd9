"""Which rows of one corpus make up its n-th monolingual, cross-lingual or mixed batch, as a pure function of n.

Languages, or ordered pairs of languages, are drawn with exact counts; within each, rows come without replacement until
all were drawn, then in a new order, and never twice in a batch. Nothing here grows with the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from hybrid_core.config import PlanConfig
from hybrid_core.errors import RequestError, nearest
from hybrid_core.exact import ExactDraws, Shares
from hybrid_core.permutation import derive_key, draw_without_replacement


class CorpusIndex(Protocol):
    """What the plan must know of a corpus: identity, and where the rows of a language or language pair are."""

    @property
    def fingerprint(self) -> str:
        """Hash of all rows in order."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages with at least one row, sorted."""
        ...

    def rows_of(self, language: str) -> tuple[int, int]:
        """First row and one past the last row of a language (rows are sorted by language)."""
        ...

    def pairs_of(self, low: str, high: str) -> tuple[int, int]:
        """First pair and one past the last of the meanings two languages share; the languages in alphabetical order."""
        ...

    def pair_rows(self, numbers: np.ndarray) -> np.ndarray:
        """Rows [2, n] of pairs by number, in the alphabetical order of their languages."""
        ...

    def translations(self, rows: np.ndarray, source: str, target: str) -> np.ndarray:
        """For rows of one language the rows of the same meanings in another, -1 where there is none."""
        ...

    def has_negatives(self) -> bool:
        """Whether rows name hard negatives."""
        ...


@dataclass(frozen=True)
class RowLanguages:
    """The language of any row, from where each language starts: rows are sorted by language."""

    names: tuple[str, ...] = ()
    first_rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Row at which each language starts, rising [languages]."""

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Number in `names` of each row's language, in the shape of the rows."""
        return np.asarray(np.searchsorted(self.first_rows, rows, side="right") - 1)


class CorpusDraws:
    """The endless sequences of batches that one corpus can give."""

    def __init__(self, corpus: CorpusIndex, config: PlanConfig, *, name: str, seed: int, batch: int) -> None:
        self._corpus, self._config, self._batch = corpus, config, batch
        self._root = derive_key(seed, name)
        self.languages = corpus.languages
        self._ordered_pairs = [(a, b) for a in self.languages for b in self.languages if a != b and self._wanted(a, b)]
        bounds = np.array([corpus.rows_of(language) for language in self.languages])
        self._first_row, self._rows = bounds[:, 0], bounds[:, 1] - bounds[:, 0]
        self.row_languages = RowLanguages(self.languages, self._first_row)
        spans = [corpus.pairs_of(*sorted(pair)) for pair in self._ordered_pairs]
        self._first_pair, ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T
        self._pairs = ends - self._first_pair
        self._reversed = np.array([a > b for a, b in self._ordered_pairs], dtype=bool)
        self._language_keys = [self._keys(purpose, self.languages) for purpose in ("mono", "x_x")]
        self._pair_keys = [self._keys(purpose, self._ordered_pairs) for purpose in ("cross", "multi_positive")]
        self._draws: dict[str, ExactDraws] = {}
        self._most_rows, self._most_pairs = (self._shares(sizes).most(batch) for sizes in (self._rows, self._pairs))

    @property
    def size(self) -> int:
        """Rows in the languages in use."""
        return int(self._rows.sum())

    @property
    def has_pairs(self) -> bool:
        """Whether cross-lingual batches can be drawn."""
        return bool(self._pairs.any())

    def monolingual(self, batch: int) -> np.ndarray:
        """Rows of monolingual batch `batch`: one language."""
        language, nth = self._drawn("language", self._rows, self._config.block).draw(batch)
        numbers = nth * self._batch + np.arange(self._batch)
        return self._rows_in(np.full(self._batch, language), numbers, self._language_keys[0], whole=True)

    def mixed(self, batch: int) -> np.ndarray:
        """Negative control: every example in one language, the batch in many."""
        languages, numbers = self._drawn("x_x", self._rows, self._batch).block(batch)
        return self._rows_in(languages, numbers, self._language_keys[1])

    def cross_lingual(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of queries and passages, in different languages: an ordered pair per example, or per batch."""
        whole = self._config.cross_pair == "per_batch"
        if whole:
            pair, nth = self._drawn("pair of batch", self._pairs, self._config.block).draw(batch)
            pairs, numbers = np.full(self._batch, pair), nth * self._batch + np.arange(self._batch)
        else:
            pairs, numbers = self._drawn("pair", self._pairs, self._batch).block(batch)
        return self._rows_of_pairs(pairs, numbers, self._pair_keys[0], whole=whole)

    def multi_positive(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of queries (and of their own passages), and rows [n, translations] of further positives, -1 where none is left."""
        pairs, numbers = self._drawn("multi_positive", self._pairs, self._batch).block(batch)
        own, first = self._rows_of_pairs(pairs, numbers, self._pair_keys[1])
        further = np.full((self._batch, self._config.translations), -1)
        further[:, 0] = first
        if self._config.translations > 1:
            for pair in np.unique(pairs):
                here = np.flatnonzero(pairs == pair)
                further[here, 1:] = self._more_translations(own[here], *self._ordered_pairs[pair])
        return own, further

    def _more_translations(self, rows: np.ndarray, source: str, taken: str) -> np.ndarray:
        """Rows [n, translations - 1] in the languages after `taken`, in alphabetical order and around."""
        start = self.languages.index(taken) + 1
        order = [x for x in (*self.languages[start:], *self.languages[:start]) if x not in (source, taken)]
        found = np.array([self._corpus.translations(rows, source, x) for x in order]).reshape(len(order), len(rows)).T
        wanted = self._config.translations - 1
        chosen = np.full((len(rows), wanted), -1)
        present_first = np.argsort(found < 0, axis=1, kind="stable")[:, :wanted]
        chosen[:, : present_first.shape[1]] = np.take_along_axis(found, present_first, axis=1)
        return chosen

    def _rows_in(
        self, languages: np.ndarray, numbers: np.ndarray, keys: np.ndarray, *, whole: bool = False
    ) -> np.ndarray:
        """Rows by their number among the draws of their language; `whole`: the batch is of one language."""
        window = self._batch if whole else self._most_rows[languages]
        drawn = draw_without_replacement(numbers, self._rows[languages], keys[languages], window=window, aligned=whole)
        return np.asarray(self._first_row[languages] + drawn)

    def _rows_of_pairs(
        self, pairs: np.ndarray, numbers: np.ndarray, keys: np.ndarray, *, whole: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the ordered pairs' first and second language, as in `_rows_in`."""
        window = self._batch if whole else self._most_pairs[pairs]
        drawn = draw_without_replacement(numbers, self._pairs[pairs], keys[pairs], window=window, aligned=whole)
        rows = self._corpus.pair_rows(self._first_pair[pairs] + drawn)
        turned = self._reversed[pairs]
        return np.where(turned, rows[1], rows[0]), np.where(turned, rows[0], rows[1])

    def _drawn(self, purpose: str, sizes: np.ndarray, block: int) -> ExactDraws:
        if purpose not in self._draws:
            self._draws[purpose] = ExactDraws(self._shares(sizes), block, derive_key(self._root, purpose))
        return self._draws[purpose]

    def _shares(self, sizes: np.ndarray) -> Shares:
        return Shares([float(size) ** self._config.language_exponent if size else 0.0 for size in sizes])

    def _keys(self, purpose: str, names: Sequence[object]) -> np.ndarray:
        return np.array([derive_key(self._root, purpose, name) for name in names], dtype=np.uint64)

    def _wanted(self, first: str, second: str) -> bool:
        return self._config.pivot is None or self._config.pivot in (first, second)

    def check_mixed(self) -> None:
        """Every language must fill its part of an `x_x` batch.

        Raises:
            RequestError: names a language that does not.
        """
        self._check_shares(self._rows, self._most_rows, self.languages)

    def _check_shares(self, sizes: np.ndarray, most: np.ndarray, names: Sequence[object]) -> None:
        """No batch may hold a row of a language (pair) twice: there must be as many as a batch can draw."""
        for name, size, needed in zip(names, sizes, most, strict=True):
            if 0 < size < needed:
                shown = "-".join(name) if isinstance(name, tuple) else name
                raise RequestError(
                    f"{shown} has {size} meanings and would be drawn {needed} times in a batch of train.global_batch={self._batch}; raise "
                    "plan.language_exponent (1: in proportion to size), lower the batch, or leave a language out with data.languages"
                )

    def check_monolingual(self) -> None:
        """Every language must fill a batch.

        Raises:
            RequestError: names a language that does not.
        """
        for language, size in zip(self.languages, self._rows, strict=True):
            if size < self._batch:
                raise RequestError(
                    f"language {language!r} has {size} query-passage pairs, fewer than train.global_batch={self._batch}; "
                    "lower the batch or leave the language out with data.languages"
                )

    def check_pairs(self, *, only: bool) -> None:
        """There must be pairs; if batches are `only` cross-lingual, or `plan.unpaired` refuses it, in every language.

        Raises:
            RequestError: names what is missing and the remedy.
        """
        policy, pivot = self._config.policy, self._config.pivot
        if pivot is not None and pivot not in self.languages:
            raise RequestError(f"plan.pivot={pivot!r} is no language of the corpus{nearest(pivot, self.languages)}")
        if len(self.languages) < 2:
            raise RequestError(
                f"plan.policy={policy!r} needs at least two languages, the corpus has {', '.join(self.languages) or 'none'}; "
                "use plan.policy=mono or another data.corpus"
            )
        in_pairs = {name for pair, size in zip(self._ordered_pairs, self._pairs, strict=True) if size for name in pair}
        for language in self.languages:
            if language not in in_pairs and (only or not in_pairs or self._config.unpaired == "refuse"):
                raise RequestError(
                    f"language {language!r} shares no meaning with any other language, so it has no cross-lingual pairs; "
                    "leave it out with data.languages, use plan.policy=mono, or let it feed the monolingual batches of "
                    "plan.policy=hybrid with plan.unpaired=mono_only"
                )
        if self._config.cross_pair == "per_example" or policy == "multi_positive":
            self._check_shares(self._pairs, self._most_pairs, self._ordered_pairs)
        smallest = min(size for size in self._pairs if size)
        if self._config.cross_pair == "per_batch" and policy != "multi_positive" and smallest < self._batch:
            raise RequestError(
                f"plan.cross_pair=per_batch: the smallest language pair has {smallest} pairs, fewer than train.global_batch={self._batch}; "
                "lower the batch or use per_example"
            )
