"""Texts to encode: every form gives the same rows in the same pieces, and what cannot be used is named by file and line."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from suite_files import beir

from hybrid_core.config import Config
from hybrid_core.embeddings import rows
from hybrid_core.embeddings.rows import regroup
from hybrid_core.embeddings.sources import content_hash, list_parts, read_part
from hybrid_core.errors import RequestError
from hybrid_core.settings import build

ROWS = [
    {"id": f"d{i}", "language": "de" if i % 3 else "sw", "title": "T" * (i % 2), "text": f"Satz {i}."}
    for i in range(10)
]
EXPECTED = [(r["id"], r["language"], f"{r['title']} {r['text']}".strip()) for r in ROWS]


def a_config(source: Path | str, **encode: object) -> Config:
    return build(Config, {"encode": {"source": str(source), "rows_per_shard": 4} | encode})


def pieces(config: Config) -> list[pa.Table]:
    return [table for part in list_parts(config) for table, _ in read_part(part, config)]


def rows_of(tables: list[pa.Table]) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def write_jsonl(folder: Path, records: Sequence[Mapping[str, object]] = ROWS) -> None:
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (folder / "a.jsonl").write_text("\n" + lines, encoding="utf-8")


def write_gzip(folder: Path) -> None:
    with gzip.open(folder / "a.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(json.dumps(record) for record in ROWS))  # no newline at the end


def write_parquet(folder: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "a.parquet", row_group_size=3)


def write_arrow(folder: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_file(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def write_stream(folder: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def write_views(folder: Path) -> None:
    """As newer libraries keep texts."""
    table = pa.Table.from_pylist(ROWS)
    table = table.cast(pa.schema([(name, pa.string_view()) for name in table.column_names]))
    with pa.ipc.new_file(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table)


def write_dictionary(folder: Path) -> None:
    """As the rows of a training corpus are kept: what repeats is a number."""
    table = pa.Table.from_pylist(ROWS)
    language = table.schema.get_field_index("language")
    table = table.set_column(language, "language", table["language"].combine_chunks().dictionary_encode())
    with pa.ipc.new_file(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    "write", [write_jsonl, write_gzip, write_parquet, write_arrow, write_stream, write_dictionary, write_views]
)
def test_every_form_gives_the_same_rows_in_the_same_pieces(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    found = pieces(a_config(tmp_path))
    assert rows_of(found) == EXPECTED and [t.num_rows for t in found] == [4, 4, 2]


def test_blocks_of_a_file_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path)
    monkeypatch.setattr(rows, "_BLOCK", 7)
    assert rows_of(pieces(a_config(tmp_path))) == EXPECTED


def test_parts_are_files_in_the_order_of_their_names_with_the_language_of_the_folder(tmp_path: Path) -> None:
    for folder in ("corpus-v1.0-sw", "corpus-v1.0-bn", "notes"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "docs-0.jsonl").write_text('{"docid": "1#0", "title": "t", "text": "x"}\n')
    (tmp_path / "corpus-v1.0-sw" / "README.md").write_text("no rows")
    parts = list_parts(a_config(tmp_path))
    assert [(p.name, p.language) for p in parts] == [
        ("corpus-v1.0-bn/docs-0.jsonl", "bn"), ("corpus-v1.0-sw/docs-0.jsonl", "sw"), ("notes/docs-0.jsonl", None)
    ]  # fmt: skip
    assert rows_of([table for table, _ in read_part(parts[1], a_config(tmp_path))]) == [("1#0", "sw", "t x")]
    with pytest.raises(RequestError, match=r"notes/docs-0.jsonl, line 1, field 'language': missing"):
        list(read_part(parts[2], a_config(tmp_path)))
    assert list_parts(a_config(tmp_path, language="yo"))[2].language == "yo"


def test_a_changed_file_has_another_stamp_and_changed_texts_another_name(tmp_path: Path) -> None:
    write_jsonl(tmp_path)
    config = a_config(tmp_path / "a.jsonl")
    (before,) = list_parts(config)
    names = [content_hash(t, "settings") for t, _ in read_part(before, config)]
    write_jsonl(tmp_path, [r | {"text": r["text"] + "!"} if r["id"] == "d9" else r for r in ROWS])
    (after,) = list_parts(config)
    assert before.stamp != after.stamp and before.name == after.name == "a.jsonl"
    again = [content_hash(t, "settings") for t, _ in read_part(after, config)]
    assert names[:2] == again[:2] and names[2] != again[2]
    assert content_hash(pieces(config)[0], "other settings") not in names


def test_suites_are_a_source() -> None:
    config = build(Config, {"encode": {"source": "suites"}, "evaluate": {"suites": ["sample_law", "sample_finance"]}})
    parts = list_parts(config)
    assert [p.name for p in parts] == ["sample_law", "sample_finance"]
    found = rows_of([table for table, _ in read_part(parts[0], config)])
    assert len(found) == 192 and found[0][0].startswith("sample_law/")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "x", "language": "de"}', "line 2, no text in title, text"),
        ('{"id": "x", "language": "de", "text": "  "}', "line 2, no text in title, text"),
        ('{"language": "de", "text": "x"}', "line 2, field 'id or docid or _id': missing or empty"),
        (
            '{"id": "x", "language": "xx", "text": "y"}',
            "line 2, field 'language': language 'xx' is not a code of ISO 639",
        ),
        ('{"id": "x", "text": "y"}', "line 2, field 'language': missing"),
        ('{"id": "x", "language": "de", "text": ["y"]}', "line 2, field 'text': [\"y\"] is not text"),
        ("{not json", "line 2: not JSON"),
        ("[1, 2]", "line 2: a list instead of a JSON object"),
        ("42", "line 2: a int instead of a JSON object"),
        ('{"id": "x", "language": "de", "text": "\\ud800 y"}', "line 2, field 'text': half of a surrogate pair"),
        ('{"id": "\\udc00", "language": "de", "text": "y"}', "line 2, field 'id': half of a surrogate pair"),
        ('{"id": "x y", "language": "de", "text": "y"}', "line 2, id 'x y' holds white space, which parts the columns"),
        ('{"id": "x\\u00a0y", "language": "de", "text": "y"}', "line 2, id 'x\\xa0y' holds white space"),
        (json.dumps({"id": "x" * 2_001, "language": "de", "text": "y"}), "line 2, an id of more than 2,000 characters"),
        ('{"id": "x", "language": "de", "text": 5}', "line 2, field 'text': 5 is not text"),
        ('{"id": 1.5, "language": "de", "text": "y"}', "line 2, field 'id': 1.5 is not text or an integer"),
        ('{"id": true, "language": "de", "text": "y"}', "line 2, field 'id': true is not text or an integer"),
        ('{"id": "x", "language": 7, "text": "y"}', "line 2, field 'language': 7 is not text"),
        (
            '{"id": "x", "language": "de", "text": "y"} {"id": "z", "language": "de", "text": "y"}',
            "line 2: not JSON (Extra data",
        ),
        ('{"id": "x",\n"language": "de",\n"text": "y"}', "line 2: not JSON"),
        ('\n{"id": "x"}{"id":\n"z"}\n', "line 3: not JSON (Extra data"),
        ('\n\n{"id": "x", "language": "de"}', "line 4, no text in title, text"),
        (json.dumps({"id": "x", "language": "de", "text": "y" * 200_001}), "line 2, more than 200,000 characters"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"id": "ok", "language": "de", "text": "x"}}\n{line}\n')
    with pytest.raises(RequestError) as error:
        pieces(a_config(tmp_path))
    assert f"a.jsonl, {reason}" in str(error.value)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("field", ["id", "language", "text"])
def test_a_text_that_is_not_utf8_is_named_by_row_and_field(tmp_path: Path, name: str, field: str) -> None:
    columns = {key: [str(row[key]).encode() for row in ROWS] for key in ("id", "language", "text")}
    columns[field][7] = b"ab\xff"
    unchecked = {key: pa.array(values, pa.binary()).view(pa.string()) for key, values in columns.items()}
    write_table(tmp_path / name, pa.table(unchecked))
    with pytest.raises(
        RequestError, match=rf"{name}, row 7, field '{field}': byte 2 is not UTF-8; write the file with"
    ):
        pieces(a_config(tmp_path))


def write_table(file: Path, table: pa.Table) -> None:
    if file.suffix == ".parquet":
        pq.write_table(table, file, row_group_size=3)
    else:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)


def test_integers_are_ids_in_every_form_and_texts_in_none(tmp_path: Path) -> None:
    records = [{"docid": number, "language": "de", "text": "x"} for number in (7, -3, 2**40)]
    forms = [pa.int64(), pa.dictionary(pa.int8(), pa.int64())]
    for number, form in enumerate(forms):
        table = pa.Table.from_pylist(records)
        table = table.set_column(
            0, "docid", table["docid"].combine_chunks().dictionary_encode() if number else table["docid"].cast(form)
        )
        write_table(tmp_path / f"{number}.arrow", table)
        write_table(tmp_path / f"{number}.parquet", table)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    parts = list_parts(a_config(tmp_path))
    assert len(parts) == 5
    for part in parts:
        tables = [table for table, _ in read_part(part, a_config(tmp_path))]
        assert [id for table in tables for id in table["id"].to_pylist()] == ["7", "-3", str(2**40)]
    config = a_config(tmp_path, text_fields=["docid"], id_field="text")
    for part in parts:
        with pytest.raises(RequestError, match=r"field 'docid': .* is not text$"):
            list(read_part(part, config))


def test_ids_of_suites_are_checked_too(tmp_path: Path) -> None:
    beir(tmp_path / "my suite")
    config = build(Config, {"encode": {"source": "suites"}, "evaluate": {"suites": [str(tmp_path / "my suite")]}})
    with pytest.raises(RequestError, match=r"suite 'my suite', row 0, id 'my suite/p1' holds white space"):
        list(read_part(list_parts(config)[0], config))


def test_bytes_that_are_no_text_and_damaged_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": "x", "language": "de", "text": "\xff"}\n')
    with pytest.raises(RequestError, match=r"a\.jsonl, line 1: byte 39 is not UTF-8"):
        pieces(a_config(tmp_path))
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(RequestError, match=r"b\.parquet cannot be read"):
        pieces(a_config(tmp_path))


def test_a_source_that_is_missing_empty_or_not_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"encode\.source is not set"):
        list_parts(Config())
    with pytest.raises(RequestError, match="holds no file that ends with"):
        list_parts(a_config(tmp_path))
    with pytest.raises(RequestError, match="absent"):
        list_parts(a_config(tmp_path / "absent"))


@given(sizes=st.lists(st.integers(0, 7), max_size=8), rows_=st.integers(1, 6), most=st.integers(0, 30), data=st.data())
def test_regrouping_keeps_rows_and_order(sizes: list[int], rows_: int, most: int, data: st.DataObject) -> None:
    texts = [f"{n:02}" + "x" * data.draw(st.integers(0, 12)) for n in range(sum(sizes))]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    tables = [pa.table({"text": pa.array(texts[s : s + n], pa.string())}) for s, n in zip(starts, sizes, strict=True)]
    ends = [(s + n) / max(1, sum(sizes)) for s, n in zip(starts, sizes, strict=True)]
    pairs = list(regroup(zip(tables, ends, strict=True), rows_, most))
    found = [t["text"].to_pylist() for t, _ in pairs]
    assert [text for piece in found for text in piece] == texts
    assert all(0 < len(piece) <= rows_ and (len(piece) == 1 or len("".join(piece)) <= most) for piece in found)
    for piece, after in itertools.pairwise(found):  # no piece ends early
        assert len(piece) == rows_ or len("".join(piece)) + len(after[0]) > most
    used = [sum(map(len, found[: i + 1])) / sum(sizes) for i in range(len(found))]
    assert [share for _, share in pairs] == pytest.approx(used)


@pytest.mark.parametrize("write", [write_jsonl, write_gzip, write_parquet, write_arrow, write_stream])
def test_the_share_that_has_been_read_grows_to_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(rows, "_BLOCK", 64)
    monkeypatch.setattr(rows, "_ROWS", 2)
    write(tmp_path)
    config = a_config(tmp_path, rows_per_shard=5)
    (part,) = list_parts(config)
    shares = [share for _, share in read_part(part, config)]
    assert shares == sorted(shares) and 0.95 < shares[-1] <= 1.0  # what is left goes with the reader's last word
    assert part.bytes == sum(f.stat().st_size for f in tmp_path.iterdir())
    if write is not write_gzip:  # a reader of gzip takes more at once than this file has
        assert 0 < shares[0] < 0.8


def test_a_suite_that_is_named_twice_is_refused() -> None:
    twice = build(Config, {"encode": {"source": "suites"}, "evaluate": {"suites": ["sample", "sample_law"]}})
    with pytest.raises(RequestError, match="sample_law"):
        list_parts(twice)


def test_suites_of_one_name_share_its_work() -> None:
    config = build(Config, {"encode": {"source": "suites", "rows_per_shard": 500}, "evaluate": {"suites": ["sample"]}})
    (part,) = list_parts(config)
    shares = [share for _, share in read_part(part, config)]
    assert shares[0] < 0.7 and shares[-1] == 1.0
