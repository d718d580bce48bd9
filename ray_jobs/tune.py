"""`python -m ray_jobs.tune --space NAME`: sweep the mixing ratio (and backbones), draw quality and bias over alpha with intervals."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from hybrid_core.config import Config, read_only, refuse_unread, refuse_unread_by_all
from hybrid_core.data.suites import Suite
from hybrid_core.errors import RequestError
from hybrid_core.measure import Measurement, notes_on
from hybrid_core.recipes import load_config, merged, nested
from hybrid_core.robustness.requests import check_robustness
from hybrid_core.schedule import DEFAULT_ALPHA
from hybrid_core.settings import as_dict, build
from hybrid_core.storage import absolute, join
from hybrid_core.summary import setting_means
from ray_jobs import _tracking
from ray_jobs._identity import request_identity
from ray_jobs._ray.cluster import disconnect, gangs_that_fit
from ray_jobs.cli import Job, Outcome, main
from ray_jobs.publish import describe_training, publish_alpha_curves, publish_comparison
from ray_jobs.scoring import (
    certificate,
    compare_and_keep,
    in_domain,
    measure_model,
    scored_suites,
    seen_languages,
    suites_and_variants,
    suites_of,
)
from ray_jobs.steps import check_output, check_plan, check_select, connect_for, prepare_base, train_arm
from tune_spaces.spaces import SPACES, Space, space

Point = Mapping[str, Any]


def resolve(args: argparse.Namespace) -> Config:
    """The space's recipe and overrides, then the user's file and settings."""
    chosen = space(args.space)
    recipe = chosen.recipe if args.recipe == "default" else args.recipe
    return load_config(recipe, args.config, args.set, under_file=chosen.overrides)


def trial_config(config: Config, point: Point) -> Config:
    """The request of one trial, without settings that only other trials read.

    Raises:
        RequestError: the trial would not read a field that the space varies.
    """
    values = as_dict(config)
    for path, value in point.items():
        values = merged(values, nested(path, value))
    trial = build(Config, values)
    refuse_unread(trial, only=point.keys())
    return read_only(trial)


def trial_name(point: Point) -> str:
    """For example `alpha=0.5 seed=0`."""
    return " ".join(f"{path.rsplit('.', 1)[-1]}={str(value).rsplit('/', 1)[-1]}" for path, value in point.items())


def check(config: Config, chosen: Space) -> tuple[list[Suite], list[Suite]]:
    """Refuse now whatever a trial could not do later; returns the suites, and the suites with their variants."""
    suites = suites_of(config)
    check_select(config, suites)
    suite = chosen.objective.split("/")[0]
    if suite not in [s.name for s in suites]:
        raise RequestError(
            f"the objective {chosen.objective!r} of space {chosen.name!r} needs suite {suite!r} in evaluate.suites"
        )
    in_domain(config, suites)
    check_robustness(config.evaluate, suites)
    if not config.train.evaluate_every:
        raise RequestError("train.evaluate_every=0: the scheduler would see no metric; set it to a number of steps")
    trials = {trial_name(point): trial_config(config, point) for point in chosen.points()}
    refuse_unread_by_all(config, trials, varied=chosen.axes.keys())
    for trial in trials.values():
        check_plan(trial)
    return suites, suites_and_variants(config, suites)


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Train all trials under Tune, then score every model with intervals."""
    started = time.monotonic()
    chosen = space(args.space)
    suites, whole = check(config, chosen)
    check_output(config)
    settings = {trial_name(point): trial_config(config, point) for point in chosen.points()}
    bases = {name: prepare_base(s, whole, with_corpus=True) for name, s in settings.items()}
    connect_for(config)
    try:
        with _tracking.recording(config, f"tune {chosen.name}", kind="sweep") as parent, ExitStack() as runs:
            tracked_runs = {
                name: runs.enter_context(_tracking.recording(s, name, kind="trial", parent=parent))
                for name, s in settings.items()
            }
            trials = _train_trials(config, chosen, settings, bases, suites, tracked_runs)
            measurements = {}
            for name, (trial, model, tracked) in trials.items():
                print(f"{name}: encoding and scoring")
                found = measure_model(trial, model, whole, name.replace(" ", "_"), seed=config.seed)
                for evaluation in found.evaluations.values():
                    tracked.log_metrics(config.train.steps, setting_means(evaluation))
                _tracking.log_scores(tracked, scored_suites(found))
                measurements[name] = found
            arms = _without_seeds(chosen, measurements)
            comparison = compare_and_keep(
                config, arms, suites,
                in_domain=in_domain(config, suites) or chosen.objective.split("/")[0], seen=seen_languages(config),
            )  # fmt: skip
            plans = {name: check_plan(trial).hash for name, (trial, _, _) in trials.items()}
            models = {name: model for name, (_, model, _) in trials.items()}
            comparison["certificate"] = certificate(config, whole, models, arms, plans)
            comparison["run"] = describe_training("tune", config, args, suites, chosen.seeds) | {
                "seconds": {"total": time.monotonic() - started},
                "notes": notes_on(whole, config.evaluate),
            }
            outputs = publish_comparison(comparison, config, parent)
            outputs |= publish_alpha_curves(comparison, _alphas(config, chosen), config, parent)
    finally:
        disconnect()
    metrics = {f"{r['arm']}/{r['suite']}/{r['setting']}/{r['metric']}": r["value"] for r in comparison["levels"]}
    best = max(arms, key=lambda name: metrics[f"{name}/{chosen.objective}"])
    print(f"best {chosen.objective}: {best}, {metrics[f'{best}/{chosen.objective}']:.4f}\nreport: {outputs['report']}")
    return Outcome(outputs, metrics, parent.id)


Trials = dict[str, tuple[Config, str, _tracking.Run]]


def _train_trials(
    config: Config,
    chosen: Space,
    settings: Mapping[str, Config],
    bases: Mapping[str, str],
    suites: Sequence[Suite],
    tracked_runs: Mapping[str, _tracking.Run],
) -> Trials:
    """Run the sweep; name -> (config, model URI, MLflow run).

    Raises:
        RuntimeError: a trial failed.
    """
    from ray_jobs._ray.sweeping import Sweep, sweep

    trials = {name: (s, bases[name], tracked_runs[name]) for name, s in settings.items()}
    request = Sweep(
        name=f"{chosen.name}-{request_identity(config)}",
        storage_path=join(absolute(config.output), "tune"),
        points=[{"name": name} for name in trials],
        metric=chosen.objective,
        mode="max",
        concurrent=gangs_that_fit(config.train.workers, use_gpu=config.train.use_gpu),
    )
    failed = {point["name"]: error for point, _, error in sweep(request, _Trial(trials, tuple(suites))) if error}
    if failed:
        raise RuntimeError(f"trials failed: {failed}; run the same command again to continue")
    return {
        name: (s, train_arm(s, base, tracked, "trial", suites), tracked) for name, (s, base, tracked) in trials.items()
    }


def _without_seed(point: Point) -> Point:
    return {path: value for path, value in point.items() if path != "seed"}


def _without_seeds(chosen: Space, measurements: Mapping[str, Measurement]) -> dict[str, list[Measurement]]:
    """Arms of the report: trials that differ in their seed only are one arm."""
    arms: dict[str, list[Measurement]] = {}
    for point in chosen.points():
        arms.setdefault(trial_name(_without_seed(point)), []).append(measurements[trial_name(point)])
    return arms


def _alphas(config: Config, chosen: Space) -> dict[str, tuple[str, float]]:
    """Arm -> (backbone, alpha)."""
    settings = {trial_name(_without_seed(point)): trial_config(config, point) for point in chosen.points()}
    return {
        name: (s.model.name, DEFAULT_ALPHA if s.plan.alpha is None else s.plan.alpha) for name, s in settings.items()
    }


class _Trial:
    """What one trial does, in a process of its own.

    A point holds a name only: a sweep that goes on takes what may have changed, the number of workers say, from here.
    """

    def __init__(self, trials: Trials, suites: tuple[Suite, ...]) -> None:
        self.trials, self.suites = trials, suites

    def __call__(self, config: dict[str, Any]) -> None:
        settings, base, tracked = self.trials[config["point"]["name"]]
        train_arm(settings, base, tracked, "trial", self.suites, inside_tune=True)


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do."""
    chosen = space(args.space)
    check(config, chosen)
    names = [trial_name(point) for point in chosen.points()]
    return f"would run {len(names)} trials of {config.train.steps} steps, decided by {chosen.objective}: {'; '.join(names)}"


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", default="smoke", metavar="NAME", help=f"search space: {', '.join(SPACES)}")


JOB = Job("tune", __doc__ or "", run, describe, _add_flags, resolve)

if __name__ == "__main__":
    sys.exit(main(JOB))
