"""Schedules of alpha: the number of monolingual batches is the area under the schedule."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from conftest import made_up_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_helpers import (
    FOUR,
    opened,
    plan_of,
    same,
)

from hybrid_core.config import PlanConfig
from hybrid_core.data.corpus import Corpus
from hybrid_core.errors import RequestError
from hybrid_core.plan import BatchPlan

a_plan = partial(plan_of, batch=12)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    return opened(tmp_path_factory.mktemp("corpora"), {"equal": made_up_pairs(48, FOUR)})


shares = st.integers(0, 20).map(lambda n: n / 20)


def mono_counts(plan: BatchPlan, count: int) -> list[int]:
    """How many of the first 0, 1, 2, ... batches are monolingual."""
    counts = [0]
    for k in range(count):
        counts.append(counts[-1] + (plan.step(k).mode == "mono"))
    return counts


def rounded_integrals(alphas: list[Fraction]) -> list[int]:
    """The area under a line through alpha at 0, 1, 2, ..., rounded, up to each of them."""
    area, rounded = Fraction(0), [0]
    for left, right in pairwise(alphas):
        area += (left + right) / 2
        rounded.append(math.floor(area + Fraction(1, 2)))
    return rounded


def through(points: list[tuple[int, float]], step: int) -> Fraction:
    """Alpha at a step: on the line through the points, constant before the first and after the last."""
    points = [(points[0][0] - 1, points[0][1]), *points, (max(points[-1][0], step) + 1, points[-1][1])]
    for (a, low), (b, high) in pairwise(points):
        if a <= step <= b:
            return Fraction(str(low)) + (Fraction(str(high)) - Fraction(str(low))) * (step - a) / (b - a)
    return Fraction(str(points[0][1]))


@settings(max_examples=20)
@given(start=shares, end=shares, length=st.integers(2, 120), block=st.sampled_from([1, 7, 20]))
def test_a_linear_schedule_counts_the_area_under_its_line(
    corpora: dict[str, Corpus], start: float, end: float, length: int, block: int
) -> None:
    schedule = {"alpha": start, "alpha_schedule": "linear", "alpha_end": end}
    plan = a_plan(corpora["equal"], policy="hybrid", batch=2, block=block, steps=length, **schedule)
    wanted = rounded_integrals([through([(0, start), (length - 1, end)], k) for k in range(141)])
    assert plan.alpha == start
    assert mono_counts(plan, 140)[::block] == wanted[::block]


@settings(max_examples=20)
@given(
    points=st.lists(st.tuples(st.integers(0, 120), shares), min_size=1, max_size=5, unique_by=lambda p: p[0]).map(sorted),
    block=st.sampled_from([1, 7, 20]),
)  # fmt: skip
def test_a_piecewise_schedule_counts_the_area_under_its_lines(
    corpora: dict[str, Corpus], points: list[tuple[int, float]], block: int
) -> None:
    schedule = {"alpha_schedule": "piecewise", "alpha_points": tuple(f"{step}:{alpha}" for step, alpha in points)}
    plan = a_plan(corpora["equal"], policy="hybrid", batch=2, block=block, **schedule)
    wanted = rounded_integrals([through(points, k) for k in range(141)])
    assert mono_counts(plan, 140)[::block] == wanted[::block]


@pytest.mark.parametrize(("start", "end"), [(1.0, 0.0), (0.2, 0.9), (0.5, 0.5)])
@pytest.mark.parametrize("length", [40, 400])
def test_a_cosine_schedule_counts_the_area_under_its_curve(
    corpora: dict[str, Corpus], start: float, end: float, length: int
) -> None:
    schedule = {"alpha": start, "alpha_schedule": "cosine", "alpha_end": end}
    plan = a_plan(corpora["equal"], policy="hybrid", batch=2, block=10, steps=length, **schedule)
    alphas = [start + (end - start) * (1 - math.cos(math.pi * k / (length - 1))) / 2 for k in range(length)]
    area = np.concatenate([[0], np.cumsum((np.array(alphas[1:]) + alphas[:-1]) / 2)])
    counts = np.array(mono_counts(plan, length)[:length])
    assert np.abs(counts - area)[::10].max() <= 0.5 + 2e-4 * length  # 64 straight pieces leave less than that
    assert counts[10] == pytest.approx(10 * start, abs=1)  # flat at both ends
    assert counts[-1] - counts[-11] == pytest.approx(10 * end, abs=2)


DEFAULT_BLOCK = PlanConfig().block
FALLS = {"linear": lambda x: x - x * x / 2, "cosine": lambda x: x / 2 + math.sin(math.pi * x) / (2 * math.pi)}
"""Area under a schedule from 1 to 0, up to a part of the run."""


@pytest.mark.parametrize("draws", [1, 2])
@pytest.mark.parametrize("steps", [12, 40, 77, 100, 250, 1000])
@pytest.mark.parametrize("schedule", FALLS)
def test_a_schedule_is_followed_all_through_the_run_at_the_default_block(
    corpora: dict[str, Corpus], schedule: str, steps: int, draws: int
) -> None:
    config = {"alpha": 1.0, "alpha_schedule": schedule, "alpha_end": 0.0, "draws_per_step": draws}
    plan = a_plan(corpora["equal"], policy="hybrid", batch=2 * draws, steps=steps, **config)
    assert plan.config.block == DEFAULT_BLOCK == 100
    counts, total = drawn_counts(plan, steps * draws), steps * draws
    assert abs(counts[-1] - total / 2) <= 1
    assert f"{counts[-1]} of {total} batches are monolingual" == plan.modes_in_words(steps)
    for part in range(1, 20):
        wanted = total * FALLS[schedule](part / 20)
        assert abs(counts[total * part // 20] - wanted) <= max(2.0, 0.03 * total)


def drawn_counts(plan: BatchPlan, draws: int) -> list[int]:
    """How many of the first 0, 1, 2, ... draws are monolingual; a step has plan.draws_per_step of them, of two examples each."""
    counts = [0]
    for k in range(draws // plan.config.draws_per_step):
        planned = plan.step(k)
        for queries, passages in zip(
            planned.query_rows.reshape(-1, 2), planned.passage_rows.reshape(-1, 2), strict=True
        ):
            counts.append(counts[-1] + int(np.array_equal(queries, passages)))
    return counts


@pytest.mark.parametrize(("steps", "quarters"), [(100, [25, 25, 0, 0]), (40, [10, 10, 0, 0]), (400, [100, 100, 0, 0])])
def test_a_change_from_one_step_to_the_next_happens_at_that_step(
    corpora: dict[str, Corpus], steps: int, quarters: list[int]
) -> None:
    points = ("0:1.0", f"{steps // 2 - 1}:1.0", f"{steps // 2}:0.0")
    plan = a_plan(corpora["equal"], policy="hybrid", batch=2, alpha_schedule="piecewise", alpha_points=points)
    counts = np.array(mono_counts(plan, steps))[[0, steps // 4, steps // 2, 3 * steps // 4, steps]]
    assert np.diff(counts).tolist() == quarters


def test_where_a_schedule_is_constant_it_draws_as_a_constant_does(corpora: dict[str, Corpus]) -> None:
    points = ("0:1.0", "100:0.3", "500:0.3")
    changing = a_plan(corpora["equal"], policy="hybrid", batch=2, alpha_schedule="piecewise", alpha_points=points)
    constant = a_plan(corpora["equal"], policy="hybrid", batch=2, alpha=0.3)
    for block in (range(100, 200), range(600, 700)):
        found, wanted = ([plan.step(k).mode for k in block] for plan in (changing, constant))
        assert found.count("mono") == wanted.count("mono") == 30
        assert sorted(found) == sorted(wanted)


def test_a_step_of_a_schedule_does_not_depend_on_those_before_it(corpora: dict[str, Corpus]) -> None:
    config = {"alpha": 0.9, "alpha_schedule": "cosine", "alpha_end": 0.1}
    plan = a_plan(corpora["equal"], policy="hybrid", batch=4, steps=130, **config)
    in_order = [plan.step(k) for k in range(140)]
    for k in reversed(range(140)):
        assert same(plan.step(k), in_order[k])
        assert same(a_plan(corpora["equal"], policy="hybrid", batch=4, steps=130, **config).step(k), in_order[k])


def test_a_constant_alpha_says_where_the_run_ends_within_a_block(corpora: dict[str, Corpus]) -> None:
    plan = a_plan(corpora["equal"], policy="hybrid", alpha=0.5, batch=2, seed=0)
    found = mono_counts(plan, 24)[-1]
    assert found != 12  # this seed
    told = plan.modes_in_words(24)
    assert (
        told.startswith(f"{found} of 24 batches are monolingual, where alpha asks for 12") and "plan.block=100" in told
    )
    assert plan.modes_in_words(200) == "100 of 200 batches are monolingual"
    assert a_plan(corpora["equal"], policy="hybrid", batch=2, block=24).modes_in_words(24).startswith("12 of 24")
    assert a_plan(corpora["equal"], policy="x_x").modes_in_words(24) == "all 24 batches are x_x"


def test_schedules_that_differ_have_hashes_that_differ(corpora: dict[str, Corpus]) -> None:
    def plan(length: int = 100, **config: object) -> BatchPlan:
        return a_plan(corpora["equal"], policy="hybrid", steps=length, **config)

    plans = [
        plan(), plan(alpha=1.0), plan(alpha=1.0, alpha_schedule="linear", alpha_end=0.5),
        plan(alpha=1.0, alpha_schedule="linear", alpha_end=0.25), plan(alpha=1.0, alpha_schedule="cosine", alpha_end=0.5),
        plan(200, alpha=1.0, alpha_schedule="linear", alpha_end=0.5),
        plan(alpha_schedule="piecewise", alpha_points=("0:1.0", "50:0.5")),
    ]  # fmt: skip
    assert len({p.hash for p in plans}) == len(plans)


def test_a_constant_schedule_is_the_plain_plan(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plain = a_plan(corpus, policy="hybrid", alpha=0.3)
    one_point = {"alpha_schedule": "piecewise", "alpha_points": ("0:0.3",)}
    for other in (
        a_plan(corpus, policy="hybrid", alpha=0.3, alpha_schedule="constant"),
        a_plan(corpus, policy="hybrid", alpha=0.3, steps=77),
        a_plan(corpus, policy="hybrid", **one_point),
    ):
        assert other.hash == plain.hash
        assert all(same(other.step(k), plain.step(k)) for k in range(30))
    level = a_plan(corpus, policy="hybrid", alpha=0.3, alpha_schedule="linear", alpha_end=0.3, steps=77)
    assert level.hash == plain.hash
    assert all(same(level.step(k), plain.step(k)) for k in range(120))
    assert a_plan(corpus, policy="hybrid").hash == a_plan(corpus, policy="hybrid", alpha=0.5).hash


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_schedule_over_a_run_of_unknown_length_is_refused(corpora: dict[str, Corpus], schedule: str) -> None:
    with pytest.raises(RequestError, match="needs the number of steps"):
        a_plan(corpora["equal"], policy="hybrid", alpha_schedule=schedule, alpha_end=0.1)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (("0:1", "x:0"), "'x:0' is not step:alpha"),
        (("0:1", "5"), "'5' is not step:alpha"),
        (("0:1.5",), "'0:1.5' is not step:alpha with alpha in [0, 1], for example 500:0.3"),
        (("0:nan",), "'0:nan' is not step:alpha"),
        (("-1:0.5",), "'-1:0.5' is not step:alpha"),
        (("5:1", "0:0"), "plan.alpha_points=5:1,0:0: steps must rise"),
        (("5:1", "5:0"), "plan.alpha_points=5:1,5:0: steps must rise"),
    ],
)
def test_points_that_make_no_schedule_are_refused(
    corpora: dict[str, Corpus], points: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(RequestError, match=re.escape(expected)):
        a_plan(corpora["equal"], policy="hybrid", alpha_schedule="piecewise", alpha_points=points)
