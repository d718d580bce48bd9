"""Ray Jobs: hand an entrypoint to a running head node and follow it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ray.exceptions import RayError
from ray.job_submission import JobStatus, JobSubmissionClient

from hybrid_core.errors import RequestError


def submit(
    address: str, entrypoint: str, *, working_dir: Path, env_vars: Mapping[str, str], excludes: Sequence[str]
) -> tuple[str, bool]:
    """Submit an entrypoint to a running head, follow its log to standard output; (submission id, whether it succeeded).

    Raises:
        RequestError: nothing answers at the address, or it refuses the token.
    """
    try:
        client = JobSubmissionClient(address)
        job = client.submit_job(
            entrypoint=entrypoint,
            runtime_env={"working_dir": str(working_dir), "env_vars": dict(env_vars), "excludes": list(excludes)},
        )
    except (ConnectionError, RuntimeError, OSError, RayError) as error:
        raise RequestError(f"the job server at {address} did not take the job: {str(error).splitlines()[0]}") from error
    print(f"submitted {job}")

    async def follow() -> None:
        async for lines in client.tail_job_logs(job):
            print(lines, end="")

    print(f"if this terminal goes away: ray job logs --follow {job}")
    while not client.get_job_status(job).is_terminal():
        try:
            asyncio.run(follow())
        except (ConnectionError, OSError, RuntimeError) as error:
            print(f"the log connection broke ({error}); the job goes on, asking again")
        time.sleep(1)
    return job, client.get_job_status(job) == JobStatus.SUCCEEDED
