"""Training sources: what each format yields, the sentence rule, and the refusal of every kind of bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import made_up_pairs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_core.config import PrepareConfig
from hybrid_core.data.corpus import Negative, Pair
from hybrid_core.data.jsonl import MAX_CHARACTERS, read_jsonl
from hybrid_core.data.languages import ISO_639_1, check_language
from hybrid_core.data.readers import read_pairs, sentence_at, sentences
from hybrid_core.errors import RequestError

GOOD = {"meaning_id": "m1", "language": "en", "query": "Where?", "passage": "Here."}
FIELDS = tuple(GOOD)
CONTEXT = "The first sentence is about rivers. The second sentence is about hills. The third sentence is about sand."
LANGUAGES_OF_THE_DATA = "ar bn da de el en es fa fi fr hi id it ja ko pt ru sv sw te th tr vi yo zh"
modest = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
word = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=15).filter(str.strip)

Writer = Callable[[Path, list[dict[str, Any]]], tuple[Path, Callable[[int], str]]]


def pairs_from(source: Path | str, **options: str) -> list[Pair]:
    return list(read_pairs(PrepareConfig(source=str(source), **options)))


def refusal(source: Path | str, **options: str) -> str:
    with pytest.raises(RequestError) as error:
        pairs_from(source, **options)
    return str(error.value)


def as_json_lines(folder: Path, records: list[dict[str, Any]]) -> tuple[Path, Callable[[int], str]]:
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return file, lambda index: f"{file}, line {index + 1}"


def as_parquet(folder: Path, records: list[dict[str, Any]]) -> tuple[Path, Callable[[int], str]]:
    file = folder / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(records), file, row_group_size=2)
    return file, lambda index: f"{file}, row {index}"


def as_hugging_face(folder: Path, records: list[dict[str, Any]]) -> tuple[Path, Callable[[int], str]]:
    as_json_lines(folder, records)[0].rename(folder / "train.jsonl")
    return folder, lambda index: f"{folder}, row {index}"


@pytest.fixture(params=[as_json_lines, as_parquet, as_hugging_face])
def write(request: pytest.FixtureRequest, hugging_face_cache: None) -> Writer:
    writer: Writer = request.param
    return writer


@pytest.fixture
def hugging_face_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("hf"))


def options_of(source: Path) -> dict[str, str]:
    return {"format": "huggingface"} if source.is_dir() else {}


def question(id: str, *answers: tuple[str, int], text: str = "What is it?") -> dict[str, Any]:
    return {"id": id, "question": text, "answers": [{"text": t, "answer_start": s} for t, s in answers]}


def squad_folder(folder: Path, **languages: list[dict[str, Any]]) -> Path:
    """One paragraph, CONTEXT, per language with these questions."""
    folder.mkdir(exist_ok=True)
    for language, qas in languages.items():
        data = {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": qas}]}]}
        (folder / f"{language}.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return folder


def squad_file(folder: Path, data: object) -> Path:
    file = folder / "en.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    return file


# --- good input


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


def test_squad_takes_the_sentence_of_the_answer_in_every_language(tmp_path: Path) -> None:
    first, last = ("rivers", CONTEXT.index("rivers")), ("sand", CONTEXT.index("sand"))
    folder = squad_folder(
        tmp_path / "mine", en=[question("q1", first), question("q2", last)], de=[question("q1", last)]
    )
    assert pairs_from(folder) == [
        Pair("q1", "de", "What is it?", "The third sentence is about sand.", "mine"),
        Pair("q1", "en", "What is it?", "The first sentence is about rivers.", "mine"),
        Pair("q2", "en", "What is it?", "The third sentence is about sand.", "mine"),
    ]


def test_squad_takes_the_whole_paragraph_when_asked(tmp_path: Path) -> None:
    folder = squad_folder(tmp_path / "mine", en=[question("q1", ("hills", CONTEXT.index("hills")))])
    assert [p.passage for p in pairs_from(folder, passage="paragraph")] == [CONTEXT]


@pytest.mark.parametrize("lost", [("", 0), ("  ", 0), ("", -1)])
def test_squad_passes_over_a_first_answer_without_text(tmp_path: Path, lost: tuple[str, int]) -> None:
    folder = squad_folder(tmp_path / "mine", en=[question("q1", lost, ("hills", CONTEXT.index("hills")))])
    assert [p.passage for p in pairs_from(folder)] == ["The second sentence is about hills."]


def test_squad_leaves_out_questions_without_an_answer(tmp_path: Path) -> None:
    folder = squad_folder(
        tmp_path / "mine", en=[question("none"), question("empty", ("", 3)), question("q1", ("The", 0))]
    )
    assert [p.meaning_id for p in pairs_from(folder)] == ["q1"]


# --- the sentence rule


@modest
@given(text=st.text(st.sampled_from("ab .!?…\"'”)。！？” \n"), max_size=120))
def test_sentences_tile_the_text_and_only_the_last_may_be_short(text: str) -> None:
    spans = sentences(text)
    assert "".join(text[a:b] for a, b in spans) == text
    assert all(a < b for a, b in spans)
    for a, b in spans[:-1]:
        assert b - a >= 20 or any(mark in text[a:b] for mark in "。！？")


@modest
@given(text=st.text(st.sampled_from("ab .!?。\n"), min_size=1, max_size=120), data=st.data())
def test_the_sentence_at_a_position_is_the_span_that_holds_it(text: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(text) - 1))
    (span,) = [(a, b) for a, b in sentences(text) if a <= position < b]
    assert sentence_at(text, position) == text[slice(*span)].strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "It was seen by Dr. Smith in 1987. He wrote it down.",
            ["It was seen by Dr. Smith in 1987.", "He wrote it down."],
        ),
        ("It measured 3.14 metres in all! Nobody knew it?", ["It measured 3.14 metres in all!", "Nobody knew it?"]),
        ('She said "go home at once." They left the house.', ['She said "go home at once."', "They left the house."]),
        (
            "No. 5 was the longest of them… So it stayed there.",
            ["No. 5 was the longest of them…", "So it stayed there."],
        ),
        ("短句。“第二句！”第三句", ["短句。", "“第二句！”", "第三句"]),
        ("यह नदी पहाड़ से निकलती है। यह सागर में मिलती है।", ["यह नदी पहाड़ से निकलती है।", "यह सागर में मिलती है।"]),
        ("هل يجري هذا النهر إلى البحر؟ نعم، كل يوم.", ["هل يجري هذا النهر إلى البحر؟", "نعم، كل يوم."]),
        ("no end at all", ["no end at all"]),
    ],
)
def test_sentences_end_at_their_punctuation(text: str, expected: list[str]) -> None:
    assert [text[a:b].strip() for a, b in sentences(text)] == expected


# --- bad fields, in every format of rows


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


@pytest.mark.parametrize("code", ["xx", "EN", "eng", "zh-CN", "e", "en "])
def test_an_unknown_language_is_refused_with_examples(write: Writer, tmp_path: Path, code: str) -> None:
    source, place = write(tmp_path, [GOOD, {**GOOD, "language": code}])
    expected = f"{place(1)}, field 'language': language {code!r} is not an ISO 639-1 code (two letters, for example en, zh, ar)"
    assert refusal(source, **options_of(source)) == expected


def test_language_codes_are_the_183_of_iso_639_1() -> None:
    assert len(ISO_639_1) == 183
    assert all(len(c) == 2 and c.isascii() and c.islower() for c in ISO_639_1)
    for code in LANGUAGES_OF_THE_DATA.split():
        assert check_language(code, "here") == code


def test_half_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, "query": "cut \ud83d"}) + "\n")
    assert f"{file}, line 2, field 'query'" in refusal(file)


# --- bad files


def test_a_line_that_is_not_json_is_named_with_the_character(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(f"{json.dumps(GOOD)}\n\n{{'a': 1}}\n")
    message = refusal(file)
    assert message.startswith(f"{file}, line 3: not JSON (")
    assert "at character 1" in message and "every line must be one JSON object" in message


@pytest.mark.parametrize("line", ["[1, 2]", '"text"', "3", "null"])
def test_a_line_that_is_no_object_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(line)
    assert refusal(file) == f"{file}, line 1: a {type(json.loads(line)).__name__} instead of a JSON object"


@pytest.mark.parametrize("line", ['{"meaning_id": ' + "1" * 5000 + "}", "[" * 100_000], ids=["huge number", "deep"])
def test_a_line_that_the_json_parser_gives_up_on_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(f"{json.dumps(GOOD)}\n{line}\n")
    assert refusal(file).startswith(f"{file}, line 2: not JSON")


def test_a_line_that_is_not_utf_8_is_named_with_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(json.dumps(GOOD).encode() + b'\n{"query": "caf\xe9"}\n')
    assert refusal(file) == f"{file}, line 2: byte 14 is not UTF-8; save the file as UTF-8"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | word, inner, max_size=5),
    max_leaves=8,
)


@modest
@given(lines=st.lists(st.binary(max_size=30) | json_values.map(lambda v: json.dumps(v).encode()), max_size=4))
def test_json_lines_of_anything_yield_pairs_or_a_refusal_with_the_line(tmp_path: Path, lines: list[bytes]) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"\n".join([json.dumps(GOOD).encode(), *lines]))
    try:
        assert all(p.query.strip() and p.language in ISO_639_1 for p in pairs_from(file))
    except RequestError as error:
        assert str(error).startswith(f"{file}, line ")


def test_an_unset_source_says_what_to_set() -> None:
    with pytest.raises(RequestError, match=r"prepare\.source is not set; name a folder of SQuAD-format JSON"):
        list(read_pairs(PrepareConfig()))


@pytest.mark.parametrize("kind", ["auto", "squad", "jsonl", "parquet"])
def test_a_missing_source_is_named(tmp_path: Path, kind: str) -> None:
    assert refusal(tmp_path / "gone", format=kind) == f"prepare.source={str(tmp_path / 'gone')!r} does not exist"


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    file.write_text("this is some other text\n")
    assert str(file) in refusal(file)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_folder_where_a_file_belongs_is_refused(tmp_path: Path, kind: str) -> None:
    assert str(tmp_path) in refusal(tmp_path, format=kind)


def test_an_empty_folder_is_no_squad_source(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} holds no <language>.json"


def test_a_squad_file_named_after_no_language_is_refused(tmp_path: Path) -> None:
    folder = squad_folder(tmp_path / "mine", en=[], english=[])
    assert refusal(folder).startswith(f"{folder / 'english.json'}: language 'english' is not an ISO 639-1 code")


@pytest.mark.parametrize("content", [b"{", b'{"data": "caf\xe9"}', b'{"dat": []}', b"[]", b"3"])
def test_a_file_that_is_not_squad_is_named_with_what_was_expected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "en.json").write_bytes(content)
    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path / 'en.json'}: not SQuAD-format JSON (")
    assert message.endswith("expected an object with 'data'")


@pytest.mark.parametrize(
    "data", [5, {"a": 1}, ["article"], [{"paragraphs": 3}], [{"paragraphs": ["text"]}]], ids=json.dumps
)
def test_squad_data_of_the_wrong_shape_names_the_file(tmp_path: Path, data: object) -> None:
    file = squad_file(tmp_path, {"data": data})
    assert str(file) in refusal(tmp_path)


ANSWER = {"text": "rivers", "answer_start": 5}
BROKEN_QUESTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no id": ({"question": "q?", "answers": [ANSWER]}, "id"),
    "empty id": ({"id": "", "question": "q?", "answers": [ANSWER]}, "id"),
    "no question": ({"id": "q7", "answers": [ANSWER]}, "missing"),
    "empty question": ({"id": "q7", "question": " ", "answers": [ANSWER]}, "empty"),
    "long question": ({"id": "q7", "question": "x" * (MAX_CHARACTERS + 1), "answers": [ANSWER]}, "200,001 characters"),
    "no start": ({"id": "q7", "question": "q?", "answers": [{"text": "rivers"}]}, "answer_start"),
    "start is no number": ({"id": "q7", "question": "q?", "answers": [{"text": "a", "answer_start": "x"}]}, "'x'"),
    "answers are no list": ({"id": "q7", "question": "q?", "answers": 4}, "answers"),
}


@pytest.mark.parametrize(("broken", "reason"), BROKEN_QUESTIONS.values(), ids=BROKEN_QUESTIONS.keys())
def test_a_broken_squad_question_is_named_with_its_place(tmp_path: Path, broken: dict[str, Any], reason: str) -> None:
    folder = squad_folder(tmp_path / "mine", en=[question("fine", ("The", 0)), broken])
    message = refusal(folder)
    assert f"{folder / 'en.json'}, data[0].paragraphs[0]" in message
    assert reason in message


@pytest.mark.parametrize("start", [-1, len(CONTEXT), 10_000])
def test_a_squad_answer_outside_its_context_is_refused(tmp_path: Path, start: int) -> None:
    folder = squad_folder(tmp_path / "mine", en=[question("q7", ("rivers", start))])
    message = refusal(folder)
    assert f"{folder / 'en.json'}, data[0].paragraphs[0]" in message
    assert "'q7'" in message and str(start) in message


@pytest.mark.parametrize(
    ("paragraph", "reason"),
    [({"qas": []}, "missing"), ({"context": " ", "qas": []}, "empty"), ({"context": 3, "qas": []}, "3 is not text")],
)
def test_a_squad_paragraph_without_context_is_named(tmp_path: Path, paragraph: dict[str, Any], reason: str) -> None:
    file = squad_file(tmp_path, {"data": [{"paragraphs": [{"context": CONTEXT, "qas": []}, paragraph]}]})
    assert refusal(tmp_path) == f"{file}, data[0].paragraphs[1].context: {reason}"


def test_a_hugging_face_folder_without_data_is_refused(tmp_path: Path, hugging_face_cache: None) -> None:
    message = refusal(tmp_path, format="huggingface")
    assert message.startswith(f"prepare.source={str(tmp_path)!r} cannot be loaded: ")
    assert "doesn't contain any data files" in message


def test_a_hugging_face_folder_without_a_train_split_is_refused(tmp_path: Path, hugging_face_cache: None) -> None:
    as_hugging_face(tmp_path, [GOOD])[0].joinpath("train.jsonl").rename(tmp_path / "test.jsonl")
    message = refusal(tmp_path, format="huggingface")
    assert f"prepare.source={str(tmp_path)!r} cannot be loaded" in message and '"train"' in message


def test_a_hugging_face_folder_with_broken_data_is_refused(tmp_path: Path, hugging_face_cache: None) -> None:
    (tmp_path / "train.jsonl").write_text('{"query": \n')
    assert f"prepare.source={str(tmp_path)!r} cannot be loaded" in refusal(tmp_path, format="huggingface")


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
