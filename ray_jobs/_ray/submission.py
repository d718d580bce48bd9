"""Ray Jobs: hand an entrypoint to a running head node and follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

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
    except (ConnectionError, RuntimeError, OSError) as error:
        raise RequestError(f"the job server at {address} did not take the job: {str(error).splitlines()[0]}") from error
    print(f"submitted {job}")

    async def follow() -> None:
        async for lines in client.tail_job_logs(job):
            print(lines, end="")

    asyncio.run(follow())
    return job, client.get_job_status(job) == JobStatus.SUCCEEDED
