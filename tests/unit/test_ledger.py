"""The books of an encoding: rows out are rows in by language, or the run says what is wrong and declares nothing complete."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid_core.config import Config
from hybrid_core.embeddings.shards import Shard
from hybrid_core.embeddings.sources import list_parts
from hybrid_core.errors import RequestError
from hybrid_core.settings import build
from ray_jobs._ledger import Ledger
from ray_jobs._parts import EncodeTask, finished

ROWS = {"de": 3, "sw": 5}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two parts, each read to its end; `sw` has become two shards."""
    for language, rows in ROWS.items():
        (tmp_path / f"language={language}").mkdir()
        lines = (json.dumps({"id": f"{i}", "text": f"text {i}"}) + "\n" for i in range(rows))
        (tmp_path / f"language={language}" / "docs.jsonl").write_text("".join(lines))
    config = build(Config, {"encode": {"source": str(tmp_path), "patience": 0.0}})
    task = EncodeTask(config, str(tmp_path / "target"), "model", "identity", tuple(list_parts(config)))
    books = Ledger(task)
    for part, shards in zip(task.parts, (["de-0"], ["sw-0", "sw-1"]), strict=True):
        assert part.language is not None
        facts = {"part": part.name, "stamp": part.stamp, "identity": task.identity, "shards": shards}
        books.noted({**facts, "languages": {part.language: ROWS[part.language]}})
    return books


def found(**languages: dict[str, int]) -> dict[str, Shard]:
    shards = {"de_0": {"de": 3}, "sw_0": {"sw": 4}, "sw_1": {"sw": 1}} | languages
    names = {name.replace("_", "-"): counts for name, counts in shards.items() if counts}
    return {name: Shard(name, counts, 1, 1, "", 0.0) for name, counts in names.items()}


def test_the_shards_come_in_the_order_of_the_source_without_those_of_other_texts(ledger: Ledger) -> None:
    shards = ledger.check(found(old_0={"fr": 9}))
    assert [s.name for s in shards] == ["de-0", "sw-0", "sw-1"]


def test_a_lost_shard_is_refused_with_its_part_and_language(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match=r"language=sw/docs\.jsonl \(sw\): 1 of 2 shards are missing; run again"):
        ledger.check(found(sw_1={}))


@pytest.mark.parametrize(
    ("counts", "said"),
    [({"sw": 2}, r"\{'sw': \(5, 6\)\}"), ({"de": 1}, r"\{'de': \(3, 4\), 'sw': \(5, 4\)\}"), ({"fr": 1, "sw": 1}, r"\{'fr': \(0, 1\)\}")],
    ids=["more", "another", "unknown"],
)  # fmt: skip
def test_a_wrong_count_is_refused_with_its_language_alone(ledger: Ledger, counts: dict[str, int], said: str) -> None:
    with pytest.raises(RuntimeError, match=rf"rows in and rows out differ by language: {said}; delete "):
        ledger.check(found(sw_1=counts))


def test_an_error_of_a_reader_ends_the_run(ledger: Ledger) -> None:
    with pytest.raises(RequestError, match="line 3"):
        ledger.noted({"error": "docs.jsonl, line 3: no text"})


def test_what_is_noted_of_a_part_spares_its_reading_until_it_changes(ledger: Ledger) -> None:
    part = ledger.task.parts[1]
    assert finished(ledger.task, part, found()) == ledger.records[part.name]
    assert finished(ledger.task, part, found(sw_0={})) is None, "a shard is gone"
    assert finished(ledger.task, replace(part, stamp="another"), found()) is None, "the file is another"
    assert finished(replace(ledger.task, identity="another"), part, found()) is None, "the request is another"
