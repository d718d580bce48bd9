"""Rows of training sources: what each format yields, and the refusal of every kind of bad field."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import made_up_pairs
from hypothesis import given
from hypothesis import strategies as st
from readers_helpers import (
    FIELDS,
    GOOD,
    Writer,
    as_hugging_face,
    as_json_lines,
    as_parquet,
    modest,
    pairs_from,
    refusal,
    word,
)

from hybrid_core.config import PrepareConfig
from hybrid_core.data.corpus import Negative, Pair
from hybrid_core.data.jsonl import MAX_CHARACTERS, read_jsonl
from hybrid_core.data.languages import ISO_639_1, check_language, shortest_code
from hybrid_core.data.readers import read_pairs
from hybrid_core.errors import RequestError

LANGUAGES_OF_THE_DATA = "ar bn da de el en es fa fi fr hi id it ja ko pt ru sv sw te th tr vi yo zh"


@pytest.fixture(params=[as_json_lines, as_parquet, as_hugging_face])
def write(request: pytest.FixtureRequest, hugging_face_cache: None) -> Writer:
    writer: Writer = request.param
    return writer


@pytest.fixture
def hugging_face_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("hf"))


def options_of(source: Path) -> dict[str, str]:
    return {"format": "huggingface"} if source.is_dir() else {}


def test_rows_of_every_format_become_pairs(write: Writer, tmp_path: Path) -> None:
    records = [
        GOOD,
        {**GOOD, "language": "zh", "query": "  哪里？ ", "passage": "\t这里。\n"},
        {**GOOD, "meaning_id": "m2"},
    ]
    source, _ = write(tmp_path, records)
    assert pairs_from(source, **options_of(source)) == [
        Pair("m1", "en", "Where?", "Here."), Pair("m1", "zh", "哪里？", "这里。"), Pair("m2", "en", "Where?", "Here.")
    ]  # fmt: skip


def test_dataset_and_domain_are_kept_where_given(write: Writer, tmp_path: Path) -> None:
    source, _ = write(tmp_path, [{**GOOD, "dataset": "faq", "domain": "law", "more": 1}])
    assert pairs_from(source, **options_of(source)) == [Pair("m1", "en", "Where?", "Here.", "faq", "law")]


@modest
@given(texts=st.lists(st.tuples(word, word), min_size=1, max_size=5))
def test_json_lines_round_trip_any_text(tmp_path: Path, texts: list[tuple[str, str]]) -> None:
    records = [{**GOOD, "query": q, "passage": p} for q, p in texts]
    source, _ = as_json_lines(tmp_path, records)
    assert [(p.query, p.passage) for p in pairs_from(source)] == [(q.strip(), p.strip()) for q, p in texts]


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": "1"}\r\n\n  \n{"a": "2"}')
    assert list(read_jsonl(file, ["a"])) == [(1, {"a": "1"}), (4, {"a": "2"})]


def test_a_text_of_exactly_the_longest_length_is_accepted(tmp_path: Path) -> None:
    source, _ = as_json_lines(tmp_path, [{**GOOD, "passage": "x" * MAX_CHARACTERS}])
    assert len(pairs_from(source)[0].passage) == MAX_CHARACTERS


def test_made_up_pairs_survive_parquet_with_dictionary_columns(tmp_path: Path) -> None:
    pairs = made_up_pairs(5)
    table = pa.Table.from_pylist([{n: getattr(p, n) for n in (*FIELDS, "dataset", "domain")} for p in pairs])
    languages = table.column("language").dictionary_encode()
    pq.write_table(table.set_column(1, "language", languages), tmp_path / "p.parquet")
    assert pairs_from(tmp_path / "p.parquet") == pairs


def test_the_format_named_wins_over_the_name_of_the_file(tmp_path: Path) -> None:
    file, _ = as_parquet(tmp_path, [GOOD])
    odd = file.rename(tmp_path / "pairs.data")
    assert pairs_from(odd, format="parquet") == [Pair(**GOOD)]


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    record = {k: v for k, v in GOOD.items() if k != field}
    file, place = as_json_lines(tmp_path, [GOOD, record])
    assert refusal(file) == f"{place(1)}, field {field!r}: missing"


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_parquet_column_is_named_with_those_present(tmp_path: Path, field: str) -> None:
    file, _ = as_parquet(tmp_path, [{k: v for k, v in GOOD.items() if k != field}])
    present = ", ".join(f for f in FIELDS if f != field)
    assert refusal(file) == f"{file}: column {field!r} is missing (columns: {present})"


def test_a_missing_hugging_face_column_is_named(tmp_path: Path, hugging_face_cache: None) -> None:
    folder, place = as_hugging_face(tmp_path, [{k: v for k, v in GOOD.items() if k != "passage"}])
    assert refusal(folder, format="huggingface") == f"{place(0)}, field 'passage': missing"


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", ["", " \t\n"])
def test_an_empty_field_is_named(write: Writer, tmp_path: Path, field: str, value: str) -> None:
    source, place = write(tmp_path, [GOOD, GOOD, {**GOOD, field: value}])
    assert refusal(source, **options_of(source)) == f"{place(2)}, field {field!r}: empty"


@pytest.mark.parametrize("field", FIELDS)
def test_a_null_field_is_named(write: Writer, tmp_path: Path, field: str) -> None:
    source, place = write(tmp_path, [GOOD, {**GOOD, field: None}])
    assert refusal(source, **options_of(source)) == f"{place(1)}, field {field!r}: None is not text"


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [7, 1.5, True, ["x"], {"x": "y"}])
def test_a_field_that_is_not_text_is_named_with_its_value(tmp_path: Path, field: str, value: object) -> None:
    file, place = as_json_lines(tmp_path, [GOOD, {**GOOD, field: value}])
    assert refusal(file) == f"{place(1)}, field {field!r}: {value!r} is not text"


def test_a_parquet_column_of_numbers_is_named(tmp_path: Path) -> None:
    file, place = as_parquet(tmp_path, [{**GOOD, "meaning_id": 12}])
    assert refusal(file) == f"{place(0)}, field 'meaning_id': 12 is not text"


@pytest.mark.parametrize("field", ["query", "passage", "meaning_id"])
def test_an_over_long_text_is_refused_with_both_lengths(write: Writer, tmp_path: Path, field: str) -> None:
    source, place = write(tmp_path, [GOOD, {**GOOD, field: "x" * (MAX_CHARACTERS + 1)}])
    message = refusal(source, **options_of(source))
    assert message == f"{place(1)}, field {field!r}: 200,001 characters, more than 200,000; split the text"


@pytest.mark.parametrize("code", ["xx", "EN", "abx1", "zh-CN", "e", "en ", "ber", "kzj"])
def test_an_unknown_language_is_refused_with_examples(write: Writer, tmp_path: Path, code: str) -> None:
    source, place = write(tmp_path, [GOOD, {**GOOD, "language": code}])
    allowed = "(two letters, for example en, zh, ar; three if it has no two, for example ceb)"
    expected = f"{place(1)}, field 'language': language {code!r} is not a code of ISO 639 {allowed}"
    assert refusal(source, **options_of(source)) == expected


@pytest.mark.parametrize(("code", "short"), [("eng", "en"), ("swa", "sw"), ("swh", "sw"), ("cmn", "zh")])
def test_a_language_has_one_code_its_shortest(code: str, short: str) -> None:
    with pytest.raises(RequestError, match=f"^here: language '{code}' has a code of two letters, write '{short}'$"):
        check_language(code, "here")


@pytest.mark.parametrize("code", ["ceb", "fil", "yue", "arz", "gsw", "haw"])
def test_a_language_without_two_letters_has_three(code: str) -> None:
    assert check_language(code, "here") == code == shortest_code(code)


def test_language_codes_are_the_183_of_iso_639_1() -> None:
    assert len(ISO_639_1) == 183
    assert all(len(c) == 2 and c.isascii() and c.islower() for c in ISO_639_1)
    for code in LANGUAGES_OF_THE_DATA.split():
        assert check_language(code, "here") == code


def test_half_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, "query": "cut \ud83d"}) + "\n")
    assert f"{file}, line 2, field 'query'" in refusal(file)


def test_negatives_and_teacher_scores_are_read(tmp_path: Path) -> None:
    rows = [
        {"meaning_id": "m", "language": "de", "query": "Wer?", "passage": "Sie.", "score": 0.9,
         "negatives": ["Niemand.", {"text": "Nobody.", "language": "en", "score": 0.25}]},
        {"meaning_id": "n", "language": "de", "query": "Wo?", "passage": "Hier."},
    ]  # fmt: skip
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    first, second = read_pairs(PrepareConfig(source=str(file)))
    assert first.negatives == (Negative("Niemand.", "de"), Negative("Nobody.", "en", 0.25))
    assert (first.score, second.score, second.negatives) == (0.9, None, ())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("negatives", "a text", "field 'negatives': 'a text' is not a list"),
        ("negatives", ["good", ""], "field 'negatives'[1]"),
        ("negatives", [{"text": "x", "language": "Klingon"}], "field 'negatives'[0]"),
        ("negatives", [{"text": "x", "score": "high"}], "'score': 'high' is not a finite number"),
        ("score", float("nan"), "'score': nan is not a finite number"),
    ],
)
def test_negatives_that_cannot_be_used_are_refused_with_their_line(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    row = {"meaning_id": "m", "language": "de", "query": "Wer?", "passage": "Sie.", field: value}
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(RequestError) as error:
        list(read_pairs(PrepareConfig(source=str(file))))
    assert f"{file}, line 1" in str(error.value) and message in str(error.value)
