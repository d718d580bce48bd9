"""Search spaces by name: what varies, what stays, how often, and what decides."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hybrid_core.errors import RequestError, nearest


@dataclass(frozen=True)
class Space:
    """A grid of training runs."""

    name: str
    recipe: str
    """Recipe every trial starts from."""
    axes: Mapping[str, tuple[Any, ...]]
    """Config path -> values; trials are their product."""
    seeds: tuple[int, ...]
    """Every point is trained once per seed."""
    objective: str
    """`suite/setting/metric` the sweep is decided by (higher is better)."""
    overrides: tuple[str, ...] = ()
    """Settings of all trials, as for --set."""

    def points(self) -> list[dict[str, Any]]:
        """One {config path: value} per trial."""
        combinations = itertools.product(*self.axes.values(), self.seeds)
        return [dict(zip((*self.axes, "seed"), values, strict=True)) for values in combinations]


def smoke() -> Space:
    """Three mixing ratios, a few steps each, on the built-in corpus: shows the whole path in minutes on two cores."""
    return Space(
        name="smoke",
        recipe="quickstart",
        axes={"plan.alpha": (0.0, 0.5, 1.0)},
        seeds=(0,),
        objective="sample_encyclopaedic/multi/mAP",
        overrides=(
            "output=runs/tune-smoke",
            "train.steps=12",
            "train.evaluate_every=6",
            "evaluate.suites=sample_encyclopaedic,sample_finance",
        ),
    )


def ratio() -> Space:
    """The mixing ratio in quarters, three seeds, XLM-R base: what arXiv 2408.10536 describes but does not tabulate."""
    return Space(
        name="ratio",
        recipe="xlmr_hybrid",
        axes={"plan.alpha": (0.0, 0.25, 0.5, 0.75, 1.0)},
        seeds=(0, 1, 2),
        objective="xquad_r/multi/mAP",
        overrides=("output=runs/tune-ratio", "train.evaluate_every=1000"),
    )


def backbones() -> Space:
    """Mixing ratio x backbone: does an encoder that was aligned before need another ratio?"""
    return Space(
        name="backbones",
        recipe="xlmr_hybrid",
        axes={
            "model.name": ("xlm-roberta-base", "sentence-transformers/LaBSE", "intfloat/multilingual-e5-base"),
            "plan.alpha": (0.0, 0.5, 1.0),
        },
        seeds=(0, 1, 2),
        objective="xquad_r/multi/mAP",
        overrides=("output=runs/tune-backbones", "train.evaluate_every=1000"),
    )


SPACES: Mapping[str, Callable[[], Space]] = {f.__name__: f for f in (smoke, ratio, backbones)}


def space(name: str) -> Space:
    """A space by name.

    Raises:
        RequestError: unknown name; the nearest is named.
    """
    if name not in SPACES:
        raise RequestError(f"unknown space {name!r}{nearest(name, SPACES)}")
    return SPACES[name]()
