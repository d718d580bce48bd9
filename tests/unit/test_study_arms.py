"""From an arm's name to its config: what its policy has no use for is set aside, what makes no sense is refused."""

from __future__ import annotations

import pytest

from hybrid_core.config import Config, PlanConfig, StudyConfig, TrainConfig
from hybrid_core.errors import RequestError
from ray_jobs.study import arm_config, check

SMALL = TrainConfig(global_batch=8, steps=2)


@pytest.mark.parametrize(
    ("arm", "policy", "alpha", "draws"),
    [("mono", "mono", None, 1), ("hybrid", "hybrid", 0.4, 1), ("hybrid@0.25", "hybrid", 0.25, 1), ("hybrid/4", "hybrid", 0.4, 4),
     ("hybrid@0.9/2", "hybrid", 0.9, 2), ("mono/2", "mono", None, 2), ("multi_positive", "multi_positive", None, 1)],
)  # fmt: skip
def test_an_arm_names_policy_alpha_and_draws(arm: str, policy: str, alpha: float | None, draws: int) -> None:
    plan = arm_config(Config(plan=PlanConfig(alpha=0.4)), arm).plan
    assert (plan.policy, plan.alpha, plan.draws_per_step) == (policy, alpha, draws)


@pytest.mark.parametrize("arm", ["mono", "cross", "x_x", "hybrid", "hybrid@0.25", "multi_positive"])
def test_a_request_with_pivot_and_schedule_can_be_studied_with_every_arm(arm: str) -> None:
    request = Config(plan=PlanConfig(alpha=1.0, alpha_schedule="linear", alpha_end=0.2, pivot="en"))
    plan = arm_config(request, arm).plan
    assert (plan.alpha_schedule == "linear") == (arm == "hybrid")
    assert (plan.pivot == "en") == (arm not in ("mono", "x_x"))


@pytest.mark.parametrize(
    ("arms", "plan", "field"),
    [
        ("mono,x_x", {"cross_pair": "per_batch"}, "plan.cross_pair='per_batch'"),
        ("mono,cross", {"alpha": 0.4}, "plan.alpha=0.4"),
        ("mono,hybrid@0.25", {"alpha": 0.4}, "plan.alpha=0.4"),
        ("hybrid@0.25", {"alpha_schedule": "linear", "alpha_end": 0.2}, "plan.alpha_schedule='linear'"),
        ("hybrid/4", {"draws_per_step": 2}, "plan.draws_per_step=2"),
        ("mono,hybrid", {"policy": "multi_positive"}, "plan.policy='multi_positive'"),
        ("hybrid", {"translations": 2}, "plan.translations=2"),
    ],
)
def test_a_setting_that_no_arm_reads_is_refused(arms: str, plan: dict[str, object], field: str) -> None:
    request = Config(plan=PlanConfig(**plan), study=StudyConfig(arms=tuple(arms.split(","))), train=SMALL)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=f"^{field} would have no effect on any of {arms.replace(',', ', ')}"):
        check(request)


def test_a_setting_that_one_arm_reads_is_enough() -> None:
    plan = PlanConfig(alpha=0.4, cross_pair="per_batch", pivot="en", translations=2, draws_per_step=2)
    arms = ("base", "mono", "cross", "hybrid", "hybrid/4", "multi_positive")
    assert check(Config(plan=plan, study=StudyConfig(arms=arms), train=SMALL))


@pytest.mark.parametrize(
    ("arm", "message"),
    [("hybird", "did you mean 'hybrid'"), ("mono@0.5", "hybrid@0.25"), ("hybrid@x", "'x' is not a number"),
     ("hybrid@1.5", r"outside \[0, 1\]"), ("hybrid/0", "number of draws per step"), ("hybrid/two", "number of draws per step"),
     ("hybrid/3", "does not divide train.global_batch")],
)  # fmt: skip
def test_an_arm_that_makes_no_sense_is_refused(arm: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        arm_config(Config(), arm)
