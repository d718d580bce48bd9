"""The steps jobs are made of: base encoder, training, encoding, scoring. Each is a no-op when its result is already there."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.data.sources import Sources, open_sources, plan_for
from hybrid_core.data.suites import Suite
from hybrid_core.errors import RequestError, nearest
from hybrid_core.evaluate import METRICS
from hybrid_core.model import export, load_encoder, model_fingerprint, require_peft, trained_under
from hybrid_core.objective import Objective
from hybrid_core.plan import BatchPlan
from hybrid_core.settings import as_dict, build, digest
from hybrid_core.storage import absolute, is_remote, join
from ray_jobs import _tracking
from ray_jobs._identity import training_settings
from ray_jobs._ray.cluster import connect, processors


def check_output(config: Config, *, make: bool = True) -> None:
    """Refuse an output that cannot be written, or that a submitted job would lose when Ray removes its package.

    Args:
        config: the request.
        make: as in `storage.check_writable`.

    Raises:
        RequestError: names the address and the remedy.
    """
    if os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"):
        if not is_remote(config.output) and not config.output.startswith("/"):
            raise RequestError(
                f"output={config.output!r} is relative: in a submitted job it lies in a package that Ray removes; use s3:// or /path"
            )
        if is_remote(config.output) and not os.environ.get("MLFLOW_TRACKING_URI"):
            raise RequestError(
                "a submitted job with remote output needs MLFLOW_TRACKING_URI: its runs would lie on the node that ran the driver"
            )
    storage.check_writable(absolute(config.output), "output", make=make)


def connect_for(config: Config) -> None:
    """Join or start a cluster with room for the request's workers and actors."""
    gpus = max(config.train.workers * config.train.use_gpu, config.encode.actors * config.encode.use_gpu)
    connect(config.train.workers + processors(config.encode) + 1, gpus)


def check_plan(config: Config) -> BatchPlan:
    """Open the corpora and build the plan on the driver, so that a request that cannot be trained is refused at once."""
    if config.train.workers > config.train.global_batch:
        raise RequestError(
            f"train.workers={config.train.workers} is more than train.global_batch={config.train.global_batch}: "
            "some would have nothing to do"
        )
    return plan_for(config, open_sources(config))


def check_select(config: Config, suites: Sequence[Suite]) -> None:
    """Refuse a metric for train.select that no evaluation of these suites will give, or of which less is better.

    Raises:
        RequestError: names the nearest suite, setting or metric.
    """
    if not config.train.select:
        return
    name, setting, metric = config.train.select.split("/")
    suite = next((s for s in suites if s.name == name), None)
    for given, allowed in (
        (name, [s.name for s in suites]),
        (setting, suite.settings if suite else ()),
        (metric, METRICS),
    ):
        if given not in allowed:
            raise RequestError(
                f"train.select={config.train.select!r}: {given!r} is not measured{nearest(given, allowed)}"
            )


def prepare_base(config: Config, suites: Sequence[Suite], *, with_corpus: bool) -> str:
    """Export the untrained encoder, shaped as asked, to `<output>/models`; every arm starts from these very weights.

    A trimmed vocabulary covers the suites and, if `with_corpus`, the training corpus.
    """
    model, sources, target = _base(config, suites, with_corpus)
    if storage.exists(join(target, storage.MARKER)):
        _check_dimensions(config, target)
        return target
    shaped = build(type(config.model), model)
    encoder = load_encoder(shaped, seed=config.seed, texts=_all_texts(sources, suites), prefixes=_prefixes(sources))
    if config.model.lora_rank:
        require_peft()  # here, not in a worker
    scratch = Path(tempfile.mkdtemp())
    try:
        export(encoder, scratch)
        storage.mark_complete(scratch, kind="encoder", source=config.model.name, plan_hash=trained_under(model["name"]))
        storage.upload_directory(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _check_dimensions(config, target)
    return target


def base_place(config: Config, suites: Sequence[Suite], *, with_corpus: bool) -> str:
    """Where `prepare_base` puts the encoder, or has put it."""
    return _base(config, suites, with_corpus)[2]


def _base(config: Config, suites: Sequence[Suite], with_corpus: bool) -> tuple[dict[str, Any], Sources, str]:
    """The shape of the untrained encoder, the corpora whose tokens it keeps, and where it goes."""
    model = as_dict(config.model) | {"freeze_embeddings": False, "lora_rank": 0}
    model["name"] = _tracking.resolve_model(config.model.name, config)
    trimmed = config.model.vocabulary == "trimmed"
    sources = open_sources(config) if trimmed and with_corpus else {}
    covered = [s.fingerprint for s in suites]
    covered += [part for s in sources.values() for part in (s.corpus.fingerprint, *s.corpus.languages)]
    covered += [f"behind {prefix!r}" for prefix in _prefixes(sources)]
    identity = [model, model_fingerprint(model["name"]), sorted(covered) if trimmed else []]
    return model, sources, join(absolute(config.output), "models", f"base-{digest(identity)}")


def _prefixes(sources: Sources) -> set[str]:
    """What texts are read with beside the model's own prefixes: those of corpora."""
    return {p for s in sources.values() for p in (s.config.query_prefix, s.config.passage_prefix) if p is not None}


def plan_of(base: str) -> str:
    """Hash of the batch plan that the model behind a prepared base was trained with; "" where none is known."""
    return str(storage.read_json(join(base, storage.MARKER)).get("plan_hash", ""))


def _check_dimensions(config: Config, base: str) -> None:
    """Refuse Matryoshka dimensions that the encoder does not have, before workers are started."""
    Objective(config.train, storage.read_json(join(base, "config.json"))["hidden_size"])


def _all_texts(sources: Sources, suites: Sequence[Suite]) -> Iterator[str]:
    for source in sources.values():
        yield from source.corpus.texts()
    for suite in suites:
        yield from suite.queries.texts
        yield from suite.passages.texts


def train_arm(
    config: Config, base: str, run: _tracking.Run, name: str, suites: Sequence[Suite] = (), *, inside_tune: bool = False
) -> str:
    """Train one arm from the base encoder and return the URI of its model; a model that is already there is kept."""
    from ray_jobs._ray.training import TrainRequest, train

    plan = check_plan(config)
    settings = training_settings(config.train)
    weights = storage.read_json(join(base, storage.MARKER))["files"]
    if config.train.select:
        settings |= {"suites": sorted(s.fingerprint for s in suites), "encode.precision": config.encode.precision}
    used = {
        name: as_dict(source) | {"corpus": ""} for name, source in config.data.corpora.items()
    }  # its content is in the plan
    identity = digest([weights, settings, as_dict(config.model), used, plan.hash])
    target = join(absolute(config.output), "models", f"{name}-{identity}")
    run.set_tags({"hybrid.plan_hash": plan.hash, "hybrid.model": target})
    if not storage.exists(join(target, storage.MARKER)):
        print(f"  {name}: {plan.modes_in_words(config.train.steps)}")
        evaluated = tuple(suites) if config.train.evaluate_every else ()
        request = TrainRequest(config, base, target, f"{name}-{identity}", evaluated)
        train(request, _Progress(run, name, config.train.steps), inside_tune=inside_tune)
    return target


class _Progress:
    """What happens with the metrics of a step: a line on the terminal, points in MLflow."""

    def __init__(self, run: _tracking.Run, name: str, steps: int) -> None:
        self.run, self.name, self.steps = run, name, steps
        self.started = time.monotonic()

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        shown = [f"loss {metrics['train/loss']:.3f}"] if "train/loss" in metrics else []
        shown += [f"{name} {value:.3f}" for name, value in metrics.items() if name.endswith("/multi/mAP")]
        print(
            f"  {self.name}: step {step} of {self.steps}, {', '.join(shown)} ({time.monotonic() - self.started:.0f} s)"
        )
        self.run.log_metrics(step, metrics)
