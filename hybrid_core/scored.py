"""All arms on one suite, resampled together: levels, cells and domains of every arm, from the same questions.

per-query tables -> sums by question and cell -> replicates, averaged over the seeds of an arm
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from hybrid_core.evaluate import Evaluation
from hybrid_core.significance import Side
from hybrid_core.stats.bootstrap import ClusterBootstrap, Replicates, average
from hybrid_core.stats.seeds import over_seeds, seed_multipliers
from hybrid_core.stats.sums import ScoreTable, Sums
from hybrid_core.summary import metrics_of

Key = tuple[str, str]
"""Setting and metric."""
Cells = tuple[list[str], np.ndarray, np.ndarray]
"""Names, values [names], replicates [samples, names]."""
_ORDER = ("mono", "cross", "multi")


class ScoredSuite:
    """Scores of arms (each with one evaluation per seed) on one suite. An arm may lack settings."""

    def __init__(
        self,
        arms: Mapping[str, Sequence[Evaluation]],
        *,
        name: str,
        models: Mapping[str, str],
        samples: int,
        confidence: float,
        seed: int,
        metrics: Sequence[str] | None = None,
    ) -> None:
        """Encode the tables and draw the resamples.

        Args:
            arms: arm -> evaluations of the suite, one per seed.
            name: of the suite.
            models: arm -> trained model behind it, so that a model and its free baselines share the noise of training.
            samples: number of resamples.
            confidence: coverage of the intervals.
            seed: of the draws.
            metrics: which ones are looked at; None: all that a setting has.

        Raises:
            ValueError: arms were scored on different questions.
        """
        self.evaluations = arms
        self.suite = name
        self.models = models
        self._metrics = metrics
        named = {arm: [ScoreTable(e.per_query) for e in evaluations] for arm, evaluations in arms.items()}
        self.clusters = tuple(sorted({c for tables in named.values() for table in tables for c in table.clusters}))
        self._tables = {
            arm: [ScoreTable(e.per_query, self.clusters) for e in evaluations] for arm, evaluations in arms.items()
        }
        _check_paired(self.suite, self._tables)
        found = {setting for tables in self._tables.values() for setting in tables[0].settings}
        self.settings = tuple(setting for setting in _ORDER if setting in found)
        self.bootstrap = self._bootstrap(samples, confidence, seed)
        self._multipliers = {
            arm: seed_multipliers(len(evaluations), samples=samples, seed=seed, model=models[arm])
            for arm, evaluations in arms.items()
        }

    def _bootstrap(self, samples: int, confidence: float, seed: int) -> ClusterBootstrap:
        domains: dict[str, str] = {}
        for tables in self._tables.values():
            domains = tables[0].strata() | domains
        strata = [domains.get(cluster, "") for cluster in self.clusters]
        return ClusterBootstrap(
            self.clusters, samples=samples, confidence=confidence, seed=seed, stratum=self.suite, strata=strata
        )

    def has(self, arm: str, setting: str) -> bool:
        """Whether an arm was scored in a setting."""
        return setting in self._tables[arm][0].settings

    @property
    def keys(self) -> list[Key]:
        """(Setting, metric) of the suite: mono, cross, multi."""
        return [(s, metric) for s in self.settings for metric in self._metrics or metrics_of(s)]

    @property
    def domains(self) -> list[str]:
        """Domains of the queries."""
        return sorted({domain for tables in self._tables.values() for domain in tables[0].domains})

    @cached_property
    def sums(self) -> dict[str, list[dict[Key, Sums]]]:
        """Arm -> for each seed, the sums of every setting and metric that the arm has."""
        return {
            arm: [{key: table.sums(*key) for key in self.keys if key[0] in table.settings} for table in tables]
            for arm, tables in self._tables.items()
        }

    @cached_property
    def levels(self) -> dict[str, dict[Key, Replicates]]:
        """Arm -> macro averages over cells."""
        return {arm: self._macro(arm, seeds) for arm, seeds in self.sums.items()}

    def _macro(self, arm: str, seeds: Sequence[Mapping[Key, Sums]]) -> dict[Key, Replicates]:
        keys = list(seeds[0])
        found = self.replicates(arm, [[data[key] for data in seeds] for key in keys])
        return dict(zip(keys, found, strict=True))

    def has_level(self, arm: str, key: Key) -> bool:
        """Whether an arm was scored in a setting and metric."""
        return key in self.levels.get(arm, {})

    def side(self, arm: str, key: Key) -> Side:
        """An arm's sums as one side of a contrast. The arm must have the setting."""
        return Side(self.models[arm], [data[key] for data in self.sums[arm]])

    def part(self, arm: str, setting: str, metric: str, domain: str | None = None) -> list[Sums]:
        """Sums of every seed of an arm: of all rows, or of those of a domain."""
        if domain is None:
            return [data[setting, metric] for data in self.sums[arm]]
        return [table.sums(setting, metric, domain=domain) for table in self._tables[arm]]

    def replicates(self, arm: str, parts: Sequence[Sequence[Sums]]) -> list[Replicates]:
        """Macro averages of an arm over the cells of each part (which has sums for every seed)."""
        if not parts:
            return []
        found = [self.bootstrap.replicates_of(seed) for seed in zip(*parts, strict=True)]
        values, samples = np.stack([v for v, _ in found]), np.stack([s.T for _, s in found])
        value, replicates = over_seeds(values, samples, self._multipliers[arm])
        return [Replicates(float(value[i]), replicates[:, i]) for i in range(len(parts))]

    def cells(self, arm: str, setting: str, metric: str) -> Cells:
        """Means of the cells, named query language, tab, pool language. The arm must have the setting."""
        seeds = self.part(arm, setting, metric)
        found = [self.bootstrap.cell_replicates(data) for data in seeds]
        values, samples = np.stack([v for v, _ in found]), np.stack([s for _, s in found])
        names = ["\t".join(cell) for cell in seeds[0].cells]
        return names, *over_seeds(values, samples, self._multipliers[arm])

    def by_domain(self, arm: str, setting: str, metric: str) -> Cells:
        """Macro averages over the cells of each domain. The arm must have the setting."""
        names = self._tables[arm][0].domains
        found = self.replicates(arm, [self.part(arm, setting, metric, domain) for domain in names])
        return list(names), np.array([r.value for r in found]), np.stack([r.samples for r in found], axis=1)

    def scores(self, arm: str, setting: str, metric: str) -> np.ndarray:
        """Defined scores of single queries, those of all seeds one after another."""
        found = [table.scores(setting, metric) for table in self._tables[arm]]
        return np.concatenate(found)


def by_language(cells: Cells) -> Cells:
    """Means over the cells of each query language."""
    names, values, samples = cells
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(name.split("\t")[0], []).append(i)
    found = [(average(values[g], 0), average(samples[:, g], 1)) for g in groups.values()]
    return list(groups), np.array([v for v, _ in found]), np.stack([s for _, s in found], axis=1)


def _check_paired(suite: str, tables: Mapping[str, Sequence[ScoreTable]]) -> None:
    """Arms that have a setting must have the same questions in it: differences are paired."""
    first: dict[str, tuple[str, np.ndarray]] = {}
    for arm, seeds in tables.items():
        for table in seeds:
            for setting in table.settings:
                asked = table.asked(setting)
                name, expected = first.setdefault(setting, (arm, asked))
                if not np.array_equal(asked, expected):
                    raise ValueError(f"suite {suite!r}, {setting}: {arm!r} was scored on other questions than {name!r}")
