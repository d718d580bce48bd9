"""The study from the command line: Ray Train, Ray Data, MLflow, report; run again, it does nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import ir_measures
import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import made_up_pairs
from mlflow.tracking import MlflowClient

from hybrid_core.config import ModelConfig
from hybrid_core.encode import encode
from hybrid_core.model import load_encoder

from .conftest import Jobs

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own use of SQLAlchemy
    pytest.mark.filterwarnings(
        "ignore:(?s).*Any type hint is inferred"
    ),  # MLflow, of a model that gives a signature instead
]


def test_a_study_trains_evaluates_tracks_and_reports(jobs: Jobs) -> None:
    flags = ["--set", "study.arms=base,hybrid@0.25", "--set", "model.vocabulary=trimmed"]
    first = jobs.run("study", *flags)
    assert first.status == 0, first.output
    assert first.summary["status"] == "done"
    arms = {name.split("/")[0] for name in first.summary["metrics"]}
    assert {arm for arm in arms if "+" not in arm} == {"base", "hybrid@0.25", "bm25"}
    assert all(0 <= v <= 1 for name, v in first.summary["metrics"].items() if name.endswith("mAP"))

    out = jobs.home / "out"
    page = (out / "report" / "report.html").read_text()
    assert "hybrid@0.25" in page and "<svg" in page
    stored = json.loads((out / "report" / "report.json").read_text())
    references = {row["reference"] for row in stored["differences"] if "+" not in row["arm"]}
    assert references == {"base", "bm25", "base+mean_offset", "base+top_component", "base+csls"}
    scores = pq.read_table(out / "scores" / "hybrid@0.25" / "made_up.parquet")
    assert set(scores["setting"].to_pylist()) == {"mono", "cross", "multi"}
    for arm in ("bm25", "base+csls", "hybrid@0.25+mean_offset"):
        assert pq.read_table(out / "scores" / arm / "made_up.parquet").num_rows > 0, arm

    model_id = check_tracking(out, first.summary["mlflow_run_id"])
    before = {p: p.stat().st_mtime_ns for p in (out / "models").rglob("*.safetensors")}
    assert len(before) == 2
    again = jobs.run("study", *flags)
    assert again.status == 0, again.output
    assert {p: p.stat().st_mtime_ns for p in (out / "models").rglob("*.safetensors")} == before
    assert again.summary["metrics"] == first.summary["metrics"]
    assert again.summary["mlflow_run_id"] == first.summary["mlflow_run_id"]
    assert check_tracking(out, first.summary["mlflow_run_id"]) == model_id

    extras = ["--set", "evaluate.perturbations=typos,case", "--set", "evaluate.run_depth=1000"]
    extras += ["--set", "encode.actors=3", "--set", "encode.rows_per_shard=20", "--set", "encode.tokens_per_batch=256"]
    store = jobs.home / "another_store"  # nothing that one actor encoded is read back
    extras += ["--set", f"encode.store={store}", "--set", f"model.name=models:/{model_id}"]
    served = jobs.run("evaluate", *extras)
    assert served.status == 0, served.output
    assert "  encoded " in served.output
    check_same_scores_with_three_actors(jobs.home, first.summary["metrics"], served.summary["metrics"])
    check_evaluation(out, served.summary["metrics"])

    shards = {file: file.stat().st_mtime_ns for file in store.glob("*/shards/*")}
    stored = jobs.run("evaluate", *extras)
    assert stored.status == 0, stored.output
    assert "  encoded " not in stored.output, "a second evaluation of a model encodes nothing"
    assert shards == {file: file.stat().st_mtime_ns for file in store.glob("*/shards/*")} != {}
    assert stored.summary["metrics"] == served.summary["metrics"]


def check_same_scores_with_three_actors(home: Path, one: dict[str, float], three: dict[str, float]) -> None:
    """Every metric of every setting, and every query's score, from embeddings that were computed anew."""
    assert any((home / "another_store").rglob("*.arrow"))
    named = {name.removeprefix("hybrid@0.25/"): v for name, v in one.items() if name.startswith("hybrid@0.25/")}
    expected = {name: v for name, v in named.items() if v is not None and v == v}  # not defined on parallel data: PEER
    assert set(expected) == set(three) and len(expected) >= 8 + 8 + 14
    assert three == pytest.approx(expected, abs=1e-6)
    (evaluated,) = (home / "out" / "scores").glob("evaluate-????????/made_up.parquet")
    tables = [pq.read_table(file) for file in (home / "out" / "scores" / "hybrid@0.25" / "made_up.parquet", evaluated)]
    for metric in ("mAP", "max_rank", "same_language_share"):
        before, after = (table[metric].to_numpy() for table in tables)
        np.testing.assert_allclose(before, after, atol=1e-6)


def check_evaluation(out: Path, metrics: dict[str, float]) -> None:
    """Report, certificate, free baselines, perturbations; and another tool finds the same from the TREC files."""
    stored = json.loads((out / "report" / "report.json").read_text())
    assert stored["certificate"]["checks"]["order of passages and queries"].startswith("same")
    assert stored["certificate"]["checks"]["batch size of encoding"].startswith("same")
    assert set(stored["arms"]) == {"model", "model+mean_offset", "model+top_component", "model+csls", "bm25"}
    assert {row["perturbation"] for row in stored["perturbations"]} == {"typos", "case"}
    assert {f.name for f in (out / "report").iterdir()} >= {"report.html", "report.tex", "languages.html"}
    (folder,) = (out / "trec").iterdir()
    judged = list(ir_measures.read_trec_qrels(str(folder / "made_up.qrels")))
    for setting in ("mono", "multi"):
        run = list(ir_measures.read_trec_run(str(folder / f"made_up.{setting}.run")))
        language = {judgement.query_id: judgement.query_id[:2] for judgement in judged}
        pool = [j for j in judged if setting == "multi" or j.doc_id[:2] == language[j.query_id]]
        found = ir_measures.calc_aggregate([ir_measures.AP], pool, run)[ir_measures.AP]
        assert found == pytest.approx(metrics[f"made_up/{setting}/mAP"], abs=1e-6)


def check_tracking(out: Path, parent_id: str) -> str:
    uri = f"sqlite:///{out / 'mlflow.db'}"
    client = MlflowClient(uri)
    parent = client.get_run(parent_id)
    assert parent.info.status == "FINISHED"
    assert {a.path for a in client.list_artifacts(parent_id)} >= {"report", "pictures", "tables"}
    assert parent.data.metrics["hybrid_0.25/made_up/multi/mAP"] > 0
    children = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent_id}'")
    by_name = {run.info.run_name: run for run in children}
    assert set(by_name) == {"base", "hybrid@0.25"}
    hybrid = by_name["hybrid@0.25"]
    assert hybrid.data.params["plan.alpha"] == "0.25"
    assert len(hybrid.data.tags["hybrid.plan_hash"]) == 16
    curve = client.get_metric_history(hybrid.info.run_id, "train/loss")
    assert [point.step for point in curve] == [2, 4, 6]
    assert "made_up/multi/mAP" in hybrid.data.metrics
    assert "made_up/cross/mAP/de-en" in hybrid.data.metrics
    return check_logged_model(
        client, uri, hybrid.info.experiment_id, hybrid.info.run_id, hybrid.data.tags["hybrid.model"]
    )


def check_logged_model(client: MlflowClient, uri: str, experiment: str, run_id: str, model: str) -> str:
    mlflow.set_tracking_uri(uri)
    (logged,) = [m for m in client.search_logged_models([experiment]) if m.source_run_id == run_id]
    served = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    texts = [p.passage for p in made_up_pairs(4)]
    ours = encode(load_encoder(ModelConfig(name=model)), texts, "passage")
    assert np.abs(served.predict(texts, params={"kind": "passage"}) - ours).max() < 1e-5
    return str(logged.model_id)
