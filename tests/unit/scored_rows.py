"""Hand-made per-query tables: one score for all metrics of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from hybrid_core.evaluate import ALL_LANGUAGES, BIAS_METRICS, METRICS, Evaluation
from hybrid_core.stats import ClusterBootstrap, Estimate, Sums, sums

LANGUAGES = ("de", "en", "fr")
Row = tuple[str, str, str, str, float]
"""Setting, query language, pool language, meaning id, score."""


def a_table(rows: list[Row], domains: Mapping[str, str] | None = None) -> pa.Table:
    """A per-query table whose metrics all have the row's score; domains by meaning id."""
    names = ("setting", "query_language", "passage_language", "meaning_id")
    texts = {name: pa.array([row[i] for row in rows]).dictionary_encode() for i, name in enumerate(names)}
    if domains is not None:
        texts["domain"] = pa.array([domains[row[3]] for row in rows]).dictionary_encode()
    scores = [float(row[4]) for row in rows]
    return pa.table(texts | {metric: scores for metric in METRICS + BIAS_METRICS})


def an_evaluation(rows: list[Row], suite: str = "home", domains: Mapping[str, str] | None = None) -> Evaluation:
    return Evaluation(suite, "passage", a_table(rows, domains), {"de": {"de": 1.0}}, {"de": 3})


def mono(scores: Mapping[str, list[float]]) -> list[Row]:
    """Rows of the mono setting: scores of every language, question by question."""
    return [("mono", lang, lang, f"m{i}", value) for lang, values in scores.items() for i, value in enumerate(values)]


def a_bootstrap(data: Sums, *, samples: int = 400, seed: int = 0, stratum: str = "home") -> ClusterBootstrap:
    return ClusterBootstrap(data.clusters, samples=samples, confidence=0.95, seed=seed, stratum=stratum)


def mono_sums(scores: Mapping[str, list[float]]) -> Sums:
    return sums(a_table(mono(scores)), "mono", "mAP")


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def noisy_sums(seed: int, *, questions: int = 40, shared: float = 1.0, own: float = 1.0, truth: float = 0.0) -> Sums:
    """Scores that are the truth, plus what translations of a question share, plus what is a row's own."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(questions) * shared
    return mono_sums({lang: (truth + common + rng.standard_normal(questions) * own).tolist() for lang in LANGUAGES})


def an_arm(
    levels: Mapping[str, float], noise: Callable[[int], float] = lambda i: 0.0, settings_: tuple[str, ...] = ("mono",)
) -> dict[str, Evaluation]:
    """Suites with a given level; three languages, eight questions."""
    pools = {"mono": lambda lang: lang, "multi": lambda lang: ALL_LANGUAGES}
    return {
        suite: an_evaluation(
            [
                (setting, lang, pools[setting](lang), f"m{i}", level + noise(i))
                for setting in settings_
                for lang in LANGUAGES
                for i in range(8)
            ],
            suite,
        )
        for suite, level in levels.items()
    }


def a_noisy_arm(level: float, seed: int, *, questions: int = 30, spread: float = 0.1) -> Evaluation:
    """The mono setting of one suite; what translations share is the same for every arm."""
    shared = 0.2 * np.random.default_rng(99).standard_normal(questions)
    own = spread * np.random.default_rng(seed).standard_normal((len(LANGUAGES), questions))
    return an_evaluation(mono({lang: (level + shared + own[i]).tolist() for i, lang in enumerate(LANGUAGES)}))
