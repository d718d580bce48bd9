"""Reading the parts of a source in other processes: pieces that are not there yet, and a note of what a part holds.

Imports neither torch nor MLflow, so that readers start fast.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.embeddings.files import HUGGING_FACE
from hybrid_core.embeddings.shards import Shard
from hybrid_core.embeddings.sources import Part, check_unchanged, content_hash, read_part
from hybrid_core.errors import RequestError
from hybrid_core.settings import digest
from hybrid_core.storage import is_remote, join


@dataclass(frozen=True)
class EncodeTask:
    """What readers in other processes need to know."""

    config: Config
    target: str
    model: str
    identity: str
    parts: tuple[Part, ...]

    def record_of(self, part: str) -> str:
        """Where it is noted which shards the part of this name became."""
        return join(self.target, "parts", f"{digest(part)}.json")


def reader(task: EncodeTask, parts: Sequence[Part], present: frozenset[str]) -> Callable[[int], Iterator[pa.Table]]:
    """Yields the pieces of a part that are not there yet, then what the part holds."""
    from ray_jobs._ray.encoding import note, piece

    def read(number: int) -> Iterator[pa.Table]:
        part = parts[number]
        languages: Counter[str] = Counter()
        names: list[str] = []
        rows, skipped, left = 0, 0.0, work_of(part)
        try:
            for texts, work in patiently(task, part):
                left -= work
                name = f"{digest(part.name)[:8]}-{rows:012d}-{content_hash(texts, task.identity)}"
                names.append(name)
                languages.update(texts["language"].to_pylist())
                rows += texts.num_rows
                if name in present:
                    skipped += work
                    continue
                if skipped:
                    yield note(skipped)
                    skipped = 0.0
                yield piece(name, task.config.encode.kind, texts, work)
        except RequestError as error:
            yield note(0.0, error=str(error))
            return
        facts = {"part": part.name, "stamp": part.stamp, "identity": task.identity}
        yield note(skipped + left, **facts, languages=dict(sorted(languages.items())), shards=names)

    return read


def work_of(part: Part) -> float:
    """How much work a part is, beside the others: its bytes (those of suites are not known)."""
    return float(part.bytes or 1)


def patiently(task: EncodeTask, part: Part) -> Iterator[tuple[pa.Table, float]]:
    """Pieces of a part, and their work; while remote storage fails, reading begins again behind the last piece.

    Patience is spent while nothing comes; pieces that are read again do not count, as they may take long.

    Raises:
        RequestError: names file and reason: it cannot be read, or has changed while it was.
    """
    done, passed, spent, since = 0, 0.0, 0.0, time.monotonic()
    while True:
        try:
            for number, (texts, share) in enumerate(read_part(part, task.config)):
                spent += 0.0 if number else time.monotonic() - since
                if number >= done:
                    yield texts, (share - passed) * work_of(part)
                    done, passed, spent = number + 1, share, 0.0
                since = time.monotonic()
            check_unchanged(part)
            return
        except OSError as error:
            spent, since = spent + time.monotonic() - since, time.monotonic()
            remote = part.place.startswith(HUGGING_FACE) or is_remote(part.place)
            if not remote or spent > task.config.encode.patience:
                raise RequestError(f"{part.place} cannot be read: {error}") from error
            time.sleep(2.0)


def finished(task: EncodeTask, part: Part, present: Mapping[str, Shard]) -> dict[str, Any] | None:
    """What is noted of a part whose file has not changed and whose shards are all there."""
    place = task.record_of(part.name)
    if not part.stamp or not storage.exists(place):
        return None
    facts: dict[str, Any] = storage.read_json(place)
    whole = facts["identity"] == task.identity and facts["stamp"] == part.stamp
    return facts if whole and all(name in present for name in facts["shards"]) else None
