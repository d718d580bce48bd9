"""Settings that need each other, whatever job reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_core.data.languages import check_language
from hybrid_core.errors import RequestError

if TYPE_CHECKING:
    from hybrid_core.config import EncodeConfig, PlanConfig, TrainConfig


def check_alpha(plan: PlanConfig) -> None:
    """A value that the schedule would silently ignore is an error, and so is one that is missing.

    Raises:
        RequestError: names the fields and the remedy.
    """
    needed = {"linear": "alpha_end", "cosine": "alpha_end", "piecewise": "alpha_points"}.get(plan.alpha_schedule)
    for name in ("alpha_end", "alpha_points"):
        given = getattr(plan, name) not in (None, ())
        if given != (name == needed):
            raise RequestError(
                f"plan.alpha_schedule={plan.alpha_schedule!r} {'has no use for' if given else 'needs'} plan.{name}"
                f"{'; remove it or choose another schedule' if given else ''}"
            )
    if plan.alpha_schedule == "piecewise" and plan.alpha is not None:
        raise RequestError(
            "plan.alpha has no meaning under plan.alpha_schedule='piecewise'; plan.alpha_points say it all"
        )


def check_train(train: TrainConfig) -> None:
    """Settings that need each other.

    Raises:
        RequestError: names the fields and the remedy.
    """
    if train.min_workers is not None and train.min_workers > train.workers:
        raise RequestError(
            f"train.min_workers={train.min_workers} is more than train.workers={train.workers}, the number wanted"
        )
    if train.patience and not train.select:
        raise RequestError("train.patience needs train.select, the metric that has to improve, as suite/setting/metric")
    if train.select and not train.evaluate_every:
        raise RequestError(f"train.select={train.select!r} needs train.evaluate_every, the steps between evaluations")
    if train.select and train.select.count("/") != 2:
        raise RequestError(f"train.select={train.select!r} must be suite/setting/metric, for example xquad_r/multi/mAP")


def check_encode(encode: EncodeConfig) -> None:
    """A language that is none, and encoders that cannot be had.

    Raises:
        RequestError: names the fields and the remedy.
    """
    if encode.engine == "openvino":
        from hybrid_core.openvino import require_openvino

        if encode.use_gpu:
            raise RequestError("encode.engine=openvino is for CPUs; with encode.use_gpu=true use encode.engine=torch")
        require_openvino()
    if encode.language is not None:
        check_language(encode.language, "encode.language")
    if encode.min_actors is not None and encode.min_actors > encode.actors:
        raise RequestError(
            f"encode.min_actors={encode.min_actors} is more than encode.actors={encode.actors}, the number wanted"
        )
