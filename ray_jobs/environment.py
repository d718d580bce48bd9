"""The environment of every node, client and test: the one place where Ray, MLflow and storage settings are decided.

`python -m ray_jobs.environment` prints it as shell lines for `eval`, before `ray start` on a node of a cluster.
"""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path

# Ray's own defaults need minutes to notice a cut network, and a plain task on the cut node is never retried.
FAILURE_DETECTION = {
    "RAY_health_check_period_ms": "3000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_grpc_client_keepalive_time_ms": "20000",
    "RAY_grpc_client_keepalive_timeout_ms": "10000",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
}
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else workers are started as `uv run`, which hangs where uv is missing
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
MLFLOW = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default blocks a training loop for four minutes when the server is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves 2 GB and eight seconds of start-up
}
PASSED_BY_NAME = (
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "MLFLOW_TRACKING_URI",
    "MLFLOW_S3_ENDPOINT_URL", "HF_HUB_OFFLINE",
)  # fmt: skip
"""Settings without secrets, handed from the submitter to a job. Credentials must already be on the nodes."""


def token_file() -> Path:
    """Ray's access token of this user, readable by nobody else; made on first use."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".config" / "hybrid-batches" / "ray-token"))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path


def environment(existing: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a process that starts or joins Ray needs; variables the user has set keep their values."""
    wanted = FAILURE_DETECTION | QUIET | MLFLOW
    # Unset, Ray turns authentication on for some commands and not for others, and they cannot talk to each other.
    wanted |= {"RAY_AUTH_MODE": "token"}
    if existing.get("RAY_AUTH_MODE", "token") == "token" and "RAY_AUTH_TOKEN" not in existing:
        wanted["RAY_AUTH_TOKEN_PATH"] = str(token_file())
    if "AWS_ENDPOINT_URL_S3" in existing or "AWS_ENDPOINT_URL" in existing:
        endpoint = existing.get("AWS_ENDPOINT_URL_S3") or existing["AWS_ENDPOINT_URL"]
        wanted |= {"AWS_ENDPOINT_URL": endpoint, "MLFLOW_S3_ENDPOINT_URL": endpoint}
    return {name: existing.get(name, value) for name, value in wanted.items()}


def apply() -> None:
    """Put it into this process, before ray or mlflow is imported."""
    os.environ.update(environment())
    if "RAY_ADDRESS" not in os.environ:
        # A local cluster: Ray Train and Data create actors in a way that Ray's core reports as errors; they are none.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        # Nobody reclaims this machine: the process that would watch for it costs every run seconds.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")


if __name__ == "__main__":
    for name, value in sorted(environment().items()):
        print(f"export {name}={shlex.quote(value)}")
