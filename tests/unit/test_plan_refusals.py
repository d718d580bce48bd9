"""Corpora that cannot give the batches a plan asks for are refused, saying why; those that just can are not."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from conftest import made_up_pairs
from plan_helpers import (
    a_corpus,
    check_cross,
    equal_missing_unequal,
    languages,
    opened,
    plan_of,
)

from hybrid_core.data.corpus import Corpus, Pair
from hybrid_core.errors import RequestError

a_plan = partial(plan_of, batch=16)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    return opened(tmp_path_factory.mktemp("corpora"), equal_missing_unequal())


def test_an_x_x_batch_takes_from_each_language_what_its_share_is(corpora: dict[str, Corpus]) -> None:
    assert a_plan(corpora["unequal"], batch=60, policy="x_x").step(0).mode == "x_x"
    with pytest.raises(RequestError, match="de has 20 meanings and would be drawn 21 times in a batch") as error:
        a_plan(corpora["unequal"], batch=63, policy="x_x")
    assert "plan.language_exponent" in str(error.value) and "data.languages" in str(error.value)


@pytest.mark.parametrize("policy", ["cross", "multi_positive"])
def test_a_pair_that_would_fill_a_batch_with_copies_is_refused(tmp_path: Path, policy: str) -> None:
    pairs = [
        Pair(f"{lang}{p.meaning_id}", p.language, p.query, p.passage)
        for lang in ("de", "en", "fr")
        for p in made_up_pairs(30, (lang,))
    ]
    pairs += [Pair("shared", lang, f"{lang}?", f"{lang}.") for lang in ("de", "en")]
    pairs += [Pair(f"s{i}", lang, f"{lang}{i}?", f"{lang}{i}.") for lang in ("en", "fr") for i in range(20)]
    corpus = a_corpus(tmp_path / "corpus", pairs)
    with pytest.raises(RequestError, match="de-en has 1 meanings and would be drawn 4 times"):
        a_plan(corpus, batch=16, policy=policy)
    assert a_plan(corpus, batch=16, policy=policy, language_exponent=1.0).step(0).mode == policy


@pytest.mark.parametrize("policy", ["mono", "hybrid"])
def test_a_language_smaller_than_a_batch_is_refused(corpora: dict[str, Corpus], policy: str) -> None:
    with pytest.raises(RequestError, match="global_batch") as error:
        a_plan(corpora["unequal"], batch=21, policy=policy)
    message = str(error.value)
    assert "language 'de' has 20 query-passage pairs" in message
    assert "train.global_batch=21" in message
    assert "lower the batch" in message and "data.languages" in message


def test_a_language_that_just_fills_a_batch_is_accepted(corpora: dict[str, Corpus]) -> None:
    planned = a_plan(corpora["unequal"], batch=20, policy="mono").step(0)
    assert len(set(planned.query_rows.tolist())) == 20


def test_cross_takes_pairs_from_languages_smaller_than_a_batch(corpora: dict[str, Corpus]) -> None:
    check_cross(corpora["unequal"], a_plan(corpora["unequal"], batch=64, policy="cross").step(2), "per_example")


@pytest.mark.parametrize("policy", ["cross", "hybrid"])
def test_one_language_has_no_cross_lingual_batches(corpus_directory: Path, policy: str) -> None:
    corpus = Corpus.open(str(corpus_directory), ["en"])
    with pytest.raises(RequestError, match="at least two languages") as error:
        a_plan(corpus, policy=policy)
    message = str(error.value)
    assert f"plan.policy={policy!r}" in message
    assert "the corpus has en" in message
    assert "plan.policy=mono" in message and "data.corpus" in message


@pytest.mark.parametrize("policy", ["mono", "x_x"])
def test_one_language_is_enough_without_cross_lingual_batches(corpus_directory: Path, policy: str) -> None:
    corpus = Corpus.open(str(corpus_directory), ["en"])
    assert set(languages(corpus, a_plan(corpus, policy=policy).step(0).query_rows)) == {"en"}


def test_hybrid_with_alpha_one_needs_no_pairs(corpus_directory: Path) -> None:
    corpus = Corpus.open(str(corpus_directory), ["en"])
    assert a_plan(corpus, policy="hybrid", alpha=1.0).step(0).mode == "mono"


def with_french_apart(directory: Path) -> Corpus:
    """de and en share their meanings, fr has meanings of its own."""
    pairs = made_up_pairs(20, ("de", "en"))
    pairs += [Pair(f"x{p.meaning_id}", p.language, p.query, p.passage) for p in made_up_pairs(20, ("fr",))]
    return a_corpus(directory, pairs)


@pytest.mark.parametrize(
    ("policy", "unpaired"),
    [("cross", "mono_only"), ("cross", "refuse"), ("multi_positive", "mono_only"), ("hybrid", "refuse")],
)
def test_a_language_that_shares_no_meaning_is_refused(tmp_path: Path, policy: str, unpaired: str) -> None:
    with pytest.raises(RequestError, match="shares no meaning") as error:
        a_plan(with_french_apart(tmp_path / "corpus"), policy=policy, unpaired=unpaired)
    message = str(error.value)
    assert "language 'fr'" in message
    assert "data.languages" in message and "plan.policy=mono" in message and "plan.unpaired=mono_only" in message


def test_by_default_a_language_that_shares_no_meaning_feeds_monolingual_batches(tmp_path: Path) -> None:
    corpus = with_french_apart(tmp_path / "corpus")
    plan = a_plan(corpus, policy="hybrid", alpha=0.5, block=12)
    seen: dict[str, Counter[str]] = {"mono": Counter(), "cross": Counter()}
    for k in range(24):
        planned = plan.step(k)
        seen[planned.mode].update(set(languages(corpus, planned.query_rows)))
        if planned.mode == "cross":
            check_cross(corpus, planned, "per_example")
    assert seen["mono"] == {"de": 4, "en": 4, "fr": 4}
    assert seen["cross"].keys() == {"de", "en"}


def test_a_language_pair_smaller_than_a_batch_is_refused_per_batch(tmp_path: Path) -> None:
    pairs = [p for p in made_up_pairs(30) if p.language != "fr" or p.meaning_id < "m0009"]
    pairs += [Pair(f"x{p.meaning_id}", p.language, p.query, p.passage) for p in made_up_pairs(20, ("fr",))]
    corpus = a_corpus(tmp_path / "corpus", pairs)
    with pytest.raises(RequestError, match="per_batch") as error:
        a_plan(corpus, batch=10, policy="cross", cross_pair="per_batch")
    message = str(error.value)
    assert "plan.cross_pair=per_batch" in message
    assert "9 pairs" in message and "train.global_batch=10" in message
    assert "lower the batch" in message and "per_example" in message
    assert a_plan(corpus, batch=10, policy="cross").step(0).mode == "cross"
