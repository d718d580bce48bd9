"""`python -m ray_jobs.encode`: embeddings of a corpus of any size, each row exactly once; started again it goes on."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.config.devices import rows_per_shard, tokens_per_batch
from hybrid_core.data.suites import Suite
from hybrid_core.data.suites.places import file_names
from hybrid_core.embeddings.shards import Shard, committed, discard, is_sealed, open_embeddings, seal
from hybrid_core.embeddings.sources import SUITES, Part, check_apart, list_parts
from hybrid_core.errors import RequestError
from hybrid_core.model import attention_on, encoder_settings, exported_model
from hybrid_core.settings import digest
from hybrid_core.storage import absolute, join
from ray_jobs import _tracking
from ray_jobs._ledger import Ledger
from ray_jobs._parts import EncodeTask, finished, reader, work_of
from ray_jobs._patience import persistently
from ray_jobs._progress import Progress
from ray_jobs._ray.cluster import connect, disconnect, processors
from ray_jobs.cli import Job, Outcome, main
from ray_jobs.embed import weights_of
from ray_jobs.scoring import suites_of
from ray_jobs.steps import base_place, check_output, prepare_base

_REQUEST = "request.json"
_READERS = 16  # records read at once: object storage answers slowly, one by one


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Encode what is missing, check that every row is there, declare the directory complete."""
    parts = _check_places(config)
    model = prepare_base(config, _covered(config), with_corpus=False)
    task, request = _check_target(config, model, parts)
    target = task.target
    storage.write_json(join(target, _REQUEST), request)
    with _tracking.recording(config, f"encode {config.encode.source}", kind="encode", trains=False) as tracked:
        ledger = encode_missing(task, tracked.log_metrics)
        dimension = storage.read_json(join(model, "config.json"))["hidden_size"]
        shards = persistently(lambda: _finish(ledger, dimension, request), config.encode.patience, target)
        metrics = _totals(shards)
        tracked.log_metrics(0, metrics)
    print(_table(shards, config.encode.stored))
    print(f"embeddings: {target}")
    return Outcome({"embeddings": target}, metrics, tracked.id)


def _check_places(config: Config, *, make: bool = True) -> list[Part]:
    """The parts of the source, once it is known that what is written will not get among them.

    Args:
        config: the request.
        make: as in `storage.check_writable`.
    """
    target = target_of(config)
    check_apart(config.encode.source, target)
    parts = list_parts(config)
    check_output(config, make=make)
    storage.check_writable(target, "encode.target", make=make)
    if config.model.vocabulary == "trimmed" and config.encode.source != SUITES:
        raise RequestError("model.vocabulary=trimmed: what encode.source holds is not known beforehand; use full")
    return parts


def _covered(config: Config) -> list[Suite]:
    """Suites whose tokens a trimmed vocabulary keeps."""
    return suites_of(config) if config.model.vocabulary == "trimmed" else []


def _check_target(config: Config, model: str, parts: Sequence[Part]) -> tuple[EncodeTask, dict[str, Any]]:
    """What is to be done and what it depends on, once it is known that the target holds nothing else."""
    target, request = target_of(config), _request(config, model)
    _check_same_request(target, request)
    task = EncodeTask(config, target, model, _identity(request), tuple(parts))
    check_nothing_vanished(task)
    return task, request


def _finish(ledger: Ledger, dimension: int, request: dict[str, Any]) -> list[Shard]:
    """Check the books, declare the directory complete, remove what does not belong to it."""
    target = ledger.task.target
    shards = ledger.check(committed(target))
    seal(target, shards, dimension=dimension, stored=request["stored"], facts=request)
    discard(target, {s.name for s in shards})
    return shards


def target_of(config: Config) -> str:
    """Where the embeddings go."""
    return absolute(config.encode.target) if config.encode.target else join(absolute(config.output), "encoded")


def _request(config: Config, model: str) -> dict[str, Any]:
    """What the embeddings depend on; the source's content is in the names of the shards."""
    c = config.encode
    settings = asdict(encoder_settings(exported_model(config.model, model)))
    return {
        "model": {"name": config.model.name, "uri": model, "fingerprint": weights_of(model)},
        "settings": settings, "kind": c.kind, "precision": c.precision, "stored": c.stored, "source": _source(config),
        "device": "gpu" if c.use_gpu else "cpu", "tokens_per_batch": tokens_per_batch(c),
        "attention": attention_on(gpu=c.use_gpu), "engine": c.engine,
        "rows_per_shard": rows_per_shard(c), "id_field": c.id_field, "text_fields": list(c.text_fields), "language": c.language,
    }  # fmt: skip


def _source(config: Config) -> dict[str, Any]:
    """Where the texts come from."""
    if config.encode.source != SUITES:
        return {"place": config.encode.source}
    return {
        "place": config.data.suites, "suites": list(config.evaluate.suites),
        "candidate_text": config.evaluate.candidate_text, "suite_passages": config.data.suite_passages,
    }  # fmt: skip


def _identity(request: dict[str, Any]) -> str:
    """What decides the bytes of a shard beside its texts; addresses do not."""
    return digest([request["model"]["fingerprint"], {k: v for k, v in request.items() if k not in ("model", "source")}])


def _check_same_request(target: str, request: dict[str, Any]) -> None:
    """Refuse to mix embeddings of two requests in one directory."""
    place = join(target, _REQUEST)
    if storage.exists(place):
        found = storage.read_json(place)
        shown = {**request, "model": request["model"]["fingerprint"]}
        there = {**found, "model": found["model"]["fingerprint"]}
        other = [f"{key}: {there.get(key)!r}, not {shown[key]!r}" for key in shown if there.get(key) != shown[key]]
        if other:
            raise RequestError(
                f"{target} holds embeddings of another request ({'; '.join(other)}); choose another encode.target, or delete that folder"
            )


def check_nothing_vanished(task: EncodeTask) -> None:
    """Refuse a source that has lost parts since: what they became would be removed at the end.

    Raises:
        RequestError: names a part that is not there any more, and the remedy.
    """
    expected = {task.record_of(part.name) for part in task.parts}
    folder = join(task.target, "parts")
    recorded = [join(folder, name) for name in file_names(folder) if name.endswith(".json")]
    lost = [place for place in recorded if place not in expected]
    if lost:
        name = storage.read_json(lost[0])["part"]
        raise RequestError(
            f"encode.source={task.config.encode.source!r} has lost {len(lost)} of the {len(recorded)} parts that {task.target} "
            f"holds, {name!r} among them; bring them back (is a disk missing?), or choose another encode.target"
        )


def encode_missing(
    task: EncodeTask, log: Callable[[int, dict[str, float]], None], *, encoder: type | None = None
) -> Ledger:
    """Read the parts that are not finished, encode and commit their missing shards.

    Args:
        task: what to do.
        log: gets the number of shards so far and rates.
        encoder: as in `encode_stream`.
    """
    from ray_jobs._ray.encoding import encode_stream, from_parts
    from ray_jobs._ray.gauges import Gauges

    ledger = Ledger(task)
    present = persistently(lambda: committed(task.target), task.config.encode.patience, task.target)
    waiting = _unfinished(task, present, ledger)
    rows = sum(s.rows for s in present.values())
    print(f"{len(task.parts)} parts, {len(waiting)} to read; {len(present):,} shards with {rows:,} rows are there")
    if not waiting:
        return ledger
    gauges = Gauges()

    def logged(shards: int, rates: dict[str, float]) -> None:
        log(shards, rates)
        gauges.show(rates)

    progress = Progress(sum(map(work_of, waiting)), log=logged)

    def noted(facts: dict[str, Any], work: float) -> None:
        progress.skip(work)
        ledger.noted(facts)

    c = task.config.encode
    connect(processors(c) + 1, c.actors * c.use_gpu)
    try:
        stream = from_parts(len(waiting), c.actors, reader(task, waiting, frozenset(present)))
        encode_stream(stream, task.model, task.target, task.config, c.stored, progress.add, noted, encoder=encoder)
        progress.finish()
    finally:
        disconnect()
    return ledger


def _unfinished(task: EncodeTask, present: Mapping[str, Shard], ledger: Ledger) -> list[Part]:
    """The parts that have to be read; what is known of the others goes into the ledger."""
    patience, waiting = task.config.encode.patience, []
    with ThreadPoolExecutor(_READERS) as pool:
        records = pool.map(
            lambda part: persistently(lambda: finished(task, part, present), patience, task.target), task.parts
        )
        for part, facts in zip(task.parts, records, strict=True):
            if facts is None:
                waiting.append(part)
            else:
                ledger.record(facts)
    return waiting


def _totals(shards: Sequence[Shard]) -> dict[str, float]:
    totals = {
        "encode/rows": float(sum(s.rows for s in shards)),
        "encode/tokens": float(sum(s.tokens for s in shards)),
        "encode/gigabytes": sum(s.bytes for s in shards) / 1e9,
        "encode/largest_loss": max((s.loss for s in shards), default=0.0),
    }
    counts = sum((Counter(s.languages) for s in shards), Counter())
    return totals | {f"encode/rows/{language}": float(n) for language, n in sorted(counts.items())}


def _table(shards: Sequence[Shard], stored: str) -> str:
    totals = _totals(shards)
    counts = {k.rpartition("/")[2]: v for k, v in totals.items() if k.startswith("encode/rows/")}
    lines = [f"{language:10} {rows:14,.0f}" for language, rows in counts.items()]
    total = f"{totals['encode/rows']:,.0f} rows and {totals['encode/tokens']:,.0f} tokens in {len(shards):,} shards"
    total += f", {totals['encode/gigabytes']:.3f} GB"
    if stored != "float32":
        total += f"; kept as {stored}: cosine to the computed ones at least {1 - totals['encode/largest_loss']:.6f}"
    return "\n".join(["rows in = rows out", *lines, total])


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do; refuses what a run would refuse, and for that loads the model."""
    parts = _check_places(config, make=False)
    with _model_to_compare(config) as model:
        target = _check_target(config, model, parts)[0].target
    lines = [f"would encode {len(parts)} parts with {config.model.name} into {target} as {config.encode.stored}"]
    lines += [f"  {part.name} ({part.language or 'language from the rows'})" for part in parts[:20]]
    lines += [f"  and {len(parts) - 20} more"] if len(parts) > 20 else []
    if is_sealed(target):
        lines.append(
            f"complete embeddings of {sum(open_embeddings(target).languages.values()):,} rows are there already"
        )
    return "\n".join(lines)


@contextmanager
def _model_to_compare(config: Config) -> Iterator[str]:
    """The exported encoder, in a temporary folder where no run has exported it yet."""
    covered = _covered(config)
    place = base_place(config, covered, with_corpus=False)
    if storage.exists(join(place, storage.MARKER)):
        yield place
        return
    named = replace(config.model, name=_tracking.resolve_model(config.model.name, config))
    with tempfile.TemporaryDirectory() as scratch:
        yield prepare_base(replace(config, output=scratch, model=named), covered, with_corpus=False)


JOB = Job("encode", __doc__ or "", run, describe)

if __name__ == "__main__":
    sys.exit(main(JOB))
