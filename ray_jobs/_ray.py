"""The only module that knows Ray: clusters, Train gangs, Data pipelines, Tune sweeps.

Everything it runs is in `hybrid_core`; this module moves requests to workers and results back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
import ray.train
import ray.train.torch
import torch
from ray import tune
from ray.tune.integration.ray_train import TuneReportCallback

from hybrid_core import storage
from hybrid_core.config import Config, as_dict, build
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.suites import Suite
from hybrid_core.encode import encode
from hybrid_core.errors import RequestError
from hybrid_core.model import export, load_encoder
from hybrid_core.plan import BatchPlan
from hybrid_core.storage import absolute, join, mark_complete, upload_directory
from hybrid_core.trainer import Hooks, Trainer
from hybrid_core.validation import Validator

OnMetrics = Callable[[int, Mapping[str, float]], None]
_COLLECTIVE_TIMEOUT_S = 300


def connect(cpus: int) -> None:
    """Join the cluster of RAY_ADDRESS (a submitted job has it set), or start a local one with room for `cpus` processes."""
    if ray.is_initialized():
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.WARNING)
        return
    ray.init(
        address="local", num_cpus=max(cpus, os.cpu_count() or 1), include_dashboard=False, log_to_driver=False,
        logging_level=logging.WARNING, object_store_memory=300_000_000,
    )  # fmt: skip


def disconnect() -> None:
    """Leave the cluster; a local one stops."""
    ray.shutdown()


# --- training ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainRequest:
    """One training run. Plain values, so that it travels to workers."""

    config: Config
    base: str
    """URI of the exported base encoder every worker starts from."""
    corpus: str
    """URI of the training corpus, or a local directory that exists on every node."""
    target: str
    """URI the finished encoder is exported to."""
    name: str
    """Identity of the run: the same name resumes from its last checkpoint."""
    suites: tuple[Suite, ...] = ()
    """Evaluated in mid-training when train.evaluate_every is set."""


def train(request: TrainRequest, on_metrics: OnMetrics, *, inside_tune: bool = False) -> None:
    """Train with Ray Train until the encoder lies at `request.target`; resumes by itself after a crash of any process.

    Raises:
        RuntimeError: training failed for good (the cause is chained).
    """
    config = request.config
    mailbox = _Mailbox.remote()
    callbacks: list[Any] = [_Forward(mailbox)]
    if inside_tune:
        callbacks.append(_ForwardToTune())
    trainer = ray.train.torch.TorchTrainer(
        _train_worker,
        train_loop_config={"request": {**request.__dict__, "config": as_dict(config)}},
        torch_config=ray.train.torch.TorchConfig(backend="nccl" if config.train.use_gpu else "gloo", timeout_s=_COLLECTIVE_TIMEOUT_S),
        scaling_config=ray.train.ScalingConfig(num_workers=config.train.workers, use_gpu=config.train.use_gpu),
        run_config=ray.train.RunConfig(
            name=request.name,
            storage_path=join(absolute(config.output), "checkpoints"),
            failure_config=ray.train.FailureConfig(max_failures=config.train.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=config.train.keep_checkpoints),
            callbacks=callbacks,
        ),
    )
    try:
        with _delivering(mailbox, on_metrics):
            trainer.fit()
    except ray.exceptions.RayError as error:  # the controller itself died: the run can be continued under its name
        raise RuntimeError(f"training {request.name} lost its controller; run the same command again to resume") from error
    if not storage.exists(join(request.target, storage.MARKER)):
        raise RuntimeError(f"training {request.name} ended without a model at {request.target}")


@ray.remote(num_cpus=0)
class _Mailbox:
    """Carries reports from the training controller to the driver, which alone writes to MLflow and the terminal."""

    def __init__(self) -> None:
        self.items: list[tuple[int, dict[str, float]]] = []

    def put(self, step: int, metrics: dict[str, float]) -> None:
        self.items.append((step, metrics))

    def take(self) -> list[tuple[int, dict[str, float]]]:
        items, self.items = self.items, []
        return items


class _Forward(ray.train.UserCallback):  # type: ignore[misc]
    """Runs in the controller: what rank 0 reported goes to the mailbox."""

    def __init__(self, mailbox: Any) -> None:
        self.mailbox = mailbox

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        report = dict(metrics[0])
        step = int(report.pop("step"))
        if report:
            ray.get(self.mailbox.put.remote(step, report))


@contextlib.contextmanager
def _delivering(mailbox: Any, on_metrics: OnMetrics) -> Iterator[None]:
    """Hand reports to `on_metrics` while the body runs, from one thread, and the last ones when it ends."""
    ended = threading.Event()

    def deliver() -> None:
        while True:
            last = ended.wait(1.0)
            for step, metrics in ray.get(mailbox.take.remote()):
                on_metrics(step, metrics)
            if last:
                return

    thread = threading.Thread(target=deliver, name="deliver-metrics")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _ForwardToTune(TuneReportCallback):  # type: ignore[misc]
    """Only reports that hold an evaluation concern the scheduler; a checkpoint alone would be a result without its metric."""

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        if any(name.count("/") == 2 for name in metrics[0]):
            super().after_report(run_context, metrics, checkpoint)


def _train_worker(loop_config: dict[str, Any]) -> None:
    """What every training process runs."""
    request = TrainRequest(**{**loop_config["request"], "config": build(Config, loop_config["request"]["config"])})
    config = request.config
    torch.set_num_threads(config.train.threads)
    corpus = Corpus.open(request.corpus, config.data.languages)
    encoder = load_encoder(_derived_model(config, request.base), seed=config.seed).to(ray.train.torch.get_device())
    plan = BatchPlan(corpus, config.plan, seed=config.seed, global_batch=config.train.global_batch)
    trainer = Trainer(encoder, corpus, plan, config.train)
    if latest := ray.train.get_checkpoint():
        with latest.as_directory() as directory:
            trainer.restore(Path(directory))
    validator = Validator(encoder, request.suites, config.encode) if request.suites else None
    trainer.run(Hooks(log=_report, save=lambda step, metrics: _report_checkpoint(trainer), evaluate=validator))
    if ray.train.get_context().get_world_rank() == 0:
        with tempfile.TemporaryDirectory() as scratch:
            export(encoder, Path(scratch))
            mark_complete(Path(scratch), kind="encoder", plan_hash=plan.hash)
            upload_directory(Path(scratch), request.target)


def _derived_model(config: Config, base: str) -> Any:
    """The model section for an exported base: it is already trimmed and cut to its layers."""
    values = as_dict(config.model) | {"name": base, "vocabulary": "full", "layers": None}
    return build(type(config.model), values)


def _report(step: int, metrics: Mapping[str, float]) -> None:
    ray.train.report({"step": step, **metrics})


def _report_checkpoint(trainer: Trainer) -> None:
    if ray.train.get_context().get_world_rank() != 0:
        ray.train.report({"step": trainer.done})
        return
    with tempfile.TemporaryDirectory() as scratch:
        trainer.save(Path(scratch))
        ray.train.report({"step": trainer.done}, checkpoint=ray.train.Checkpoint.from_directory(scratch))


# --- encoding ---------------------------------------------------------------------------------------------------------


def encode_texts(texts: pa.Table, model: str, target: str, config: Config) -> np.ndarray:
    """Encode a table (row, kind, text) with Ray Data; embeddings [rows, dimension] in the order of `row`.

    The shards under `target` are sealed by a marker that names the attempt they belong to, so an attempt that was cut
    short is never read; what is already there is not computed again.

    Raises:
        RuntimeError: rows out differ from rows in.
    """
    marker = join(target, storage.MARKER)
    if not storage.exists(marker):
        attempt = os.urandom(4).hex()
        _write_embeddings(texts, model, join(target, attempt), config)
        storage.write_json(marker, {"attempt": attempt, "rows": texts.num_rows})
    return _read_embeddings(join(target, storage.read_json(marker)["attempt"]), texts.num_rows)


def _write_embeddings(texts: pa.Table, model: str, folder: str, config: Config) -> None:
    c = config.encode
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    by_length = texts.take(pa.compute.sort_indices(pa.compute.utf8_length(texts["text"])))  # blocks of like lengths pad little
    blocks = [by_length.slice(start, c.rows_per_block) for start in range(0, by_length.num_rows, c.rows_per_block)]
    dataset = ray.data.from_arrow(blocks).map_batches(
        _EncoderActor,
        fn_constructor_args=(model, as_dict(config)),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=c.actors),
        num_cpus=1,
        num_gpus=1 if c.use_gpu else 0,
    )
    filesystem, path = storage.filesystem(folder)
    dataset.write_parquet(path, filesystem=filesystem)


class _EncoderActor:
    """Loads the model once; encodes blocks."""

    def __init__(self, model: str, config: dict[str, Any]) -> None:
        self.config = build(Config, config)
        torch.set_num_threads(self.config.encode.threads)
        self.encoder = load_encoder(_derived_model(self.config, model))
        if self.config.encode.use_gpu:
            self.encoder.to("cuda")

    def __call__(self, block: pa.Table) -> pa.Table:
        c = self.config.encode
        vectors = np.empty((block.num_rows, self.encoder.dimension), dtype=np.float32)
        kinds = np.array(block["kind"].to_pylist())
        texts = block["text"].to_pylist()
        for kind in ("query", "passage"):
            rows = np.flatnonzero(kinds == kind)
            part = encode(self.encoder, [texts[i] for i in rows], kind, tokens_per_batch=c.tokens_per_batch, precision=c.precision)
            vectors[rows] = part
        embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), self.encoder.dimension)
        return pa.table({"row": block["row"], "embedding": embedding})


def _read_embeddings(folder: str, rows: int) -> np.ndarray:
    import pyarrow.dataset as ds

    filesystem, path = storage.filesystem(folder)
    table = ds.dataset(path, filesystem=filesystem, format="parquet").to_table()
    order = table["row"].to_numpy()
    if not np.array_equal(np.sort(order), np.arange(rows)):
        raise RuntimeError(f"{folder}: {len(order)} embeddings for {rows} texts, or rows that occur twice; delete the folder and run again")
    column = table["embedding"].combine_chunks()
    flat = column.values if isinstance(column, pa.FixedSizeListArray) else pa.concat_arrays([c.values for c in column.chunks])
    result = np.empty((rows, len(flat) // max(1, rows)), dtype=np.float32)
    result[order] = np.asarray(flat).reshape(rows, -1)
    return result


# --- sweeps -----------------------------------------------------------------------------------------------------------


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


def sweep(request: Sweep, trial: Callable[[dict[str, Any]], None]) -> list[tuple[dict[str, Any], dict[str, Any], str | None]]:
    """Run all trials; a sweep that was interrupted continues under the same name.

    Returns (point, last metrics, error) of every trial.
    """
    trainable = tune.with_resources(trial, {"CPU": 0.01})
    path = join(absolute(request.storage_path), request.name)
    filesystem, bare = storage.filesystem(path)
    if tune.Tuner.can_restore(bare, storage_filesystem=filesystem):
        tuner = tune.Tuner.restore(bare, trainable=trainable, resume_errored=True, resume_unfinished=True, storage_filesystem=filesystem)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"point": tune.grid_search(list(request.points))},
            tune_config=tune.TuneConfig(metric=request.metric, mode=request.mode, max_concurrent_trials=request.concurrent),
            run_config=tune.RunConfig(name=request.name, storage_path=absolute(request.storage_path), verbose=0),
        )
    results = tuner.fit()
    return [(r.config["point"] if r.config else {}, r.metrics or {}, str(r.error) if r.error else None) for r in results]


# --- submission -------------------------------------------------------------------------------------------------------


def submit(address: str, entrypoint: str, *, working_dir: Path, env_vars: Mapping[str, str], excludes: Sequence[str]) -> tuple[str, bool]:
    """Submit an entrypoint to a running head, follow its log to standard output; (submission id, whether it succeeded).

    Raises:
        RequestError: nothing answers at the address, or it refuses the token.
    """
    import asyncio

    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        client = JobSubmissionClient(address)
        job = client.submit_job(
            entrypoint=entrypoint,
            runtime_env={"working_dir": str(working_dir), "env_vars": dict(env_vars), "excludes": list(excludes)},
        )
    except (ConnectionError, RuntimeError, OSError) as error:
        raise RequestError(f"the job server at {address} did not take the job: {str(error).splitlines()[0]}") from error
    print(f"submitted {job}")

    async def follow() -> None:
        async for lines in client.tail_job_logs(job):
            print(lines, end="")

    asyncio.run(follow())
    return job, client.get_job_status(job) == JobStatus.SUCCEEDED
