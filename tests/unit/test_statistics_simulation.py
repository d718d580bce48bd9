"""Intervals cover and tests err as often as they say: the benchmark's simulation, with fewer repetitions."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPETITIONS, SAMPLES = 150, 400
ERRORS = 3.5
"""Binomial standard errors that a share may lie on the wrong side."""


def load() -> ModuleType:
    file = Path(__file__).resolve().parents[2] / "benchmarks" / "statistics_simulation.py"
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location("statistics_simulation", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


SIMULATION = load()


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    found: dict[str, float] = SIMULATION.run(REPETITIONS, SAMPLES, first=20_000)
    return found


@pytest.mark.parametrize("name", [name for name, check in SIMULATION.CHECKS.items() if check.bound])
def test_the_share_is_what_it_should_be(measured: dict[str, float], name: str) -> None:
    check = SIMULATION.CHECKS[name]
    allowed = ERRORS * math.sqrt(check.nominal * (1 - check.nominal) / REPETITIONS)
    if check.bound == "least":
        assert measured[name] >= check.nominal - allowed
    else:
        assert measured[name] <= check.nominal + allowed


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("level, rows drawn", "level"),
        ("difference, 3 seeds ignored", "difference, 3 seeds"),
        ("difference, 5 seeds ignored", "difference, 5 seeds"),
        ("worst language, alike, percentile", "worst language, alike"),
        ("CVaR of 11 cells, alike, percentile", "CVaR of 11 cells, alike"),
        ("CVaR of 110 cells, alike, percentile", "CVaR of 110 cells, alike"),
    ],
)
def test_what_clusters_and_seeds_are_for(measured: dict[str, float], wrong: str, right: str) -> None:
    assert measured[wrong] < 0.9 < measured[right]


def test_corrections_are_needed(measured: dict[str, float]) -> None:
    assert measured["test, rows flipped"] > 0.1 > measured["test"]
    assert measured["any of 10 contrasts, uncorrected"] > 0.15
    assert measured["any of 10 shift effects, uncorrected"] > 0.15


def test_swapping_arms_that_differ_everywhere_would_miss_shift_effects(measured: dict[str, float]) -> None:
    assert measured["shift test of an effect, arms swapped"] < measured["shift test of an effect"] - 0.2
