"""A tracking server that goes away in the middle of a run and comes back."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from hybrid_core.config import Config
from ray_jobs import _tracking

from .conftest import end_group, wait_for
from .nodes import free_ports

Start = Callable[..., "subprocess.Popen[str]"]


def start_server(port: int, folder: Path, background: Start) -> subprocess.Popen[str]:
    """An MLflow server on loopback over the same store every time; returns when it answers."""
    process = background(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", str(folder / "artifacts")],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def healthy() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    wait_for(healthy, "the MLflow server", seconds=120)
    return process


def test_metrics_measured_while_the_server_is_down_arrive_when_it_is_back(
    tmp_path: Path, background: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = start_server(port, tmp_path, background)
    run = _tracking.open_run(Config(output=str(tmp_path / "out")), "train", kind="train")
    unsent = tmp_path / "out" / "unsent-metrics" / f"{run.id}.jsonl"
    run.log_metrics(1, {"train/loss": 1.0})
    end_group(server)

    run.log_metrics(2, {"train/loss": 0.5, "train/learning_rate": 0.1})
    run.log_metrics(3, {"train/loss": 0.25})
    assert len(unsent.read_text().splitlines()) == 3
    assert "did not take" in capsys.readouterr().out

    start_server(port, tmp_path, background)
    run.log_metrics(4, {"train/loss": 0.125})
    history = MlflowClient(run.place.tracking_uri).get_metric_history(run.id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5), (3, 0.25), (4, 0.125)]
    assert [point.timestamp for point in history] == sorted(point.timestamp for point in history)
    assert not unsent.exists()


def test_what_waited_when_the_run_ended_is_delivered_when_it_is_closed(
    tmp_path: Path, background: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = start_server(port, tmp_path, background)
    run = _tracking.open_run(Config(output=str(tmp_path / "out")), "train", kind="train")
    end_group(server)
    run.log_metrics(7, {"train/loss": 0.5})

    start_server(port, tmp_path, background)
    run.finish()
    data: Any = MlflowClient(run.place.tracking_uri).get_run(run.id)
    assert (data.info.status, data.data.metrics["train/loss"]) == ("FINISHED", 0.5)
