"""Time left goes by work: what was done before is not counted."""

from __future__ import annotations

import pytest

from hybrid_core.embeddings.shards import Shard
from ray_jobs._progress import Progress


def a_shard(rows: int) -> Shard:
    return Shard("a", {"de": rows}, 10 * rows, 1, "", 0.0)


def test_time_left_goes_by_the_work_that_is_left() -> None:
    progress = Progress(100.0)
    assert progress.left(5.0) is None, "nothing is done, so nothing is known"
    progress.add(a_shard(3), 20.0)
    assert progress.left(5.0) == pytest.approx(20.0)
    progress.skip(40.0)
    assert progress.left(5.0) == pytest.approx(10.0)
    assert Progress(0.0).left(5.0) is None


def test_the_end_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    logged = []
    progress = Progress(30.0, total=" of 5", log=lambda shards, rates: logged.append((shards, rates)))
    progress.add(a_shard(3), 20.0)
    assert [shards for shards, _ in logged] == [1] and not capsys.readouterr().out
    progress.add(a_shard(2), 9.0)
    progress.finish()
    (_, (shards, rates)) = logged
    assert shards == 2 and rates["encode/rows_so_far"] == 5.0 and rates["encode/seconds_left"] == 0.0
    assert rates["encode/tokens_per_second"] == pytest.approx(10 * rates["encode/rows_per_second"])
    assert "encoded 5 of 5 texts" in capsys.readouterr().out
