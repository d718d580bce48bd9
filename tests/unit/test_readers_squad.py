"""SQuAD-format sources: which sentence becomes the passage, the sentence rule, and refusals with their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readers_helpers import (
    CONTEXT,
    modest,
    pairs_from,
    question,
    refusal,
    squad_file,
    squad_folder,
)

from hybrid_core.data.corpus import Pair
from hybrid_core.data.jsonl import MAX_CHARACTERS
from hybrid_core.data.readers import sentence_at, sentences


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


def test_an_empty_folder_is_no_squad_source(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} holds no <language>.json"


def test_a_squad_file_named_after_no_language_is_refused(tmp_path: Path) -> None:
    folder = squad_folder(tmp_path / "mine", en=[], english=[])
    assert refusal(folder).startswith(f"{folder / 'english.json'}: language 'english' is not a code of ISO 639")


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
