"""`python -m ray_jobs.evaluate`: how good is an encoder in one language, across languages, in a mixed pool; what does it favour?"""

from __future__ import annotations

import argparse
import sys
import time

from hybrid_core.config import Config
from hybrid_core.data.suites import Suite
from hybrid_core.measure import notes_on
from hybrid_core.robustness.requests import check_robustness
from hybrid_core.summary import label, language_means, setting_means
from ray_jobs import _tracking
from ray_jobs._ray.cluster import disconnect
from ray_jobs.cli import Job, Outcome, main
from ray_jobs.publish import describe_evaluation, publish_comparison
from ray_jobs.scoring import (
    certificate,
    compare_and_keep,
    in_domain,
    measure_model,
    scored_suites,
    suites_and_variants,
    suites_of,
)
from ray_jobs.steps import check_output, connect_for, plan_of, prepare_base

_SHOWN = {
    "mono": ("mAP", "R_1"),
    "cross": ("mAP", "R_1"),
    "multi": ("mAP", "R_10", "rank_distance", "same_language_share"),
}


def check(config: Config) -> tuple[list[Suite], list[Suite]]:
    """Refuse now whatever could not be measured later; returns the suites, and the suites with their variants."""
    suites = suites_of(config)
    in_domain(config, suites)
    check_robustness(config.evaluate, suites)
    return suites, suites_and_variants(config, suites)


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Encode and score `model.name` on all suites."""
    started = time.monotonic()
    suites, whole = check(config)
    inside, notes = in_domain(config, suites), notes_on(whole, config.evaluate)
    check_output(config)
    base = prepare_base(config, whole, with_corpus=False)
    connect_for(config)
    try:
        with _tracking.recording(
            config, f"evaluate {config.model.name.rstrip('/').rsplit('/', 1)[-1]}", kind="evaluate", trains=False
        ) as tracked:
            measured = measure_model(config, base, whole, f"evaluate-{tracked.id[:8]}", seed=config.seed)
            evaluations = measured.evaluations
            metrics = {name: value for e in evaluations.values() for name, value in setting_means(e).items()}
            tracked.log_metrics(0, metrics)
            tracked.log_metrics(0, {n: v for e in evaluations.values() for n, v in language_means(e).items()})
            _tracking.log_scores(tracked, scored_suites(measured))
            before = time.monotonic()
            comparison = compare_and_keep(
                config, {"model": [measured]}, suites, in_domain=inside, seen=config.evaluate.seen_languages
            )
            comparing = time.monotonic() - before
            comparison["certificate"] = certificate(
                config, whole, {"model": base}, {"model": [measured]}, {"model": plan_of(base)}
            )
            comparison["run"] = describe_evaluation("evaluate", config, args, suites) | {
                "notes": notes,
                "seconds": measured.seconds | {"comparison": comparing, "total": time.monotonic() - started},
            }
            outputs = publish_comparison(comparison, config, tracked)
    finally:
        disconnect()
    for row in comparison["levels"]:
        if row["arm"] == "model" and row["metric"] in _SHOWN[row["setting"]]:
            name = f"{row['suite']} {row['setting']:5} {label(row['metric'])}"
            print(f"{name:50} {row['value']:9.4f}  [{row['low']:.4f}, {row['high']:.4f}]")
    print("".join(f"{note}\n" for note in notes), end="")
    print("seconds: " + ", ".join(f"{part} {s:.1f}" for part, s in comparison["run"]["seconds"].items()))
    print(f"candidates: {', '.join(f'{s.name}={s.candidate_text}' for s in suites)}\nreport: {outputs['report']}")
    return Outcome(outputs, metrics, tracked.id)


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do."""
    suites, whole = check(config)
    names = [suite.name for suite in suites]
    lines = [
        f"{s.name}: {len(s.queries):,} queries, pool of {len(s.passages):,} ({s.candidate_text}), {', '.join(s.settings)}"
        + (f"; {s.licence}" if s.name in names else "")
        for s in whole
    ]
    return "\n".join(["would evaluate on", *lines, *notes_on(whole, config.evaluate)])


JOB = Job("evaluate", __doc__ or "", run, describe)

if __name__ == "__main__":
    sys.exit(main(JOB))
