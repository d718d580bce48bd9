"""`python -m ray_jobs.train`: fine-tune an encoder with hybrid batches on a gang of workers; survives crashes, resumes by itself."""

from __future__ import annotations

import argparse
import sys

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.data.sources import open_sources
from hybrid_core.plan import BatchPlan
from hybrid_core.storage import absolute
from ray_jobs import _tracking
from ray_jobs._ray.cluster import disconnect
from ray_jobs.cli import Job, Outcome, main
from ray_jobs.scoring import suites_of
from ray_jobs.steps import check_output, check_plan, check_select, connect_for, prepare_base, train_arm


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Train one model; suites are only used to cover a trimmed vocabulary and to validate during training."""
    plan = check_plan(config)
    suites = suites_of(config) if _needs_suites(config) else []
    check_select(config, suites)
    check_output(config)
    base = prepare_base(config, suites, with_corpus=True)
    connect_for(config)
    try:
        with _tracking.recording(config, f"train {config.plan.policy}", kind="train") as tracked:
            model = train_arm(config, base, tracked, config.plan.policy, suites)
            tracked.log_model(storage.local_directory(model), model)
    finally:
        disconnect()
    print(f"model: {model}\nplan:  {plan.hash}")
    return Outcome({"model": model}, {}, tracked.id)


def _needs_suites(config: Config) -> bool:
    return config.model.vocabulary == "trimmed" or config.train.evaluate_every > 0


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do, with the first batches."""
    plan: BatchPlan = check_plan(config)
    check_select(config, suites_of(config) if _needs_suites(config) else [])
    sources = open_sources(config)
    lines = [f"plan hash: {plan.hash} (alpha {plan.alpha})"]
    lines += [plan.modes_in_words(config.train.steps)]
    lines += [f"corpus {name}: {source.corpus.fingerprint}" for name, source in sources.items()]
    for number in range(min(5, config.train.steps)):
        step = plan.step(number)
        pairs = [f"{asked}->{answered}" for asked, answered in step.languages]
        lines.append(f"step {number}: {step.mode}, {', '.join(pairs[:6])}{' ...' if len(pairs) > 6 else ''}")
    c = config.train
    return (
        "\n".join(lines)
        + f"\nwould train {c.steps} steps of {c.global_batch} pairs on {c.workers} worker(s), output {absolute(config.output)}"
    )


JOB = Job("train", __doc__ or "", run, describe)

if __name__ == "__main__":
    sys.exit(main(JOB))
