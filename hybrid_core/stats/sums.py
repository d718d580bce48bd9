"""Per-query tables, summed by cluster and cell: all that averages, intervals and tests need to know of the queries.

Labels are dictionary-encoded in the table and stay codes here; a sum is one `bincount`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Sums:
    """Per-query scores of one metric in one setting, summed by cluster and cell. A cell is (query language, pool language)."""

    cells: tuple[tuple[str, str], ...]
    clusters: tuple[str, ...]
    totals: np.ndarray
    """Sum of scores [clusters, cells]."""
    counts: np.ndarray
    """Number of scores [clusters, cells]."""

    @cached_property
    def design(self) -> tuple[tuple[tuple[str, str], ...], bytes]:
        """Which cluster has how many scores in which cell: equal for two arms whose scores can be paired one by one."""
        return self.cells, bytes(self.counts.astype(np.float32))

    @cached_property
    def contributions(self) -> np.ndarray:
        """What each cluster adds to the macro average [clusters]: the average is linear in scores if counts are fixed."""
        return _shares(self.totals, self.counts)

    @cached_property
    def patterns(self) -> list[tuple[bytes, list[int]]]:
        """Cells by what they count: those of one entry have equal counts in every cluster, so equal ones in every resample."""
        found: dict[bytes, list[int]] = {}
        for cell, column in enumerate(np.ascontiguousarray(self.counts.T)):
            found.setdefault(bytes(column), []).append(cell)
        return list(found.items())

    @property
    def query_languages(self) -> list[str]:
        """Query languages of the cells, sorted."""
        return sorted({query for query, _ in self.cells})

    def only(self, chosen: Sequence[int]) -> Sums:
        """The sums of some cells, by their places; all clusters stay."""
        cells = tuple(self.cells[i] for i in chosen)
        return Sums(cells, self.clusters, self.totals[:, chosen], self.counts[:, chosen])

    def asked_in(self, language: str) -> Sums:
        """The sums of the cells of one query language."""
        return self.only([i for i, (query, _) in enumerate(self.cells) if query == language])

    def means(self) -> np.ndarray:
        """Mean of each cell [cells]; NaN where it has no score."""
        totals, counts = self.totals.sum(0), self.counts.sum(0)
        return np.asarray(np.divide(totals, counts, out=np.full(len(self.cells), np.nan), where=counts > 0))


def _shares(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    size = counts.sum(0)
    used = size > 0
    if not used.any():
        return np.full(len(totals), np.nan)
    weight = np.zeros(len(size))
    weight[used] = 1.0 / (size[used] * used.sum())
    return np.asarray(totals @ weight)


def common(several: Sequence[Sums]) -> list[Sums]:
    """The same sums without (cluster, cell) pairs in which they do not all have the same number of scores.

    What is left can be paired. Where all designs are equal nothing is copied.

    Raises:
        ValueError: sums of other questions.
    """
    first = several[0]
    if all(s.design == first.design and s.clusters == first.clusters for s in several):
        return list(several)
    if any(s.clusters != first.clusters for s in several):
        raise ValueError("scores of other questions cannot be paired")
    cells = tuple(cell for cell in first.cells if all(cell in s.cells for s in several))
    columns = [[s.cells.index(cell) for cell in cells] for s in several]
    counts = [s.counts[:, chosen] for s, chosen in zip(several, columns, strict=True)]
    same = np.all([c == counts[0] for c in counts], axis=0)
    return [
        Sums(cells, first.clusters, np.where(same, s.totals[:, chosen], 0.0), np.where(same, c, 0.0))
        for s, chosen, c in zip(several, columns, counts, strict=True)
    ]


def cell_means(data: Sums) -> dict[tuple[str, str], float]:
    """Mean over queries of each (query language, pool language)."""
    return {cell: float(mean) for cell, mean in zip(data.cells, data.means(), strict=True) if not np.isnan(mean)}


def sums(per_query: pa.Table, setting: str, metric: str) -> Sums:
    """Collect one metric of one setting from a per-query table; NaN scores (metric not defined there) are left out."""
    needed = per_query.select(["setting", "meaning_id", "query_language", "passage_language", metric])
    names, code = _codes(needed["setting"])
    rows = np.flatnonzero(code == names.index(setting)) if setting in names else np.zeros(0, dtype=np.int64)
    return ScoreTable(needed.take(pa.array(rows))).sums(setting, metric)


@dataclass(frozen=True)
class _Part:
    """Rows of one setting: places in the table, and cluster x cells + cell of each."""

    rows: np.ndarray
    place: np.ndarray
    cells: tuple[tuple[str, str], ...]


class ScoreTable:
    """A per-query table with its labels as codes, for many sums from one table."""

    def __init__(self, per_query: pa.Table, clusters: Sequence[str] | None = None) -> None:
        """Encode the labels.

        Args:
            per_query: columns setting, meaning_id, query_language, passage_language, metrics, and domain if there is one.
            clusters: sorted names of clusters, at least those of the table; by default those of the table.
        """
        self.per_query = per_query
        names, code = _codes(per_query["meaning_id"])
        self.clusters = tuple(names) if clusters is None else tuple(clusters)
        self._cluster = code if clusters is None else np.searchsorted(np.array(self.clusters), np.array(names))[code]
        self._setting_names, self._setting = _codes(per_query["setting"])
        self._queries, self._query = _codes(per_query["query_language"])
        self._pools, self._pool = _codes(per_query["passage_language"])
        if "domain" in per_query.column_names:
            self.domains, self._domain = _codes(per_query["domain"])
        else:
            self.domains, self._domain = [""] * min(1, len(code)), np.zeros(len(code), dtype=np.int64)
        self._parts: dict[str, _Part] = {}

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings that occur, in alphabetical order."""
        return tuple(self._setting_names)

    def asked(self, setting: str) -> np.ndarray:
        """Which clusters have a row in a setting [clusters]."""
        return np.asarray(np.bincount(self._cluster[self._part(setting).rows], minlength=len(self.clusters)) > 0)

    def scores(self, setting: str, metric: str) -> np.ndarray:
        """Defined scores of single rows."""
        scores = self.per_query[metric].to_numpy()[self._part(setting).rows]
        return np.asarray(scores[~np.isnan(scores)])

    def strata(self) -> dict[str, str]:
        """Domain of each cluster of the table; several, joined by +, where its rows have several."""
        pairs = np.unique(self._cluster * max(1, len(self.domains)) + self._domain)
        found: dict[str, str] = {}
        for cluster, domain in zip(*divmod(pairs, max(1, len(self.domains))), strict=True):
            name, known = self.domains[domain], found.get(self.clusters[cluster])
            found[self.clusters[cluster]] = name if known is None else f"{known}+{name}"
        return found

    def sums(self, setting: str, metric: str, *, domain: str | None = None) -> Sums:
        """One metric of one setting, all rows or those of a domain; cells of the setting, all clusters of the table."""
        part = self._part(setting)
        scores = self.per_query[metric].to_numpy()[part.rows]
        wanted = ~np.isnan(scores)
        if domain is not None:
            wanted &= self._domain[part.rows] == self.domains.index(domain)
        shape = len(self.clusters), len(part.cells)
        place, size = part.place[wanted], shape[0] * shape[1]
        totals = np.bincount(place, weights=scores[wanted], minlength=size).reshape(shape)
        counts = np.bincount(place, minlength=size).reshape(shape).astype(np.float64)
        return Sums(part.cells, self.clusters, totals, counts)

    def _part(self, setting: str) -> _Part:
        if setting not in self._parts:
            known = setting in self._setting_names
            rows = np.flatnonzero(self._setting == (self._setting_names.index(setting) if known else -1))
            pools = max(1, len(self._pools))
            found, cell = np.unique(self._query[rows] * pools + self._pool[rows], return_inverse=True)
            cells = tuple((self._queries[c // pools], self._pools[c % pools]) for c in found)
            self._parts[setting] = _Part(rows, self._cluster[rows] * len(cells) + cell, cells)
        return self._parts[setting]


def _codes(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """Sorted names that occur, and the place of each row's name among them [rows]."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # a table without rows has no chunks
        array = pa.array([], pa.string()).dictionary_encode()
    code, names = array.indices.to_numpy().astype(np.int64), array.dictionary.to_pylist()
    used = np.flatnonzero(np.bincount(code, minlength=len(names)))
    order = sorted(used.tolist(), key=lambda i: str(names[i]))
    place = np.zeros(len(names), dtype=np.int64)
    place[order] = np.arange(len(order))
    return [str(names[i]) for i in order], place[code]
