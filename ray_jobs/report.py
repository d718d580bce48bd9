"""`python -m ray_jobs.report`: draw the report of a finished study, sweep or evaluation again from its stored numbers."""

from __future__ import annotations

import argparse
import sys

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.errors import RequestError
from hybrid_core.report.page import markdown_table, render
from hybrid_core.storage import absolute, join
from ray_jobs.cli import Job, Outcome, main


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Rewrite report.html and report.md beside report.json."""
    folder = join(absolute(config.output), "report")
    if not storage.exists(join(folder, "report.json")):
        raise RequestError(
            f"output={config.output!r} holds no report/report.json; run ray_jobs.study, tune or evaluate with this output first"
        )
    comparison = storage.read_json(join(folder, "report.json"))
    table = markdown_table(comparison)
    storage.write_bytes(join(folder, "report.html"), render(comparison).encode())
    storage.write_bytes(join(folder, "report.md"), table.encode())
    print(f"{table}\nreport: {join(folder, 'report.html')}")
    return Outcome({"report": join(folder, "report.html")})


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do."""
    return f"would draw {join(absolute(config.output), 'report', 'report.html')}"


JOB = Job("report", __doc__ or "", run, describe)

if __name__ == "__main__":
    sys.exit(main(JOB))
