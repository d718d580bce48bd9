"""Larger pools: nested, without anything that could be relevant, the suite's own rows untouched."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.data.suites import Suite, Texts, load_suites
from hybrid_core.errors import RequestError
from hybrid_core.evaluate import evaluate
from hybrid_core.robustness.distractors import PREFIX, added_passages, passages_of, with_distractors


def a_suite() -> Suite:
    queries, passages = Texts(), Texts()
    for lang in ("de", "en"):
        for n in range(4):
            queries.add(f"{lang}-{n}", lang, f"question {n} {lang}", f"m{n}")
            passages.add(f"{lang}-{n}", lang, f"Passage {n} in {lang}, of its own and of some length.", f"m{n}")
    relevant = [np.array([n % 4, n % 4 + 4]) for n in range(8)]
    return Suite("small", queries, passages, relevant, ("mono", "cross", "multi"), "CC0", "here")


def texts(number: int, languages: tuple[str, ...] = ("de", "en")) -> Texts:
    found = Texts()
    for n in range(number):
        for lang in languages:
            found.add(f"x{n}", lang, f"Something else {n} in {lang}.", f"other{n}")
    return found


def enlarged(suite: Suite, extra: Texts, count: int, seed: int = 0) -> Suite:
    (larger,) = with_distractors(suite, extra, counts=[count], seed=seed)
    return larger


def test_a_language_with_too_few_texts_gets_what_there_is() -> None:
    extra = texts(9)
    extra.add("one more", "en", "English has one more text.", "other9")
    one, two = with_distractors(a_suite(), extra, counts=[9, 1000], seed=0)
    assert (one.name, two.name) == ("small~distractors_9", "small~distractors_1000")
    assert added_passages(a_suite(), one) == {"de": 9, "en": 9}
    assert added_passages(a_suite(), two) == {"de": 9, "en": 10}
    assert two.passages.ids[: len(one.passages)] == one.passages.ids


def test_distractors_follow_the_suites_own_passages_and_are_relevant_to_nothing() -> None:
    suite = a_suite()
    larger = enlarged(suite, texts(9), 5)
    assert larger.name == "small~distractors_5"
    assert larger.queries is suite.queries and larger.relevant is suite.relevant
    for column in ("ids", "languages", "texts", "meaning_ids", "domains", "sentences"):
        assert getattr(larger.passages, column)[:8] == getattr(suite.passages, column)
    added = larger.passages.ids[8:]
    assert len(added) == 10 and all(id.startswith(PREFIX) for id in added)
    assert len(set(larger.passages.ids)) == len(larger.passages.ids)
    assert larger.passages.meaning_ids[8:] == added
    assert Counter(larger.passages.languages[8:]) == {"de": 5, "en": 5}


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 5), st.randoms())
def test_pools_are_nested_and_do_not_depend_on_the_order_of_the_source(
    a: int, b: int, seed: int, random: Random
) -> None:
    extra = texts(20)
    order = list(range(len(extra)))
    random.shuffle(order)
    shuffled = Texts()
    for i in order:
        shuffled.add(extra.ids[i], extra.languages[i], extra.texts[i], extra.meaning_ids[i])
    small, large = sorted((a, b))
    smaller = enlarged(a_suite(), extra, small, seed).passages
    larger = enlarged(a_suite(), shuffled, large, seed).passages
    assert larger.ids[: len(smaller)] == smaller.ids and larger.texts[: len(smaller)] == smaller.texts


def test_another_seed_draws_others() -> None:
    pools = [set(enlarged(a_suite(), texts(40), 5, s).passages.ids) for s in (1, 2)]
    assert pools[0] != pools[1]


def test_what_could_be_relevant_is_left_out_and_so_are_repetitions() -> None:
    extra = Texts()
    extra.add("equal", "de", "PASSAGE 1 in de of its own, and of some length!")
    extra.add(
        "holds it", "de", "It begins otherwise here, does it not. Passage 2 in de, of its own and of some length."
    )
    extra.add("same meaning", "de", "Written in another way altogether.", "m3")
    extra.add("holds it", "fr", "Passage 2 in fr.", "p")
    extra.add("holds it", "de", "Passage 0 in de, of its own and of some length. And more.", "q")
    extra.add("its translation", "en", "Nothing tells but the meaning id.", "q")
    extra.add("new", "de", "A new text.", "m9")
    extra.add("again", "de", "a new TEXT", "m10")
    extra.add("signs", "de", "...")
    extra.add("another language", "fr", "Un autre texte.")
    extra.add("equal but of another language", "en", "Passage 1 in de, of its own and of some length.")
    larger = enlarged(a_suite(), extra, 2)
    assert added_passages(a_suite(), larger) == {"de": 1, "en": 1}
    assert larger.passages.texts[8:] == ["A new text.", "Passage 1 in de, of its own and of some length."]


def test_pools_grow_twice_without_a_clash() -> None:
    once = enlarged(a_suite(), texts(5), 5)
    twice = enlarged(once, texts(7), 3)
    assert added_passages(once, twice) == {"de": 2, "en": 2}
    assert len(set(twice.passages.ids)) == len(twice.passages) == 8 + 10 + 4


def test_other_suites_are_a_source() -> None:
    home, other = load_suites(["sample_finance", "sample_law"], None, "passage")
    count = min(Counter(other.passages.languages).values())
    larger = enlarged(home, passages_of([home, other]), count)
    added = larger.passages.texts[len(home.passages) :]
    assert len(added) == count * len(home.languages) and set(added) <= set(other.passages.texts)
    with pytest.raises(RequestError, match="'sample_finance': nothing to draw distractors from in ar, "):
        enlarged(home, passages_of([home]), 1)


def test_a_larger_pool_never_raises_a_score_and_vectors_are_reused() -> None:
    rng = np.random.default_rng(0)
    suite = a_suite()
    vectors = rng.standard_normal((8 + 40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[:8] + 0.3 * rng.standard_normal((8, 6)).astype(np.float32)
    scores = []
    for count in (0, 5, 20):
        pool = enlarged(suite, texts(20), count) if count else suite
        table = evaluate(pool, queries, vectors[: len(pool.passages)]).per_query
        scores.append(table["mAP"].to_numpy())
    assert (scores[0] >= scores[1]).all() and (scores[1] >= scores[2]).all() and scores[0].sum() > scores[2].sum()
