"""Where suite files lie and how JSON lines become columns: copies of remote folders, gzip, the fast way and the slow one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from suite_files import beir

from hybrid_core.data.suites import columns as module
from hybrid_core.data.suites import load_beir
from hybrid_core.data.suites.columns import line_of, read_columns
from hybrid_core.data.suites.places import copy_tree, file_names, naming, suite_folder
from hybrid_core.errors import RequestError


def test_a_remote_folder_is_copied_once_and_anew_when_it_changes(tmp_path: Path) -> None:
    folder, cache = beir(tmp_path / "bucket" / "mine"), tmp_path / "cache"
    remote = pafs.SubTreeFileSystem(str(tmp_path / "bucket"), pafs.LocalFileSystem())
    first = copy_tree(remote, "mine", cache)
    assert load_beir(first).fingerprint == load_beir(folder).fingerprint
    (first / "seen").touch()
    assert copy_tree(remote, "mine", cache) == first and (first / "seen").exists()
    (folder / "qrels.tsv").write_text("q1\t0\tp1\t1\n")
    second = copy_tree(remote, "mine", cache)
    assert second != first and load_beir(second).fingerprint == load_beir(folder).fingerprint
    assert sorted(cache.iterdir()) == sorted([first, second]), "nothing half-copied is left"


def test_only_the_wanted_files_are_copied(tmp_path: Path) -> None:
    (tmp_path / "bucket" / "a" / "b").mkdir(parents=True)
    for name in ("a/x.json", "a/y.txt", "a/b/z.json"):
        (tmp_path / "bucket" / name).touch()
    remote = pafs.SubTreeFileSystem(str(tmp_path / "bucket"), pafs.LocalFileSystem())
    copy = copy_tree(remote, "a", tmp_path / "cache", lambda name: name.endswith(".json"))
    assert sorted(str(f.relative_to(copy)) for f in copy.rglob("*") if f.is_file()) == ["b/z.json", "x.json"]


def test_an_absent_remote_folder_gives_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert not copy_tree(pafs.LocalFileSystem(), str(tmp_path / "nothing"), tmp_path / "cache").exists()
    assert file_names(str(tmp_path / "nothing")) == []


def test_a_local_folder_is_used_where_it_lies(tmp_path: Path) -> None:
    for uri in (str(tmp_path), tmp_path.as_uri()):
        with suite_folder(uri) as local:
            assert local == tmp_path


def test_errors_name_the_address_and_not_the_copy(tmp_path: Path) -> None:
    folder = beir(tmp_path / "copy")
    (folder / "qrels.tsv").write_text("q1\t0\tp9\t1\n")
    with pytest.raises(RequestError) as error, naming(folder, "s3://bucket/mine"):
        load_beir(folder)
    assert str(error.value) == "s3://bucket/mine/qrels.tsv, line 1: unknown passage id 'p9'"


def test_storage_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(RequestError, match=r"s3://bucket/x cannot be read: .*AWS_"):
        file_names("s3://bucket/x")


# --- columns

RECORDS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {"id": st.text(min_size=1, max_size=4).filter(str.strip)},
        optional={
            "title": st.none() | st.text(max_size=4),
            "label": st.none() | st.text(max_size=3) | st.integers(1, 9),
            "other": st.lists(st.integers(), max_size=2) | st.none(),
        },
    ),
    min_size=1,
    max_size=6,
)


@given(RECORDS, st.booleans(), st.booleans())
def test_columns_are_what_json_says_packed_or_not(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], packed: bool, escaped: bool
) -> None:
    content = "".join(f"{json.dumps(r, ensure_ascii=escaped)}\n" for r in records).encode()
    file = tmp_path_factory.mktemp("columns") / ("x.jsonl.gz" if packed else "x.jsonl")
    file.write_bytes(gzip.compress(content, 1) if packed else content)
    expected = {
        "id": [r["id"] for r in records],
        "label": [str(r.get("label") or "") for r in records],
        "title": [r.get("title") or "" for r in records],
    }
    assert read_columns(file, ("id",), ("label",), ("title",)) == expected


def test_a_million_characters_of_ordinary_lines_need_no_second_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text("".join(f'{{"id": "{n}", "text": "{"x" * 100}"}}\n' for n in range(10_000)))
    monkeypatch.setattr(module, "_by_line", None)
    assert len(read_columns(file, ("id", "text"))["id"]) == 10_000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "b", "text": "\\ud83d"}', "field 'text': half of a surrogate pair"),
        (b'{"id": "b", "text": "\xff"}', "byte 21 is not UTF-8"),
        (b'{"id": "b", "text": "' + b"x" * 200_001 + b'"}', "field 'text': 200,001 characters, more than 200,000"),
        (b'{"id": "b"', "not JSON"),
        (b'{"id": null, "text": "x"}', "field 'id': None is not text"),
        (b'{"id": "b", "text": "x", "title": {}}', "field 'title': {} is not text"),
    ],
    ids=["surrogate", "bytes", "long", "cut", "null", "object"],
)
@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_what_arrow_stumbles_over_is_named_with_file_and_line(
    tmp_path: Path, name: str, line: bytes, reason: str
) -> None:
    content = b'\n{"id": "a", "text": "x"}\n\n' + line + b"\n"
    file = tmp_path / name
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(RequestError) as error:
        read_columns(file, ("id", "text"), (), ("title",))
    assert str(error.value).startswith(f"{file}, line 4") and reason in str(error.value)


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_lines_are_counted_with_the_blank_ones(tmp_path: Path, name: str) -> None:
    content = b"\nfirst\n\n  \nsecond\nthird"
    file = tmp_path / name
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert [line_of(file, row) for row in range(3)] == [2, 5, 6]
