"""A real head in a process of its own; the same job through `ray job submit` and through ray_jobs.submit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import ROOT, Jobs
from .nodes import RAY, start_head


@pytest.fixture
def head(jobs: Jobs, background: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A head node; returns the client's environment."""
    return start_head(jobs, background, tmp_path_factory.getbasetemp().parent / f"r{os.getpid()}", cpus=4).env


def test_the_same_job_runs_through_both_ways_of_submitting_and_needs_the_token(
    jobs: Jobs, head: dict[str, str]
) -> None:
    job = ["python", *jobs.command("train")[1:]]
    by_hand = subprocess.run(
        [RAY, "job", "submit", "--working-dir", str(ROOT), "--", *job],
        env=head,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert by_hand.returncode == 0, by_hand.stdout[-3000:] + by_hand.stderr[-3000:]
    assert "hybrid: step 6 of 6" in by_hand.stdout
    (model,) = (jobs.home / "out" / "models").glob("hybrid-*/complete.json")

    elsewhere = ["--set", f"output={jobs.home / 'second'}"]
    submit = [sys.executable, "-m", "ray_jobs.submit", "train", *jobs.settings, *elsewhere]
    ours = subprocess.run(submit, env=head, cwd=jobs.home, capture_output=True, text=True, timeout=300)
    assert ours.returncode == 0, ours.stdout[-3000:] + ours.stderr[-3000:]
    assert "bytes" in ours.stdout and "hybrid: step 6 of 6" in ours.stdout
    second = next((jobs.home / "second" / "models").glob("hybrid-*/model.safetensors"))
    assert second.read_bytes() == model.with_name("model.safetensors").read_bytes()

    wrong = subprocess.run(
        [*submit, "--set", "plan.policy=nope"], env=head, cwd=jobs.home, capture_output=True, text=True, timeout=120
    )
    assert wrong.returncode == 1
    assert "plan.policy='nope'" in wrong.stdout

    (jobs.home / "other-token").write_text("0" * 64)
    stranger = subprocess.run(
        submit,
        env=head | {"RAY_AUTH_TOKEN_PATH": str(jobs.home / "other-token")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert stranger.returncode == 2
    assert "did not take the job" in stranger.stderr
