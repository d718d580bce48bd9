"""Time left goes by work: what was done before is not counted, nor is start-up."""

from __future__ import annotations

import pytest

from hybrid_core.embeddings.shards import Shard
from ray_jobs import _progress
from ray_jobs._progress import Progress


def a_shard(rows: int) -> Shard:
    return Shard("a", {"de": rows}, 10 * rows, 1, "", 0.0)


def test_time_left_goes_by_the_work_that_is_left() -> None:
    progress = Progress(100.0)
    assert progress.left(5.0) is None, "nothing is done, so nothing is known"
    progress.add(a_shard(3), 20.0, 1.0)
    assert progress.left(5.0) == pytest.approx(20.0)
    progress.skip(40.0)
    assert progress.left(5.0) == pytest.approx(10.0)
    assert Progress(0.0).left(5.0) is None


def test_start_up_is_no_part_of_rates_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, logged = [1000.0], []
    monkeypatch.setattr(_progress.time, "monotonic", lambda: clock[0])
    progress = Progress(100.0, log=lambda shards, rates: logged.append(rates))
    for passed, seconds in ((500.0, 4.0), (4.0, 4.0), (7.0, 7.0)):  # Ray, processes and models took 496 s to start
        clock[0] += passed
        progress.add(a_shard(30), 20.0, seconds)
    assert [rates["encode/rows_per_second"] for rates in logged[:1]] == [pytest.approx(30 / 4.0)]
    progress.finish()
    assert logged[-1]["encode/rows_per_second"] == pytest.approx(90 / 15.0)
    assert logged[0]["encode/seconds_left"] == pytest.approx(4.0 * 80 / 20)


def test_the_end_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    logged = []
    progress = Progress(30.0, total=" of 5", log=lambda shards, rates: logged.append((shards, rates)))
    progress.add(a_shard(3), 20.0, 1.0)
    assert [shards for shards, _ in logged] == [1] and not capsys.readouterr().out
    progress.add(a_shard(2), 9.0, 1.0)
    progress.finish()
    (_, (shards, rates)) = logged
    assert shards == 2 and rates["encode/rows_so_far"] == 5.0 and rates["encode/seconds_left"] == 0.0
    assert rates["encode/tokens_per_second"] == pytest.approx(10 * rates["encode/rows_per_second"])
    assert "encoded 5 of 5 texts" in capsys.readouterr().out
