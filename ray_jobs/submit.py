"""`python -m ray_jobs.submit JOB [flags of the job]`: run a job on a running cluster and follow its log.

The cluster is Ray's own RAY_API_SERVER_ADDRESS or RAY_ADDRESS (http://HOST:8265). Only settings without secrets travel
with the job, by name; credentials must be in the environment of the nodes. Plain `ray job submit` does the same by hand.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hybrid_core.errors import RequestError, nearest
from ray_jobs import environment

JOBS = ("train", "tune", "evaluate", "study", "prepare", "report", "mine", "encode", "search", "export")
EXCLUDED = (
    ".git",
    ".venv",
    "runs",
    "mlruns",
    "benchmarks",
    "docs",
    "tests",
    "**/__pycache__",
    "*.egg-info",
    ".*_cache",
)
LARGEST_PACKAGE = 50_000_000
"""Bytes; Ray itself refuses some hundred megabytes after zipping them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Submit, follow, and return the job's exit status (0 or 1), or 2 when the request is wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    environment.apply()
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(f"{__doc__}\njobs: {', '.join(JOBS)}")
            return 0
        succeeded = submit(arguments[0], arguments[1:])
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if succeeded else 1


def submit(job: str, flags: Sequence[str]) -> bool:
    """Check the request and the package, then submit."""
    if job not in JOBS:
        raise RequestError(f"unknown job {job!r}{nearest(job, JOBS)}")
    address = os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS", "")
    if not address.startswith("http"):
        raise RequestError(
            f"RAY_API_SERVER_ADDRESS={address!r} is not the http address of a head node, for example http://127.0.0.1:8265"
        )
    root = Path(__file__).resolve().parent.parent
    size = package_size(root)
    if size > LARGEST_PACKAGE:
        raise RequestError(
            f"the package {root} has {size:,} bytes, more than {LARGEST_PACKAGE:,}; move data out of it, or add it to EXCLUDED"
        )
    print(f"package: {root}, {size:,} bytes")
    from ray_jobs._ray.submission import submit as submit_entrypoint

    entrypoint = shlex.join(["python", "-m", f"ray_jobs.{job}", *flags])
    passed = {name: os.environ[name] for name in environment.PASSED_BY_NAME if name in os.environ}
    if "@" in passed.get("MLFLOW_TRACKING_URI", ""):
        del passed["MLFLOW_TRACKING_URI"]
        print(
            "MLFLOW_TRACKING_URI holds a password and does not travel with the job; set it in the environment of the nodes"
        )
    submission, succeeded = submit_entrypoint(address, entrypoint, working_dir=root, env_vars=passed, excludes=EXCLUDED)
    print(f"{submission}: {'succeeded' if succeeded else 'failed'}")
    return succeeded


def package_size(root: Path) -> int:
    """Bytes of the files that would travel."""
    skipped = {name for name in EXCLUDED if "*" not in name}
    total = 0
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in skipped and not f.endswith(("_cache", ".egg-info", "__pycache__"))]
        total += sum((Path(folder) / name).stat().st_size for name in names)
    return total


if __name__ == "__main__":
    sys.exit(main())
