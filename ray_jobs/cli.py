"""The command line every job shares: five flags, exit statuses, the machine-readable summary.

Exit status: 0 done; 2 the request was wrong, nothing was started; 1 it failed while running.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hybrid_core.config import Config, config_hash
from hybrid_core.errors import RequestError
from hybrid_core.recipes import RECIPES, load_config
from hybrid_core.settings import as_dict
from ray_jobs import environment


@dataclass
class Outcome:
    """What a job leaves behind."""

    outputs: dict[str, str] = field(default_factory=dict)
    """Name -> URI."""
    metrics: dict[str, float] = field(default_factory=dict)
    """`suite/setting/metric` -> value."""
    mlflow_run_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    """What a job has to say beyond that, under names of its own."""


@dataclass(frozen=True)
class Job:
    """One job: its name, what it does, and what a dry run says."""

    name: str
    summary: str
    run: Callable[[Config, argparse.Namespace], Outcome]
    describe: Callable[[Config, argparse.Namespace], str]
    add_flags: Callable[[argparse.ArgumentParser], object] = lambda parser: None
    resolve: Callable[[argparse.Namespace], Config] = lambda args: load_config(args.recipe, args.config, args.set)
    """From the command line to the config."""


def parser(job: Job) -> argparse.ArgumentParser:
    """The frozen command line of a job (tests/unit/test_cli.py)."""
    p = argparse.ArgumentParser(
        prog=f"python -m ray_jobs.{job.name}", description=job.summary,
        epilog=f"recipes: {', '.join(RECIPES)}. Every config field with its meaning and range: docs/config.md",
    )  # fmt: skip
    p.add_argument("--recipe", default="default", metavar="NAME", help="built-in recipe to start from")
    p.add_argument("--config", metavar="FILE.yaml", help="your own settings, over the recipe")
    p.add_argument(
        "--set", action="append", default=[], metavar="path.to.field=value", help="one setting, over both; repeatable"
    )
    p.add_argument(
        "--dry-run", action="store_true", help="print the resolved config and what would happen; start nothing"
    )
    p.add_argument("--json", metavar="FILE", help="write a machine-readable summary")
    job.add_flags(p)
    return p


def main(job: Job, argv: Sequence[str] | None = None) -> int:
    """Run a job from its command line and return the exit status."""
    environment.apply()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    args = parser(job).parse_args(argv)
    config: Config | None = None
    try:
        config = job.resolve(args)
        if args.dry_run:
            print(yaml.safe_dump(as_dict(config), sort_keys=False, allow_unicode=True).rstrip())
            print(f"config hash: {config_hash(config)}\n{job.describe(config, args)}")
            return 0
        outcome = job.run(config, args)
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        _write_summary(args.json, job, "refused", config, Outcome(), str(error))
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        traceback.print_exc()
        _write_summary(args.json, job, "failed", config, Outcome(), f"{type(error).__name__}: {error}")
        return 1
    _write_summary(args.json, job, "done", config, outcome, None)
    return 0


def _write_summary(
    file: str | None, job: Job, status: str, config: Config | None, outcome: Outcome, error: str | None
) -> None:
    if not file:
        return
    summary: dict[str, Any] = {
        "job": job.name, "status": status, "config_hash": config_hash(config) if config else None,
        "mlflow_run_id": outcome.mlflow_run_id, "outputs": outcome.outputs, "metrics": outcome.metrics, **outcome.details,
    }  # fmt: skip
    if error:
        summary["error"] = error
    scratch = Path(f"{file}.part")
    scratch.parent.mkdir(parents=True, exist_ok=True)
    scratch.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    os.replace(scratch, file)
