"""From measurements of several encoders to one comparison: the mapping that reports draw and MLflow stores.

measurements -> arms (models, and each with its free baselines) -> levels, differences, tests -> comparison
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hybrid_core.baselines import languages_without_passages
from hybrid_core.comparison import compare, rules_of
from hybrid_core.config import EvaluateConfig
from hybrid_core.contrasts import Rules
from hybrid_core.data.suites import SETTINGS, Suite
from hybrid_core.evaluate import Evaluation
from hybrid_core.measure import BM25, Measurement, evaluate_bm25
from hybrid_core.robustness.effects import perturbation_effects
from hybrid_core.robustness.unseen import unseen_effects
from hybrid_core.significance import corrected
from hybrid_core.stats.randomisation import flips_for

Json = dict[str, Any]
Measured = Mapping[str, Sequence[Measurement]]
"""Model -> its measurements, one for each seed it was trained with."""


def compare_measured(
    measured: Measured,
    suites: Sequence[Suite],
    config: EvaluateConfig,
    *,
    in_domain: str | None,
    seed: int,
    seen: Sequence[str] = (),
    bm25: Mapping[str, Evaluation] | None = None,
) -> Json:
    """Everything a report says about these models: `comparison.compare` and what goes beside it.

    Args:
        measured: by model, in the order of the report; the first is what others are compared with.
        suites: the suites as they are, without variants.
        config: intervals, baselines.
        in_domain: suite of the training domain; None: not known.
        seed: of the resamples.
        seen: languages of the training data; empty: nothing is said about unseen ones.
        bm25: its evaluations by suite, where they are there already; None: made here, if `config.baselines` has it.
    """
    if bm25 is None and BM25 in config.baselines:
        bm25 = evaluate_bm25(suites, config)
    arms, free = _with_free_baselines(measured, bm25)
    comparison = compare(arms, config, in_domain=in_domain, seed=seed, free=free)
    comparison["without_passages"] = {
        suite.name: list(missing)
        for suite in suites
        if (missing := languages_without_passages(suite.queries.languages, suite.passages.languages))
    }
    rules = rules_of(config, seed=seed)
    comparison["perturbations"], comparison["perturbation_contrasts"] = _perturbations(measured, rules)
    comparison["geometry"] = [{"arm": model, **row} for model, seeds in measured.items() for row in seeds[0].geometry]
    comparison["unseen"] = _unseen({m: arms[m] for m in measured}, comparison["suites"] if seen else (), seen, rules)
    return comparison


def _perturbations(measured: Measured, rules: Rules) -> tuple[list[Json], list[Json]]:
    """What variants of suites cost each model, and whether one model loses more than another."""
    first = next(iter(measured.values()))[0]
    flips = flips_for(_perturbation_tests(first, len(measured)), samples=rules.samples, alpha=1.0 - rules.confidence)
    losses: list[Json] = []
    contrasts: list[Json] = []
    for suite, names in first.variants.items():
        clean = {model: [m.evaluations[suite] for m in seeds] for model, seeds in measured.items()}
        variants = {
            name: {model: [m.variants[suite][name] for m in seeds] for model, seeds in measured.items()}
            for name in names
        }
        found = perturbation_effects(clean, variants, rules, flips=flips)
        losses += [row | _changed(first, row) for row in found[0]]
        contrasts += found[1]
    return corrected(losses, _perturbation_family), corrected(contrasts, _perturbation_family)


def _perturbation_family(row: Json) -> tuple[str, ...]:
    """All suites, perturbations, settings and arms together; by language or domain, the rows of one table."""
    part = "language" * bool(row["language"]) + "domain" * bool(row["domain"])
    return (row["metric"], part, *((row["suite"], row["perturbation"]) if part else ()))


def _perturbation_tests(measurement: Measurement, models: int) -> int:
    """No fewer than the tests of a family about all queries."""
    variants = sum(len(names) for names in measurement.variants.values())
    return variants * len(SETTINGS) * max(models, models * (models - 1) // 2)


def _unseen(
    models: Mapping[str, Mapping[str, Sequence[Evaluation]]], suites: Sequence[str], seen: Sequence[str], rules: Rules
) -> list[Json]:
    """Languages seen in training and not, on every suite; one family of tests about all queries, one about domains."""
    most = len(suites) * len(SETTINGS) * 5 * len(models) * (len(models) - 1) // 2  # groups: at most four, and the gap
    flips = flips_for(most, samples=rules.samples, alpha=1.0 - rules.confidence)
    rows = [
        row
        for suite in suites
        for row in unseen_effects({m: by_suite[suite] for m, by_suite in models.items()}, seen, rules, flips=flips)
    ]
    return corrected(rows, lambda row: (row["metric"], bool(row["domain"])))


def _changed(measurement: Measurement, row: Json) -> Json:
    """Share of the row's queries that a perturbation changes, so that 'no loss' is not read where nothing was changed."""
    shares = measurement.changed.get(row["suite"], {}).get(row["perturbation"])
    if shares is None or row["domain"]:
        return {}
    return {"changed": shares[row["language"]] if row["language"] else sum(shares.values()) / len(shares)}


Arms = dict[str, dict[str, Sequence[Evaluation]]]


def _with_free_baselines(measured: Measured, bm25: Mapping[str, Evaluation] | None) -> tuple[Arms, Json]:
    """Arms (suite -> evaluation of every seed), and which of them cost nothing beside a model that is there."""
    arms: Arms = {}
    free: Json = {}
    for model, seeds in measured.items():
        arms[model] = {suite: [m.evaluations[suite] for m in seeds] for suite in seeds[0].evaluations}
        for method in seeds[0].free:
            name = f"{model}+{method}"
            arms[name] = {suite: [m.free[method][suite] for m in seeds] for suite in seeds[0].free[method]}
            free[name] = {"of": model, "method": method}
    if bm25:  # no suite may have the mono setting
        arms[BM25] = {suite: [e] for suite, e in bm25.items()}
        free[BM25] = {"of": "", "method": BM25}
    return arms, free


def as_json(comparison: Json) -> str:
    """The comparison as strict JSON: a number that is not defined is null, not NaN, which other readers refuse."""
    return json.dumps(_defined(comparison), ensure_ascii=False, indent=1, allow_nan=False)


def _defined(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _defined(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
