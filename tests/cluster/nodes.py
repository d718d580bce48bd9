"""Ray nodes as processes of their own on this machine, with the environment of `ray_jobs.environment`."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .conftest import Jobs, wait_for

RAY = str(Path(sys.executable).with_name("ray"))
PERSISTENTLY = ("sh", "-c", 'until "$@"; do sleep 1; done', "sh")
"""A node ends at once if its agents are not up in 15 seconds (ray-project/ray issue 65983), which may happen on a busy machine."""
Start = Callable[..., "subprocess.Popen[str]"]


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


@dataclass
class Head:
    """A running head node."""

    address: str
    env: dict[str, str]
    """Of a client: `ray job` and `ray_jobs.submit` find the head through it."""
    metrics: str
    """Where Prometheus would read."""
    jobs: Jobs
    start: Start

    def add_node(self, cpus: int) -> subprocess.Popen[str]:
        """Start a second node in a process group of its own; kill the group to lose the machine."""
        agent, metrics = free_ports(2)
        return self.start(
            [*PERSISTENTLY, RAY, "start", "--block", f"--address={self.address}", f"--num-cpus={cpus}",
             "--object-store-memory=100000000", f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}",
             "--disable-usage-stats"],
            env=self.env, cwd=self.jobs.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def start_head(jobs: Jobs, start: Start, short: Path, *, cpus: int) -> Head:
    """Start a head node and wait until it answers. `short`: its folder; socket paths must stay below 108 characters."""
    lines = subprocess.run(
        [sys.executable, "-m", "ray_jobs.environment"], env=jobs.env, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    node = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    env: dict[str, Any] = jobs.env | {name: value.strip("'") for name, value in node.items()}
    env["RAY_metrics_report_interval_ms"] = "1000"
    env |= {"RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "3000"}  # a lost node is missed sooner
    env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    gcs, dashboard, agent, metrics = free_ports(4)
    start(
        [*PERSISTENTLY, RAY, "start", "--head", "--block", f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
         f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}", f"--num-cpus={cpus}",
         "--object-store-memory=200000000", f"--temp-dir={short}", "--disable-usage-stats"],
        env=env, cwd=jobs.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    client = env | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}

    def answers() -> bool:
        listing = subprocess.run([RAY, "job", "list"], env=client, capture_output=True, text=True, timeout=60)
        return listing.returncode == 0

    wait_for(answers, "the head node", seconds=180)
    return Head(f"127.0.0.1:{gcs}", client, f"http://127.0.0.1:{metrics}/metrics", jobs, start)
