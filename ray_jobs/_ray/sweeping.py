"""Ray Tune: a grid of trials, each of which drives a Ray Train run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune

from hybrid_core import storage
from hybrid_core.storage import absolute, join


@dataclass(frozen=True)
class Sweep:
    """A grid of training runs under Tune."""

    name: str
    storage_path: str
    points: Sequence[Mapping[str, Any]]
    """One mapping per trial, handed to the trial function."""
    metric: str
    mode: str
    concurrent: int


def sweep(
    request: Sweep, trial: Callable[[dict[str, Any]], None]
) -> list[tuple[dict[str, Any], dict[str, Any], str | None]]:
    """Run all trials; a sweep that was interrupted continues under the same name.

    Returns (point, last metrics, error) of every trial.
    """
    trainable = tune.with_resources(trial, {"CPU": 0.01})
    path = join(absolute(request.storage_path), request.name)
    filesystem, bare = storage.filesystem(path)
    if tune.Tuner.can_restore(bare, storage_filesystem=filesystem):
        tuner = tune.Tuner.restore(
            bare, trainable=trainable, resume_errored=True, resume_unfinished=True, storage_filesystem=filesystem
        )
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"point": tune.grid_search(list(request.points))},
            tune_config=tune.TuneConfig(
                metric=request.metric, mode=request.mode, max_concurrent_trials=request.concurrent
            ),
            run_config=tune.RunConfig(
                name=request.name,
                storage_path=absolute(request.storage_path),
                verbose=0,
                callbacks=[_PrintResults(request.metric)],
            ),
        )
    results = tuner.fit()
    return [
        (r.config["point"] if r.config else {}, r.metrics or {}, str(r.error) if r.error else None) for r in results
    ]


class _PrintResults(tune.Callback):
    """Progress on the terminal: every intermediate result a trial reports to the scheduler."""

    def __init__(self, metric: str) -> None:
        self.metric = metric

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if self.metric in result:
            print(
                f"  {trial.config['point']['name']}: step {result.get('step')}, {self.metric} {result[self.metric]:.4f}"
            )
