"""The batch plan beyond its four basic policies: several positives, and a pivot."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from conftest import made_up_pairs
from hypothesis import given
from hypothesis import strategies as st
from plan_helpers import (
    FOUR,
    languages,
    opened,
    ordered_pairs,
    plan_of,
    quick,
    renamed,
    seeds,
    steps,
    with_holes,
)

from hybrid_core.data.corpus import Corpus
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.errors import RequestError
from hybrid_core.plan import StepPlan

a_plan = partial(plan_of, batch=12)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    contents = {
        "equal": made_up_pairs(48, FOUR),
        "holes": with_holes(60, FOUR),
        "two": renamed("y", made_up_pairs(30, ("de", "en"))),
    }
    return opened(tmp_path_factory.mktemp("corpora"), contents)


@quick
@given(
    policy=st.sampled_from(["mono", "cross", "hybrid", "multi_positive", "x_x"]), seed=seeds, step=steps,
    chosen=st.sampled_from([(), ("de", "hi"), ("en", "hi", "ar")]), parts=st.sampled_from([1, 2]),
)  # fmt: skip
def test_the_languages_of_a_step_are_those_of_its_rows(
    corpora: dict[str, Corpus], policy: str, seed: int, step: int, chosen: tuple[str, ...], parts: int
) -> None:
    corpus = Corpus.open(str(corpora["holes"].directory), chosen)
    planned = a_plan(corpus, seed=seed, policy=policy, draws_per_step=parts).step(step)
    expected = set(ordered_pairs(corpus, planned))
    for query, translations in zip(planned.query_rows, planned.translation_rows, strict=False):
        rows = translations[translations >= 0]
        expected |= {(*languages(corpus, np.array([query])), name) for name in languages(corpus, rows)}
    assert planned.languages == tuple(sorted(expected))


@quick
@given(
    shape=st.sampled_from(["equal", "holes", "two"]), seed=seeds, step=steps, translations=st.integers(1, 5),
    exponent=st.sampled_from([0.0, 0.5, 1.0]), batch=st.integers(1, 20),
)  # fmt: skip
def test_further_positives_are_the_translations_of_the_own_passage_as_many_as_there_are(
    corpora: dict[str, Corpus], shape: str, seed: int, step: int, translations: int, exponent: float, batch: int
) -> None:
    corpus = corpora[shape]
    plan = a_plan(
        corpus, seed=seed, batch=batch, policy="multi_positive", translations=translations, language_exponent=exponent
    )
    planned = plan.step(step)
    assert (planned.step, planned.mode, planned.translation_rows.shape) == (
        step,
        "multi_positive",
        (batch, translations),
    )
    assert np.array_equal(planned.query_rows, planned.passage_rows)
    everything = np.arange(corpus.manifest["rows"])
    spoken = Counter(corpus.column("meaning_id", everything))  # in how many languages a meaning is there
    for own, further in zip(planned.query_rows, planned.translation_rows, strict=True):
        present = further[further >= 0]
        assert set(further[: len(present)]) == set(present), "-1 comes last"
        rows = np.array([own, *present])
        assert len(set(languages(corpus, rows))) == len(rows)
        (meaning,) = set(corpus.column("meaning_id", rows))
        assert len(present) == min(translations, spoken[meaning] - 1)
        assert len(present) >= 1


def test_every_language_is_asked_and_translated_into_equally_often(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, policy="multi_positive", translations=2)
    for k in range(20):
        planned = plan.step(k)
        asked = languages(corpus, planned.query_rows)
        for place in range(2):
            found = Counter(zip(asked, languages(corpus, planned.translation_rows[:, place]), strict=True))
            assert found == Counter(permutations(FOUR, 2))


def test_no_query_repeats_for_a_pair_of_languages_before_the_others_were_drawn(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, policy="multi_positive", translations=3)
    drawn: dict[tuple[str, str], list[int]] = {}
    for k in range(100):
        planned = plan.step(k)
        translated = languages(corpus, planned.translation_rows[:, 0])
        for pair, row in zip(
            zip(languages(corpus, planned.query_rows), translated, strict=True),
            planned.query_rows.tolist(),
            strict=True,
        ):
            drawn.setdefault(pair, []).append(row)
    assert len(drawn) == 12
    for rows in drawn.values():
        assert len(set(rows[:48])) == 48 and len(set(rows[48:96])) == 48
        assert rows[:48] != rows[48:96]


def test_further_positives_are_in_the_chosen_languages_only(corpora: dict[str, Corpus]) -> None:
    corpus = Corpus.open(str(corpora["equal"].directory), ["de", "hi", "en"])
    plan = a_plan(corpus, policy="multi_positive", translations=3)
    for k in range(10):
        further = plan.step(k).translation_rows
        assert (further[:, :2] >= 0).all() and (further[:, 2] == -1).all()  # three languages: two translations
        assert set(languages(corpus, further[:, :2].reshape(-1))) == {"de", "en", "hi"}


def test_the_number_of_translations_belongs_to_the_hash(corpora: dict[str, Corpus]) -> None:
    plans = [a_plan(corpora["equal"], policy="multi_positive", translations=n) for n in (1, 2, 3)]
    assert len({plan.hash for plan in plans}) == 3


def test_a_digest_covers_further_positives_and_the_corpus() -> None:
    rows, some, other = np.arange(4), np.arange(4)[:, None], np.arange(4)[::-1, None]
    plans = [StepPlan(1, "multi_positive", rows, rows, t, name) for t in (some, other) for name in ("a", "b")]
    assert len({plan.digest for plan in plans}) == 4


@quick
@given(
    shape=st.sampled_from(["equal", "holes"]), seed=seeds, step=steps, policy=st.sampled_from(["cross", "hybrid"]),
    cross_pair=st.sampled_from(["per_example", "per_batch"]),
)  # fmt: skip
def test_every_cross_lingual_pair_contains_the_pivot(
    corpora: dict[str, Corpus], shape: str, seed: int, step: int, policy: str, cross_pair: str
) -> None:
    corpus = corpora[shape]
    planned = a_plan(corpus, seed=seed, policy=policy, pivot="en", cross_pair=cross_pair, batch=10).step(step)
    for pair in ordered_pairs(corpus, planned):
        assert len(set(pair)) == (1 if planned.mode == "mono" else 2)
        assert "en" in pair or planned.mode == "mono"


def test_the_pivot_asks_and_answers_with_every_other_language_equally_often(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, policy="cross", pivot="en", batch=12)
    wanted = {pair: 2 for pair in permutations(FOUR, 2) if "en" in pair}
    assert all(Counter(ordered_pairs(corpus, plan.step(k))) == wanted for k in range(10))


def test_the_first_two_positives_contain_the_pivot(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["holes"]
    planned = a_plan(corpus, policy="multi_positive", pivot="de", translations=2, batch=24).step(0)
    asked, translated = languages(corpus, planned.query_rows), languages(corpus, planned.translation_rows[:, 0])
    assert all("de" in pair for pair in zip(asked, translated, strict=True))


def test_monolingual_batches_of_a_plan_with_pivot_visit_every_language(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, policy="hybrid", pivot="en", block=16)
    asked = [
        languages(corpus, p.query_rows)[0] for p in (plan.step(k) for k in range(32)) if p.mode == "mono"
    ]  # sixteen monolingual batches: a block of the languages
    assert Counter(asked) == dict.fromkeys(FOUR, 4)


def test_a_pivot_that_is_no_language_of_the_corpus_is_refused(corpora: dict[str, Corpus]) -> None:
    with pytest.raises(
        RequestError, match=re.escape("plan.pivot='eng' is no language of the corpus; did you mean 'en'")
    ):
        a_plan(corpora["equal"], policy="cross", pivot="eng")


def test_a_language_that_shares_nothing_with_the_pivot_is_as_one_without_pairs(tmp_path: Path) -> None:
    pairs = [*made_up_pairs(20, ("de", "en")), *renamed("x", made_up_pairs(20, ("de", "fr")))]
    write_corpus(tmp_path, pairs, licence="", sources=[])
    corpus = Corpus.open(str(tmp_path))
    for refused in ({"policy": "cross"}, {"policy": "hybrid", "unpaired": "refuse"}):
        with pytest.raises(RequestError, match="language 'fr' shares no meaning"):
            a_plan(corpus, pivot="en", **refused)
    plan = a_plan(corpus, policy="hybrid", pivot="en", block=6)
    drawn = [plan.step(k) for k in range(36)]
    assert {pair for p in drawn if p.mode == "cross" for pair in ordered_pairs(corpus, p)} == {
        ("de", "en"),
        ("en", "de"),
    }
    assert ("fr", "fr") in {pair for p in drawn if p.mode == "mono" for pair in ordered_pairs(corpus, p)}
