"""Folders in the product's own form: what is read from them, and what is refused with file and line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from suite_files import QRELS, beir, export, load, refusal

from hybrid_core.data.suites import SETTINGS, load_beir


def test_a_folder_is_read_as_it_is(tmp_path: Path) -> None:
    suite = load_beir(beir(tmp_path / "mine"))
    assert (suite.name, suite.languages, suite.settings, suite.licence) == ("mine", ("en", "zh"), SETTINGS, "unknown")
    assert suite.queries.ids == ["q1", "q2", "q3"]
    assert suite.queries.texts == ["Who?", "谁？", "When?"]
    assert suite.queries.meaning_ids == ["a", "a", "q3"]
    assert suite.queries.domains == ["news", "", ""]
    assert suite.passages.sentences == ["Me.", "我。", "Now."]
    assert [rows.tolist() for rows in suite.relevant] == [[0, 1], [0, 1], [2]]


def test_a_suite_survives_the_way_through_a_folder(tmp_path: Path) -> None:
    suite = load("sample_law")
    export(suite, tmp_path / "sample_law")
    again = load_beir(tmp_path / "sample_law")
    assert (again.queries, again.passages) == (suite.queries, suite.passages)
    assert [r.tolist() for r in again.relevant] == [r.tolist() for r in suite.relevant]
    assert (again.name, again.settings, again.licence, again.source) == (
        suite.name, suite.settings, suite.licence, suite.source
    )  # fmt: skip
    assert again.fingerprint == suite.fingerprint


def test_suite_json_names_the_suite_and_limits_its_settings(tmp_path: Path) -> None:
    about = {
        "name": "exam",
        "settings": ["cross", "multi"],
        "licence": "CC0",
        "source": "me",
        "languages": ["en", "zh"],
    }
    suite = load_beir(beir(tmp_path / "mine", about))
    assert (suite.name, suite.settings, suite.licence, suite.source) == ("exam", ("cross", "multi"), "CC0", "me")


@pytest.mark.parametrize("place", ["mine", "shift/mine"])
def test_a_folder_is_found_below_the_folder_of_suites(tmp_path: Path, place: str) -> None:
    beir(tmp_path / place)
    assert load("mine", tmp_path).name == "mine"


def test_a_folder_is_found_by_its_own_path(tmp_path: Path) -> None:
    assert load(str(beir(tmp_path / "mine"))).name == "mine"


def test_the_folder_of_suites_may_be_a_file_uri(tmp_path: Path) -> None:
    beir(tmp_path / "mine")
    assert load("mine", tmp_path.as_uri()).name == "mine"


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f("passages.jsonl", lambda t: t.replace("Now", "Later")),
        lambda f: f("queries.jsonl", lambda t: t.replace("Who", "Whom")),
        lambda f: f("queries.jsonl", lambda t: t.replace('"meaning_id": "a"', '"meaning_id": "b"', 1)),
        lambda f: f("qrels.tsv", lambda t: t.replace("p1\t0", "p1\t1")),
    ],
    ids=["passage", "query", "meaning", "judgement"],
)
def test_the_fingerprint_covers(
    tmp_path: Path, change: Callable[[Callable[[str, Callable[[str], str]], None]], None]
) -> None:
    folder = beir(tmp_path / "mine")
    before = load_beir(folder).fingerprint
    assert load_beir(folder).fingerprint == before

    def rewrite(name: str, edit: Callable[[str], str]) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(edit(text), encoding="utf-8")

    change(rewrite)
    assert load_beir(folder).fingerprint != before


@pytest.mark.parametrize("name", ["queries.jsonl", "passages.jsonl"])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "new", "language": "en"}', ", line 4, field 'text': missing"),
        ('{"language": "en", "text": "x"}', ", line 4, field 'id': missing"),
        ('{"id": "new", "text": "x"}', ", line 4, field 'language': missing"),
        ('{"id": "new", "language": "en", "text": "  "}', ", line 4, field 'text': empty"),
        ('{"id": "new", "language": "en", "text": 3}', ", line 4, field 'text': 3 is not text"),
        ('{"id": 7, "language": "en", "text": "x"}', ", line 4, field 'id': 7 is not text"),
        ('{"id": "new", "language": "english", "text": "x"}', ", line 4, field 'language': language 'english' is not a code of ISO 639"),
        ("not json", ", line 4: not JSON (Expecting value at character 0)"),
        ('["list"]', ", line 4: a list instead of a JSON object"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_file_and_line(tmp_path: Path, name: str, line: str, reason: str) -> None:
    file = beir(tmp_path / "mine") / name
    file.write_text(f"{file.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
    assert refusal("mine", tmp_path).startswith(f"{file}{reason}")


@pytest.mark.parametrize(("name", "id"), [("queries.jsonl", "q2"), ("passages.jsonl", "p2")])
def test_an_id_that_occurs_twice_is_named_with_its_second_line(tmp_path: Path, name: str, id: str) -> None:
    file = beir(tmp_path / "mine") / name
    again = json.dumps({"id": id, "language": "en", "text": "again"})
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{again}\n", encoding="utf-8")
    assert refusal("mine", tmp_path) == f"{file}, line 5, field 'id': {id!r} occurs twice"


@pytest.mark.parametrize("name", ["queries.jsonl", "passages.jsonl"])
def test_a_line_that_is_not_utf_8_is_named(tmp_path: Path, name: str) -> None:
    file = beir(tmp_path / "mine") / name
    file.write_bytes(b'{"id": "\xff"}\n')
    assert refusal("mine", tmp_path) == f"{file}, line 1: byte 8 is not UTF-8; save the file as UTF-8"


@pytest.mark.parametrize("name", ["queries.jsonl", "passages.jsonl"])
def test_a_file_without_texts_is_refused(tmp_path: Path, name: str) -> None:
    file = beir(tmp_path / "mine") / name
    file.write_text("\n")
    assert refusal("mine", tmp_path) == f"{file} is empty"


@pytest.mark.parametrize("name", ["passages.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    file = beir(tmp_path / "mine") / name
    file.unlink()
    assert refusal("mine", tmp_path) == f"{file} does not exist"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q9\t0\tp1\t1", "unknown query id 'q9'"),
        ("q1\t0\tp9\t1", "unknown passage id 'p9'"),
        ("p1\t0\tq1\t1", "unknown query id 'p1'"),
        ("q1\tp1\t1", "3 tab-separated columns instead of 4 (query id, 0, passage id, relevance)"),
        ("q1 0 p1 1", "1 tab-separated columns instead of 4 (query id, 0, passage id, relevance)"),
        (
            "q1\t0\tp1\t2",
            "relevance '2'; the metrics are binary: judge 0 or 1, or say in suite.json from which relevance on a passage "
            "counts (field 'relevant_from')",
        ),
        ("q1\t0\tp1\tyes", "relevance 'yes' is not a whole number"),
        ("q3\t0\tp1\t1", "judges passage 'p1' for query 'q3' with 0, line 3 with 1; keep one of them"),
        ("q1\t0\tp1\t0", "judges passage 'p1' for query 'q1' with 0, line 1 with 1; keep one of them"),
    ],
)
def test_a_broken_judgement_is_named_with_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    file = beir(tmp_path / "mine") / "qrels.tsv"
    file.write_text("\n".join([*QRELS[:2], line, *QRELS[2:]]), encoding="utf-8")
    number = 7 if reason.endswith("line 3 with 1; keep one of them") else 3  # the later of two lines is named
    assert refusal("mine", tmp_path) == f"{file}, line {number}: {reason}"


def test_judgements_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    file = beir(tmp_path / "mine") / "qrels.tsv"
    file.write_bytes(b"q1\t0\tp\xff\t1\n")
    assert str(file) in refusal("mine", tmp_path)


@pytest.mark.parametrize("content", ["", "q1\t0\tp1\t0\n"], ids=["empty", "nothing relevant"])
def test_judgements_without_a_relevant_passage_are_refused(tmp_path: Path, content: str) -> None:
    file = beir(tmp_path / "mine") / "qrels.tsv"
    file.write_text(content)
    assert str(file) in refusal("mine", tmp_path)


def test_a_language_that_suite_json_lists_must_have_passages(tmp_path: Path) -> None:
    folder = beir(tmp_path / "mine", {"languages": ["en", "de"]})
    expected = (
        f"{folder / 'suite.json'}, line 1, field 'languages': 'de' is listed, but passages.jsonl holds no passage in it"
    )
    assert refusal("mine", tmp_path) == expected


def test_an_unknown_setting_gets_the_nearest_one(tmp_path: Path) -> None:
    folder = beir(tmp_path / "mine", {"settings": ["mono", "multy"]})
    assert (
        refusal("mine", tmp_path)
        == f"{folder / 'suite.json'}, line 1, field 'settings': 'multy'; did you mean 'multi'?"
    )


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"name": "caf\xe9"}'], ids=["cut", "list", "latin-1"])
def test_a_suite_json_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    folder = beir(tmp_path / "mine")
    (folder / "suite.json").write_bytes(content)
    assert str(folder / "suite.json") in refusal("mine", tmp_path)


def test_a_name_that_would_be_taken_for_a_perturbed_variant_is_refused(tmp_path: Path) -> None:
    beir(tmp_path / "news~2024")
    message = refusal(str(tmp_path / "news~2024"))
    assert "suite 'news~2024'" in message and "rename its folder" in message and "suite.json" in message
    beir(tmp_path / "law~2024", {"name": "law_2024"})
    assert load(str(tmp_path / "law~2024")).name == "law_2024"
