"""Join a Ray cluster, or start a local one. Imports Ray only when it is used (see the package)."""

from __future__ import annotations

import logging
import os


def connect(cpus: int) -> None:
    """Join the cluster of RAY_ADDRESS (a submitted job has it set), or start a local one with room for `cpus` processes.

    What workers print stays in Ray's logs; progress and errors reach the terminal through the driver.
    """
    import ray

    if ray.is_initialized():
        return
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.WARNING)
        return
    # Ray Train and Data create actors in a way that Ray's own core reports as an error line; it is none.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray.init(
        address="local",
        num_cpus=max(cpus, os.cpu_count() or 1),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        object_store_memory=300_000_000,
    )


def cpus_of_cluster() -> float:
    """Logical CPUs of all nodes."""
    import ray

    return float(ray.cluster_resources().get("CPU", 1))


def disconnect() -> None:
    """Leave the cluster; a local one stops."""
    import ray

    ray.shutdown()
