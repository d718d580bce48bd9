"""Ranks as real processes on loopback with gloo: one interpreter loads the libraries once and forks a process a rank."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from .nodes import free_ports

LAUNCHER = """
import os, sys
import torch, torch.distributed, transformers.models.bert.modeling_bert
import hybrid_core.trainer

program, ranks = sys.argv[1], int(sys.argv[2])
sys.argv = ["rank", *sys.argv[3:]]
children = []
for rank in range(ranks):
    sys.stdout.flush()
    if not (child := os.fork()):
        os.environ["RANK"] = str(rank)
        break
    children.append(child)
else:
    sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
exec(compile(program, "the program of the test", "exec"), {"__name__": "__main__", "rank": rank})
torch.distributed.destroy_process_group()
"""


def run_ranks(program: str, ranks: int, arguments: Sequence[str]) -> None:
    """Run a program on some number of ranks and wait for all; it finds its `rank`, `sys.argv[1:]`, and gloo set up.

    Raises:
        AssertionError: a rank failed; holds what the ranks wrote to standard error.
    """
    (port,) = free_ports(1)
    env = os.environ | {
        "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    command = [sys.executable, "-c", LAUNCHER, program, str(ranks), *arguments]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        errors = process.communicate(timeout=300)[1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
