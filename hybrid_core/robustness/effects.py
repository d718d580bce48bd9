"""What a perturbation costs: scores of a variant of a suite beside the clean ones, by setting, query language and domain.

A variant has the same queries by id (written differently, or asked of a larger pool), so every difference is paired, and
both sides are resampled together, questions with all their translations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_core.evaluate import Evaluation
from hybrid_core.robustness.unseen import restricted
from hybrid_core.stats import ClusterBootstrap, Sums, interval, sums
from hybrid_core.summary import settings_of

_IDENTITY = ("setting", "query_id", "passage_language")


def perturbation_effects(
    clean: Evaluation,
    variants: Mapping[str, Evaluation],
    *,
    arm: str = "",
    samples: int,
    confidence: float,
    seed: int,
    metrics: Sequence[str] = ("mAP",),
) -> list[dict[str, Any]]:
    """Levels of one arm on variants of a suite, and how far they are from the clean suite.

    Args:
        clean: evaluation of the suite as it is.
        variants: perturbation -> evaluation of the same suite under it.
        arm: name that goes into the rows.
        samples: resamples of the questions.
        confidence: of the intervals.
        seed: of the resamples.
        metrics: columns of the per-query tables.

    Returns:
        Rows {suite, perturbation, setting, metric, arm, language, domain, value, low, high, difference, difference_low,
        difference_high}. `difference` is the variant minus the clean suite. `language` is the query's and `domain` its
        domain; "" stands for all, in the rows that come first. Rows by domain exist where a suite has several domains.

    Raises:
        ValueError: a variant was scored on other queries or pools than the clean suite.
    """
    _check_paired(clean, variants)
    bootstraps: dict[tuple[str, ...], ClusterBootstrap] = {}
    rows: list[dict[str, Any]] = []
    for setting in settings_of(clean.per_query):
        for metric in metrics:
            labels = {"suite": clean.suite, "setting": setting, "metric": metric, "arm": arm}
            for part, before, after in _parts(clean, variants, setting, metric):
                if before.clusters not in bootstraps:
                    bootstraps[before.clusters] = ClusterBootstrap(
                        before.clusters, samples=samples, confidence=confidence, seed=seed, stratum=clean.suite
                    )
                rows += [labels | part | row for row in _rows(bootstraps[before.clusters], before, after)]
    return sorted(rows, key=lambda row: (row["language"] != "", row["domain"] != ""))


def _parts(
    clean: Evaluation, variants: Mapping[str, Evaluation], setting: str, metric: str
) -> Iterator[tuple[dict[str, str], Sums, dict[str, Sums]]]:
    """(language and domain, clean scores, scores of the variants): all, every query language, every domain."""
    before = sums(clean.per_query, setting, metric)
    after = {name: sums(v.per_query, setting, metric) for name, v in variants.items()}
    yield {"language": "", "domain": ""}, before, after
    for language in sorted({query for query, _ in before.cells}):
        own = {cell for cell in before.cells if cell[0] == language}.__contains__
        parts = {name: restricted(data, own) for name, data in after.items()}
        yield {"language": language, "domain": ""}, restricted(before, own), parts
    domains = sorted(pc.unique(clean.per_query["domain"].cast(pa.string())).to_pylist())
    for domain in domains if len(domains) > 1 else ():
        parts = {name: sums(_of_domain(v, domain), setting, metric) for name, v in variants.items()}
        yield {"language": "", "domain": domain}, sums(_of_domain(clean, domain), setting, metric), parts


def _of_domain(evaluation: Evaluation, domain: str) -> pa.Table:
    return evaluation.per_query.filter(pc.equal(evaluation.per_query["domain"].cast(pa.string()), domain))


def _rows(bootstrap: ClusterBootstrap, before: Sums, after: Mapping[str, Sums]) -> Iterator[dict[str, Any]]:
    clean, clean_draws = bootstrap.replicates(before)
    for name, data in after.items():
        value, draws = bootstrap.replicates(data)
        level = interval(value, draws, bootstrap.confidence)
        change = interval(value - clean, draws - clean_draws, bootstrap.confidence)
        yield {
            "perturbation": name, "value": level.value, "low": level.low, "high": level.high,
            "difference": change.value, "difference_low": change.low, "difference_high": change.high,
        }  # fmt: skip


def _check_paired(clean: Evaluation, variants: Mapping[str, Evaluation]) -> None:
    """The same (setting, query, pool), in any order."""
    expected = _identities(clean.per_query)
    for name, variant in variants.items():
        if not np.array_equal(expected, _identities(variant.per_query)):
            raise ValueError(
                f"variant {name!r} of {clean.suite!r} was scored on other queries or pools than the clean suite"
            )


def _identities(per_query: pa.Table) -> np.ndarray:
    columns = [per_query[name].cast(pa.string()).combine_chunks() for name in _IDENTITY]
    return np.sort(pc.binary_join_element_wise(*columns, "\t").to_numpy(zero_copy_only=False).astype(str))
