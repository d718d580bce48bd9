"""Reading parts: storage that fails for a while is asked again, a file that changes is refused, all work is accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from hybrid_core.config import Config
from hybrid_core.embeddings.sources import Part, list_parts, read_part
from hybrid_core.errors import RequestError
from hybrid_core.settings import build
from ray_jobs import _parts
from ray_jobs._parts import EncodeTask, patiently, reader, work_of


def a_task(folder: Path, rows: int = 10, **encode: object) -> EncodeTask:
    lines = "".join(json.dumps({"id": f"d{i}", "language": "sw", "text": f"maneno {i}"}) + "\n" for i in range(rows))
    (folder / "a.jsonl").write_text(lines + "\n")
    config = build(Config, {"encode": {"source": str(folder), "rows_per_shard": 5} | encode})
    return EncodeTask(config, str(folder / "target"), "model", "identity", tuple(list_parts(config)))


def test_reading_goes_on_behind_the_last_piece_when_storage_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = a_task(tmp_path)
    (part,) = task.parts
    calls = []

    def fails_once(part: Part, config: Config) -> Iterator[tuple[pa.Table, float]]:
        calls.append(part)
        for number, piece in enumerate(read_part(part, config)):
            if number == 1 and len(calls) == 1:
                raise OSError("connection refused")
            yield piece

    monkeypatch.setattr(_parts, "read_part", fails_once)
    monkeypatch.setattr(_parts, "is_remote", lambda place: True)
    monkeypatch.setattr(_parts.time, "sleep", lambda seconds: None)
    found = list(patiently(task, part))
    assert [table["id"].to_pylist() for table, _ in found] == [[f"d{i}" for i in range(s, s + 5)] for s in (0, 5)]
    assert len(calls) == 2 and sum(work for _, work in found) == pytest.approx(work_of(part))


def test_local_files_and_spent_patience_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = a_task(tmp_path, patience=0.0)
    (part,) = task.parts
    (tmp_path / "a.jsonl").unlink()
    for remote in (False, True):
        monkeypatch.setattr(_parts, "is_remote", lambda place, remote=remote: remote)
        with pytest.raises(RequestError, match=r"a\.jsonl cannot be read"):
            list(patiently(task, part))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    task = a_task(tmp_path)
    pieces = patiently(task, task.parts[0])
    next(pieces)
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "language": "sw", "text": "mpya"}) + "\n")
    with pytest.raises(RequestError, match="has changed while it was read"):
        list(pieces)


def test_pieces_and_notes_together_are_all_the_work(tmp_path: Path) -> None:
    task = a_task(tmp_path, rows=12)
    rows = pa.concat_tables(list(reader(task, task.parts, frozenset())(0)))
    assert sum(rows["work"].to_pylist()) == pytest.approx(work_of(task.parts[0]))
    names = [name for name in rows["name"].to_pylist() if name]
    assert len(names) == 3
    resumed = pa.concat_tables(list(reader(task, task.parts, frozenset(names[:2]))(0)))
    assert [name for name in resumed["name"].to_pylist() if name] == names[2:]
    done = zip(resumed["name"].to_pylist(), resumed["work"].to_pylist(), strict=True)
    first = dict(zip(rows["name"].to_pylist(), rows["work"].to_pylist(), strict=True))
    assert next(work for name, work in done if not name) == pytest.approx(first[names[0]] + first[names[1]])
    assert sum(resumed["work"].to_pylist()) == pytest.approx(work_of(task.parts[0]))
