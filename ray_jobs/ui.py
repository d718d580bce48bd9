"""`python -m ray_jobs.ui`: open the MLflow UI on the runs of a recipe or config, on this machine only."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from hybrid_core.config import Config
from ray_jobs import _tracking
from ray_jobs.cli import Job, Outcome, main


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Serve until interrupted."""
    print(f"MLflow UI for {_tracking.Place.of(config).tracking_uri}: http://127.0.0.1:{args.port} (Ctrl-C stops it)")
    subprocess.run(_tracking.ui_command(config, args.port), check=True, env=os.environ)
    return Outcome()


def describe(config: Config, args: argparse.Namespace) -> str:
    """The command that would be started."""
    return " ".join(_tracking.ui_command(config, args.port))


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1")


JOB = Job("ui", __doc__ or "", run, describe, _add_flags)

if __name__ == "__main__":
    sys.exit(main(JOB))
