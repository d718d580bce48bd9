"""Made-up suites and vectors, with ties and uneven judgements, and a ranking by brute force."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hybrid_core.data.suites import SETTINGS, Suite, Texts
from hybrid_core.evaluate import ALL_LANGUAGES


def a_suite(
    seed: int, *, queries: int = 40, passages: int = 90, languages: tuple[str, ...] = ("de", "en", "fr"),
    query_languages: tuple[str, ...] = (), most_relevant: int = 30, settings_: tuple[str, ...] = SETTINGS,
) -> Suite:  # fmt: skip
    """Random judgements, from none to many a query; ids in another order than the rows."""
    rng = np.random.default_rng(seed)
    asked, answers = Texts(), Texts()
    names = rng.permutation(10 * (queries + passages))
    for i in range(queries):
        asked.add(f"q{names[i]:05d}", str(rng.choice(query_languages or languages)), f"query {i}", f"m{i % 17}")
    for i in range(passages):
        answers.add(f"p{names[queries + i]:05d}", languages[i % len(languages)], f"passage {i}")
    relevant = []
    for _ in range(queries):
        count = int(rng.choice([0, 1, 2, 5, most_relevant]))
        relevant.append(np.sort(rng.choice(passages, size=count, replace=False)).astype(np.int64))
    return Suite("made_up", asked, answers, relevant, settings_, "Apache-2.0", "tests")


def tied_vectors(rows: int, seed: int) -> np.ndarray:
    """Few distinct values, so that sums are exact in float32 and many scores are equal."""
    return np.random.default_rng(seed).integers(-1, 2, size=(rows, 4)).astype(np.float32)


def smooth_vectors(rows: int, seed: int, dimension: int = 24) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ordered_pool(suite: Suite, scores: np.ndarray, pool: Iterable[int]) -> list[int]:
    """Brute force: passages of the pool, best first, equal scores by id."""
    return sorted(pool, key=lambda row: (-scores[row], suite.passages.ids[row]))


def pools_of(suite: Suite, query: int) -> dict[tuple[str, str], list[int]]:
    """(setting, pool language) -> passage rows, for one query."""
    rows = range(len(suite.passages))
    pools = {("multi", ALL_LANGUAGES): list(rows)}
    for language in suite.languages:
        setting = "mono" if suite.queries.languages[query] == language else "cross"
        pools[setting, language] = [row for row in rows if suite.passages.languages[row] == language]
    return pools
