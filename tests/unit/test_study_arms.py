"""From an arm's name to its config: what its policy has no use for is set aside, what makes no sense is refused."""

from __future__ import annotations

import pytest

from hybrid_core.config import Config, PlanConfig
from hybrid_core.errors import RequestError
from ray_jobs.study import arm_config


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
    ("arm", "message"),
    [("hybird", "did you mean 'hybrid'"), ("mono@0.5", "hybrid@0.25"), ("hybrid@x", "'x' is not a number"),
     ("hybrid@1.5", r"outside \[0, 1\]"), ("hybrid/0", "number of draws per step"), ("hybrid/two", "number of draws per step"),
     ("hybrid/3", "does not divide train.global_batch")],
)  # fmt: skip
def test_an_arm_that_makes_no_sense_is_refused(arm: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        arm_config(Config(), arm)
