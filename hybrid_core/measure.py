"""All that is measured of one encoder: suites + embeddings -> evaluations, free baselines, variants of suites, geometry.

Variants (perturbed queries, added distractors) are suites as well, named `<suite>~<variant>`: they are embedded and scored
on the same path, and only the comparison treats them apart.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hybrid_core import baselines
from hybrid_core.bm25 import rank_bm25
from hybrid_core.config import EvaluateConfig
from hybrid_core.data.suites import Suite
from hybrid_core.data.suites.collection import VARIANT
from hybrid_core.evaluate import Evaluation, evaluate, score
from hybrid_core.metrics.geometry import geometry
from hybrid_core.robustness.distractors import DISTRACTORS, NormalForms, added_passages, passages_of, with_distractors
from hybrid_core.robustness.lexicon import Lexicon
from hybrid_core.robustness.perturbations import changed_share, perturbation_of, perturbed, rates_of

Embeddings = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Suite name -> unit vectors of its queries and of its passages."""
BM25 = "bm25"


@dataclass(frozen=True)
class Measurement:
    """Scores of one encoder."""

    evaluations: dict[str, Evaluation]
    """Of the suites as they are, by name."""
    variants: dict[str, dict[str, Evaluation]]
    """Suite -> variant -> evaluation."""
    free: dict[str, dict[str, Evaluation]]
    """Free baseline -> suite -> evaluation."""
    geometry: list[dict[str, Any]]
    """Rows suite, diagnostic, language, value."""
    changed: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Suite -> perturbation -> query language -> share of the queries whose text it changes."""
    checks: dict[str, Any] = field(default_factory=dict)
    """Of `certificate.check_invariance`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What each part took: scoring, free_baselines, geometry, and encoding where this run encoded."""

    @contextlib.contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds of the body to a part."""
        started = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - started


def with_variants(
    suites: Sequence[Suite], config: EvaluateConfig, *, seed: int, lexicon: Lexicon | None = None
) -> list[Suite]:
    """The suites, and after each the variants that the request asks for.

    Raises:
        RequestError: a lexicon that is missing, no text at all for the distractors of a suite.
    """
    found = []
    extra, forms = passages_of(suites if config.distractors else ()), NormalForms()
    rates = rates_of(config.perturbation_rates, config.perturbations)
    for suite in suites:
        found.append(suite)
        found += [
            perturbed(suite, name, seed=seed, rate=rates.get(name), lexicon=lexicon) for name in config.perturbations
        ]
        if config.distractors:
            found += with_distractors(suite, extra, counts=config.distractors, seed=seed, forms=forms)
    return found


def measure(suites: Sequence[Suite], vectors: Embeddings, config: EvaluateConfig, *, seed: int) -> Measurement:
    """Score one encoder on suites and variants of suites.

    Args:
        suites: from `with_variants`.
        vectors: of every one of them.
        config: which baselines and diagnostics are wanted.
        seed: of the samples that diagnostics are estimated on.
    """
    evaluations: dict[str, Evaluation] = {}
    variants: dict[str, dict[str, Evaluation]] = {}
    found = Measurement(evaluations, variants, {}, [])
    by_name = {suite.name: suite for suite in suites}
    for suite in suites:
        queries, passages = vectors[suite.name]
        with found.timed("scoring"):
            evaluation = evaluate(suite, queries, passages, top_k=config.top_k)
        name, _, variant = suite.name.partition(VARIANT)
        if variant:
            variants.setdefault(name, {})[variant] = evaluation
            if perturbation_of(variant):
                found.changed.setdefault(name, {})[variant] = changed_share(by_name[name], suite)
            continue
        evaluations[name] = evaluation
        with found.timed("free_baselines"):
            for method in (m for m in config.baselines if m != BM25):
                found.free.setdefault(method, {})[name] = evaluate_free(suite, method, queries, passages, config)
        with found.timed("geometry"):
            rows = geometry(suite, queries, passages, seed=seed) if config.geometry else []
            found.geometry.extend({"suite": name, **row} for row in rows)
    return found


def evaluate_free(
    suite: Suite, method: str, queries: np.ndarray, passages: np.ndarray, config: EvaluateConfig
) -> Evaluation:
    """Score an encoder after a change of its vectors that needs no training (`baselines.METHODS`)."""
    languages = suite.queries.languages, suite.passages.languages
    changed = baselines.apply(method, queries, passages, *languages, neighbours=config.csls_neighbours)
    return evaluate(suite, *changed, top_k=config.top_k)


def evaluate_bm25(suites: Sequence[Suite], config: EvaluateConfig) -> dict[str, Evaluation]:
    """BM25 on the suites that have the mono setting, the only one in which words can match, and are not too large for it."""
    wanted = [suite for suite in suites if "mono" in suite.settings and not too_large_for_bm25(suite, config)]
    return {
        suite.name: score(replace(suite, settings=("mono",)), rank_bm25(suite, config.top_k), top_k=config.top_k)
        for suite in wanted
    }


def too_large_for_bm25(suite: Suite, config: EvaluateConfig) -> dict[str, int]:
    """Languages of a suite with more passages than `bm25_passages`, and how many they have."""
    return {lang: n for lang, n in sorted(Counter(suite.passages.languages).items()) if n > config.bm25_passages}


def notes_on(whole: Sequence[Suite], config: EvaluateConfig) -> list[str]:
    """What a request gets less of than it names: thin languages of larger pools, suites without BM25.

    Args:
        whole: suites and variants, from `with_variants`.
        config: what was asked for.
    """
    clean = {suite.name: suite for suite in whole if VARIANT not in suite.name}
    notes = []
    for suite in whole:
        name, _, variant = suite.name.partition(VARIANT)
        if variant.startswith(DISTRACTORS):
            count, added = int(variant.removeprefix(DISTRACTORS)), added_passages(clean[name], suite)
            fewer = ", ".join(f"{lang} {n:,}" for lang, n in added.items() if n < count)
            if fewer:
                notes.append(f"{name}: {count:,} distractors per language were asked for, there are fewer in {fewer}.")
    for suite in clean.values() if BM25 in config.baselines else ():
        large = ", ".join(f"{lang} {n:,}" for lang, n in too_large_for_bm25(suite, config).items())
        if large and "mono" in suite.settings:
            notes.append(
                f"{suite.name}: no BM25, because some languages have more than evaluate.bm25_passages="
                f"{config.bm25_passages:,} passages ({large})."
            )
    return notes
