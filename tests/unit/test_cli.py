"""The command line is frozen; dry runs start nothing; exit statuses and summaries tell programs what happened."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ray_jobs import encode, evaluate, export, mine, prepare, replay, report, search, study, submit, train, tune, ui
from ray_jobs.cli import Job, main, parser

COMMON = {"--help", "--recipe", "--config", "--set", "--dry-run", "--json"}
JOBS = {
    train.JOB: COMMON,
    study.JOB: COMMON,
    evaluate.JOB: COMMON,
    prepare.JOB: COMMON,
    report.JOB: COMMON | {"--paper", "--results"},
    tune.JOB: COMMON | {"--space"},
    ui.JOB: COMMON | {"--port"},
    mine.JOB: COMMON,
    encode.JOB: COMMON,
    search.JOB: COMMON | {"--query"},
    export.JOB: COMMON,
}


SMALL = ["--set", "train.global_batch=8", "--set", "train.steps=2"]


@pytest.fixture(autouse=True)
def local_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_flags_are_frozen(job: Job) -> None:
    flags = {option for action in parser(job)._actions for option in action.option_strings if option.startswith("--")}
    assert flags == JOBS[job], "new knobs are config fields, not flags"


def test_dry_run_prints_config_and_plan_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(train.JOB, ["--dry-run", "--set", f"output={tmp_path / 'out'}", "--set", "train.global_batch=8"]) == 0
    printed = capsys.readouterr().out
    assert "alpha: null" in printed
    assert "plan hash:" in printed
    assert "step 4:" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("schedule", "first", "told"),
    [
        ("plan.alpha=1.0 plan.alpha_schedule=linear plan.alpha_end=0.0", "mono", "20 of 40 batches are monolingual"),
        ("plan.alpha=0.0 plan.alpha_schedule=linear plan.alpha_end=1.0", "cross", "21 of 40 batches are monolingual"),
        ("plan.alpha=1.0 plan.alpha_schedule=cosine plan.alpha_end=0.0", "mono", "20 of 40 batches are monolingual"),
        (
            "plan.alpha_schedule=piecewise plan.alpha_points=0:1.0,4:1.0,5:0.0",
            "mono",
            "5 of 40 batches are monolingual",
        ),
    ],
)
def test_a_dry_run_shows_the_beginning_of_a_schedule_of_a_run_shorter_than_a_block(
    schedule: str, first: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [part for s in ["train.steps=40", "train.global_batch=8", *schedule.split()] for part in ("--set", s)]
    assert main(train.JOB, ["--dry-run", *settings]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^step \d: (\w+)", printed, flags=re.MULTILINE) == [first] * 5
    assert f"{told}\n" in printed


def test_a_dry_run_says_when_a_constant_alpha_does_not_come_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(train.JOB, ["--dry-run", *SMALL[:2], "--set", "train.steps=24", "--set", "plan.alpha=0.5"]) == 0
    told = r"\d+ of 24 batches are monolingual, where alpha asks for 12: .* plan\.block=100 .* divides the run"
    assert re.search(told, capsys.readouterr().out)
    assert main(train.JOB, ["--dry-run", *SMALL[:2], "--set", "train.steps=24", "--set", "plan.block=24"]) == 0
    assert "12 of 24 batches are monolingual\n" in capsys.readouterr().out


def test_study_dry_run_says_what_would_happen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(study.JOB, ["--recipe", "quickstart", "--dry-run", "--set", f"output={tmp_path / 'out'}"]) == 0
    said = "would train 3 arm(s) (mono, cross, hybrid) with 1 seed(s) for 24 steps of 16 pairs on 2 worker(s)"
    assert said in capsys.readouterr().out
    flags = ["--recipe", "quickstart", "--dry-run", "--set", f"output={tmp_path / 'out'}", "--set", "study.seeds=1,2,3"]
    assert main(study.JOB, flags) == 0
    assert "with 3 seed(s) for 24 steps" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("job", "flags", "expected"),
    [
        (train.JOB, ["--recipe", "nope"], "unknown recipe 'nope'"),
        (train.JOB, ["--set", "plan.alpha=2"], "plan.alpha=2.0 is outside"),
        (train.JOB, ["--set", "data.languages=en,sw"], "data.languages: 'sw' has no pairs"),
        (train.JOB, ["--set", "data.corpus=/nowhere"], "is not a prepared corpus"),
        (train.JOB, ["--set", "train.global_batch=65"], "has 64 query-passage pairs, fewer than train.global_batch=65"),
        (train.JOB, [*SMALL, "--set", "model.name=no/such-model"], "model.name='no/such-model' cannot be loaded"),
        (train.JOB, [*SMALL, "--set", "model.name=packaged:me5"], "no packaged model 'me5'"),
        (
            train.JOB,
            [*SMALL, "--set", "plan.policy=mono", "--set", "plan.cross_pair=per_batch"],
            "plan.cross_pair='per_batch' would",
        ),
        (replay.JOB, [*SMALL, "--set", "plan.corpus_exponent=1"], "plan.corpus_exponent=1.0 would have no effect"),
        (
            study.JOB,
            [*SMALL, "--set", "study.arms=base,mono,x_x", "--set", "plan.pivot=en"],
            "plan.pivot='en' would have no effect on any of mono, x_x",
        ),
        (tune.JOB, [*SMALL, "--set", "plan.policy=mono"], "plan.alpha=0.0 would have no effect"),
        (
            tune.JOB,
            [*SMALL, "--set", "train.teacher_temperature=1"],
            "train.teacher_temperature=1.0 would have no effect",
        ),
        (evaluate.JOB, ["--set", "evaluate.suites=xqad_r"], "'xqad_r' is no built-in suite.*did you mean 'xquad_r'"),
        (evaluate.JOB, ["--set", "evaluate.suites=xquad_r"], "github.com/google-research-datasets/lareqa"),
        (study.JOB, [*SMALL, "--set", "study.arms=base,hybird"], "'hybird'; did you mean 'hybrid'"),
        (study.JOB, [*SMALL, "--set", "study.arms=base,hybrid@7"], "alpha 7.0 is outside"),
        (
            study.JOB,
            [*SMALL, "--set", "evaluate.in_domain=finance"],
            "evaluate.in_domain='finance' is not among the suites",
        ),
        (evaluate.JOB, ["--set", "evaluate.in_domain=finance"], "not among the suites; did you mean 'sample_finance'"),
        (tune.JOB, ["--space", "smok"], "unknown space 'smok'; did you mean 'smoke'"),
        (tune.JOB, ["--set", "train.evaluate_every=0"], "train.evaluate_every=0"),
        (prepare.JOB, [], "prepare.source is not set"),
        (search.JOB, [], "set search.embeddings"),
        (export.JOB, [], "export.embeddings is not set"),
        (report.JOB, [], "holds no report/report.json"),
    ],
)
def test_wrong_requests_exit_with_2_say_why_and_leave_nothing(
    job: Job,
    flags: list[str],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    summary, output = tmp_path / "summary.json", tmp_path / "out"
    assert main(job, [*flags, "--set", f"output={output}", "--json", str(summary)]) == 2
    assert re.search(expected, capsys.readouterr().err)
    assert [p for p in output.rglob("*") if p.is_file()] == []
    assert json.loads(summary.read_text())["status"] == "refused"


@pytest.mark.parametrize("job", [train.JOB, study.JOB, evaluate.JOB], ids=lambda job: job.name)
def test_an_output_that_cannot_be_written_is_refused_before_anything_starts(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(job, [*SMALL, "--set", f"output={tmp_path / 'file' / 'below'}"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_submit_refuses_unknown_jobs_and_missing_addresses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert submit.main(["trian"]) == 2
    assert "unknown job 'trian'; did you mean 'train'" in capsys.readouterr().err
    assert submit.main(["train"]) == 2
    assert "RAY_API_SERVER_ADDRESS" in capsys.readouterr().err


def test_the_package_that_travels_is_small() -> None:
    assert 100_000 < submit.package_size(Path(submit.__file__).resolve().parent.parent) < 20_000_000
