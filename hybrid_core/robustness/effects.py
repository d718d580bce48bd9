"""What a perturbation costs: scores of a variant of a suite beside the clean ones, by setting, query language, domain and both.

A variant has the same queries by id (written differently, or asked of a larger pool), so every difference is paired, and
both sides are resampled together, questions with all their translations, within their domains. Seeds of a model are a
second level, as in `comparison`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_core.evaluate import Evaluation
from hybrid_core.scored import Cells, ScoredSuite, by_language
from hybrid_core.stats import interval

_IDENTITY = ("setting", "query_id", "passage_language")
_CLEAN = ""


def perturbation_effects(
    clean: Sequence[Evaluation],
    variants: Mapping[str, Sequence[Evaluation]],
    *,
    arm: str = "",
    samples: int,
    confidence: float,
    seed: int,
    metrics: Sequence[str] = ("mAP",),
) -> list[dict[str, Any]]:
    """Levels of one arm on variants of a suite, and how far they are from the clean suite.

    Args:
        clean: evaluations of the suite as it is, one per seed of the arm.
        variants: perturbation -> evaluations of the same suite under it, one per seed.
        arm: name that goes into the rows.
        samples: resamples of the questions.
        confidence: of the intervals.
        seed: of the resamples.
        metrics: columns of the per-query tables.

    Returns:
        Rows {suite, perturbation, setting, metric, arm, language, domain, value, low, high, difference, difference_low,
        difference_high}. `difference` is the variant minus the clean suite. `language` is the query's and `domain` its
        domain; "" stands for all, in the rows that come first. Rows by domain, and by language in each domain, exist
        where a suite has several domains.

    Raises:
        ValueError: a variant was scored on other queries or pools than the clean suite.
    """
    suite = clean[0].suite
    _check_paired(clean[0], variants)
    sides = {_CLEAN: clean, **variants}
    models = dict.fromkeys(sides, arm)  # one training behind all: its noise cancels in the differences
    scored = ScoredSuite(
        sides, name=suite, models=models, samples=samples, confidence=confidence, seed=seed, metrics=metrics
    )
    rows: list[dict[str, Any]] = []
    for setting in scored.settings:
        for metric in metrics:
            labels = {"suite": suite, "setting": setting, "metric": metric, "arm": arm}
            for kind in ("all", "language", "domain", "both") if len(scored.domains) > 1 else ("all", "language"):
                parts = {side: _parts(scored, side, kind, setting, metric) for side in sides}
                rows += [labels | row for row in _rows(parts, confidence)]
    return sorted(rows, key=lambda row: (row["language"] != "", row["domain"] != ""))


def _parts(scored: ScoredSuite, side: str, kind: str, setting: str, metric: str) -> Cells:
    """(Language, tab, domain), values and resamples of all queries together, or of each language, domain or both."""
    if kind == "language":
        names, values, samples = by_language(scored.cells(side, setting, metric))
        return [f"{name}\t" for name in names], values, samples
    if kind == "domain":
        names, values, samples = scored.by_domain(side, setting, metric)
        return [f"\t{name}" for name in names], values, samples
    if kind == "both":
        return scored.by_language_and_domain(side, setting, metric)
    level = scored.levels[side][setting, metric]
    return ["\t"], np.array([level.value]), level.samples[:, None]


def _rows(parts: Mapping[str, Cells], confidence: float) -> Iterator[dict[str, Any]]:
    names, clean, clean_samples = parts[_CLEAN]
    for i, name in enumerate(names):
        place = dict(zip(("language", "domain"), name.split("\t"), strict=True))
        for variant, (_, values, samples) in parts.items():
            if variant != _CLEAN and not np.isnan(values[i]):  # a language need not occur in every domain
                level = interval(values[i], samples[:, i], confidence)
                change = interval(values[i] - clean[i], samples[:, i] - clean_samples[:, i], confidence)
                yield place | {
                    "perturbation": variant, "value": level.value, "low": level.low, "high": level.high,
                    "difference": change.value, "difference_low": change.low, "difference_high": change.high,
                }  # fmt: skip


def _check_paired(clean: Evaluation, variants: Mapping[str, Sequence[Evaluation]]) -> None:
    """The same (setting, query, pool), in any order."""
    expected = _identities(clean.per_query)
    for name, seeds in variants.items():
        if not all(np.array_equal(expected, _identities(variant.per_query)) for variant in seeds):
            raise ValueError(
                f"variant {name!r} of {clean.suite!r} was scored on other queries or pools than the clean suite"
            )


def _identities(per_query: pa.Table) -> np.ndarray:
    columns = [per_query[name].cast(pa.string()).combine_chunks() for name in _IDENTITY]
    return np.sort(pc.binary_join_element_wise(*columns, "\t").to_numpy(zero_copy_only=False).astype(str))
