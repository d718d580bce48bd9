"""Queries written differently: real strings of many scripts, and what must hold for every text."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.fs as pafs
import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core import storage
from hybrid_core.data.suites import Suite, Texts, load_suites
from hybrid_core.errors import RequestError
from hybrid_core.robustness.characters import clusters
from hybrid_core.robustness.lexicon import Lexicon, build_lexicon, read_lexicon, switch_words
from hybrid_core.robustness.perturbations import (
    PERTURBATIONS,
    Change,
    changed_share,
    perturbation_of,
    perturbed,
    rates_of,
)
from hybrid_core.robustness.transliteration import to_latin
from hybrid_core.robustness.typos import BOARDS, QWERTY, mistype, neighbours

LEXICON: Lexicon = {
    "en": {"price": {"de": "Preis", "fr": "prix"}, "house": {"de": "Haus"}},
    "zh": {"价格": {"en": "price"}, "价": {"en": "wrong"}, "房": {"en": "house"}},
}
QUESTIONS = {
    "ar": "مَا هِيَ عاصمة أستراليا؟",
    "de": "Welche Straße führt über die Brücke?",
    "el": "Ποιο σχολείο είναι το παλαιότερο;",
    "en": "What's the price of a 3.5-inch disk, and why?",
    "hi": "भारत की राजधानी क्या है?",
    "ja": "東京タワーはどこにありますか？",
    "ko": "한국의 수도는 어디입니까?",
    "ru": "Сколько ёлок стоит в Мойке?",
    "th": "เมืองหลวงของประเทศไทยคือที่ไหน",
    "tr": "Işık hızı İstanbul'da nedir?",
    "vi": "Thủ đô của Việt Nam là gì?",
    "zh": "中国的首都在哪里？价格是多少？",
}
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(str.strip)
REAL = st.sampled_from(list(QUESTIONS.values()))


def a_suite(questions: dict[str, str] = QUESTIONS) -> Suite:
    queries, passages = Texts(), Texts()
    for language, question in questions.items():
        queries.add(f"{language}-1", language, question, "m1", "any")
        passages.add(f"{language}-1", language, f"{question} .", "m1")
    rows = [np.arange(len(passages)) for _ in questions]
    return Suite("world", queries, passages, rows, ("mono", "cross", "multi"), "CC0", "here")


def changed(name: str, text: str, language: str, *, rate: float | None = None, seed: int = 0) -> str:
    suite = a_suite({language: text})
    lexicon = LEXICON if name == "code_switching" else None
    return perturbed(suite, name, seed=seed, rate=rate, lexicon=lexicon).queries.texts[0]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_only_the_texts_of_the_queries_change(name: str) -> None:
    suite = a_suite()
    variant = perturbed(suite, name, seed=3, lexicon=LEXICON if name == "code_switching" else None)
    assert variant.name == f"world~{name}"
    assert variant.passages is suite.passages and variant.relevant is suite.relevant
    columns = ("ids", "languages", "meaning_ids", "domains")
    assert all(getattr(variant.queries, c) == getattr(suite.queries, c) for c in columns)
    assert variant.queries.sentences == variant.queries.texts != suite.queries.texts == list(QUESTIONS.values())


@settings(max_examples=150)
@given(
    st.lists(TEXTS | REAL, min_size=1, max_size=4),
    st.sampled_from(sorted(PERTURBATIONS)),
    st.sampled_from(sorted(QUESTIONS)),
    st.integers(0, 9),
)
def test_no_query_becomes_empty_and_each_depends_on_itself_alone(
    texts: list[str], name: str, language: str, seed: int
) -> None:
    suite = a_suite()
    queries = Texts()
    for i, text in enumerate(texts):
        queries.add(f"q{i}", language, text)
    lexicon = LEXICON if name == "code_switching" else None
    together = perturbed(replace(suite, queries=queries), name, seed=seed, lexicon=lexicon).queries.texts
    alone = Texts()
    alone.add(f"q{len(texts) - 1}", language, texts[-1])
    assert len(together) == len(texts) and all(t.strip() for t in together)
    assert perturbed(replace(suite, queries=alone), name, seed=seed, lexicon=lexicon).queries.texts == together[-1:]


@pytest.mark.parametrize("name", ["typos", "case"])
def test_another_seed_another_variant(name: str) -> None:
    variants = [perturbed(a_suite(), name, seed=s).queries.texts for s in (1, 1, 2)]
    assert variants[0] == variants[1] != variants[2]


def test_the_share_of_changed_texts_says_where_a_perturbation_does_not_apply() -> None:
    suite = a_suite()
    cased = {"de", "el", "en", "ru", "tr", "vi"}
    shares = changed_share(suite, perturbed(suite, "case", seed=0, rate=1.0))
    assert shares == {lang: float(lang in cased) for lang in sorted(QUESTIONS)}
    latin = changed_share(suite, perturbed(suite, "transliteration", seed=0))
    assert {lang for lang, share in latin.items() if share == 0} == {"de", "en", "ja", "tr", "vi"}
    accents = changed_share(suite, perturbed(suite, "diacritics", seed=0))
    assert {lang for lang, share in accents.items() if share} == {"ar", "de", "el", "ru", "tr", "vi"}
    with pytest.raises(ValueError, match="same queries"):
        changed_share(suite, a_suite({"de": "Was?"}))


def test_wrong_requests_are_refused_with_what_is_allowed() -> None:
    suite = a_suite()
    with pytest.raises(RequestError, match="'typo' does not exist; did you mean 'typos'"):
        perturbed(suite, "typo", seed=0)
    with pytest.raises(RequestError, match="has no rate"):
        perturbed(suite, "punctuation", seed=0, rate=0.5)
    with pytest.raises(RequestError, match=r"rate 1.5 is not in \(0, 1\]"):
        perturbed(suite, "typos", seed=0, rate=1.5)
    with pytest.raises(RequestError, match="needs a lexicon"):
        perturbed(suite, "code_switching", seed=0)


def test_a_rate_of_the_request_is_named_by_the_variant() -> None:
    suite = a_suite()
    plain, more = (perturbed(suite, "typos", seed=0, rate=rate) for rate in (None, 0.5))
    assert (plain.name, more.name) == (f"{suite.name}~typos", f"{suite.name}~typos@0.5")
    assert [perturbation_of(n) for n in ("typos", "typos@0.5", "distractors_10")] == ["typos", "typos", None]
    assert rates_of(["typos=0.1", "truncation=0.5"], ["truncation", "typos"]) == {"typos": 0.1, "truncation": 0.5}


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (["typo=0.1"], "'typo' is not among evaluate.perturbations; did you mean 'typos'"),
        (["typos"], "write a name and a number, as in typos=0.1"),
        (["typos=much"], "write a name and a number, as in typos=0.1"),
        (["typos=0.1", "typos=0.2"], "'typos' is named twice"),
    ],
)
def test_rates_of_another_form_are_refused(stated: list[str], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        rates_of(stated, ["typos"])


def test_only_truncation_is_said_to_change_the_meaning() -> None:
    assert [name for name, p in PERTURBATIONS.items() if not p.keeps_meaning] == ["truncation"]


def test_case_follows_turkish_and_final_sigma_and_spares_georgian() -> None:
    assert changed("case", "Işık İzmir", "tr", rate=0.0) == "ışık izmir"
    assert changed("case", "ışık izmir", "tr", rate=1.0) == "IŞIK İZMİR"
    assert changed("case", "ΠΑΥΛΟΣ", "el", rate=0.0) == "παυλος"
    assert changed("case", "საქართველო", "ka", rate=1.0) == "საქართველო"


def test_punctuation_goes_but_numbers_and_spoken_signs_stay() -> None:
    assert changed("punctuation", QUESTIONS["en"], "en") == "Whats the price of a 3.5 inch disk and why"
    assert changed("punctuation", "¿Es el 50% (o más) de C#?", "es") == "Es el 50% o más de C#"
    assert changed("punctuation", QUESTIONS["zh"], "zh") == "中国的首都在哪里 价格是多少"
    assert changed("punctuation", "弗拉基米尔·普京", "zh") == "弗拉基米尔普京"
    assert changed("punctuation", "क्या? हाँ।", "hi") == "क्या हाँ"
    assert changed("punctuation", "2010-2012, 10:30", "en") == "2010-2012 10:30"
    assert changed("punctuation", "?!", "en") == "?!"


def test_diacritics_are_what_people_leave_out_and_not_what_unicode_calls_a_mark() -> None:
    assert changed("diacritics", "Đường Łódź İş Ærø", "vi") == "Duong Lodz Is Æro"
    assert changed("diacritics", "Ποιό είναι ΐ", "el") == "Ποιο ειναι ι"
    assert changed("diacritics", "ещё йод їжак", "ru") == "еще йод їжак"
    assert changed("diacritics", "مَدْرَسَةٌ أَإآ سؤال", "ar") == "مدرسة ااا سؤال"
    assert changed("diacritics", "שָׁלוֹם", "he") == "שלום"
    for language in ("hi", "th", "ja", "ko"):
        assert changed("diacritics", QUESTIONS[language], language) == QUESTIONS[language]
    assert changed("diacritics", unicodedata.normalize("NFD", "パブがある"), "ja") == unicodedata.normalize(
        "NFD", "パブがある"
    )


def test_truncation_cuts_words_or_where_there_are_none_characters() -> None:
    assert changed("truncation", "one two three four five six", "en") == "one two three four"
    assert changed("truncation", "中国的首都在哪里", "zh", rate=0.5) == "中国的首"
    assert changed("truncation", "abcdef", "en") == "abcd"
    assert changed("truncation", "กี่", "th", rate=1.0) == "กี่"
    assert changed("truncation", "word", "en", rate=1.0) == "w"


def test_a_cluster_is_a_base_with_its_marks() -> None:
    assert clusters("ที่") == ["ที่"]
    assert clusters("किताब") == ["कि", "ता", "ब"]


@given(TEXTS | REAL)
def test_clusters_joined_are_the_text(text: str) -> None:
    assert "".join(clusters(text)) == text


@pytest.mark.parametrize(
    ("language", "letter", "near"),
    [("en", "s", "weadzx"), ("en", "q", "wa"), ("de", "z", "tuhg"), ("fr", "a", "zq"), ("ru", "а", "кевпсм"),
     ("el", "σ", "ςεαδζχ"), ("ar", "ب", "قفيلؤر"), ("hi", "क", "गदरतस"), ("te", "క", "గదరతస"), ("en", "é", "")],
)  # fmt: skip
def test_neighbouring_keys(language: str, letter: str, near: str) -> None:
    assert set(neighbours(letter, BOARDS.get(language, QWERTY))) == set(near)


@pytest.mark.parametrize("board", [*BOARDS.values(), QWERTY])
def test_keys_touch_each_other_mutually_and_no_letter_is_on_two_keys(board: tuple[str, ...]) -> None:
    letters = "".join(board).replace(" ", "")
    assert len(set(letters)) == len(letters) > 20
    assert all(a in neighbours(b, board) for a in letters for b in neighbours(a, board))


@given(
    st.sampled_from(sorted(QUESTIONS)),
    st.integers(0, 10**6),
    st.floats(0.01, 0.3),
)
def test_typos_change_letters_only_and_as_many_as_asked(language: str, seed: int, rate: float) -> None:
    text = "In 2024: " + unicodedata.normalize("NFC", QUESTIONS[language])
    result = mistype(text, language, generator(seed), rate)

    def others(t: str) -> list[str]:
        return [c for c in t if unicodedata.category(c)[0] not in "LM"]

    assert others(result) == others(text)
    letters = sum(unicodedata.category(c)[0] == "L" for c in text)
    assert 1 <= edit_distance(text, result) <= 4 * max(1, round(rate * letters))
    assert abs(len(result) - len(text)) <= max(1, round(rate * letters))


def edit_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def test_chinese_loses_and_swaps_characters_but_gains_none() -> None:
    text = "中国的首都在哪里"
    assert all(set(mistype(text, "zh", generator(s), 0.2)) <= set(text) for s in range(50))


def test_a_wrong_korean_key_gives_a_syllable_of_neighbouring_jamo() -> None:
    seen = {mistype("한", "ko", generator(s), 1.0) for s in range(60)}
    assert seen == set("헌힌햔핸흔산란판")
    parts = {tuple(unicodedata.normalize("NFD", s)) for s in seen}
    assert all(sum(a != b for a, b in zip(p, unicodedata.normalize("NFD", "한"), strict=True)) == 1 for p in parts)


def test_typos_keep_the_case_of_the_letter_and_whole_words() -> None:
    assert mistype("Q", "en", generator(), 1.0) in ("W", "A")
    assert mistype("é 7 !", "en", generator(), 1.0) == "é 7 !"


@pytest.mark.parametrize(
    ("language", "text", "latin"),
    [("hi", "भारत की राजधानी", "bharat ki rajadhani"), ("hi", "नमस्ते अंग में", "namaste ang men"), ("te", "పుస్తకం", "pustakam"),
     ("ru", "Мальчик съел щи", "Malchik sel shchi"), ("el", "Καλημέρα", "Kalimera"), ("ar", "عربية؟", "3rbyh?"), ("fa", "علی ۱۲", "aly 12"),
     ("zh", "北京（中国）在哪里？", "bei jing (zhong guo) zai na li?"), ("th", "ไทย", "thaiy"), ("ko", "한국의 수도", "hangugui sudo"),
     ("vi", "Việt Nam — “ở”", "Việt Nam — “ở”"), ("ja", "東京はどこ", "東京はどこ"), ("ru", "café в Осло", "café v Oslo")],
)  # fmt: skip
def test_transliteration(language: str, text: str, latin: str) -> None:
    assert to_latin(text, language) == latin


@given(st.sampled_from(sorted(QUESTIONS)))
def test_transliterated_twice_is_transliterated_once(language: str) -> None:
    once = to_latin(QUESTIONS[language], language)
    assert to_latin(once, language) == once


def switched(text: str, language: str, rate: float, seed: int = 0) -> str:
    change: Change = switch_words(LEXICON)
    return change(text, language, generator(seed), rate)


def test_words_are_switched_by_the_lexicon_and_keep_their_capitals() -> None:
    assert switched("Price of the house?", "en", 1.0) in ("Preis of the Haus?", "Prix of the Haus?")
    assert {switched("price", "en", 1.0, s) for s in range(20)} == {"Preis", "prix"}
    assert switched("Preis?", "de", 1.0) == "Preis?"
    assert switched("priceless", "en", 1.0) == "priceless"


def test_where_words_are_not_spaced_the_longest_known_one_is_taken() -> None:
    assert switched("房的价格", "zh", 1.0) == "house的price"


def test_at_least_one_known_word_is_switched_whatever_the_rate() -> None:
    assert all(switched("a house in a house", "en", 1e-9, s).count("Haus") == 1 for s in range(20))


def test_a_lexicon_file_is_read_and_its_first_translation_counts(tmp_path: Path) -> None:
    lines = [("en", "Price", "de", "Preis"), ("en", "price", "de", "Kosten"), ("en", "price", "fr", "prix")]
    fields = ("language", "word", "target", "translation")
    file = tmp_path / "words.jsonl"
    file.write_text("\n".join(json.dumps(dict(zip(fields, line, strict=True))) for line in lines), encoding="utf-8")
    assert read_lexicon(file) == {"en": {"price": {"de": "Preis", "fr": "prix"}}}


def test_a_lexicon_may_lie_at_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "words.jsonl"
    file.write_text('{"language": "en", "word": "price", "target": "de", "translation": "Preis"}\n')
    assert read_lexicon(file.as_uri()) == {"en": {"price": {"de": "Preis"}}}
    bucket = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    monkeypatch.setattr(storage, "filesystem", lambda uri: (bucket, uri.removeprefix("s3://bucket/")))
    assert read_lexicon("s3://bucket/words.jsonl") == {"en": {"price": {"de": "Preis"}}}
    file.write_text("{}\n")
    with pytest.raises(RequestError, match=r"^s3://bucket/words.jsonl, line 1, field 'language': missing"):
        read_lexicon("s3://bucket/words.jsonl")
    with pytest.raises(RequestError, match=r"^s3://bucket/absent.jsonl cannot be read"):
        read_lexicon("s3://bucket/absent.jsonl")


@pytest.mark.parametrize(
    ("record", "message"),
    [({"language": "en", "word": "a", "target": "en", "translation": "b"}, "line 1: field 'target' is the word's own"),
     ({"language": "xx", "word": "a", "target": "en", "translation": "b"}, "line 1, field 'language'"),
     ({"language": "de", "word": "a", "target": "en"}, "line 1, field 'translation': missing"), (None, "holds no translation")],
)  # fmt: skip
def test_a_broken_lexicon_is_refused_with_the_place(
    tmp_path: Path, record: dict[str, str] | None, message: str
) -> None:
    file = tmp_path / "words.jsonl"
    file.write_text(json.dumps(record) if record else "\n", encoding="utf-8")
    with pytest.raises(RequestError, match=message):
        read_lexicon(file)


def test_a_lexicon_is_found_in_translated_texts() -> None:
    english = {"1": "red house", "2": "red car", "3": "old house", "4": "old car", "5": "taxi house"}
    german = {"1": "rotes Haus", "2": "rotes Auto", "3": "altes Haus", "4": "altes Auto", "5": "taxi Haus", "6": "Haus"}
    found = build_lexicon({"en": english, "de": german, "zh": {"1": "红房"}}, minimum_count=1, minimum_dice=0.9)
    words = {"red": "rotes", "house": "haus", "old": "altes", "car": "auto"}
    assert found == {
        "en": {a: {"de": b} for a, b in words.items()},
        "de": {b: {"en": a} for a, b in words.items()},
    }
    assert set(build_lexicon({"en": english, "de": german}, minimum_count=3)["en"]) == {"house"}
    assert build_lexicon({"en": english, "de": {"9": "nichts"}}) == {}


def test_real_questions_change_in_every_language_they_should() -> None:
    suite = load_suites(["sample_finance"], None, "passage")[0]
    for name in ("typos", "punctuation", "truncation"):
        assert min(changed_share(suite, perturbed(suite, name, seed=0)).values()) > 0.9, name


@pytest.mark.skipif(not (SHARED / "xquad_r").is_dir(), reason="needs the XQuAD-R files")
def test_real_questions_of_eleven_languages_are_perturbed_where_their_script_allows() -> None:
    suite = load_suites(["xquad_r"], str(SHARED), "sentence")[0]
    latin = changed_share(suite, perturbed(suite, "transliteration", seed=0))
    assert {lang for lang, share in latin.items() if share > 0.99} == {"ar", "el", "hi", "ru", "th", "zh"}
    assert all(share == 0 for lang, share in latin.items() if lang in ("de", "en", "es", "tr", "vi"))
    accents = changed_share(suite, perturbed(suite, "diacritics", seed=0))
    assert {lang for lang, share in accents.items() if share == 0} == {"hi", "th", "zh"}
    assert min(changed_share(suite, perturbed(suite, "typos", seed=0)).values()) == 1
