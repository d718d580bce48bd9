"""Arms against arms, inside the training domain and outside it, with intervals: the numbers behind a report.

`compare` turns evaluations into one JSON-able mapping; `hybrid_core.report` draws it, MLflow stores it. All differences
are paired (same questions, same resamples). Suites are independent strata, training seeds a level of their own.

    scored       all arms on one suite: levels and their replicates
    contrasts    which arms are compared; differences and tests
    shift        differences outside the training domain minus those inside it
    breakdown    languages, domains, worst cases, rank distances
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid_core.breakdown import breakdown_rows, rank_distance_rows
from hybrid_core.config import EvaluateConfig
from hybrid_core.contrasts import Free, Rules, contrasts, difference_rows, numbers
from hybrid_core.evaluate import BIAS_METRICS, METRICS, Evaluation
from hybrid_core.scored import ScoredSuite
from hybrid_core.shift import shift_rows
from hybrid_core.summary import heat_map

Arms = Mapping[str, Mapping[str, Evaluation | Sequence[Evaluation]]]
"""Arm -> suite -> evaluation, or one evaluation for each seed that the arm was trained with."""
Json = dict[str, Any]
_Seeds = dict[str, dict[str, Sequence[Evaluation]]]
IN_SHARES = (
    *METRICS,
    "same_language_share",
    "language_preference",
    "list_overlap",
    "peer_relevant_100",
    "peer_nonrelevant_100",
)
"""Metrics between 0 and 1 to which a margin of points applies. Rank distances have none: no size of theirs is known not to matter."""


def compare(
    arms: Arms,
    config: EvaluateConfig,
    *,
    in_domain: str | None,
    seed: int,
    free: Free | None = None,
    margins: Mapping[str, float] | None = None,
) -> Json:
    """All levels, the differences that matter, and shift effects.

    Args:
        arms: evaluations by arm and suite. An arm may lack settings (BM25 has mono only) and suites: levels exist where the
            arm does, differences where both arms do.
        config: resamples, confidence, margin.
        in_domain: suite of the training domain; None: not known, so that no suite counts as shifted.
        seed: of the resamples.
        free: which arms are free baselines: {"of": model or "", "method": name}.
        margins: largest difference that does not matter, by metric; by default `config.margin` for those of `IN_SHARES`.

    Returns:
        Keys `arms`, `suites` (in_domain first), `in_domain`, `confidence`, `bootstrap_samples`, `free`, `seeds` (number per
        arm: with one, intervals and p-values hold no noise of training), `top_k` (depth of `same_language_share` and the
        histograms), and lists of rows: `levels`, `differences` (p of the paired randomisation test, p_holm, equivalent
        within margin), `shift_effects` (difference outside the training domain, averaged over the shifted suites, minus the
        difference inside it; p of flipped residuals, p_holm), `shift_by_suite`, `languages`, `domains`, `worst`,
        `rank_distances`, `heat_maps`, `histograms`. `pools`, `questions`, `candidate_text` and `suite_domains` are by suite.

    Raises:
        ValueError: arms were scored on different questions; a free baseline or its model is not among the arms.
    """
    seeds: _Seeds = {arm: {s: _sequence(e) for s, e in by_suite.items()} for arm, by_suite in arms.items()}
    free = {} if free is None else free
    _check_free(free, list(arms))
    rules = rules_of(config, seed=seed, margins=margins)
    known = [in_domain] if in_domain is not None else []
    names = list(dict.fromkeys([*known, *(s for by_suite in arms.values() for s in by_suite)]))
    suites = {name: _scored(name, seeds, free, rules) for name in names}
    chosen = contrasts(list(arms), free)
    shift_effects, shift_by_suite = shift_rows(suites, chosen, in_domain, rules)
    return {
        "arms": list(arms), "suites": names, "in_domain": in_domain,
        "confidence": config.confidence, "bootstrap_samples": config.bootstrap_samples, "top_k": config.top_k,
        "free": {arm: dict(what) for arm, what in free.items()},
        "seeds": {arm: max(map(len, by_suite.values())) for arm, by_suite in seeds.items()},
        "levels": _level_rows(suites, config.confidence),
        "differences": difference_rows(suites, chosen, rules),
        "shift_effects": shift_effects, "shift_by_suite": shift_by_suite,
        "rank_distances": rank_distance_rows(suites),
    } | breakdown_rows(suites, config.confidence) | _descriptions(suites)  # fmt: skip


def _sequence(evaluations: Evaluation | Sequence[Evaluation]) -> Sequence[Evaluation]:
    return [evaluations] if isinstance(evaluations, Evaluation) else list(evaluations)


def _check_free(free: Free, arms: Sequence[str]) -> None:
    for arm, what in free.items():
        if arm not in arms or (what["of"] and what["of"] not in arms):
            raise ValueError(f"free baseline {arm!r} of {what['of']!r} is not among the arms {', '.join(arms)}")


def rules_of(config: EvaluateConfig, *, seed: int, margins: Mapping[str, float] | None = None) -> Rules:
    """What intervals and tests of a request are made with; arguments as in `compare`."""
    known = dict.fromkeys(IN_SHARES, config.margin) if margins is None else margins
    return Rules(config.bootstrap_samples, config.confidence, seed, known)


def _scored(suite: str, seeds: _Seeds, free: Free, rules: Rules) -> ScoredSuite:
    present = {arm: by_suite[suite] for arm, by_suite in seeds.items() if suite in by_suite}
    models = {arm: (free[arm]["of"] or arm) if arm in free else arm for arm in present}
    return ScoredSuite(
        present, name=suite, models=models, samples=rules.samples, confidence=rules.confidence, seed=rules.seed
    )


def _level_rows(suites: Mapping[str, ScoredSuite], confidence: float) -> list[Json]:
    return [
        {"suite": suite, "setting": key[0], "metric": key[1], "arm": arm} | numbers(levels[key].estimate(confidence))
        for suite, data in suites.items() for key in data.keys for arm, levels in data.levels.items() if key in levels
    ]  # fmt: skip


def _descriptions(suites: Mapping[str, ScoredSuite]) -> Json:
    """What is no estimate: heat maps, language histograms, sizes. Means over the seeds."""
    evaluations = [
        (suite, arm, mean_over_seeds(seeds))
        for suite, data in suites.items() for arm, seeds in data.evaluations.items()
    ]  # fmt: skip
    arms = list(dict.fromkeys(arm for _, arm, _ in evaluations))
    evaluations.sort(key=lambda found: arms.index(found[1]))
    first = {suite: next(iter(data.evaluations.values()))[0] for suite, data in suites.items()}
    return {
        "heat_maps": [
            {"arm": arm, "suite": suite, "metric": "mAP", "query": q, "passage": p, "value": value}
            for suite, arm, e in evaluations for (q, p), value in heat_map(e.per_query, "mAP").items()
        ],
        "histograms": [
            {"arm": arm, "suite": suite, "query": q, "passage": p, "share": share}
            for suite, arm, e in evaluations for q, shares in e.language_histogram.items() for p, share in shares.items()
        ],
        "pools": {suite: e.pool_sizes for suite, e in first.items()},
        "questions": {suite: len(e.per_query["meaning_id"].unique()) for suite, e in first.items()},
        "candidate_text": {suite: e.candidate_text for suite, e in first.items()},
        "suite_domains": {suite: [d for d in data.domains if d] for suite, data in suites.items()},
    }  # fmt: skip


def mean_over_seeds(evaluations: Sequence[Evaluation]) -> Evaluation:
    """One evaluation whose per-query scores are the means over runs that differ in their seed only."""
    first = evaluations[0]
    if len(evaluations) == 1:
        return first
    table = first.per_query
    for metric in (*METRICS, *BIAS_METRICS):
        mean = np.mean([e.per_query[metric].to_numpy() for e in evaluations], axis=0)
        table = table.set_column(table.schema.get_field_index(metric), metric, pa.array(mean))
    histogram = {
        query: {p: float(np.mean([e.language_histogram[query][p] for e in evaluations])) for p in shares}
        for query, shares in first.language_histogram.items()
    }
    return replace(first, per_query=table, language_histogram=histogram)


def find(rows: Sequence[Json], **labels: str) -> Json:
    """The one row with these labels.

    Raises:
        KeyError: there is none.
    """
    for row in rows:
        if all(row.get(key) == value for key, value in labels.items()):
            return row
    raise KeyError(labels)
