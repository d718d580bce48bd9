"""The share of monolingual batches over a run: every schedule becomes points between which alpha is linear."""

from __future__ import annotations

import math

from hybrid_core.config import PlanConfig
from hybrid_core.errors import RequestError

DEFAULT_ALPHA = 0.5
_COSINE_PIECES = 64
_FIXED = {"mono": 1.0, "cross": 0.0, "x_x": 1.0, "multi_positive": 0.0}

Points = list[tuple[int, float]]


def alpha_points(config: PlanConfig, steps: int | None) -> Points:
    """(batch number, alpha) by number; constant before the first point and after the last.

    Raises:
        RequestError: points that are no numbers, out of order, or a schedule for a run whose length is not known.
    """
    start = _FIXED.get(config.policy, DEFAULT_ALPHA if config.alpha is None else config.alpha)
    if config.alpha_schedule == "constant":
        return [(0, start)]
    if config.alpha_schedule == "piecewise":
        return _in_batches(config, _parsed(config.alpha_points))
    end = config.alpha_end
    if steps is None or end is None:
        raise RequestError(
            f"plan.alpha_schedule={config.alpha_schedule!r} needs the number of steps and plan.alpha_end"
        )
    last = max(1, steps - 1)
    if config.alpha_schedule == "linear":
        return _in_batches(config, [(0, start), (last, end)])
    pieces = min(_COSINE_PIECES, last)
    shares = [
        (i * last // pieces, (1 - math.cos(math.pi * (i * last // pieces) / last)) / 2) for i in range(pieces + 1)
    ]
    return _in_batches(config, [(at, round(start + (end - start) * share, 9)) for at, share in shares])


def ends_with_the_run(config: PlanConfig, points: Points) -> bool:
    """Whether these points were made for a run of a certain length."""
    return config.alpha_schedule in ("linear", "cosine") and len(points) > 1


def _in_batches(config: PlanConfig, points: Points) -> Points:
    if len({alpha for _, alpha in points}) == 1:
        return [(0, points[0][1])]  # the same plan as a constant, and the same hash
    return [(step * config.draws_per_step, alpha) for step, alpha in points]


def _parsed(texts: tuple[str, ...]) -> Points:
    points: Points = []
    for text in texts:
        step, colon, alpha = text.partition(":")
        try:
            points.append((int(step), float(alpha)))
        except ValueError:
            colon = ""
        if not colon or not 0.0 <= points[-1][1] <= 1.0 or points[-1][0] < 0:
            raise RequestError(
                f"plan.alpha_points: {text!r} is not step:alpha with alpha in [0, 1], for example 500:0.3"
            )
    if [step for step, _ in points] != sorted({step for step, _ in points}):
        raise RequestError(f"plan.alpha_points={','.join(texts)}: steps must rise from point to point")
    return points
