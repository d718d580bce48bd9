"""A local Ray whose agent is not up in time, as on a machine that is busy, is started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from .conftest import Jobs, processes_below, wait_for

PROGRAM = """
from ray_jobs import environment
environment.apply()
import ray
from ray_jobs._ray.cluster import connect
connect(1)
print("answer", ray.get(ray.remote(lambda: 7 * 6).remote()))
"""


def test_a_local_cluster_whose_agent_is_too_slow_is_started_again(jobs: Jobs, background: Callable[..., Any]) -> None:
    process = background(
        [sys.executable, "-c", PROGRAM], env=jobs.env, cwd=jobs.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )

    def agents() -> list[int]:
        titles = processes_below(process.pid).items()  # the raylet's own names the agent too
        return [
            pid for pid, title in titles if "dashboard/agent.py" in title and not title.split()[0].endswith("raylet")
        ]

    (slow,) = wait_for(agents, "the agent")
    os.kill(slow, signal.SIGSTOP)
    output, _ = process.communicate(timeout=300)
    with contextlib.suppress(ProcessLookupError):
        os.kill(slow, signal.SIGKILL)
    assert process.returncode == 0, output
    assert "starting them again" in output and "answer 42" in output
