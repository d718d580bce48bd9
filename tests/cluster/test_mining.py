"""Mine hard negatives, train on them with everything switched on, select by a suite, and replay what was shown."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np

from hybrid_core.data.corpus import Corpus
from hybrid_core.data.mining import rows_in_use

from .conftest import Jobs

EVERYTHING = {
    "plan.hard_negatives": 2, "train.loss": "info_nce_and_distillation", "train.learn_temperature": "true", "train.matryoshka": "16,8",
    "train.gradcache": "true", "train.tokens_per_forward": 128, "train.schedule": "cosine", "train.gradient_checkpointing": "true",
    "train.steps": 40, "train.evaluate_every": 4, "train.select": "made_up/multi/mAP", "train.patience": 2, "train.keep_checkpoints": 1,
    "train.learning_rate": 0.05, "plan.alpha_schedule": "linear", "plan.alpha": 1.0, "plan.alpha_end": 0.0,
}  # fmt: skip


def metric(out: Path, run: str, name: str) -> list[tuple[int, float]]:
    with sqlite3.connect(out / "mlflow.db") as database:
        query = "select step, value from metrics where key = ? and run_uuid = ? order by step"
        return [(int(step), float(value)) for step, value in database.execute(query, (name, run))]


def test_mined_negatives_are_balanced_trained_on_selected_by_and_replayed(jobs: Jobs) -> None:
    mined = jobs.run("mine", "--set", "mine.per_language=3", "--set", "mine.max_share=5.0")
    assert mined.status == 0, mined.output
    assert "negatives per query, by language of query (rows) and negative" in mined.output
    corpus = Corpus.open(mined.summary["outputs"]["corpus"], verify=True)
    counts = {(n["language"]) for row in corpus.column("negatives", rows_in_use(corpus)) for n in row}
    assert counts == {"de", "en", "fr"}
    assert mined.summary["mined"]["queries_without_negatives"] == 0
    assert np.isfinite(corpus.column("score", rows_in_use(corpus))).all()

    flags = [part for key, value in EVERYTHING.items() for part in ("--set", f"{key}={value}")]
    flags += ["--set", f"data.corpus={corpus.directory}"]
    trained = jobs.run("train", *flags)
    assert trained.status == 0, trained.output
    out, run = jobs.home / "out", trained.summary["mlflow_run_id"]
    curve = metric(out, run, "made_up/multi/mAP")
    best_step, best = max(curve, key=lambda point: (point[1], -point[0]))
    assert curve[-1][0] < 40, "a learning rate this high must make it worse, and the run stop early"
    assert curve[-1][0] == best_step + 2 * 4
    assert len({value for _, value in metric(out, run, "train/temperature")}) > 1

    again = ["--set", f"model.name={trained.summary['outputs']['model']}", "--set", f"output={jobs.home / 'again'}"]
    scored = jobs.run("evaluate", *again)
    assert scored.status == 0, scored.output
    assert abs(scored.summary["metrics"]["made_up/multi/mAP"] - best) < 1e-6, (
        "the model is not that of the best evaluation"
    )

    shown = jobs.run("replay", *flags, "--step", "3", "--run", run)
    assert shown.status == 0, shown.output
    assert "was trained under this plan" in shown.output
    assert {p["role"] for e in shown.summary["step"]["examples"] for p in e["passages"]} == {"positive", "negative"}
    other = jobs.run("replay", *flags, "--set", "plan.alpha=0.75", "--step", "3", "--run", run)
    assert other.status == 2
    assert "plan.alpha=1.0 (here 0.75)" in other.output
    assert json.loads((jobs.home / "replay.json").read_text())["status"] == "refused"
