"""How often the plan draws rows, languages and ordered pairs: nothing again before all, shares by the exponent."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import made_up_pairs
from plan_helpers import (
    SHAPES,
    a_corpus,
    epochs,
    equal_missing_unequal,
    languages,
    opened,
    plan_of,
    rows_by_language,
)

from hybrid_core.data.corpus import Corpus, Pair
from hybrid_core.plan import BatchPlan

a_plan = partial(plan_of, batch=16)
SMALLEST = {"equal": 48, "missing": 30, "unequal": 20}
"""Rows of the smallest language."""


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    return opened(tmp_path_factory.mktemp("corpora"), equal_missing_unequal())


@pytest.mark.parametrize("policy", ["mono", "x_x"])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_row_repeats_before_its_language_is_exhausted(corpora: dict[str, Corpus], policy: str, shape: str) -> None:
    corpus = corpora[shape]
    for language, rows in rows_by_language(corpus, a_plan(corpus, batch=5, policy=policy), 90).items():
        first, end = corpus.rows_of(language)
        assert len(rows) > end - first
        for epoch in epochs(rows, end - first):
            assert len(set(epoch)) == len(epoch), f"{language}: a row is drawn again before the others were drawn once"


def test_no_row_repeats_before_the_only_language_is_exhausted(corpus_directory: Path) -> None:
    corpus = Corpus.open(str(corpus_directory), ["en"])
    rows = rows_by_language(corpus, a_plan(corpus, batch=5, policy="mono"), 90)["en"]
    orders = list(epochs(rows, 48))
    assert all(len(set(epoch)) == len(epoch) for epoch in orders)
    assert sorted(orders[0]) == list(range(*corpus.rows_of("en")))
    assert orders[0] != orders[1]


WINDOWS = [
    ("mono", {}, 16), ("mono", {}, 20), ("mono", {}, 19), ("cross", {}, 48), ("cross", {}, 64), ("cross", {"cross_pair": "per_batch"}, 17),
    ("hybrid", {}, 20), ("x_x", {}, 50), ("x_x", {}, 60), ("multi_positive", {"translations": 2}, 50),
    ("cross", {"language_exponent": 1.0}, 60),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("policy", "config", "batch"), WINDOWS)
def test_no_batch_holds_a_row_of_its_languages_twice_also_where_epochs_meet(
    corpora: dict[str, Corpus], policy: str, config: dict[str, object], batch: int, shape: str
) -> None:
    plan = a_plan(
        corpora[shape], policy=policy, batch=min(batch, SMALLEST[shape]) if policy == "mono" else batch, **config
    )
    drawn: Counter[tuple[int, int]] = Counter()
    for k in range(300):
        planned = plan.step(k)
        further = planned.translation_rows[:, 0] if planned.mode == "multi_positive" else planned.passage_rows
        examples = list(zip(planned.query_rows.tolist(), further.tolist(), strict=True))
        assert len(set(examples)) == len(examples), f"step {k}"
        drawn.update(examples)
    assert min(drawn.values()) > 1  # epochs met


def test_no_row_of_a_language_is_drawn_twice_by_a_batch_of_nearly_all_of_them(corpora: dict[str, Corpus]) -> None:
    plan = a_plan(corpora["equal"], policy="mono", batch=46)  # 48 rows a language
    for k in range(400):
        assert len(set(plan.step(k).query_rows.tolist())) == 46


def test_a_row_is_drawn_equally_often_over_whole_blocks(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, batch=16, policy="mono", block=9)
    counts = Counter(row for k in range(81) for row in plan.step(k).query_rows.tolist())
    assert set(counts) == set(range(144))
    assert set(counts.values()) == {9}


@pytest.mark.parametrize("policy", ["cross", "hybrid"])
@pytest.mark.parametrize("cross_pair", ["per_example", "per_batch"])
def test_no_pair_repeats_before_its_languages_are_exhausted(
    corpora: dict[str, Corpus], policy: str, cross_pair: str
) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, batch=12, policy=policy, cross_pair=cross_pair)
    drawn: dict[tuple[str, str], list[int]] = {}
    for k in range(60 if policy == "cross" else 120):
        planned = plan.step(k)
        pairs = zip(languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows), strict=True)
        for pair, row in zip(pairs, planned.query_rows.tolist(), strict=True):
            drawn.setdefault(pair, []).append(row)
    assert len(drawn) == (6 if policy == "cross" else 9)
    for pair, rows in drawn.items():
        assert len(rows) > 48
        for epoch in epochs(rows, 48):
            assert len(set(epoch)) == len(epoch), f"{pair}: a row is drawn again before the others were drawn once"


@pytest.mark.parametrize("policy", ["mono", "cross", "x_x"])
def test_languages_are_not_visited_in_step_with_each_other(corpora: dict[str, Corpus], policy: str) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, batch=8, policy=policy)
    orders: dict[tuple[str, str], list[str]] = {}
    for k in range(36):
        planned = plan.step(k)
        pairs = zip(languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows), strict=True)
        for pair, meaning in zip(pairs, corpus.column("meaning_id", planned.query_rows), strict=True):
            orders.setdefault(pair, []).append(meaning)
    first_meanings = {tuple(sorted(order[:24])) for order in orders.values()}
    assert len(first_meanings) == len(orders) == (6 if policy == "cross" else 3)


def language_counts(corpus: Corpus, plan: BatchPlan, count: int) -> dict[str, int]:
    return {language: len(rows) for language, rows in rows_by_language(corpus, plan, count).items()}


def test_languages_are_uniform_under_exponent_zero(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["unequal"]
    plan = a_plan(corpus, batch=4, policy="mono", language_exponent=0.0, block=30)
    counts = language_counts(corpus, plan, 270)
    assert counts == dict.fromkeys(("de", "en", "fr"), 90 * 4)


def test_languages_are_proportional_under_exponent_one(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["unequal"]
    plan = a_plan(corpus, batch=4, policy="mono", language_exponent=1.0, block=35)
    assert language_counts(corpus, plan, 245) == {"de": 35 * 4, "en": 70 * 4, "fr": 140 * 4}


def test_languages_of_an_x_x_batch_follow_the_exponent(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["unequal"]
    uniform = a_plan(corpus, batch=15, policy="x_x", language_exponent=0.0, block=30)
    proportional = a_plan(corpus, batch=14, policy="x_x", language_exponent=1.0, block=35)
    assert language_counts(corpus, uniform, 18) == {"de": 90, "en": 90, "fr": 90}
    assert language_counts(corpus, proportional, 17 + 18) == {"de": 70, "en": 140, "fr": 280}


@pytest.mark.parametrize(
    ("exponent", "share"),
    [(0.0, [1 / 6] * 6), (1.0, [20 / 160, 20 / 160, 20 / 160, 40 / 160, 20 / 160, 40 / 160])],
)
@pytest.mark.parametrize("cross_pair", ["per_example", "per_batch"])
def test_ordered_pairs_follow_the_exponent(
    corpora: dict[str, Corpus], exponent: float, share: list[float], cross_pair: str
) -> None:
    corpus = corpora["unequal"]
    plan = a_plan(corpus, batch=20, policy="cross", language_exponent=exponent, cross_pair=cross_pair, block=24)
    counts: Counter[tuple[str, str]] = Counter()
    steps_ = 96
    for k in range(steps_):
        planned = plan.step(k)
        pairs = list(zip(languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows), strict=True))
        counts.update(pairs[:1] if cross_pair == "per_batch" else pairs)
    draws = counts.total()
    assert draws == (steps_ if cross_pair == "per_batch" else 20 * steps_)
    found = np.array([counts[pair] for pair in sorted(counts)])  # de-en, de-fr, en-de, en-fr, fr-de, fr-en
    assert np.abs(found - draws * np.array(share)).max() <= 12


def test_pairs_without_a_common_meaning_are_never_drawn(tmp_path: Path) -> None:
    pairs = made_up_pairs(20, ("de", "en"))
    pairs += [Pair(f"x{p.meaning_id}", p.language, p.query, p.passage) for p in made_up_pairs(20, ("en", "fr"))]
    corpus = a_corpus(tmp_path / "corpus", pairs)
    assert corpus.pairs_of("de", "fr") == (0, 0)
    plan = a_plan(corpus, batch=10, policy="cross")
    found = set()
    for k in range(40):
        planned = plan.step(k)
        asked, answered = languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows)
        found |= set(zip(asked, answered, strict=True))
    assert found == {("de", "en"), ("en", "de"), ("en", "fr"), ("fr", "en")}


def test_only_the_chosen_languages_are_drawn(corpus_directory: Path) -> None:
    corpus = Corpus.open(str(corpus_directory), ["fr", "de"])
    plan = a_plan(corpus, policy="hybrid")
    rows = [row for k in range(40) for row in (*plan.step(k).query_rows, *plan.step(k).passage_rows)]
    assert set(languages(corpus, np.array(rows))) == {"de", "fr"}
