"""Requests for robustness that cannot run are refused before anything is started, and a dry run says so too."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_suites import a_suite

from hybrid_core.config import EvaluateConfig
from hybrid_core.errors import RequestError
from hybrid_core.robustness.perturbations import PERTURBATIONS
from hybrid_core.robustness.requests import check_robustness
from hybrid_core.settings import build
from ray_jobs import evaluate, study, tune
from ray_jobs.cli import Job, main


def test_the_perturbations_of_the_config_are_those_that_exist() -> None:
    with pytest.raises(RequestError, match="did you mean 'typos'") as error:
        build(EvaluateConfig, {"perturbations": ["typoz"]}, "evaluate.")
    assert f"(allowed: {', '.join(PERTURBATIONS)})" in str(error.value)


REFUSED = [
    ("evaluate.perturbations=typoz", "evaluate.perturbations='typoz'; did you mean 'typos'?"),
    ("evaluate.perturbations=typos,typos", "evaluate.perturbations=typos,typos must name each once"),
    ("evaluate.distractors=5,5", "evaluate.distractors=5,5 must name each once"),
    ("evaluate.perturbations=code_switching", "code_switching needs evaluate.lexicon"),
    ("evaluate.lexicon=corpus", "evaluate.lexicon='corpus' is for code_switching"),
    ("evaluate.seen_languages=xx", "evaluate.seen_languages: language 'xx' is not a code of ISO 639"),
    ("evaluate.seen_languages=en,sw", "evaluate.seen_languages: no suite of the request has 'sw'; leave it out"),
    ("evaluate.in_domain=news", "evaluate.in_domain='news' is not among the suites"),
    ("evaluate.suites=sample_law evaluate.distractors=5", "'sample_law': nothing to draw distractors from"),
    ("evaluate.perturbations=code_switching evaluate.lexicon=/no/such/file", "/no/such/file does not exist"),
]


@pytest.mark.parametrize("dry", [True, False], ids=["dry", "run"])
@pytest.mark.parametrize(("settings", "expected"), REFUSED)
def test_an_evaluation_that_cannot_run_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: str, expected: str,
    *, dry: bool,
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    flags = [part for text in settings.split(" ") for part in ("--set", text)]
    assert main(evaluate.JOB, [*flags, *(["--dry-run"] * dry), "--set", f"output={tmp_path / 'out'}"]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("job", [study.JOB, tune.JOB], ids=lambda job: job.name)
def test_jobs_that_train_check_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, job: Job
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    flags = ["--dry-run", "--set", "evaluate.seen_languages=sw", "--set", "train.workers=1"]
    assert main(job, flags) == 2
    assert "no suite of the request has 'sw'" in capsys.readouterr().err


def test_a_dry_run_names_variants_and_languages_with_fewer_distractors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = [
        "evaluate.suites=sample",
        "evaluate.distractors=1000",
        "evaluate.perturbations=typos",
        "evaluate.bm25_passages=40",
    ]
    assert main(evaluate.JOB, ["--dry-run", *(part for text in flags for part in ("--set", text))]) == 0
    said = capsys.readouterr().out
    assert "sample_law~typos: " in said and "sample_law~distractors_1000: " in said
    assert "sample_law: 1,000 distractors per language were asked for, there are fewer in ar 1" in said


def test_seen_languages_may_be_those_of_queries_alone() -> None:
    suite = a_suite(0, query_languages=("de", "sw"), settings_=("multi",))
    assert "sw" not in suite.languages
    check_robustness(EvaluateConfig(seen_languages=("en", "sw")), [suite])
