"""The store as jobs use it: a second evaluation of a model encodes nothing and measures the same."""

from __future__ import annotations

from pathlib import Path

from .conftest import Finished, Jobs


def evaluate(jobs: Jobs, output: str, store: Path) -> Finished:
    done = jobs.run("evaluate", "--set", f"output={jobs.home / output}", "--set", f"encode.store={store}")
    assert done.status == 0, done.output
    return done


def written(store: Path) -> dict[Path, int]:
    """When each shard was written, in nanoseconds."""
    return {file: file.stat().st_mtime_ns for file in store.glob("*/shards/*")}


def test_a_second_evaluation_encodes_nothing(jobs: Jobs) -> None:
    store = jobs.home / "store"
    first = evaluate(jobs, "first", store)
    assert "  encoded 120 of 120 texts" in first.output
    before = written(store)
    assert before
    second = evaluate(jobs, "second", store)
    assert "  encoded " not in second.output
    assert written(store) == before
    assert second.summary["metrics"] == first.summary["metrics"]
