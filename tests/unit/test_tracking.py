"""One run of MLflow for one training, however often it is started again; a run asked for by its id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_core.config import Config
from hybrid_core.errors import RequestError
from hybrid_core.recipes import load_config
from ray_jobs import _tracking, replay
from ray_jobs.cli import main

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy"  # MLflow's own use of SQLAlchemy
)
RESUMED = (
    "train.workers=4", "train.log_every=5", "train.max_failures=0", "train.checkpoint_every=7", "train.gradcache=true",
    "train.keep_checkpoints=9", "train.evaluate_every=3",
)  # fmt: skip
SELECT = "train.select=made_up/multi/mAP"


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield


def request(tmp_path: Path, *settings: str) -> Config:
    return load_config("default", None, [f"output={tmp_path / 'out'}", *settings])


def run_id(tmp_path: Path, *settings: str) -> str:
    return _tracking.open_run(request(tmp_path, *settings), "train hybrid", kind="train").id


def test_a_run_is_continued_under_other_workers_logging_and_restarts(tmp_path: Path) -> None:
    first = run_id(tmp_path, "train.workers=2")
    assert {run_id(tmp_path, "train.workers=2", setting) for setting in RESUMED if "workers" not in setting} == {first}
    assert run_id(tmp_path, *RESUMED) == first


def test_what_changes_the_model_is_another_run(tmp_path: Path) -> None:
    others = ("train.steps=7", "train.learning_rate=0.5", "seed=1", "plan.alpha=0.25", "model.pooling=cls")
    assert len({run_id(tmp_path), *(run_id(tmp_path, setting) for setting in others)}) == 1 + len(others)
    selecting = [
        run_id(tmp_path, SELECT, f"train.evaluate_every={every}", f"train.patience={patience}")
        for every, patience in ((3, 0), (4, 0), (3, 2))
    ]
    assert len(set(selecting)) == 3, "these decide the model when the best evaluation does"


def test_a_parent_is_said_to_be_one_and_its_children_are_named(
    corpus_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"data.corpus={corpus_directory}", "train.global_batch=4", f"output={tmp_path / 'out'}"]
    config = load_config("default", None, settings)
    plan = replay.plan_for(config, replay.open_sources(config))
    parent = _tracking.open_run(config, "study default", kind="study")
    children = {
        name: _tracking.open_run(config, name, kind="arm", parent=parent) for name in ("mono", "hybrid", "base")
    }
    children["hybrid"].set_tags({"hybrid.plan_hash": plan.hash})
    children["mono"].set_tags({"hybrid.plan_hash": "0123456789abcdef"})
    flags = [part for setting in settings for part in ("--set", setting)]
    assert main(replay.JOB, [*flags, "--run", parent.id]) == 2
    said = capsys.readouterr().err
    assert f"run {parent.id} (study 'study default') is a parent" in said
    assert f"{children['hybrid'].id} (hybrid, this plan); {children['mono'].id} (mono, plan 0123456789abcdef)" in said
    assert children["base"].id not in said, "nothing was trained in it"
    assert main(replay.JOB, [*flags, "--run", children["base"].id]) == 2
    assert "(arm 'base') has trained nothing, so it has no plan" in capsys.readouterr().err
    assert main(replay.JOB, [*flags, "--run", children["hybrid"].id]) == 0
    assert f"run {children['hybrid'].id} was trained under this plan" in capsys.readouterr().out


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--run 'nothing' is not in MLflow"):
        _tracking.recorded(request(tmp_path), "nothing")
