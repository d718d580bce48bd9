"""Ranks as real processes on loopback with gloo: one interpreter loads the libraries once and forks a process a rank."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from .nodes import free_ports

LAUNCHER = """
import json, os, sys
import torch, torch.distributed, transformers.models.bert.modeling_bert
import hybrid_core.trainer

program, groups = sys.argv[1], json.loads(sys.argv[2])


def fork(arguments, rank, ranks, port):
    if child := os.fork():
        return child
    sys.argv = ["rank", *arguments]
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    exec(compile(program, "the program of the test", "exec"), {"__name__": "__main__", "rank": rank})
    torch.distributed.destroy_process_group()
    sys.exit()


for ranks, arguments, port in groups:
    children = [fork(arguments, rank, ranks, port) for rank in range(ranks)]
    if any([os.waitpid(child, 0)[1] for child in children]):
        sys.exit(1)
"""
"""What is executed is a test's own text, handed over as an argument as with `python -c`."""


def run_ranks(program: str, groups: Sequence[tuple[int, Sequence[str]]]) -> None:
    """Run a program on groups of ranks, one group after the other, each of a size and with arguments.

    The program finds its `rank`, its arguments in `sys.argv[1:]`, and gloo set up.

    Raises:
        AssertionError: a rank failed; holds what the ranks wrote to standard error.
    """
    ports = free_ports(len(groups))
    given = json.dumps([(ranks, list(words), port) for (ranks, words), port in zip(groups, ports, strict=True)])
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, program, given], env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        errors = process.communicate(timeout=400)[1]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
