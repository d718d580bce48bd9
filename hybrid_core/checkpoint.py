"""Training state on disk: trained weights and AdamW moments as safetensors, and one integer, the step.

Frozen weights are not stored: they are those of the base model. The directory is sealed with a marker, written last, beside
the place it is for; the one that was there before steps aside for it and is removed after. Wherever that is interrupted, a
whole checkpoint is at the place or beside it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hybrid_core.storage import mark_complete, verify_complete

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save(directory: Path, module: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Write weights, moments and `state`, which names at least `step` (optimiser steps done) and `plan_hash`.

    A checkpoint that is at `directory` is replaced; until the new one is whole it is left alone.
    """
    scratch, previous = _beside(directory, "part"), _beside(directory, "previous")
    shutil.rmtree(scratch, ignore_errors=True)
    _write(scratch, module, optimizer, state)
    if directory.exists():
        shutil.rmtree(previous, ignore_errors=True)
        directory.rename(previous)
    scratch.rename(directory)
    shutil.rmtree(previous, ignore_errors=True)


def find(directory: Path) -> Path | None:
    """Where the checkpoint of `directory` is: there, or set aside by a save that was interrupted; None if there is none."""
    return next((place for place in (directory, _beside(directory, "previous")) if place.exists()), None)


def _beside(directory: Path, kind: str) -> Path:
    return directory.with_name(f"{directory.name}.{kind}")


def _write(directory: Path, module: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    directory.mkdir(parents=True)
    trained = _trained(module)
    save_file({n: p.detach().cpu().contiguous() for n, p in trained.items()}, directory / "weights.safetensors")
    moments = {
        f"{name}.{moment}": optimizer.state[p][moment].detach().cpu().contiguous()
        for name, p in trained.items()
        for moment in _MOMENTS
        if p in optimizer.state
    }
    save_file(moments, directory / "optimizer.safetensors")
    (directory / "state.json").write_text(json.dumps(dict(state)) + "\n")
    mark_complete(directory, kind="checkpoint", step=state["step"])


def load(directory: Path, module: nn.Module, optimizer: torch.optim.Optimizer, *, plan_hash: str) -> dict[str, Any]:
    """Restore weights and moments in place and return the rest of the state.

    Raises:
        RequestError: the directory is cut short or damaged.
        RuntimeError: the checkpoint belongs to another plan (other data, seed, batch or policy) or another model.
    """
    verify_complete(directory)
    state: dict[str, Any] = json.loads((directory / "state.json").read_text())
    if state["plan_hash"] != plan_hash:
        raise RuntimeError(
            f"{directory} was written under plan {state['plan_hash']}, this run has plan {plan_hash}; use a new output"
        )
    trained, weights = _trained(module), load_file(directory / "weights.safetensors")
    if trained.keys() != weights.keys():
        raise RuntimeError(
            f"{directory} holds other trained weights than this model: {sorted(trained.keys() ^ weights.keys())[:5]}"
        )
    moments = load_file(directory / "optimizer.safetensors")
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(weights[name])
            if f"{name}.step" in moments:
                optimizer.state[p] = {m: moments[f"{name}.{m}"].to(p.device) for m in _MOMENTS}
    return state


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}
