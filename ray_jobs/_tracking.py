"""The only module that knows MLflow: runs, metrics, artifacts, logged models.

A study or sweep is a parent run with one child per arm. Run ids are looked up by a tag, so a job that is started again
continues its runs instead of making new ones. Everything written during training goes through one process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow.parquet as pq
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient

import hybrid_core
from hybrid_core.config import Config, config_hash
from hybrid_core.errors import RequestError
from hybrid_core.evaluate import Evaluation
from hybrid_core.settings import flat
from hybrid_core.storage import absolute, is_remote, join
from hybrid_core.summary import language_means
from ray_jobs._identity import request_identity
from ray_jobs._spool import Point, Spool

_KEY = "hybrid.key"
_ENCODER = "encoder"
_METRICS_PER_CALL = 900
_LONGEST_PARAM = 500


@dataclass(frozen=True)
class Place:
    """Where runs are recorded. Plain text, so that it travels to other processes."""

    tracking_uri: str
    artifact_location: str | None
    experiment: str
    unsent: str
    """Local folder for metrics that the server did not take."""

    @classmethod
    def of(cls, config: Config) -> Place:
        """MLFLOW_TRACKING_URI if set; else SQLite and an artifact folder beside the outputs, no server needed."""
        root = Path("runs").resolve() if is_remote(config.output) else Path(absolute(config.output))
        unsent = str(root / "unsent-metrics")
        if uri := os.environ.get("MLFLOW_TRACKING_URI"):
            return cls(uri, None, config.experiment, unsent)
        root.mkdir(parents=True, exist_ok=True)
        return cls(f"sqlite:///{root / 'mlflow.db'}", (root / "mlflow-artifacts").as_uri(), config.experiment, unsent)


@dataclass(frozen=True)
class Run:
    """One MLflow run, usable from any process."""

    place: Place
    id: str

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write metrics of one step. A server that is down does not stop the run: they wait on disk and go with the next ones."""
        now = int(time.time() * 1000)
        self._deliver([Point(name, float(value), now, step) for name, value in metrics.items()])

    def _deliver(self, new: Sequence[Point]) -> None:
        spool = Spool(Path(self.place.unsent) / f"{self.id}.jsonl")
        waiting = spool.waiting()
        entries = [Metric(p.name, p.value, p.timestamp, p.step) for p in (*waiting, *new)]
        try:
            for start in range(0, len(entries), _METRICS_PER_CALL):
                self._client.log_batch(self.id, metrics=entries[start : start + _METRICS_PER_CALL])
        except (MlflowException, OSError) as error:
            spool.keep(new)
            print(f"MLflow did not take {len(entries)} metrics, kept in {spool.file}: {redacted(_first_line(error))}")
            return
        if waiting:
            spool.clear()
            print(f"MLflow has taken {len(waiting)} metrics that had waited")

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Write parameters; those already there with the same value are left alone."""
        entries = [Param(name, str(value)[:_LONGEST_PARAM]) for name, value in params.items()]
        for start in range(0, len(entries), 100):
            self._client.log_batch(self.id, params=entries[start : start + 100])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Write tags."""
        self._client.log_batch(self.id, tags=[RunTag(k, v) for k, v in tags.items()])

    def log_file(self, file: Path, folder: str | None = None) -> None:
        """Store a file as an artifact."""
        self._client.log_artifact(self.id, str(file), folder)

    def log_bytes(self, content: bytes, name: str, folder: str) -> None:
        """Store content as an artifact of that name."""
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / name).write_bytes(content)
            self.log_file(Path(scratch) / name, folder)

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Store a table that the UI shows and compares across runs; one of that name is replaced."""
        if rows:
            columns = list(rows[0])
            table = {"columns": columns, "data": [[row.get(column) for column in columns] for row in rows]}
            self._client.log_dict(self.id, table, name)
            listed = [{"path": name, "type": "table"}]
            self._client.set_tag(self.id, "mlflow.loggedArtifacts", json.dumps(self._tables(listed)))

    def _tables(self, added: list[dict[str, str]]) -> list[dict[str, str]]:
        known: list[dict[str, str]] = json.loads(
            self._client.get_run(self.id).data.tags.get("mlflow.loggedArtifacts", "[]")
        )
        return known + [entry for entry in added if entry not in known]

    def log_model(self, directory: Path, source: str) -> None:
        """Store an exported encoder once as a logged model, loadable with mlflow.pyfunc.

        Args:
            directory: local files of the encoder.
            source: its address, the identity by which a second call is recognised.
        """
        if self._client.get_run(self.id).data.tags.get("hybrid.logged_model_source") == source:
            return
        mlflow.set_tracking_uri(self.place.tracking_uri)
        with (
            tempfile.TemporaryDirectory() as scratch,
            mlflow.start_run(run_id=self.id),
            warnings.catch_warnings(record=True),
        ):
            # Recorded, not shown: MLflow asks for an example input and for type hints; it gets a signature instead.
            named = shutil.copytree(directory, Path(scratch) / _ENCODER)  # MLflow keeps the folder's name
            info = mlflow.pyfunc.log_model(
                name="encoder",
                python_model=str(Path(__file__).with_name("_served_encoder.py")),
                artifacts={_ENCODER: str(named)},
                code_paths=[str(Path(hybrid_core.__file__).parent)],
                signature=infer_signature(["text"], np.zeros((1, 1), np.float32), params={"kind": "query"}),
                pip_requirements=["torch==2.13.0", "transformers>=5.23,<6", "pyarrow", "pyyaml"],
            )
        self.set_tags({"hybrid.logged_model": str(info.model_uri), "hybrid.logged_model_source": source})

    def finish(self, status: str = "FINISHED") -> None:
        """Deliver what waits and close the run."""
        self._deliver([])
        self._client.set_terminated(self.id, status)

    @property
    def _client(self) -> MlflowClient:
        return MlflowClient(self.place.tracking_uri)


@contextlib.contextmanager
def recording(config: Config, name: str, *, kind: str, parent: Run | None = None, trains: bool = True) -> Iterator[Run]:
    """Open (or continue) the run of a request; it ends FINISHED, or FAILED when the body raises."""
    run = open_run(config, name, kind=kind, parent=parent, trains=trains)
    try:
        yield run
    except BaseException:
        run.finish("FAILED")
        raise
    run.finish()


def open_run(config: Config, name: str, *, kind: str, parent: Run | None = None, trains: bool = True) -> Run:
    """The run of this request: found by its key if it was started before, else created with all parameters.

    Other workers, logging or restarts are the same request; the parameters shown are those it was started with first.
    A run that trains nothing (`trains=False`) is not shown with a plan and training settings.
    """
    _quiet()
    place = Place.of(config)
    client = MlflowClient(place.tracking_uri)
    try:
        experiment = _experiment(client, place)
    except (MlflowException, OSError) as error:
        raise RequestError(
            f"MLFLOW_TRACKING_URI={redacted(place.tracking_uri)!r} does not answer: {redacted(_first_line(error))}"
        ) from error
    key = f"{kind}:{name}:{request_identity(config)}:{parent.id if parent else ''}"
    found = client.search_runs([experiment], f"tags.`{_KEY}` = '{key}'", max_results=1)
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return Run(place, found[0].info.run_id)
    tags = {
        "mlflow.source.name": f"python -m ray_jobs.{kind}",
        _KEY: key,
        "hybrid.kind": kind,
        "hybrid.config_hash": config_hash(config),
        "mlflow.runName": name,
    }
    if parent:
        tags["mlflow.parentRunId"] = parent.id
    run = Run(place, client.create_run(experiment, tags=tags, run_name=name).info.run_id)
    shown = flat(config).items()
    run.log_params({k: v for k, v in shown if trains or not k.startswith(("plan.", "train."))})
    return run


def redacted(uri: str) -> str:
    """A tracking URI without its password, for people, logs and reports."""
    return re.sub(r"//[^/@]*@", "//***@", uri)


def _experiment(client: MlflowClient, place: Place) -> str:
    existing = client.get_experiment_by_name(place.experiment)
    if existing:
        return str(existing.experiment_id)
    return str(
        client.create_experiment(
            place.experiment,
            artifact_location=place.artifact_location,
            tags={"mlflow.experimentKind": "custom_model_development"},  # the UI then opens on runs, not on chat traces
        )
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _quiet() -> None:
    """A new SQLite file is filled by fifty log lines about its tables that say nothing to a user."""
    for name in ("alembic", "alembic.runtime.migration", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)


def resolve_model(name: str, config: Config) -> str:
    """A local folder for `models:/...` names; other names unchanged.

    Raises:
        RequestError: MLflow has no such model.
    """
    if not name.startswith("models:/"):
        return name
    mlflow.set_tracking_uri(Place.of(config).tracking_uri)
    try:
        return join(str(mlflow.artifacts.download_artifacts(name)).rstrip("/"), "artifacts", _ENCODER)
    except (MlflowException, OSError) as error:
        raise RequestError(
            f"model.name={name!r} is not in MLflow at {redacted(Place.of(config).tracking_uri)}: {_first_line(error)}"
        ) from error


@dataclass(frozen=True)
class Recorded:
    """What MLflow knows of a run that was asked for by its id."""

    name: str
    kind: str
    """The job or part of a job that it records: train, study, arm, sweep, trial, evaluate ..."""
    plan_hash: str | None
    """None: nothing was trained in it."""
    params: Mapping[str, str]
    children: Sequence[tuple[str, str, str | None]]
    """(id, name, plan hash) of the runs below it, in the order of their names."""


def recorded(config: Config, run_id: str) -> Recorded:
    """A run, with the runs below it.

    Raises:
        RequestError: there is no such run.
    """
    place = Place.of(config)
    _quiet()
    client = MlflowClient(place.tracking_uri)
    try:
        run = client.get_run(run_id)
        below = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")
    except (MlflowException, OSError) as error:
        raise RequestError(
            f"--run {run_id!r} is not in MLflow at {redacted(place.tracking_uri)}: {redacted(_first_line(error))}"
        ) from error
    tags = run.data.tags
    children = [(r.info.run_id, str(r.info.run_name), r.data.tags.get("hybrid.plan_hash")) for r in below]
    return Recorded(
        str(run.info.run_name), tags.get("hybrid.kind", "run"), tags.get("hybrid.plan_hash"), dict(run.data.params),
        sorted(children, key=lambda child: child[1]),
    )  # fmt: skip


def log_scores(run: Run, evaluations: Mapping[str, Evaluation]) -> None:
    """Per-query scores (Parquet) and per-language tables of an arm."""
    with tempfile.TemporaryDirectory() as scratch:
        for suite, evaluation in evaluations.items():
            file = Path(scratch) / f"{suite}.parquet"
            pq.write_table(evaluation.per_query, file, compression="zstd")
            run.log_file(file, "per_query")
    rows: list[dict[str, Any]] = []
    for evaluation in evaluations.values():
        for name, value in language_means(evaluation).items():
            suite, setting, metric, cell = name.split("/")
            query, _, passage = cell.partition("-")
            rows.append(
                {
                    "suite": suite,
                    "setting": setting,
                    "metric": metric,
                    "query": query,
                    "passage": passage or query,
                    "value": value,
                }
            )
    run.log_table(rows, "tables/languages.json")


def ui_command(config: Config, port: int) -> list[str]:
    """The MLflow server over the local store of a config, on loopback.

    Raises:
        RequestError: the runs are on a tracking server, which has its own UI.
    """
    place = Place.of(config)
    if not place.tracking_uri.startswith("sqlite:"):
        raise RequestError(
            f"MLFLOW_TRACKING_URI={redacted(place.tracking_uri)!r} is a server with a UI of its own; open that address in a browser"
        )
    return [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", place.tracking_uri, "--artifacts-destination",
        str(place.artifact_location), "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
