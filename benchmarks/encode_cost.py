"""Does the cost model of docs/planning.md hold? Small runs of the encoding job predict larger ones.

    python benchmarks/encode_cost.py --folder EMPTY [--rows 1000,10000,100000,1000000] [--set model.layers=1 ...]

Each size is a run of `python -m ray_jobs.encode` from nothing over Parquet files of real sentences (those of the built-in corpus,
repeated with ids of their own), kept as float32 numbers, 384 a row. The first size warms the disk's cache; the next two give
the start-up time and the rate; time and bytes of the others follow from them and are printed beside what was measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_core.data.suites import load_suites

ROWS_IN_FILE = 100_000


@dataclass(frozen=True)
class Measured:
    """One run."""

    rows: int
    tokens: int
    seconds: float
    gigabytes: float
    bytes_of_ids: float


def main() -> None:
    """Run all sizes; print predicted beside measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--rows", default="1000,10000,100000,1000000")
    parser.add_argument("--set", action="append", default=[], help="settings of ray_jobs.encode")
    args = parser.parse_args()
    sizes = [int(n) for n in args.rows.split(",")]
    runs = []
    for rows in sizes:
        write_source(args.folder / f"source-{rows}", rows)
        runs.append(measure(args.folder, rows, args.set))
        print(runs[-1], flush=True)
    start, rate = fitted(runs[1], runs[2])
    print(f"\nstart-up {start:.1f} s, {rate:,.0f} tokens/s (from {sizes[1]:,} and {sizes[2]:,} rows)\n")
    print(
        "| rows | tokens | predicted, s | measured, s | ratio | predicted, GB | measured, GB |\n|---:|---:|---:|---:|---:|---:|---:|"
    )
    for run in runs[3:]:
        seconds = start + run.tokens / rate
        size = run.rows * (4 * 384 + 8 + 2 + run.bytes_of_ids) / 1e9
        print(
            f"| {run.rows:,} | {run.tokens:,} | {seconds:.1f} | {run.seconds:.1f} | {run.seconds / seconds:.2f} "
            f"| {size:.4f} | {run.gigabytes:.4f} |"
        )


def fitted(small: Measured, large: Measured) -> tuple[float, float]:
    """Start-up seconds and tokens a second for which both runs take as long as they did."""
    rate = (large.tokens - small.tokens) / (large.seconds - small.seconds)
    return small.seconds - small.tokens / rate, rate


def write_source(folder: Path, rows: int) -> None:
    """Parquet files with sentences in six languages."""
    folder.mkdir(parents=True)
    passages = [suite.passages for suite in load_suites(("sample",), None, "sentence")]
    pairs = [pair for texts in passages for pair in zip(texts.languages, texts.texts, strict=True)]
    endless = itertools.cycle(pairs)
    for first in range(0, rows, ROWS_IN_FILE):
        count = min(ROWS_IN_FILE, rows - first)
        languages, texts = zip(*itertools.islice(endless, count), strict=True)
        ids = [str(first + i) for i in range(count)]
        table = pa.table({"id": ids, "language": list(languages), "text": list(texts)})
        pq.write_table(table, folder / f"rows-{first:09d}.parquet")


def measure(folder: Path, rows: int, settings: list[str]) -> Measured:
    """Run the job on one size."""
    out = folder / f"encoded-{rows}.json"
    chosen = [
        f"encode.source={folder / f'source-{rows}'}",
        f"encode.target={folder / f'encoded-{rows}'}",
        f"output={folder / 'out'}",
    ]
    flags = [part for one in [*chosen, *settings] for part in ("--set", one)]
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "ray_jobs.encode", *flags, "--json", str(out)], check=True, stdout=sys.stderr)
    seconds = time.monotonic() - started
    found = json.loads(out.read_text())["metrics"]
    return Measured(
        rows, int(found["encode/tokens"]), round(seconds, 1), found["encode/gigabytes"],
        sum(len(str(i)) for i in range(rows)) / rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
