"""LAReQA files, generated with as many questions and candidates as the published ones have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suite_files import load, refusal

from hybrid_core.data.suites import SETTINGS

XQUAD = dict(ar=1222, de=1276, el=1234, en=1180, es=1215, hi=1244, ru=1219, th=852, tr=1167, vi=1209, zh=1196)


def lareqa(language: str, candidates: int) -> dict[str, Any]:
    """XQuAD-R in small: one paragraph of all sentences; question i is answered somewhere in sentence i (modulo their number)."""
    texts = [f"{language} sentence {i:04d}.\n" for i in range(candidates)]
    size = len(texts[0])
    qas = [
        {"id": f"id{i}", "question": f"{language} {i}?", "answers": [{"text": "s", "answer_start": i % candidates * size + i % size}]}
        for i in range(1190)
    ]  # fmt: skip
    breaks = [[i * size, (i + 1) * size] for i in range(candidates)]
    paragraph = {"context": "".join(texts), "sentences": texts, "sentence_breaks": breaks, "qas": qas}
    return {"data": [{"title": "t", "paragraphs": [paragraph | {"context": "All of it\nin short."}]}]}


@pytest.fixture(scope="session")
def made_up_xquad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suites") / "xquad_r"
    folder.mkdir()
    for language, candidates in XQUAD.items():
        (folder / f"{language}.json").write_text(json.dumps(lareqa(language, candidates)))
    return folder.parent


@pytest.fixture
def own_xquad(made_up_xquad: Path, tmp_path: Path) -> Path:
    """Links to the generated files; replace one to break it."""
    folder = tmp_path / "xquad_r"
    folder.mkdir()
    for file in (made_up_xquad / "xquad_r").iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def replace(file: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    data = json.loads(file.read_text())
    edit(data)
    file.unlink()
    file.write_text(json.dumps(data))
    return file


def test_a_candidate_is_a_sentence_and_relevant_is_the_one_of_the_answer(made_up_xquad: Path) -> None:
    suite = load("xquad_r", made_up_xquad)
    assert (suite.candidate_text, suite.settings, suite.licence) == ("sentence", SETTINGS, "CC BY-SA 4.0")
    assert suite.passages.texts == suite.passages.sentences
    query = suite.queries.ids.index("th-id900")  # th has 852 candidates
    found = [suite.passages.texts[row] for row in suite.relevant[query]]
    assert found == [f"{lang} sentence {900 % n:04d}.\n" for lang, n in sorted(XQUAD.items())]


def test_context_is_put_after_the_sentence_when_asked(made_up_xquad: Path) -> None:
    plain, suite = load("xquad_r", made_up_xquad), load("xquad_r", made_up_xquad, "sentence_with_context")
    assert suite.candidate_text == "sentence_with_context"
    assert suite.passages.texts[0] == "ar sentence 0000.  All of it in short."
    assert suite.passages.sentences == plain.passages.texts
    assert [r.tolist() for r in suite.relevant] == [r.tolist() for r in plain.relevant]
    assert suite.fingerprint != plain.fingerprint


def test_absent_data_says_where_to_get_it(tmp_path: Path) -> None:
    message = refusal("xquad_r", tmp_path)
    assert f"suite 'xquad_r' is not at {tmp_path / 'xquad_r'}" in message
    assert "github.com/google-research-datasets/lareqa (xquad-r/)" in message and "data.suites" in message


def test_a_missing_language_file_is_refused(own_xquad: Path) -> None:
    (own_xquad / "el.json").unlink()
    expected = f"{own_xquad / 'el.json'} is missing: the suite needs a file for language 'el'"
    assert refusal("xquad_r", own_xquad.parent) == expected


def test_a_file_with_fewer_questions_is_refused_with_both_counts(own_xquad: Path) -> None:
    file = replace(own_xquad / "ar.json", lambda d: d["data"][0]["paragraphs"][0]["qas"].pop())
    expected = (
        f"{file}: 1189 questions and 1222 candidates, xquad_r has 1190 and 1222; the file is not the published one"
    )
    assert refusal("xquad_r", own_xquad.parent) == expected


def test_a_file_with_fewer_candidates_is_refused_with_both_counts(own_xquad: Path) -> None:
    file = replace(own_xquad / "ar.json", lambda d: d["data"][0]["paragraphs"][0]["sentences"].pop())
    assert f"{file}: 1190 questions and 1221 candidates" in refusal("xquad_r", own_xquad.parent)


def test_a_file_of_another_language_under_this_name_is_refused(own_xquad: Path) -> None:
    (own_xquad / "ar.json").unlink()
    (own_xquad / "ar.json").symlink_to(own_xquad / "de.json")
    assert "1276 candidates, xquad_r has 1190 and 1222" in refusal("xquad_r", own_xquad.parent)


@pytest.mark.parametrize("content", [b'{"data": [', b"[]", b'{"dat": []}', b'{"data": "caf\xe9"}'])
def test_a_file_that_is_not_lareqa_is_named(own_xquad: Path, content: bytes) -> None:
    (own_xquad / "ar.json").unlink()
    (own_xquad / "ar.json").write_bytes(content)
    assert refusal("xquad_r", own_xquad.parent).startswith(f"{own_xquad / 'ar.json'}: not LAReQA JSON (")


@pytest.mark.parametrize("start", [-1, 10**6])
def test_an_answer_in_no_sentence_is_named_with_its_question(own_xquad: Path, start: int) -> None:
    def move(data: dict[str, Any]) -> None:
        data["data"][0]["paragraphs"][0]["qas"][5]["answers"][0]["answer_start"] = start

    file = replace(own_xquad / "ar.json", move)
    assert (
        refusal("xquad_r", own_xquad.parent) == f"{file}: question 'id5': the answer's start {start} is in no sentence"
    )


@pytest.mark.parametrize("lost", ["sentences", "sentence_breaks", "qas"])
def test_plain_squad_under_the_name_of_lareqa_is_refused(own_xquad: Path, lost: str) -> None:
    file = replace(own_xquad / "ar.json", lambda d: d["data"][0]["paragraphs"][0].pop(lost))
    message = refusal("xquad_r", own_xquad.parent)
    assert str(file) in message and lost in message


@pytest.mark.parametrize("data", [3, {"a": 1}, [3]], ids=json.dumps)
def test_lareqa_data_of_the_wrong_shape_names_the_file(own_xquad: Path, data: object) -> None:
    file = replace(own_xquad / "ar.json", lambda d: d.update(data=data))
    assert str(file) in refusal("xquad_r", own_xquad.parent)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda p: p["qas"][5].update(question=" "), "question 'id5' is empty"),
        (lambda p: p["sentences"].__setitem__(7, "\n"), "sentences[7] is empty"),
        (lambda p: p["qas"][5].update(id="id4"), "question id 'id4' occurs twice"),
    ],
    ids=["question", "sentence", "id"],
)
def test_what_would_make_a_score_meaningless_is_named_with_its_file(
    own_xquad: Path, edit: Callable[[dict[str, Any]], object], reason: str
) -> None:
    file = replace(own_xquad / "ar.json", lambda d: edit(d["data"][0]["paragraphs"][0]))
    message = refusal("xquad_r", own_xquad.parent)
    assert message.startswith(str(file)) and reason in message
