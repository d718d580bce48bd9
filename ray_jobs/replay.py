"""`python -m ray_jobs.replay --step N`: the very texts of any step of any run, computed on a laptop; checks a run's plan."""

from __future__ import annotations

import argparse
import sys

from hybrid_core.config import Config
from hybrid_core.data.sources import open_sources, plan_for
from hybrid_core.errors import RequestError
from hybrid_core.model import known_prefixes
from hybrid_core.replay import as_text, replay
from hybrid_core.settings import flat
from ray_jobs import _tracking
from ray_jobs.cli import Job, Outcome, main

_OF_THE_PLAN = ("plan.", "data.", "seed", "train.global_batch", "train.steps")


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Print a step; nothing is started and no model is loaded."""
    sources = open_sources(config)
    plan = plan_for(config, sources)
    if args.step < 0:
        raise RequestError(f"--step {args.step} must be 0 or more; steps are counted from 0")
    if args.run:
        _check_run(config, args.run, plan.hash)
    step = replay(sources, plan, args.step, negatives=config.train.negatives, prefixes=known_prefixes(config.model))
    step["warning"] = _beyond(config, args.step)
    print("\n".join([*filter(None, [step["warning"]]), as_text(step)]))
    return Outcome(mlflow_run_id=args.run, details={"step": step})


def _beyond(config: Config, step: int) -> str | None:
    """What to say of a step that the run does not have: the plan has no end, a run has."""
    if step < config.train.steps:
        return None
    return (
        f"warning: step {step} is past the end of this run: train.steps={config.train.steps}, its last step is "
        f"{config.train.steps - 1}. No batch below was trained on; it is what a longer run would see"
    )


def _check_run(config: Config, run_id: str, plan_hash: str) -> None:
    """Refuse a run that was not trained under this plan, naming what differs or which run was meant."""
    run = _tracking.recorded(config, run_id)
    if run.plan_hash == plan_hash:
        print(f"run {run_id} was trained under this plan")
        return
    if run.plan_hash is None:
        raise RequestError(_without_plan(run_id, run, plan_hash))
    ours = {name: str(value) for name, value in flat(config).items() if name.startswith(_OF_THE_PLAN)}
    differing = [
        f"{name}={run.params.get(name, '(not recorded)')} (here {value})"
        for name, value in ours.items()
        if run.params.get(name) != value
    ]
    raise RequestError(
        f"run {run_id} has plan {run.plan_hash}, this request has {plan_hash}; of the run: "
        f"{'; '.join(differing) or 'the same settings, so the corpus or the release differs'}"
    )


def _without_plan(run_id: str, run: _tracking.Recorded, plan_hash: str) -> str:
    """What to say of a run in which nothing was trained: a parent, whose children were, or an evaluation."""
    trained = [
        f"{child} ({name}, {'this plan' if plan == plan_hash else f'plan {plan}'})"
        for child, name, plan in run.children
        if plan
    ]
    said = f"run {run_id} ({run.kind} {run.name!r}) "
    if not trained:
        return said + "has trained nothing, so it has no plan; give --run the id of a run that has"
    return said + f"is a parent: each run below it has a plan of its own; give --run one of {'; '.join(trained)}"


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do."""
    told = f"would print step {args.step} of plan {plan_for(config, open_sources(config)).hash}"
    return "\n".join([told, *filter(None, [_beyond(config, args.step)])])


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--step", type=int, default=0, metavar="N", help="the step, counted from 0")
    parser.add_argument("--run", metavar="ID", help="MLflow run whose plan must be this one")


JOB = Job("replay", __doc__ or "", run, describe, _add_flags)

if __name__ == "__main__":
    sys.exit(main(JOB))
