"""Join a Ray cluster, or start a local one. Imports Ray only when it is used (see the package)."""

from __future__ import annotations

import logging
import os
from typing import Any

from hybrid_core.config import EncodeConfig
from hybrid_core.config.devices import tokenizers
from hybrid_core.errors import RequestError

_STARTS = 3
"""Attempts to start a local cluster: Ray gives its agents 15 seconds, whatever the machine does (ray-project/ray issue 65983)."""


def connect(cpus: int, gpus: int = 0) -> None:
    """Join the cluster of RAY_ADDRESS (a submitted job has it set), or start a local one with room for `cpus` processes.

    What workers print stays in Ray's logs; progress and errors reach the terminal through the driver.

    Raises:
        RequestError: a local cluster cannot have that many GPUs.
    """
    import ray

    if ray.is_initialized():
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.WARNING)
        missing = {"CPU": cpus, "GPU": gpus}.items()
        short = [f"{n} {kind}" for kind, n in missing if ray.cluster_resources().get(kind, 0) < n]
        if short:
            print(f"the cluster has not {' and '.join(short)} yet; waiting until nodes with them join")
        return
    _start_local(max(cpus, os.cpu_count() or 1))
    found = int(ray.cluster_resources().get("GPU", 0))
    if found < gpus:
        ray.shutdown()
        raise RequestError(
            f"this machine has {found} GPU(s), the request needs {gpus}; set train.workers and encode.actors, or "
            "train.use_gpu=false and encode.use_gpu=false, or submit to a cluster (docs/cluster.md)"
        )


def _start_local(cpus: int) -> None:
    """Start a cluster on this machine; if its processes are too slow for Ray's patience, again."""
    import ray

    for attempt in range(1, _STARTS + 1):
        try:
            ray.init(
                address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING,
                object_store_memory=300_000_000,
            )  # fmt: skip
            return
        except Exception as error:  # Ray has no class for it
            ray.shutdown()
            if "timed out during startup" not in str(error) or attempt == _STARTS:
                raise
            print("  Ray's processes were not up in time on this busy machine; starting them again")


def processors(encode: EncodeConfig) -> int:
    """What encoding asks for: the threads of every encoder on a CPU, one for an encoder on a GPU, one a tokenizer."""
    return encode.actors * (1 if encode.use_gpu else encode.threads) + tokenizers(encode)


def threads_that_fit(encode: EncodeConfig) -> int:
    """Processors of one encoder: `encode.threads`, or all of the largest node where that has fewer; with a GPU one."""
    import ray

    if encode.use_gpu:
        return 1
    largest = int(max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0))
    if 1 <= largest < encode.threads:
        print(f"  no node has {encode.threads} processors (encode.threads); encoders get {largest}")
        return largest
    return encode.threads


def gangs_that_fit(workers: int, *, use_gpu: bool) -> int:
    """How many training gangs the cluster can run at once, at least one; one CPU is left for everything else."""
    import ray

    resources = ray.cluster_resources()
    fit = int(resources.get("CPU", 1) - 1) // workers
    if use_gpu:
        fit = min(fit, int(resources.get("GPU", 0)) // workers)
    return max(1, fit)


def beside_driver(actor: type) -> Any:
    """An actor of this class that costs no CPU slot and lives where the driver does: no other node's loss takes it away."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(actor).remote()


def disconnect() -> None:
    """Leave the cluster; a local one stops."""
    import ray

    ray.shutdown()
