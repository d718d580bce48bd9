"""Real processes: jobs run as a user runs them, from the command line, each with its own home and outputs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import made_up_pairs

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Finished:
    """A job that has ended."""

    status: int
    output: str
    summary: dict[str, Any]


@dataclass
class Jobs:
    """Runs jobs against one output folder or bucket."""

    home: Path
    settings: list[str]
    env: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, job: str, *flags: str) -> list[str]:
        return [sys.executable, "-m", f"ray_jobs.{job}", *self.settings, *flags]

    def start(self, job: str, *flags: str) -> subprocess.Popen[str]:
        """Start a job in a process group of its own."""
        process = subprocess.Popen(
            self.command(job, *flags), cwd=self.home, env=self.env, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, job: str, *flags: str) -> Finished:
        """Run a job to its end."""
        summary = self.home / f"{job}.json"
        process = self.start(job, *flags, "--json", str(summary))
        output, _ = process.communicate(timeout=400)
        written = json.loads(summary.read_text()) if summary.exists() else {}
        return Finished(process.returncode, output, written)


@pytest.fixture(scope="session")
def suite_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR-shaped suite of made-up text."""
    folder = tmp_path_factory.mktemp("suites") / "made_up"
    folder.mkdir()
    pairs = made_up_pairs(60)[40 * 3 :]
    with (folder / "queries.jsonl").open("w") as queries, (folder / "passages.jsonl").open("w") as passages:
        for p in pairs:
            row = {"id": f"{p.language}-{p.meaning_id}", "language": p.language, "meaning_id": p.meaning_id}
            queries.write(json.dumps(row | {"text": p.query}) + "\n")
            passages.write(json.dumps(row | {"text": p.passage}) + "\n")
    with (folder / "qrels.tsv").open("w") as qrels:
        for q in pairs:
            for p in pairs:
                if p.meaning_id == q.meaning_id:
                    qrels.write(f"{q.language}-{q.meaning_id}\t0\t{p.language}-{p.meaning_id}\t1\n")
    return folder


@pytest.fixture
def jobs(tmp_path: Path, corpus_directory: Path, encoder_directory: Path, suite_directory: Path) -> Iterator[Jobs]:
    """Jobs on made-up data with the tiny encoder, output below the test's own folder."""
    settings = {
        "output": tmp_path / "out", "model.name": encoder_directory, "data.corpus": corpus_directory, "evaluate.suites": suite_directory,
        "train.global_batch": 16, "train.steps": 6, "train.workers": 1, "train.learning_rate": 1e-3, "train.checkpoint_every": 3,
        "train.log_every": 2, "evaluate.bootstrap_samples": 200,
    }  # fmt: skip
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "AWS_", "MLFLOW_"))}
    env = keep | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    running = Jobs(tmp_path, flags, env)
    yield running
    for process in running.started:
        end_group(process)


def end_group(
    process: subprocess.Popen[str], signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGKILL)
) -> None:
    """End a process with everything it started."""
    for sign in signals:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, sign)
            process.wait(timeout=15)
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 300) -> Any:
    """Poll until the condition holds and return its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


def processes_below(ancestor: int) -> dict[int, str]:
    """Process id -> title of every descendant (Ray workers set their titles, e.g. ray::RayTrainWorker)."""
    parents, titles = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                titles[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])

    def descends(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == ancestor:
                return True
        return False

    return {pid: title for pid, title in titles.items() if descends(pid)}


@pytest.fixture
def background() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts servers; whatever still runs at the end of the test is ended with its process group."""
    started: list[subprocess.Popen[str]] = []

    def start(command: list[str], **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, text=True, start_new_session=True, **options)
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        end_group(process)
