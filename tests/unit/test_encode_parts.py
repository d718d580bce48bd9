"""Reading parts: storage that fails for a while is asked again, a file that changes is refused, all work is accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from hybrid_core import storage
from hybrid_core.config import Config, EncodeConfig
from hybrid_core.embeddings.sources import Part, list_parts, read_part
from hybrid_core.errors import RequestError
from hybrid_core.settings import build
from ray_jobs import _parts
from ray_jobs._parts import EncodeTask, patiently, reader, work_of
from ray_jobs._ray.cluster import processors, threads_that_fit
from ray_jobs.encode import _source, check_nothing_vanished


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


@pytest.mark.parametrize("failures", [3, 10_000])
def test_patience_does_not_pay_for_what_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    task = a_task(tmp_path, rows=30, patience=40)
    (part,) = task.parts
    clock, failed = [1000.0], []

    def slow(part: Part, config: Config) -> Iterator[tuple[pa.Table, float]]:
        for number, piece in enumerate(read_part(part, config)):
            clock[0] += 10.0 if number else 0.5
            if number == 5 and len(failed) < failures:
                failed.append(number)
                raise OSError("connection refused")
            yield piece

    def pause(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(_parts, "read_part", slow)
    monkeypatch.setattr(_parts, "is_remote", lambda place: True)
    monkeypatch.setattr(_parts.time, "sleep", pause)
    monkeypatch.setattr(_parts.time, "monotonic", lambda: clock[0])
    if failures == 3:
        assert len(list(patiently(task, part))) == 6
    else:
        with pytest.raises(RequestError, match="connection refused"):
            list(patiently(task, part))


def test_local_files_and_spent_patience_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = a_task(tmp_path, patience=0.0)
    (part,) = task.parts
    (tmp_path / "a.jsonl").unlink()
    for remote in (False, True):
        monkeypatch.setattr(_parts, "is_remote", lambda place, remote=remote: remote)
        with pytest.raises(RequestError, match=r"a\.jsonl cannot be read"):
            list(patiently(task, part))


def test_a_source_that_has_lost_a_part_is_refused(tmp_path: Path) -> None:
    task = a_task(tmp_path)
    check_nothing_vanished(task)  # nothing is recorded yet
    for part in task.parts:
        storage.write_json(task.record_of(part.name), {"part": part.name})
    check_nothing_vanished(task)
    (tmp_path / "b.jsonl").write_text((tmp_path / "a.jsonl").read_text())
    (tmp_path / "a.jsonl").unlink()
    other = replace(task, parts=tuple(list_parts(task.config)))
    with pytest.raises(RequestError, match=r"has lost 1 of the 1 parts that .*'a.jsonl' among them"):
        check_nothing_vanished(other)


def test_suites_are_part_of_the_request() -> None:
    def source(**evaluate: object) -> object:
        return _source(build(Config, {"encode": {"source": "suites"}, "evaluate": evaluate}))

    assert source(suites=["sample"]) != source(suites=["sample", "xquad_r"])
    assert source(suites=["sample"]) != source(suites=["sample"], candidate_text="sentence_with_context")


def test_an_encoder_asks_for_its_threads_but_not_for_more_than_a_node_has(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 64.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    asked = {threads: threads_that_fit(EncodeConfig(threads=threads)) for threads in (1, 4, 8)}
    assert asked == {1: 1, 4: 4, 8: 4}
    assert threads_that_fit(EncodeConfig(threads=8, use_gpu=True)) == 1
    nodes.pop(0)
    assert threads_that_fit(EncodeConfig(threads=8)) == 8  # nodes will join
    assert processors(EncodeConfig(actors=3, threads=2, tokenizers=1)) == 7


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
