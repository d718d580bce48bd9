"""A checkpoint appears whole or not at all: wherever a save is interrupted, the last good one can be restored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from hybrid_core import checkpoint

PLAN = "a-plan"
INTERRUPTED = [
    (checkpoint, "save_file", 1), (checkpoint, "save_file", 2), (checkpoint, "mark_complete", 1), (Path, "rename", 1),
    (Path, "rename", 2), (shutil, "rmtree", 1), (shutil, "rmtree", 2), (shutil, "rmtree", 3),
]  # fmt: skip
"""Where a process may be killed: at the nth call of a function that changes the disk."""


class Killed(BaseException):
    """Nothing after it is done, as after a kill."""


def trained(value: float) -> tuple[nn.Module, torch.optim.Optimizer]:
    module = nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.0)
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(value)
            p.grad = torch.full_like(p, value)
    optimizer.step()
    return module, optimizer


def save(directory: Path, step: int) -> None:
    module, optimizer = trained(float(step))
    checkpoint.save(directory, module, optimizer, {"step": step, "plan_hash": PLAN})


def restored(directory: Path) -> int:
    """The step of the checkpoint that a run started now goes on from; its weights are those of that step."""
    module, optimizer = trained(0.0)
    place = checkpoint.find(directory)
    assert place is not None
    step = int(checkpoint.load(place, module, optimizer, plan_hash=PLAN)["step"])
    assert {x for p in module.parameters() for x in p.detach().flatten().tolist()} == {float(step)}
    return step


@pytest.mark.parametrize("at", INTERRUPTED, ids=lambda at: f"{at[1]}-{at[2]}")
def test_an_interrupted_save_never_loses_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: tuple[object, str, int]
) -> None:
    place = tmp_path / "checkpoint"
    save(place, 1)
    owner, name, nth = at
    real, calls = getattr(owner, name), 0

    def killed(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise Killed
        return real(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        with pytest.raises(Killed):
            save(place, 2)
    assert restored(place) in (1, 2)
    save(place, 3)
    assert restored(place) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"], (
        "what an interrupted save left is removed by the next"
    )


def test_a_place_without_a_checkpoint_has_none(tmp_path: Path) -> None:
    assert checkpoint.find(tmp_path / "checkpoint") is None
