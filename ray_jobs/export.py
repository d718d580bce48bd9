"""`python -m ray_jobs.export`: embeddings as one numpy file or as an index for faiss, with its measured recall."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hybrid_core import storage
from hybrid_core.config import Config, ExportConfig
from hybrid_core.embeddings.exporting import OUTPUTS, bytes_of, export
from hybrid_core.embeddings.indexes import ABOUT, parameters_of
from hybrid_core.embeddings.queries import Queries, encode_queries, read_queries
from hybrid_core.embeddings.shards import EmbeddingSet, open_embeddings
from hybrid_core.errors import RequestError
from hybrid_core.settings import as_dict, digest
from hybrid_core.storage import absolute, is_remote, join
from ray_jobs._queries import query_encoder
from ray_jobs.cli import Job, Outcome, main

_PARAMETERS = {"ivf_pq": ("lists", "probes", "code_bytes", "training"), "hnsw": ("links", "ef_construction", "ef")}


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Write the export beside its target and put it there when it is whole; one that is there already is kept."""
    found, queries, target = _request(config)
    identity = _identity(config, found, queries)
    about = _already_there(target, identity)
    if about is None:
        _check_room(config, found, target)
        storage.check_writable(target, "export.target")
        about = _write(config, args, found, queries, target, identity)
    else:
        print("this export is there already")
    print(_table(about))
    print(f"export: {target}")
    measured = {f"export/{k}": v for k, v in about.get("recall", {}).items() if k.startswith("recall@")}
    metrics = {"export/rows": float(about["rows"]), "export/gigabytes": sum(about["bytes"].values()) / 1e9}
    return Outcome({"export": target}, metrics | measured, details={"about": about})


def _request(config: Config) -> tuple[EmbeddingSet, Queries | None, str]:
    """What is exported, by what recall is measured, and where it goes."""
    c = config.export
    for field in ("embeddings", "target"):
        if not getattr(c, field):
            raise RequestError(f"export.{field} is not set; name a folder or URI")
    _check_fields(c)
    found = open_embeddings(absolute(str(c.embeddings)))
    rows = sum(s.rows for s in found.shards)
    if not rows:
        raise RequestError(f"{found.uri} holds no passages")
    parameters_of(c, rows, found.dimension)
    return found, read_queries(c.queries) if c.queries else None, absolute(str(c.target))


def _check_fields(c: ExportConfig) -> None:
    """Refuse parameters of another form, which would be ignored."""
    for field in (name for names in _PARAMETERS.values() for name in names):
        if field not in _PARAMETERS.get(c.form, ()) and getattr(c, field) != getattr(ExportConfig(), field):
            raise RequestError(f"export.{field} has no meaning for export.form={c.form}; remove it")
    if c.form == "npy" and c.queries:
        raise RequestError("export.queries has no meaning for export.form=npy, which is not searched; remove it")


def _identity(config: Config, found: EmbeddingSet, queries: Queries | None) -> str:
    settings = {k: v for k, v in as_dict(config.export).items() if k not in ("embeddings", "target", "queries")}
    shards = [[s.name, s.sha256] for s in found.shards]
    return digest([found.facts, shards, settings, config.seed, queries.hash() if queries else None])


def _already_there(target: str, identity: str) -> dict[str, Any] | None:
    """What is said of the same export; None where the target is empty.

    Raises:
        RequestError: the target holds something else.
    """
    if storage.exists(join(target, storage.MARKER)):
        if storage.read_json(join(target, storage.MARKER)).get("identity") == identity:
            about: dict[str, Any] = storage.read_json(join(target, ABOUT))
            return about
        raise RequestError(
            f"export.target={target!r} holds another export, or none; choose another folder or delete it"
        )
    ours = OUTPUTS if is_remote(target) else ()  # an upload that was cut short left some of these
    other = storage.files_below(target) - set(ours)
    if other:
        raise RequestError(f"export.target={target!r} holds files ({min(other)}); choose an empty folder")
    return None


def _check_room(config: Config, found: EmbeddingSet, target: str) -> None:
    """Refuse an export for which there is no room where it is built."""
    remote = is_remote(target)
    folder = Path(tempfile.gettempdir()) if remote else next(p for p in Path(target).parents if p.exists())
    needed, free = bytes_of(config.export, found), shutil.disk_usage(folder).free
    if needed > free:
        remedy = "set TMPDIR to a folder with more" if remote else "choose another"
        raise RequestError(
            f"export.target={target!r}: the export is built in {folder} and needs {needed / 1e9:,.3f} GB, {free / 1e9:,.3f} GB are free; "
            f"{remedy}"
        )


def _write(
    config: Config, args: argparse.Namespace, found: EmbeddingSet, queries: Queries | None, target: str, identity: str
) -> dict[str, Any]:
    vectors = None
    if queries is not None:
        model = query_encoder(config, args, found.facts, found.dimension, found.uri)
        vectors = encode_queries(model, queries.texts, precision=config.encode.precision)
    beside = None if is_remote(target) else Path(target).parent
    scratch = Path(tempfile.mkdtemp(dir=beside, prefix=f"{Path(target).name}.", suffix=".part"))
    try:
        about = export(found, config.export, scratch, seed=config.seed, queries=vectors)
        storage.mark_complete(scratch, kind="export", form=config.export.form, identity=identity)
        storage.upload_directory(scratch, target, keep=False)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return about


def _table(about: dict[str, Any]) -> str:
    lines = [f"{about['rows']:,} passages of {about['dimension']} components as {about['form']}"]
    lines += [f"  {name}: {size / 1e6:,.1f} MB" for name, size in about["bytes"].items()]
    if about.get("parameters"):
        lines.append("  " + ", ".join(f"{name} {value:,}" for name, value in about["parameters"].items()))
    if "recall" in about:
        values = ", ".join(f"{k} {v:.4f}" for k, v in about["recall"].items() if k.startswith("recall@"))
        lines.append(f"  {values} against exact lists, by {about['recall']['measured_by']}")
    return "\n".join(lines)


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do."""
    found, queries, target = _request(config)
    rows = sum(s.rows for s in found.shards)
    there = _already_there(target, _identity(config, found, queries)) is not None
    if not there:
        _check_room(config, found, target)
        storage.check_writable(target, "export.target", make=False)
    parameters = parameters_of(config.export, rows, found.dimension)
    shown = ", ".join(f"{name} {value:,}" for name, value in parameters.items())
    return (
        f"would write {rows:,} passages of {found.uri} as {config.export.form}{f' ({shown})' if shown else ''} to {target}"
        + ("; it is there already" if there else "")
    )


JOB = Job("export", __doc__ or "", run, describe)

if __name__ == "__main__":
    sys.exit(main(JOB))
