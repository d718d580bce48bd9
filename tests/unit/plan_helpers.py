"""Plans over small corpora, and what every batch of a mode must keep to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from conftest import made_up_pairs
from hypothesis import settings
from hypothesis import strategies as st

from hybrid_core.config import PlanConfig
from hybrid_core.data.corpus import Corpus, Pair
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.plan import BatchPlan, StepPlan

quick = settings(max_examples=40)
seeds = st.integers(0, 2**31 - 1)
steps = st.one_of(st.integers(0, 300), st.integers(10**6, 10**9))
exponents = st.sampled_from([0.0, 0.3, 1.0])
blocks = st.sampled_from([1, 7, 10, 100])
cross_pairs = st.sampled_from(["per_example", "per_batch"])
SHAPES = ("equal", "missing", "unequal")
FOUR = ("ar", "de", "en", "hi")


def equal_missing_unequal() -> dict[str, list[Pair]]:
    """Corpora of three shapes. In `unequal` de has 20 meanings, en 40, fr 80: the smaller hold the first of the larger."""
    sizes = {"de": 20, "en": 40, "fr": 80}
    return {
        "equal": made_up_pairs(48),
        "missing": made_up_pairs(45, ("ar", "de", "en", "hi"), missing=3),
        "unequal": [p for p in made_up_pairs(80) if int(p.meaning_id[1:]) < sizes[p.language]],
    }


def a_corpus(directory: Path, pairs: list[Pair]) -> Corpus:
    write_corpus(directory, pairs, licence="Apache-2.0", sources=["tests"])
    return Corpus.open(str(directory))


def opened(directory: Path, contents: dict[str, list[Pair]]) -> dict[str, Corpus]:
    """Corpora by name, written to folders of their own."""
    return {name: a_corpus(directory / name, pairs) for name, pairs in contents.items()}


def plan_of(corpus: Corpus, *, batch: int, seed: int = 0, steps: int | None = None, **config: object) -> BatchPlan:
    return BatchPlan({"corpus": corpus}, PlanConfig(**config), seed=seed, global_batch=batch, steps=steps)  # type: ignore[arg-type]


def languages(corpus: Corpus, rows: np.ndarray) -> list[str]:
    return corpus.column("language", rows)


def ordered_pairs(corpus: Corpus, planned: StepPlan) -> list[tuple[str, str]]:
    return list(zip(languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows), strict=True))


def same(a: StepPlan, b: StepPlan) -> bool:
    rows = [
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("query_rows", "passage_rows", "translation_rows")
    ]
    return (a.step, a.mode, a.corpus, a.digest) == (b.step, b.mode, b.corpus, b.digest) and all(rows)


def check_mono(corpus: Corpus, planned: StepPlan) -> None:
    assert np.array_equal(planned.query_rows, planned.passage_rows)
    assert len(set(languages(corpus, planned.query_rows))) == 1


def check_cross(corpus: Corpus, planned: StepPlan, cross_pair: str) -> None:
    asked, answered = languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows)
    assert all(q != p for q, p in zip(asked, answered, strict=True))
    meanings = corpus.column("meaning_id", planned.query_rows), corpus.column("meaning_id", planned.passage_rows)
    assert meanings[0] == meanings[1]
    if cross_pair == "per_batch":
        assert len(set(zip(asked, answered, strict=True))) == 1


def rows_by_language(corpus: Corpus, plan: BatchPlan, count: int) -> dict[str, list[int]]:
    """Query rows in the order in which training sees them."""
    seen: dict[str, list[int]] = {language: [] for language in corpus.languages}
    for k in range(count):
        rows = plan.step(k).query_rows
        for language, row in zip(languages(corpus, rows), rows.tolist(), strict=True):
            seen[language].append(row)
    return seen


def epochs(rows: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def renamed(prefix: str, pairs: list[Pair]) -> list[Pair]:
    """The same number of rows with meanings and texts of their own."""
    return [Pair(prefix + p.meaning_id, p.language, f"{prefix} {p.query}", f"{prefix} {p.passage}") for p in pairs]


def with_holes(meanings: int, languages: tuple[str, ...]) -> list[Pair]:
    """Every meaning lacks each language with probability 0.4."""
    generator = random.Random(7)
    return [p for p in made_up_pairs(meanings, languages) if generator.random() < 0.6]
