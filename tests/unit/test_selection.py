"""The best evaluations are remembered, and Ray Train, which keeps checkpoints by a number, keeps those very ones."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ray.air.config import CheckpointConfig
from ray.train import Checkpoint
from ray.train._internal.checkpoint_manager import _CheckpointManager
from ray.train._internal.session import _TrainingResult

from hybrid_core.selection import Selection
from ray_jobs._ray.training import NOT_EVALUATED, SCORE

VALUES = st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.5 + 1e-12, 0.8, math.nan]), min_size=1, max_size=12)


def best(values: list[float], keep: int) -> list[int]:
    """Steps of the best values, best first, of equal ones the first."""
    finite = [step for step, value in enumerate(values) if not math.isnan(value)]
    return sorted(finite, key=lambda step: (-values[step], step))[:keep]


def kept_by_ray(values: list[float], keep: int, folder: Path) -> set[int]:
    """Steps whose checkpoints are there after a run with these evaluations, of which every one was saved."""
    selection = Selection("m", 0, keep)
    manager = _CheckpointManager(CheckpointConfig(num_to_keep=keep, checkpoint_score_attribute=SCORE))
    for step, value in enumerate(values):
        selection.see(step, {"m": value})
        score = selection.score(step)
        (folder / str(step)).mkdir()
        saved = Checkpoint.from_directory(folder / str(step))
        manager.register_checkpoint(_TrainingResult(saved, {SCORE: NOT_EVALUATED if score is None else score}))
    return {int(place.name) for place in folder.iterdir()}


@given(VALUES, st.integers(1, 4))
@example([0.5, 0.9, 0.8, 0.85, 0.7], 2)
@example([0.5, 0.5, 0.9, 0.5], 2)
def test_the_checkpoints_of_the_best_evaluations_are_kept_and_the_latest(values: list[float], keep: int) -> None:
    wanted = set(best(values, keep))
    with TemporaryDirectory() as folder:
        there = kept_by_ray(values, keep, Path(folder))
    assert wanted <= there
    assert len(values) - 1 in there
    assert len(there) <= keep + 1
    if len(wanted) == keep:
        assert there == wanted | {len(values) - 1}


@given(VALUES, st.integers(1, 4), st.integers(0, 11))
def test_a_selection_that_was_stored_decides_like_one_that_was_not(values: list[float], keep: int, cut: int) -> None:
    whole, first = Selection("m", 3, keep), Selection("m", 3, keep)
    for step, value in enumerate(values):
        said = whole.see(step, {"m": value})
        if step == cut:
            state, first = first.state(), Selection("m", 3, keep)
            first.restore(state)
        assert first.see(step, {"m": value}) == said
        assert first.exhausted == whole.exhausted
    assert [step for step, _ in whole.kept] == best(values, keep)
    assert first.kept == whole.kept


def test_scores_differ_from_values_only_among_equals() -> None:
    selection = Selection("m", 0, 3)
    for step, value in enumerate([0.5, 0.5, 0.9]):
        selection.see(step, {"m": value})
    assert (selection.score(2), selection.score(0)) == (0.9, 0.5)
    assert selection.score(1) == pytest.approx(0.5, abs=1e-15) and selection.score(1) != 0.5
    assert selection.score(7) is None
