"""Replay shows the texts training saw, and counts negatives as the loss does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import made_up_pairs

from hybrid_core.config import Config, DataConfig, PlanConfig, TrainConfig
from hybrid_core.data.corpus import Negative
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.data.sources import open_sources, plan_for
from hybrid_core.replay import as_text, replay
from ray_jobs import replay as job
from ray_jobs.cli import main


def request(corpus_directory: Path, **plan: object) -> Config:
    return Config(
        data=DataConfig(corpus=str(corpus_directory)), plan=PlanConfig(**plan), train=TrainConfig(global_batch=12)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["mono", "cross", "hybrid", "multi_positive", "x_x"])
def test_a_step_is_shown_as_the_plan_has_it(corpus_directory: Path, policy: str) -> None:
    config = request(corpus_directory, policy=policy)
    sources = open_sources(config)
    plan = plan_for(config, sources)
    corpus = sources["corpus"].corpus
    shown = replay(sources, plan, 7)
    planned = plan.step(7)
    assert (shown["mode"], shown["digest"]) == (planned.mode, f"{planned.digest:016x}")
    assert [e["query"] for e in shown["examples"]] == corpus.column("query", planned.query_rows)
    assert [e["passages"][0]["text"] for e in shown["examples"]] == corpus.column("passage", planned.passage_rows)
    assert {len(e["passages"]) for e in shown["examples"]} == {2 if policy == "multi_positive" else 1}
    assert all(text in as_text(shown) for e in shown["examples"] for text in (e["query"], e["passages"][0]["text"]))


def test_negatives_of_a_monolingual_batch_are_all_in_its_language(corpus_directory: Path) -> None:
    mono = request(corpus_directory, policy="mono")
    mixed = request(corpus_directory, policy="x_x")
    shares = [
        replay(open_sources(c), plan_for(c, open_sources(c)), 0)["negatives"]["same_language_share"]
        for c in (mono, mixed)
    ]
    assert shares[0] == 1.0
    assert shares[1] < 0.5


def test_the_job_prints_and_writes_a_step(
    corpus_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--set", f"data.corpus={corpus_directory}", "--set", "train.global_batch=4", "--step", "5"]
    assert main(job.JOB, [*flags, "--json", str(tmp_path / "step.json")]) == 0
    written = json.loads((tmp_path / "step.json").read_text())
    assert written["job"] == "replay" and written["step"]["step"] == 5
    assert as_text(written["step"]) in capsys.readouterr().out


def test_a_negative_step_is_refused(corpus_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--set", f"data.corpus={corpus_directory}", "--set", "train.global_batch=4"]
    assert main(job.JOB, [*flags, "--step", "-1"]) == 2
    assert "--step -1 must be 0 or more" in capsys.readouterr().err


def test_a_step_past_the_end_of_the_run_is_shown_with_a_warning(
    corpus_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--set", f"data.corpus={corpus_directory}", "--set", "train.global_batch=4", "--set", "train.steps=50"]
    flags += ["--json", str(tmp_path / "step.json")]
    assert main(job.JOB, [*flags, "--step", "50"]) == 0
    warning = "step 50 is past the end of this run: train.steps=50, its last step is 49"
    assert warning in capsys.readouterr().out
    assert warning in json.loads((tmp_path / "step.json").read_text())["step"]["warning"]
    assert main(job.JOB, [*flags, "--step", "49"]) == 0
    assert "past the end" not in capsys.readouterr().out
    assert json.loads((tmp_path / "step.json").read_text())["step"]["warning"] is None


def test_the_prefixes_shown_are_those_the_model_reads(
    corpus_directory: Path, encoder_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(*settings: str) -> tuple[dict[str, str | None], str]:
        flags = [part for setting in ("train.global_batch=4", *settings) for part in ("--set", setting)]
        assert main(job.JOB, [*flags, "--json", str(tmp_path / "step.json")]) == 0
        return json.loads((tmp_path / "step.json").read_text())["step"]["prefixes"], capsys.readouterr().out

    only = f"data.corpus={corpus_directory}"
    prefixes, text = shown(only)
    assert prefixes == {"query": "query: ", "passage": "passage: "}  # the packaged model's
    assert 'put before them: query "query: ", passage "passage: "' in text
    prefixes, text = shown(only, f"model.name={encoder_directory}", "model.query_prefix=Q ")
    assert prefixes == {"query": "Q ", "passage": ""}
    assert 'query "Q ", passage nothing' in text
    prefixes, text = shown(only, "model.name=s3://elsewhere/model", "model.query_prefix=Q ")
    assert prefixes == {"query": "Q ", "passage": None}
    assert "passage as the model says, whose files are not here" in text
    prefixes, _ = shown(f"data.corpora.faq.corpus={corpus_directory}", "data.corpora.faq.query_prefix=F ")
    assert prefixes == {"query": "F ", "passage": "passage: "}


def test_slots_without_a_negative_are_neither_shown_nor_counted(tmp_path: Path) -> None:
    pairs = [
        replace(p, negatives=(Negative("a wrong passage", "en"),) if p.meaning_id == "m0001" else ())
        for p in made_up_pairs(4, ("de", "en"))
    ]
    write_corpus(tmp_path / "corpus", pairs, licence="Apache-2.0", sources=["tests"])
    config = Config(
        data=DataConfig(corpus=str(tmp_path / "corpus"), languages=("en",)),
        plan=PlanConfig(policy="mono", hard_negatives=2), train=TrainConfig(global_batch=4),
    )  # fmt: skip
    sources = open_sources(config)
    shown = replay(sources, plan_for(config, sources), 0)
    assert shown["negatives"]["per_query"] == 4.0  # three other passages and the one hard negative
    roles = {e["meaning_id"]: [p["role"] for p in e["passages"]] for e in shown["examples"]}
    assert roles == {
        "m0000": ["positive"],
        "m0001": ["positive", "negative"],
        "m0002": ["positive"],
        "m0003": ["positive"],
    }
    own = replay(sources, plan_for(config, sources), 0, negatives="own")
    assert own["negatives"]["per_query"] == 0.25
