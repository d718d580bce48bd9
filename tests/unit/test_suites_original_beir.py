"""BEIR's own form, suite.json, graded and repeated judgements, declared settings, and folders with a known name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from suite_files import PASSAGES, QUERIES, beir, lines, load, refusal

from hybrid_core.data.suites import SETTINGS, Suite, Texts, load_beir
from hybrid_core.data.suites.collection import applicable_settings, check_settings
from hybrid_core.data.suites.known import KNOWN
from hybrid_core.errors import RequestError

CORPUS = [
    {"_id": "d1", "title": "Albedo", "text": "Reflects light."},
    {"_id": "d2", "title": "", "text": "Absorbs light."},
    {"_id": "d3", "title": "Only a title", "text": ""},
]
ASKED = [
    {"_id": "1", "text": "What reflects?"},
    {"_id": "2", "text": "In no split?"},
    {"_id": "3", "text": "And this?"},
]
HEADER = "query-id\tcorpus-id\tscore\n"


def original(folder: Path, about: dict[str, Any] | None = None, qrels: str = "1\td1\t1\n3\td2\t1\n1\td3\t0\n") -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(lines(CORPUS), encoding="utf-8")
    (folder / "queries.jsonl").write_text(lines(ASKED), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text(HEADER + qrels)
    (folder / "suite.json").write_text(json.dumps({"languages": ["en"]} if about is None else about))
    return folder


# --- the original form


def test_the_original_form_joins_title_and_text_and_keeps_the_judged_queries(tmp_path: Path) -> None:
    suite = load_beir(original(tmp_path / "scifact"))
    assert (suite.name, suite.settings, suite.languages) == ("scifact", ("mono",), ("en",))
    assert suite.passages.texts == ["Albedo Reflects light.", "Absorbs light.", "Only a title"]
    assert suite.passages.sentences == ["Reflects light.", "Absorbs light.", "Only a title"]
    assert suite.queries.ids == ["1", "3"]
    assert [rows.tolist() for rows in suite.relevant] == [[0], [1]]


def test_the_dev_split_is_read_where_there_is_no_test_split(tmp_path: Path) -> None:
    folder = original(tmp_path / "scifact")
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
    assert load_beir(folder).queries.ids == ["1", "3"]
    (folder / "qrels" / "dev.tsv").rename(folder / "qrels" / "train.tsv")
    assert refusal("scifact", tmp_path).startswith(f"{folder / 'qrels'} holds neither test.tsv nor dev.tsv")


def test_every_record_may_name_its_language(tmp_path: Path) -> None:
    folder = original(tmp_path / "mixed", {})
    for name, records in (("queries", ASKED), ("corpus", CORPUS)):
        marked = [r | {"language": lang} for r, lang in zip(records, ("en", "de", "fr"), strict=True)]
        (folder / f"{name}.jsonl").write_text(lines(marked))
    suite = load_beir(folder)
    assert (suite.queries.languages, suite.passages.languages) == (["en", "fr"], ["en", "de", "fr"])
    assert suite.settings == SETTINGS


@pytest.mark.parametrize("about", [{}, {"languages": ["en", "de"]}], ids=["nothing said", "two said"])
def test_a_record_whose_language_nobody_names_is_refused(tmp_path: Path, about: dict[str, Any]) -> None:
    folder = original(tmp_path / "scifact", about)
    message = refusal("scifact", tmp_path)
    assert (
        message.startswith(f"{folder / 'queries.jsonl'}, line 1, field 'language': missing") and "suite.json" in message
    )


def test_judgements_without_a_header_are_refused_instead_of_losing_one(tmp_path: Path) -> None:
    file = original(tmp_path / "scifact") / "qrels" / "test.tsv"
    file.write_text("1\td1\t1\n3\td2\t1\n")
    assert refusal("scifact", tmp_path).startswith(f"{file}, line 1: '1\\td1\\t1' is no header")


@pytest.mark.parametrize(
    ("name", "record", "reason"),
    [
        ("corpus", {"_id": "d9", "title": " ", "text": ""}, ", line 4, field 'text': empty, and no title either"),
        ("corpus", {"_id": "d2", "text": "again"}, ", line 4, field '_id': 'd2' occurs twice"),
        ("corpus", {"_id": "d9", "text": ["a"]}, ", line 4, field 'text': ['a'] is not text"),
        ("queries", {"text": "a"}, ", line 4, field '_id': missing"),
        ("queries", {"_id": "9", "text": "a", "language": "xx"}, ", line 4, field 'language': language 'xx' is not a code of ISO 639"),
    ],
)  # fmt: skip
def test_a_bad_record_is_named_with_file_and_line(
    tmp_path: Path, name: str, record: dict[str, Any], reason: str
) -> None:
    file = original(tmp_path / "scifact") / f"{name}.jsonl"
    with file.open("a") as stream:
        stream.write(json.dumps(record))
    assert refusal("scifact", tmp_path).startswith(f"{file}{reason}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1\td7\t1", "unknown passage id 'd7'"),
        ("7\td1\t1", "unknown query id '7'"),
        ("1\t0\td1\t1", "4 tab-separated columns instead of 3 (query id, passage id, relevance)"),
    ],
)
def test_a_bad_judgement_is_named_with_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    file = original(tmp_path / "scifact", qrels=f"1\td1\t1\n{line}\n") / "qrels" / "test.tsv"
    assert refusal("scifact", tmp_path) == f"{file}, line 3: {reason}"


# --- judgements


def test_graded_judgements_need_a_threshold_and_obey_it(tmp_path: Path) -> None:
    graded = "1\td1\t2\n1\td2\t1\n3\td2\t3\n3\td3\t-1\n"
    file = original(tmp_path / "none", qrels=graded) / "qrels" / "test.tsv"
    assert refusal("none", tmp_path).startswith(f"{file}, line 2: relevance '2'; the metrics are binary")
    for threshold, expected in ((1, [[0, 1], [1]]), (2, [[0], [1]]), (3, [[], [1]])):
        about = {"languages": ["en"], "relevant_from": threshold}
        suite = load_beir(original(tmp_path / f"from{threshold}", about, graded))
        assert [rows.tolist() for rows in suite.relevant] == expected


def test_the_same_judgement_twice_counts_once(tmp_path: Path) -> None:
    folder = beir(tmp_path / "mine")
    once = load_beir(folder).relevant
    with (folder / "qrels.tsv").open("a") as stream:
        stream.write("q1\t0\tp1\t1\nq3\t0\tp1\t0\n")
    assert [rows.tolist() for rows in load_beir(folder).relevant] == [rows.tolist() for rows in once]


def test_line_ends_of_other_systems_are_understood(tmp_path: Path) -> None:
    folder = beir(tmp_path / "mine")
    plain = load_beir(folder).fingerprint
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert load_beir(folder).fingerprint == plain


# --- suite.json


def test_the_domain_of_suite_json_is_that_of_queries_without_one(tmp_path: Path) -> None:
    assert load_beir(beir(tmp_path / "mine", {"domain": "sport"})).queries.domains == ["news", "sport", "sport"]
    assert (
        load_beir(original(tmp_path / "scifact", {"languages": ["en"], "domain": "science"})).queries.domains
        == ["science"] * 2
    )


def test_counts_of_suite_json_are_checked(tmp_path: Path) -> None:
    right = {"queries": 3, "passages": 3, "relevant": 5}
    assert len(load_beir(beir(tmp_path / "right", {"counts": right})).queries) == 3
    file = beir(tmp_path / "wrong", {"counts": right | {"relevant": 6}}) / "suite.json"
    assert (
        refusal("wrong", tmp_path)
        == f"{file}, line 1, field 'counts': 5 relevant pairs, wrong has 6; the files are not the published ones"
    )


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"name": "a/b"}, ", field 'name': 'a/b'; a name is letters"),
        ({"name": 3}, ", field 'name': 3 is not text"),
        ({"domain": ["a"]}, ", field 'domain': ['a'] is not text"),
        ({"languages": "en"}, ", field 'languages': 'en' is not a list of texts"),
        ({"languages": ["en", "eng"]}, ", field 'languages': language 'eng' has a code of two letters, write 'en'"),
        ({"settings": []}, ", field 'settings': empty; name some of mono, cross, multi"),
        ({"settings": ["mono", "mono"]}, ", field 'settings': ['mono', 'mono'] names something twice"),
        ({"counts": 3}, ", field 'counts': 3 is not an object"),
        ({"counts": {"query": 3}}, ", field 'counts': 'query'; did you mean 'queries'?"),
        ({"counts": {"queries": "3"}}, ", field 'counts': queries is '3', not a whole number"),
        ({"setings": ["mono"]}, ", field 'setings': unknown field; did you mean 'settings'?"),
        ({"relevant_from": 0}, ", field 'relevant_from': 0 is not a whole number of at least 1"),
        ({"relevant_from": True}, ", field 'relevant_from': True is not a whole number of at least 1"),
    ],
)
def test_a_wrong_field_of_suite_json_is_named(tmp_path: Path, about: dict[str, Any], reason: str) -> None:
    file = beir(tmp_path / "mine", about) / "suite.json"
    assert refusal("mine", tmp_path).startswith(f"{file}, line 1{reason}")


def test_the_line_of_a_field_is_the_one_it_stands_on(tmp_path: Path) -> None:
    file = beir(tmp_path / "mine") / "suite.json"
    file.write_text('{\n "source": "says \\"settings\\": all",\n "languages": ["en"],\n "settings": ["multy"]\n}')
    assert refusal("mine", tmp_path) == f"{file}, line 4, field 'settings': 'multy'; did you mean 'multi'?"


# --- settings

PAIRS = {"mono": "q1\t0\tp1\t1", "cross": "q1\t0\tp2\t1"}


@pytest.mark.parametrize(
    ("judged", "declared", "words"),
    [("cross", "mono", "in its own language"), ("mono", "cross", "in another language")],
)
def test_a_declared_setting_in_which_nothing_is_relevant_is_refused(
    tmp_path: Path, judged: str, declared: str, words: str
) -> None:
    folder = beir(tmp_path / "mine", {"settings": [judged, declared]})
    (folder / "qrels.tsv").write_text(PAIRS[judged])
    assert refusal("mine", tmp_path).startswith(
        f"{folder / 'suite.json'}, line 1, field 'settings': suite 'mine' declares the setting {declared!r}, but no query has "
        f"a relevant passage {words}"
    )


@pytest.mark.parametrize(("judged", "expected"), [("cross", ("cross",)), ("mono", ("mono",))])
def test_undeclared_settings_are_those_that_apply(tmp_path: Path, judged: str, expected: tuple[str, ...]) -> None:
    folder = beir(tmp_path / "mine")
    (folder / "qrels.tsv").write_text(PAIRS[judged])
    assert load_beir(folder).settings == expected


@given(st.data())
def test_a_setting_is_refused_exactly_when_no_pair_of_its_kind_exists(data: st.DataObject) -> None:
    language = st.sampled_from(["de", "en", "fr"])
    queries, passages = Texts(), Texts()
    for texts, letter in ((queries, "q"), (passages, "p")):
        for n, lang in enumerate(data.draw(st.lists(language, min_size=1, max_size=4))):
            texts.add(f"{letter}{n}", lang, "x")
    judged = [sorted(data.draw(st.sets(st.integers(0, len(passages) - 1)))) for _ in queries.ids]
    relevant = [np.array(rows, dtype=np.int64) for rows in judged]
    pairs = [(queries.languages[q], passages.languages[p]) for q, rows in enumerate(judged) for p in rows]
    exists = {"mono": any(a == b for a, b in pairs), "cross": any(a != b for a, b in pairs), "multi": bool(pairs)}
    for setting in SETTINGS:
        suite = Suite("s", queries, passages, relevant, (setting,), "", "")
        if exists[setting]:
            assert check_settings(suite, "here") is suite
        else:
            with pytest.raises(RequestError, match=f"^here: suite 's' declares the setting '{setting}'"):
                check_settings(suite, "here")
    assert set(applicable_settings(queries, passages, relevant)) - {"multi"} == {
        s for s in ("mono", "cross") if exists[s]
    }


# --- known names


@pytest.mark.parametrize("name", KNOWN)
def test_an_absent_known_suite_says_where_its_texts_come_from(tmp_path: Path, name: str) -> None:
    message = refusal(name, tmp_path)
    assert f"{name!r} is neither at {tmp_path / name} nor at {tmp_path / 'shift' / name}" in message
    assert KNOWN[name].source in message and KNOWN[name].licence in message and "data.suites" in message


@pytest.mark.parametrize("place", ["", "shift"])
def test_a_folder_of_another_size_under_a_known_name_is_refused(tmp_path: Path, place: str) -> None:
    folder = beir(tmp_path / place / "legal")
    assert refusal("legal", tmp_path) == (
        f"{folder}: {len(QUERIES)} queries, legal has 688; the files are not the published ones"
    )
    assert len(PASSAGES) != KNOWN["legal"].passages
    assert load(str(folder)).name == "legal", "by its own path it is a folder like any other"
