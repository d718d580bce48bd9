"""Put results where people look: the HTML report and JSON under `output`, tables and pictures in MLflow."""

from __future__ import annotations

import argparse
import io
import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hybrid_core import storage
from hybrid_core.config import Config, config_hash
from hybrid_core.data.sources import open_sources
from hybrid_core.data.suites import Suite
from hybrid_core.report import figures
from hybrid_core.report.pages import pages
from hybrid_core.results import as_json
from hybrid_core.schedule import DEFAULT_ALPHA
from hybrid_core.storage import absolute, join
from ray_jobs import _tracking

_LONGEST_NOTE = 7500
"""Characters; MLflow keeps tags of up to 8,000."""


def publish_comparison(comparison: dict[str, Any], config: Config, run: _tracking.Run) -> dict[str, str]:
    """Write the pages and the numbers behind them to `<output>/report` and to the run; returns name -> URI."""
    files = pages(comparison) | {"report.json": as_json(comparison)}
    folder = join(absolute(config.output), "report")
    for name, text in files.items():
        storage.write_bytes(join(folder, name), text.encode())
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in files.items():
            (Path(scratch) / name).write_text(text, encoding="utf-8")
            run.log_file(Path(scratch) / name, "report")
        for name, figure in _pictures(comparison).items():
            figure.savefig(Path(scratch) / name, dpi=140)
            run.log_file(Path(scratch) / name, "pictures")
    run.set_tags({"mlflow.note.content": files["report.md"][:_LONGEST_NOTE]})
    run.log_table(comparison["levels"], "tables/levels.json")
    run.log_table(comparison["differences"], "tables/differences.json")
    run.log_metrics(0, {level_name(row): row["value"] for row in comparison["levels"]})
    return {"report": join(folder, "report.html"), "results": join(folder, "report.json")}


def level_name(row: dict[str, Any]) -> str:
    """`arm/suite/setting/metric`, in the characters MLflow allows (no = and @)."""
    arm = re.sub(r"[^\w.\- ]", "_", row["arm"])
    return f"{arm}/{row['suite']}/{row['setting']}/{row['metric']}"


def publish_alpha_curves(
    comparison: dict[str, Any], alphas: dict[str, tuple[str, float]], config: Config, run: _tracking.Run
) -> dict[str, str]:
    """Per backbone a picture of mAP over alpha with intervals, one line per setting, on the training domain.

    Args:
        comparison: of arms that differ in alpha (and backbone).
        alphas: arm -> (backbone, alpha).
        config: where to write.
        run: the sweep.
    """
    rows = [
        r for r in comparison["levels"]
        if r["suite"] == comparison["in_domain"] and r["metric"] == "mAP" and r["arm"] in alphas  # not the free baselines
    ]  # fmt: skip
    outputs = {}
    for backbone in dict.fromkeys(name for name, _ in alphas.values()):
        points = sorted(
            ({**row, "alpha": alphas[row["arm"]][1]} for row in rows if alphas[row["arm"]][0] == backbone),
            key=lambda point: (point["setting"], point["alpha"]),
        )
        name = f"alpha_{backbone.replace(':', '_').replace('/', '_')}.png"
        sink = io.BytesIO()
        figures.alpha_curve_figure(points).savefig(sink, dpi=140)
        outputs[name.removesuffix(".png")] = join(absolute(config.output), "report", name)
        storage.write_bytes(outputs[name.removesuffix(".png")], sink.getvalue())
        run.log_bytes(sink.getvalue(), name, "pictures")
    return outputs


def _pictures(comparison: dict[str, Any]) -> dict[str, Any]:
    pictures = {"arms.png": figures.levels_figure(comparison)}
    for suite in comparison["suites"]:
        pictures[f"heat_map_{suite}.png"] = figures.heat_map_figure(comparison, suite)
        if any(row["suite"] == suite for row in comparison["histograms"]):
            pictures[f"languages_{suite}.png"] = figures.histogram_figure(comparison, suite)
    if comparison["rank_distances"]:
        pictures["rank_distances.png"] = figures.rank_distance_figure(comparison)
    for suite in dict.fromkeys(row["suite"] for row in comparison["perturbations"]):
        pictures[f"perturbations_{suite}.png"] = figures.perturbation_figure(comparison, suite)
    if comparison["shift_effects"] and {"hybrid", "mono"} <= set(comparison["arms"]):
        pictures["shift_hybrid_mono.png"] = figures.shift_figure(comparison, "hybrid", "mono")
    return pictures


def describe_evaluation(job: str, config: Config, args: argparse.Namespace, suites: Sequence[Suite]) -> dict[str, Any]:
    """What was run, for the report of a job that trains nothing."""
    return {
        "title": f"{job.capitalize()} {config.model.name if job == 'evaluate' else args.recipe}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"python -m ray_jobs.{job} {flags_of(args)}",
        "config_hash": config_hash(config),
        "model": config.model.name,
        "versions": {name: version(name) for name in ("ray", "torch", "transformers", "mlflow")},
        "tracking": _tracking.redacted(_tracking.Place.of(config).tracking_uri),
        "suites": {s.name: {"licence": s.licence, "source": s.source} for s in suites},
        "top_k": config.evaluate.top_k,
    }


def describe_training(
    job: str, config: Config, args: argparse.Namespace, suites: Sequence[Suite], seeds: Sequence[int]
) -> dict[str, Any]:
    """What was run, for the report of a job that trains."""
    sources = open_sources(config)
    corpora = [source.corpus for source in sources.values()]
    excluded = set.intersection(*(set(c.manifest["report"].get("excluded_suites", {})) for c in corpora))
    languages = Counter({x: 0 for c in corpora for x in c.languages})
    for corpus in corpora:
        languages.update({x: corpus.rows_of(x)[1] - corpus.rows_of(x)[0] for x in corpus.languages})
    return describe_evaluation(job, config, args, suites) | {
        "corpus": {
            "name": ", ".join(source.config.corpus for source in sources.values()),
            "fingerprint": ", ".join(c.fingerprint for c in corpora),
            "rows": sum(c.manifest["rows"] for c in corpora),
            "meanings": sum(c.manifest["meanings"] for c in corpora),
            "licence": ", ".join(sorted({c.manifest["licence"] for c in corpora})),
            "languages": dict(languages),
        },
        "unchecked_suites": [s.name for s in suites if s.name not in excluded and not s.name.startswith("sample_")],
        "steps": config.train.steps,
        "learning_rate": config.train.learning_rate,
        "weight_decay": config.train.weight_decay,
        "alpha": DEFAULT_ALPHA if config.plan.alpha is None else config.plan.alpha,
        "global_batch": config.train.global_batch,
        "workers": config.train.workers,
        "seed": seeds[0] if len(seeds) == 1 else None,
        "seeds": list(seeds),
    }


def flags_of(args: argparse.Namespace) -> str:
    """The flags a job was started with."""
    parts = ["--space", args.space] if hasattr(args, "space") else []
    parts += ["--recipe", args.recipe] if args.recipe != "default" else []
    parts += ["--config", args.config] if args.config else []
    return shlex.join(parts + [p for text in args.set for p in ("--set", text)])
