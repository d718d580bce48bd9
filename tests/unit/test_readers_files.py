"""Training sources that are no such source at all: every one is named with what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from readers_helpers import (
    FIELDS,
    GOOD,
    as_hugging_face,
    modest,
    pairs_from,
    refusal,
    word,
)

from hybrid_core.config import PrepareConfig
from hybrid_core.data.languages import ISO_639_1
from hybrid_core.data.readers import read_pairs
from hybrid_core.errors import RequestError


@pytest.fixture
def hugging_face_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("hf"))


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
