"""Cleaning: what overlaps an evaluation suite goes in all languages, duplicates go, and every row is counted."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from conftest import LANGUAGES, SHARED, made_up_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.config import PrepareConfig
from hybrid_core.data.corpus import Negative, Pair
from hybrid_core.data.prepare import Prepared, normalised, prepare
from hybrid_core.data.readers import read_pairs
from hybrid_core.data.suites import Suite, Texts, load_suites
from hybrid_core.errors import RequestError

LONG = "This very sentence is long enough to be no accident"
needs_data = pytest.mark.skipif(not (SHARED / "xquad_r").exists(), reason="the shared evaluation data is not here")


def suite(
    *, queries: Sequence[tuple[str, str, str]] = (), passages: Sequence[tuple[str, str, str]] = (), name: str = "exam"
) -> Suite:
    """A suite of (language, meaning id, text)."""
    columns = Texts(), Texts()
    for texts, rows in zip(columns, (queries, passages), strict=True):
        for i, (language, meaning, text) in enumerate(rows):
            texts.add(f"{language}-{i}", language, text, meaning)
    relevant = [np.empty(0, np.int64) for _ in queries]
    return Suite(name, *columns, relevant, ("mono",), "none", "tests")


def left(prepared: Prepared) -> set[str]:
    return {p.meaning_id for p in prepared.pairs}


def meaning_without(prepared: Prepared, meaning: str) -> bool:
    """All other meanings stay whole, this one is gone in every language."""
    expected = [p for p in made_up_pairs(6) if p.meaning_id != meaning]
    return prepared.pairs == expected


# --- overlap with suites


def test_without_suites_all_pairs_stay_in_order() -> None:
    assert prepare(made_up_pairs(6), []).pairs == made_up_pairs(6)


def test_a_meaning_whose_id_is_in_a_suite_goes_in_all_languages() -> None:
    prepared = prepare(made_up_pairs(6), [suite(queries=[("zh", "m0002", "another language, another text")])])
    assert meaning_without(prepared, "m0002")
    assert prepared.report["leaked_meanings"] == {"id in exam": 1}


@pytest.mark.parametrize(
    "change", [str.upper, lambda t: f"  {t}!!", lambda t: t.replace(" ", " -- "), lambda t: t.strip("?")]
)
def test_a_question_in_a_suite_is_found_in_other_case_and_punctuation(change: Callable[[str], str]) -> None:
    (asked,) = [p for p in made_up_pairs(6) if (p.meaning_id, p.language) == ("m0003", "fr")]
    assert change(asked.query) != asked.query
    prepared = prepare(made_up_pairs(6), [suite(queries=[("fr", "other", change(asked.query))])])
    assert meaning_without(prepared, "m0003")
    assert prepared.report["leaked_meanings"] == {"question in exam": 1}


def test_a_question_of_another_language_is_not_the_same_question() -> None:
    (asked,) = [p for p in made_up_pairs(6) if (p.meaning_id, p.language) == ("m0003", "fr")]
    assert prepare(made_up_pairs(6), [suite(queries=[("en", "other", asked.query)])]).pairs == made_up_pairs(6)


@pytest.mark.parametrize(
    "passage", [f"{LONG}.", f"{LONG.upper()} !", f"Something else comes before it. {LONG}! And more comes after."]
)
def test_a_passage_that_holds_a_sentence_of_a_suite_goes_in_all_languages(passage: str) -> None:
    pairs = [Pair("bad", "en", "q1", passage), Pair("bad", "de", "q2", "ein Text"), Pair("ok", "en", "q3", "fine")]
    prepared = prepare(pairs, [suite(passages=[("en", "x", f"{LONG}.")])])
    assert prepared.pairs == [pairs[2]]
    assert prepared.report["leaked_meanings"] == {"passage in exam": 1}


def test_a_sentence_out_of_a_longer_passage_of_a_suite_is_found() -> None:
    pairs = [Pair("bad", "en", "q1", f"{LONG}."), Pair("ok", "en", "q2", "fine")]
    exam = suite(passages=[("en", "x", f"The passage starts with something else. {LONG}. And then it goes on.")])
    assert left(prepare(pairs, [exam])) == {"ok"}


def test_what_context_adds_to_a_candidate_does_not_hide_its_sentence() -> None:
    exam = suite()
    exam.passages.add("en-0", "en", f"{LONG} and the paragraph it was taken from.", sentence=LONG)
    pairs = [Pair("bad", "en", "q1", f"{LONG}."), Pair("ok", "en", "q2", "fine")]
    assert left(prepare(pairs, [exam])) == {"ok"}


def test_the_same_passage_of_short_sentences_is_found() -> None:
    passage = "It rained all of the day. Nobody went out. The shops were closed."
    pairs = [Pair("bad", "en", "q1", passage), Pair("ok", "en", "q2", "Nobody went out.")]
    assert left(prepare(pairs, [suite(passages=[("en", "x", passage)])])) == {"ok"}


def test_short_sentences_are_shared_by_chance() -> None:
    pairs = [Pair("m", "en", "q", "In most cases, it is so.")]
    assert prepare(pairs, [suite(passages=[("en", "x", "In most cases, it is so.")])]).pairs == pairs


def test_a_passage_of_another_language_is_not_the_same_passage() -> None:
    pairs = [Pair("m", "en", "q", LONG)]
    assert prepare(pairs, [suite(passages=[("de", "x", LONG)])]).pairs == pairs


def test_every_suite_is_checked_and_the_first_reason_is_counted_once() -> None:
    query = made_up_pairs(6)[0].query
    one = suite(name="one", queries=[(LANGUAGES[0], "x", query)])
    other = suite(name="two", queries=[("en", "m0000", "?"), ("en", "m0004", "?")])
    prepared = prepare(made_up_pairs(6), [one, other])
    assert left(prepared) == {"m0001", "m0002", "m0003", "m0005"}
    assert prepared.report["leaked_meanings"] == {"question in one": 1, "id in two": 1}


def test_nothing_left_is_an_error_that_says_why() -> None:
    exam = suite(queries=[("en", f"m{m:04d}", "?") for m in range(3)])
    with pytest.raises(RequestError) as error:
        prepare(made_up_pairs(3), [exam])
    expected = "no pair is left of 9 read (3 meanings overlap the evaluation suites); check prepare.source"
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("pairs", "minimum"), [([], 1), (made_up_pairs(2), 500)], ids=["nothing read", "all too short"]
)
def test_nothing_left_without_suites_is_an_error(pairs: list[Pair], minimum: int) -> None:
    with pytest.raises(RequestError, match=rf"no pair is left of {len(pairs)} read \(0 meanings overlap"):
        prepare(pairs, [], minimum_characters=minimum)


# --- normalisation


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What  is IT?", "what is it"), ("Straße", "STRASSE"), ("ﬁve", "five"), ("１２", "12"), ("d'accord", "D’ACCORD"),
        ("¿Qué?", "qué"), ("什么？", "什么"), ("cafe\u0301", "café"),
    ],
)  # fmt: skip
def test_case_spacing_punctuation_and_encoding_do_not_matter(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("cafe", "café"), ("का", "की"), ("re sign", "resign"), ("1 2", "12")])
def test_letters_marks_and_word_limits_matter(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@settings(max_examples=100)
@given(text=st.text(max_size=30))
def test_normalised_text_is_stable(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


# --- duplicates and counts


def test_an_id_is_kept_once_in_a_language() -> None:
    pairs = [Pair("m", "en", "q1", "p1"), Pair("m", "en", "q2", "p2"), Pair("m", "de", "q3", "p3")]
    prepared = prepare(pairs, [])
    assert prepared.pairs == [pairs[0], pairs[2]]
    assert prepared.report["dropped"] == {"same id in the same language": 1}


def test_a_question_with_its_passage_is_kept_once_in_a_language() -> None:
    pairs = [
        Pair("a", "en", "What is it?", "A stone."), Pair("b", "en", "what IS it", "a stone"),
        Pair("c", "de", "What is it?", "A stone."), Pair("d", "en", "What is it?", "A tree."), Pair("e", "en", "Which?", "A stone."),
    ]  # fmt: skip
    prepared = prepare(pairs, [])
    assert [p.meaning_id for p in prepared.pairs] == ["a", "c", "d", "e"]
    assert prepared.report["dropped"] == {"same question and passage": 1}


def test_texts_shorter_than_the_minimum_are_dropped() -> None:
    pairs = [Pair("a", "en", "1234", "12345"), Pair("b", "en", "12345", "1234"), Pair("c", "en", "12345", "12345")]
    prepared = prepare(pairs, [], minimum_characters=5)
    assert prepared.pairs == [pairs[2]]
    assert prepared.report["dropped"] == {"too short": 2}


def test_the_report_counts_languages_pairs_and_meanings() -> None:
    exam = suite(queries=[("en", "m0001", "?"), ("en", "m0003", "?")])
    pairs = [*made_up_pairs(12, missing=3), Pair("m0002", "en", "again", "again")]  # m0000, m0003, ... lack French
    assert prepare(pairs, [exam]).report == {
        "leaked_negatives": 0,
        "rows_read": 33,
        "rows_kept": 27,
        "meanings": 10,
        "kept_per_language": {"de": 10, "en": 10, "fr": 7},
        "cross_language_pairs": 48,
        "per_pair": {"de-en": 10, "de-fr": 7, "en-fr": 7},
        "meanings_per_language_count": {2: 3, 3: 7},
        "dropped": {"same id in the same language": 1},
        "leaked_meanings": {"id in exam": 2},
        "leaked_rows_per_language": {"de": 2, "en": 2, "fr": 1},
        "excluded_suites": {"exam": exam.fingerprint},
    }


rows = st.lists(
    st.builds(
        Pair,
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.sampled_from(["de", "en", "fr"]),
        st.sampled_from(["Why?", "why", "How?", "When?"]),
        st.sampled_from([LONG, "Short.", f"Before it comes this. {LONG}.", "Other"]),
    ),
    max_size=20,
)


@settings(max_examples=80)
@given(pairs=rows, asked=st.lists(st.tuples(st.just("en"), st.sampled_from("xyab"), st.sampled_from(["WHY", "no"]))))
def test_every_row_read_is_kept_dropped_or_leaked(pairs: list[Pair], asked: list[tuple[str, str, str]]) -> None:
    exam = suite(queries=asked, passages=[("fr", "x", LONG)])
    questions = {normalised(text) for _, _, text in asked}
    leaked = {m for _, m, _ in asked} | {p.meaning_id for p in pairs if p.language == "fr" and LONG in p.passage}
    leaked |= {p.meaning_id for p in pairs if p.language == "en" and normalised(p.query) in questions}
    stay = [p for p in pairs if p.meaning_id not in leaked]
    if not stay:
        with pytest.raises(RequestError, match="no pair is left"):
            prepare(pairs, [exam])
        return
    prepared = prepare(pairs, [exam])
    r = prepared.report
    assert sum(r["leaked_rows_per_language"].values()) == len(pairs) - len(stay)
    assert r["rows_kept"] + sum(r["dropped"].values()) == len(stay)
    assert r["rows_kept"] == len(prepared.pairs) == len({(p.language, p.meaning_id) for p in prepared.pairs})
    assert {content(p) for p in prepared.pairs} <= {content(p) for p in stay}
    assert len({content(p) for p in prepared.pairs}) == len(prepared.pairs)


def content(p: Pair) -> tuple[str, str, str]:
    return p.language, normalised(p.query), normalised(p.passage)


# --- the real corpus


@pytest.fixture(scope="module")
def squad() -> list[Pair]:
    return list(read_pairs(PrepareConfig(source=str(SHARED / "train" / "squad_parallel"))))


@pytest.fixture(scope="module")
def real_suites() -> list[Suite]:
    return load_suites(["xquad_r", "mlqa_r"], str(SHARED), "sentence")


@pytest.fixture(scope="module")
def prepared_squad(squad: list[Pair], real_suites: list[Suite]) -> Prepared:
    return prepare(squad, real_suites)


@needs_data
def test_no_xquad_id_is_left_in_squad(squad: list[Pair], prepared_squad: Prepared, real_suites: list[Suite]) -> None:
    ids = set(real_suites[0].queries.meaning_ids)
    assert len(ids & {p.meaning_id for p in squad}) == 1190
    assert not ids & left(prepared_squad)


@needs_data
def test_squad_without_the_suites_has_the_known_counts(prepared_squad: Prepared) -> None:
    r = prepared_squad.report
    assert r["rows_read"] == 10_557 + 7_599 + 7_192 + 6_895 + 6_583 + 5_211
    assert r["kept_per_language"] == {"da": 6712, "en": 9331, "es": 5822, "it": 6100, "sv": 4485, "zh": 6353}
    assert r["leaked_meanings"] == {"id in xquad_r": 1190, "passage in mlqa_r": 2}
    assert r["leaked_rows_per_language"] == {"da": 860, "en": 1192, "es": 734, "it": 779, "sv": 721, "zh": 806}
    assert r["dropped"] == {"same question and passage": 142}
    assert r["rows_kept"] == len(prepared_squad.pairs) == 38_803


@needs_data
def test_no_question_of_the_suites_is_left_in_squad(prepared_squad: Prepared, real_suites: list[Suite]) -> None:
    asked = {
        (language, normalised(text))
        for s in real_suites
        for language, text in zip(s.queries.languages, s.queries.texts, strict=True)
    }
    assert not asked & {(p.language, normalised(p.query)) for p in prepared_squad.pairs}


def test_hard_negatives_that_a_suite_holds_are_removed() -> None:
    held = "This long sentence stands in the evaluation suite and must not be trained against."
    exam = suite(queries=[("en", "q", "?")], passages=[("en", "p", held)])
    pair = Pair(
        "m",
        "en",
        "a question of its own?",
        "a passage of its own.",
        negatives=(Negative(held, "en"), Negative("Fine.", "en")),
    )
    prepared = prepare([pair], [exam])
    assert [n.text for n in prepared.pairs[0].negatives] == ["Fine."]
    assert prepared.report["leaked_negatives"] == 1


@given(st.text())
def test_the_normal_form_keeps_letters_digits_and_marks(text: str) -> None:
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in folded)
    assert normalised(text) == " ".join("".join(kept).split())
