"""`python -m ray_jobs.report`: draw a finished report again from its stored numbers; `--paper` holds them against the paper's."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from hybrid_core import storage
from hybrid_core.claims import findings
from hybrid_core.config import Config
from hybrid_core.errors import RequestError
from hybrid_core.report import paper
from hybrid_core.report.markdown import markdown_table
from hybrid_core.report.pages import pages
from hybrid_core.reproduction import reproduce
from hybrid_core.storage import absolute, join
from ray_jobs.cli import Job, Outcome, main


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Rewrite the pages beside report.json, or write the reproduction matrix there."""
    folder = join(absolute(config.output), "report")
    if args.paper:
        return _reproduction(config, folder, args.results)
    _check_flags(args)
    if not storage.exists(join(folder, "report.json")):
        raise RequestError(
            f"output={config.output!r} holds no report/report.json; run ray_jobs.study, tune or evaluate with this output first"
        )
    comparison = storage.read_json(join(folder, "report.json"))
    for name, text in pages(comparison).items():
        storage.write_bytes(join(folder, name), text.encode())
    print(f"{markdown_table(comparison)}\nreport: {join(folder, 'report.html')}")
    return Outcome({"report": join(folder, "report.html")})


def _reproduction(config: Config, folder: str, further: list[str]) -> Outcome:
    """Published numbers beside those of this output and of further results; all `not run` where there are none."""
    own = join(folder, "report.json")
    results = [_read(own)] if storage.exists(own) else []
    results += [_read(_result_file(place)) for place in further]
    storage.check_writable(absolute(config.output), "output")
    cells, found = reproduce(results), findings(results)
    text, numbers = paper.markdown(cells, found), paper.as_json(cells, found)
    storage.write_bytes(join(folder, "paper.md"), text.encode())
    storage.write_bytes(join(folder, "paper.html"), paper.html(cells, found).encode())
    storage.write_json(join(folder, "paper.json"), numbers)
    print(f"{text}\nreproduction: {join(folder, 'paper.html')}")
    outputs = {"reproduction": join(folder, "paper.html"), "results": join(folder, "paper.json")}
    return Outcome(outputs, details={"reproduction": numbers["summary"]})


def _result_file(place: str) -> str:
    """The report.json that a file or an output folder given to --results stands for.

    Raises:
        RequestError: there is none.
    """
    uri = absolute(place)
    for candidate in (uri, join(uri, "report.json"), join(uri, "report", "report.json")):
        if storage.exists(candidate):
            return candidate
    raise RequestError(f"--results {place!r} is no file and no folder with report.json or report/report.json")


def _read(uri: str) -> dict[str, Any]:
    """A comparison.

    Raises:
        RequestError: the file holds something else.
    """
    try:
        found = storage.read_json(uri)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RequestError(f"{uri} is not JSON: {error}") from error
    if not isinstance(found, dict) or not {"arms", "suites", "levels", "differences"} <= set(found):
        raise RequestError(
            f"{uri} is no report.json of ray_jobs.study, tune or evaluate (arms, suites, levels, differences)"
        )
    return found


def _check_flags(args: argparse.Namespace) -> None:
    if args.results:
        raise RequestError("--results is for --paper: it adds results to those that are held against the paper's")


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do."""
    folder = join(absolute(config.output), "report")
    if args.paper:
        places = [join(folder, "report.json"), *map(_result_file, args.results)]
        return f"would hold {', '.join(places)} against the published tables and write {join(folder, 'paper.html')}"
    _check_flags(args)
    return f"would draw {join(folder, 'report.html')}"


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--paper", action="store_true", help="hold the results against the tables of arXiv 2408.10536")
    parser.add_argument(
        "--results", action="append", default=[], metavar="FILE_OR_FOLDER",
        help="with --paper: a further report.json, or the output folder of a run; repeatable",
    )  # fmt: skip


JOB = Job("report", __doc__ or "", run, describe, _add_flags)

if __name__ == "__main__":
    sys.exit(main(JOB))
