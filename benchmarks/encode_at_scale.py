"""The encoding job at sizes this machine cannot compute: real Ray Data, real shards and books, an encoder that makes numbers up.

    python benchmarks/encode_at_scale.py --folder EMPTY [--rows 1000000,10000000,100000000] [--rows-per-shard 16384]

For each size it writes Parquet files of 500,000 short texts in 18 languages, runs what `ray_jobs.encode` runs, checks the books
(rows in = rows out by language), and starts the finished job again, which has to find that nothing is missing. Printed: seconds,
rows a second, and for every tenth of the way the memory of the driver, of the largest other process, and of Ray's object store.
Only the forward pass is missing: the made-up embeddings have 8 components.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hybrid_core.config import Config
from hybrid_core.embeddings.shards import committed, seal
from hybrid_core.embeddings.sources import list_parts
from hybrid_core.settings import build
from ray_jobs._parts import EncodeTask
from ray_jobs.encode import encode_missing

LANGUAGES = ["ar", "bn", "de", "en", "es", "fa", "fi", "fr", "hi", "id", "ja", "ko", "ru", "sw", "te", "th", "yo", "zh"]
ROWS_IN_FILE = 500_000
DIMENSION = 8


class MadeUpEncoder:
    """Stands where the encoder stands: same rows in, same kind of rows out, no model."""

    def __init__(self, model: str, config: Config) -> None:
        pass

    def __call__(self, row: pa.Table) -> pa.Table:
        """A shard of made-up embeddings."""
        from ray_jobs._ray.encoding import encoded, unpacked

        name, _, work, texts = unpacked(row)
        if texts is None:
            return row
        started = time.monotonic()
        numbers = np.random.default_rng(zlib.crc32(name.encode()))
        vectors = numbers.standard_normal((texts.num_rows, DIMENSION), dtype=np.float32)
        return encoded(name, work, texts, vectors, tokens=texts.num_rows, seconds=time.monotonic() - started)


def main() -> None:
    """All sizes, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, type=Path, help="scratch space: about 80 bytes a row")
    parser.add_argument("--rows", default="1000000,10000000,100000000")
    parser.add_argument("--rows-per-shard", type=int, default=16_384)
    parser.add_argument("--copies", type=int, default=1, help="of the row's number, which together are its text")
    args = parser.parse_args()
    for rows in map(int, args.rows.split(",")):
        folder = args.folder / str(rows)
        write_source(folder / "source", rows, args.copies)
        settings = {"source": str(folder / "source"), "target": str(folder / "target"), "stored": "float16"}
        config = build(Config, {"encode": settings | {"rows_per_shard": args.rows_per_shard}})
        print(f"\n{rows:,} rows in {len(list_parts(config))} files", flush=True)
        simulate(config, rows)
        shutil.rmtree(folder)


def write_source(folder: Path, rows: int, copies: int) -> None:
    """Parquet files, each of one language."""
    for number, first in enumerate(range(0, rows, ROWS_IN_FILE)):
        ids = pa.array(np.arange(first, min(rows, first + ROWS_IN_FILE))).cast(pa.string())
        language = LANGUAGES[number % len(LANGUAGES)]
        place = folder / f"corpus-v1.0-{language}"
        place.mkdir(parents=True, exist_ok=True)
        texts = pc.binary_repeat(ids, copies)
        pq.write_table(pa.table({"docid": ids, "text": texts}), place / f"docs-{number:05d}.parquet")


def simulate(config: Config, rows: int) -> None:
    """Run, check, and run again."""
    task = EncodeTask(config, str(config.encode.target), "", "made up", tuple(list_parts(config)))
    memory = Memory()

    def passed(shards: int, rates: dict[str, float]) -> None:
        memory.note(rates["encode/rows_so_far"] / rows)

    started = time.monotonic()
    ledger = encode_missing(task, passed, encoder=MadeUpEncoder)
    memory.stop()
    encoded = time.monotonic()
    shards = ledger.check(committed(task.target))
    seal(task.target, shards, dimension=DIMENSION, stored="float16", facts={})
    checked = time.monotonic()
    assert sum(s.rows for s in shards) == rows, "rows in are not rows out"
    encode_missing(task, passed, encoder=MadeUpEncoder)
    again = time.monotonic()
    seconds = encoded - started
    print(
        f"{rows:,} rows, {len(shards):,} shards: {seconds:.1f} s ({rows / seconds:,.0f} rows/s), books checked and sealed "
        f"{checked - encoded:.1f} s, started again with nothing to do {again - checked:.1f} s"
    )
    print("| share done | driver, MB | largest other process, MB | object store, MB |\n|---:|---:|---:|---:|")
    for share, driver, other, store in memory.table():
        print(f"| {share:.0%} | {driver:.0f} | {other:.0f} | {store:.0f} |")
    sys.stdout.flush()


class Memory:
    """Largest memory seen in each tenth of the way, sampled every half second."""

    def __init__(self) -> None:
        self.share = 0.0
        self.seen: dict[int, tuple[float, float, float]] = {}
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def note(self, share: float) -> None:
        """So much of the work is done."""
        self.share = share

    def stop(self) -> None:
        """End of the samples."""
        self.done.set()
        self.thread.join()

    def table(self) -> list[tuple[float, float, float, float]]:
        """Share of the work, and the largest memory while it was reached."""
        return [(tenth / 10, *values) for tenth, values in sorted(self.seen.items())]

    def _watch(self) -> None:
        while not self.done.wait(0.5):
            tenth = int(10 * self.share)
            pairs = zip(self.seen.get(tenth, (0.0, 0.0, 0.0)), memory_now(), strict=True)
            driver, other, store = (max(pair) for pair in pairs)
            self.seen[tenth] = (driver, other, store)


def memory_now() -> tuple[float, float, float]:
    """Anonymous memory of this process and of the largest process of Ray, and the largest shared memory, MB."""
    own, other, shared = 0.0, 0.0, 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_text()
            fields = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
            anonymous, memory = (int(fields[key].split()[0]) / 1024 for key in ("RssAnon", "RssShmem"))
        except (OSError, KeyError, ValueError):
            continue  # it has ended
        if int(entry.name) == os.getpid():
            own = anonymous
        elif "ray" in words:
            other, shared = max(other, anonymous), max(shared, memory)
    return own, other, shared


if __name__ == "__main__":
    main()
