"""The smoke sweep through Ray Tune over Ray Train: the scheduler sees metrics, MLflow a parent with children, the user a curve."""

from __future__ import annotations

import pytest
from mlflow.tracking import MlflowClient

from .conftest import Jobs

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


def test_the_smoke_space_runs_three_ratios(jobs: Jobs) -> None:
    flags = [
        "--space", "smoke", "--set", "data.corpus=sample", "--set", "evaluate.suites=sample_encyclopaedic",
        "--set", "train.evaluate_every=3",
        "--set", "train.precision=float32",
    ]  # fmt: skip
    swept = jobs.run("tune", *flags)
    assert swept.status == 0, swept.output
    arms = {name.split("/")[0] for name in swept.summary["metrics"]}
    assert {arm for arm in arms if "+" not in arm} == {"alpha=0.0", "alpha=0.5", "alpha=1.0", "bm25"}
    for alpha in ("0.0", "0.5", "1.0"):
        assert f"alpha={alpha} seed=0: step 3, sample_encyclopaedic/multi/mAP" in swept.output, (
            "the scheduler saw no intermediate metric"
        )
    assert list((jobs.home / "out" / "report").glob("alpha_*.png"))

    client = MlflowClient(f"sqlite:///{jobs.home / 'out' / 'mlflow.db'}")
    parent = client.get_run(swept.summary["mlflow_run_id"])
    assert parent.data.metrics["alpha_0.5/sample_encyclopaedic/multi/mAP"] > 0
    children = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert {c.data.params["plan.alpha"] for c in children} == {"0.0", "0.5", "1.0"}
    assert all(c.info.status == "FINISHED" for c in children)
    assert len({c.data.tags["hybrid.plan_hash"] for c in children}) == 3
    curve = client.get_metric_history(children[0].info.run_id, "sample_encyclopaedic/multi/mAP")
    assert {3, 6} <= {point.step for point in curve}

    again = jobs.run("tune", *flags, "--set", "train.workers=2")  # may change: the sweep is the same one
    assert again.status == 0, again.output
    assert again.summary["metrics"] == swept.summary["metrics"]
    assert "step 3, sample_encyclopaedic" not in again.output, "trials were trained again"
    assert len(list((jobs.home / "out" / "tune").iterdir())) == 1
