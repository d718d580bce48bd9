"""`python -m ray_jobs.study`: train arms that differ only in their batches, evaluate them inside and outside the domain, report."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence

from hybrid_core import storage
from hybrid_core.config import Config, read_only, refuse_unread_by_all
from hybrid_core.data.suites import Suite
from hybrid_core.errors import RequestError, nearest
from hybrid_core.measure import Measurement, notes_on
from hybrid_core.report.answer import short_answer
from hybrid_core.report.text import terminal_table
from hybrid_core.robustness.requests import check_robustness
from hybrid_core.storage import absolute
from hybrid_core.summary import language_means, setting_means
from ray_jobs import _tracking
from ray_jobs._ray.cluster import disconnect
from ray_jobs.cli import Job, Outcome, main
from ray_jobs.publish import describe_training, flags_of, publish_comparison
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

_POLICIES = ("mono", "cross", "hybrid", "multi_positive", "x_x")


def arm_config(config: Config, arm: str) -> Config:
    """The request of one arm: a policy, `hybrid@0.25` for another alpha than the request's, `hybrid/4` for four draws a step."""
    whole, slash, draws = arm.partition("/")
    if slash and not (draws.isdigit() and int(draws) > 0):
        raise RequestError(f"study.arms: {arm!r}: {draws!r} is not a number of draws per step (as in hybrid/4)")
    policy, at, alpha = whole.partition("@")
    if policy not in _POLICIES or (at and policy != "hybrid"):
        raise RequestError(f"study.arms: {arm!r}{nearest(policy, (*_POLICIES, 'base'))} (another alpha: hybrid@0.25)")
    try:
        value = float(alpha) if at else config.plan.alpha
    except ValueError:
        raise RequestError(f"study.arms: {arm!r}: {alpha!r} is not a number") from None
    if value is not None and not 0.0 <= value <= 1.0:
        raise RequestError(f"study.arms: {arm!r}: alpha {value} is outside [0, 1]")
    plan = dataclasses.replace(config.plan, policy=policy, alpha=value)
    if at:
        plan = dataclasses.replace(plan, alpha_schedule="constant", alpha_end=None, alpha_points=())
    if slash:
        plan = dataclasses.replace(plan, draws_per_step=int(draws))
    return read_only(dataclasses.replace(config, plan=plan))


def _seeds(config: Config) -> tuple[int, ...]:
    return config.study.seeds or (config.seed,)


def _trainings(config: Config, arm: str) -> list[tuple[str, Config]]:
    """The trainings of an arm, one for each seed, with their names."""
    if arm == "base":
        return [(arm, config)]
    seeds = _seeds(config)
    settings = arm_config(config, arm)
    return [(arm if len(seeds) == 1 else f"{arm} seed={s}", dataclasses.replace(settings, seed=s)) for s in seeds]


def check(config: Config) -> tuple[list[Suite], list[Suite]]:
    """Refuse now whatever could not be done later; returns the suites, and the suites with their variants."""
    if len(set(config.study.arms)) < len(config.study.arms) or not config.study.arms:
        raise RequestError(f"study.arms={','.join(config.study.arms)!r} must name each arm once")
    suites = suites_of(config)
    check_select(config, suites)
    in_domain(config, suites)
    check_robustness(config.evaluate, suites)
    if len(set(config.study.seeds)) < len(config.study.seeds):
        raise RequestError(f"study.seeds={','.join(map(str, config.study.seeds))} must name each seed once")
    arms = {arm: arm_config(config, arm) for arm in config.study.arms if arm != "base"}
    refuse_unread_by_all(config, arms)
    for settings in arms.values():
        check_plan(settings)
    return suites, suites_and_variants(config, suites)


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Train, evaluate, compare, publish."""
    started = time.monotonic()
    suites, whole = check(config)
    check_output(config)
    base = prepare_base(config, whole, with_corpus=True)
    connect_for(config)
    try:
        with _tracking.recording(config, f"study {args.recipe}", kind="study") as parent:
            found = _Arms(config, base, suites, whole, parent, started)
            for number, arm in enumerate(config.study.arms, start=1):
                _say(started, f"arm {number} of {len(config.study.arms)}: {arm}")
                found.run(arm)
            _say(started, "comparing the arms")
            comparison = compare_and_keep(
                config, found.measured, suites,
                in_domain=in_domain(config, suites) or suites[0].name, seen=seen_languages(config),
            )  # fmt: skip
            comparison["certificate"] = certificate(config, whole, found.models, found.measured, found.plans)
            comparison["run"] = describe_training("study", config, args, suites, _seeds(config)) | {
                "seconds": found.seconds | {"total": time.monotonic() - started},
                "plans": found.plans,
                "by_seed": found.by_seed,
                "notes": notes_on(whole, config.evaluate),
            }
            outputs = publish_comparison(comparison, config, parent)
    finally:
        disconnect()
    metrics = {f"{r['arm']}/{r['suite']}/{r['setting']}/{r['metric']}": r["value"] for r in comparison["levels"]}
    print(f"\n{terminal_table(comparison)}\n\n" + "\n".join(f"- {line}" for line in short_answer(comparison)))
    print(f"\nreport: {outputs['report']}\nMLflow: python -m ray_jobs.ui {flags_of(args)}")
    return Outcome(outputs, metrics, parent.id)


class _Arms:
    """Trains and measures arm after arm, and keeps what was found."""

    def __init__(
        self,
        config: Config,
        base: str,
        suites: Sequence[Suite],
        whole: Sequence[Suite],
        parent: _tracking.Run,
        started: float,
    ) -> None:
        self.config, self.base, self.suites, self.whole = config, base, suites, whole
        self.parent, self.started = parent, started
        self.measured: dict[str, list[Measurement]] = {}
        self.models: dict[str, str] = {}
        self.plans: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.by_seed: dict[str, dict[str, float]] = {}

    def run(self, arm: str) -> None:
        """All trainings of an arm, one for each seed."""
        before = time.monotonic()
        self.measured[arm] = [self._run_one(name, settings) for name, settings in _trainings(self.config, arm)]
        self.seconds[arm] = time.monotonic() - before

    def _run_one(self, name: str, settings: Config) -> Measurement:
        """Train with one seed (unless it is the base) and measure, as a child run."""
        place = name.replace(" ", "_").replace("/", "-")
        trains = name != "base"
        with _tracking.recording(settings, name, kind="arm", parent=self.parent, trains=trains) as run:
            model = train_arm(settings, self.base, run, place, self.suites) if trains else self.base
            _say(self.started, f"  {name}: encoding and scoring {len(self.whole)} suite(s)")
            found = measure_model(settings, model, self.whole, place, seed=self.config.seed)
            for evaluation in found.evaluations.values():
                run.log_metrics(settings.train.steps, setting_means(evaluation) | language_means(evaluation))
            _tracking.log_scores(run, scored_suites(found))
            if trains:
                run.log_model(storage.local_directory(model), model)
        self.models[name] = model
        self.plans[name] = check_plan(settings).hash if trains else ""
        self.by_seed[name] = {metric: v for e in found.evaluations.values() for metric, v in setting_means(e).items()}
        return found


def _say(started: float, text: str) -> None:
    print(f"[{time.monotonic() - started:5.0f} s] {text}")


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do."""
    _, whole = check(config)
    texts = sum(len(s.queries) + len(s.passages) for s in whole)
    arms = [a for a in config.study.arms if a != "base"]
    return (
        f"would train {len(arms)} arm(s) ({', '.join(arms)}) with {len(_seeds(config))} seed(s) "
        f"for {config.train.steps} steps of {config.train.global_batch} pairs "
        f"on {config.train.workers} worker(s), encode {texts:,} texts for each of {len(config.study.arms)} arm(s), "
        f"and write to {absolute(config.output)}" + "".join(f"\n{note}" for note in notes_on(whole, config.evaluate))
    )


JOB = Job("study", __doc__ or "", run, describe)

if __name__ == "__main__":
    sys.exit(main(JOB))
