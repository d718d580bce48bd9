"""A real head in a process of its own; the same job through `ray job submit` and through ray_jobs.submit."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Jobs, wait_for

RAY = str(Path(sys.executable).with_name("ray"))


def free_ports(count: int) -> list[int]:
    """Free ports outside Ray's worker range (10002-19999) whose gRPC sibling, 10000 above (SeaweedFS), is free too."""
    found: list[int] = []
    candidates = random.sample(range(20_000, 30_000), 1000)
    while len(found) < count:
        port = candidates.pop()
        with socket.socket() as own, socket.socket() as sibling, contextlib.suppress(OSError):
            own.bind(("127.0.0.1", port))
            sibling.bind(("127.0.0.1", port + 10_000))
            found.append(port)
    return found


@pytest.fixture
def head(jobs: Jobs, background: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A head node with the environment of ray_jobs.environment; returns the client's environment."""
    lines = subprocess.run(
        [sys.executable, "-m", "ray_jobs.environment"], env=jobs.env, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    node = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    env = jobs.env | {name: value.strip("'") for name, value in node.items()}
    env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    short = tmp_path_factory.getbasetemp().parent / f"r{os.getpid()}"  # socket paths must stay below 108 characters
    gcs, dashboard, agent, metrics = free_ports(4)
    background(
        [RAY, "start", "--head", "--block", f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
         f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}", "--num-cpus=4",
         "--object-store-memory=200000000", f"--temp-dir={short}", "--disable-usage-stats"],
        env=env, cwd=jobs.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    client = env | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}

    def answers() -> bool:
        listing = subprocess.run([RAY, "job", "list"], env=client, capture_output=True, text=True, timeout=60)
        return listing.returncode == 0

    wait_for(answers, "the head node", seconds=180)
    return client


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
