"""Exact search against faiss, and ranks of relevant passages before and after a commit: seconds and memory.

    python benchmarks/search_speed.py top_k [--passages 1000000] [--queries 1000] [--k 100] [--rounds 5]
    python benchmarks/search_speed.py ranks [--before REVISION] [--rounds 3] [--shape million --sides after]

Every measurement runs in a process of its own, the sides in turns and in changing order; only the search is timed, after
a small one that loads the libraries. Processor seconds count all threads: they say more than the clock where other work
runs beside (with --threads 1, so that no thread spends them waiting for another). Vectors are random of length 1.
Memory is what the search adds to the process beside its vectors (anonymous pages, sampled), so that a memory map does
not count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DIMENSION = 384
SIDES = {"top_k": ("faiss", "ours", "ours_mapped"), "ranks": ("before", "after")}
SHAPES = {
    "XQuAD-R": (13_090, 13_014, 11, 11), "news": (2_800, 5_784, 6, 47),
    "tenth": (100, 100_000, 10, 10), "million": (100, 1_000_000, 10, 10),
}  # fmt: skip
"""Queries, passages, languages, relevant passages a query."""


def main() -> None:
    """Run the rounds and print a table, or one side of one round for the parent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=SIDES)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", default="a615677", help="revision whose hybrid_core/search.py is compared")
    parser.add_argument("--sides", help="only these, separated by commas")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--shape", default="XQuAD-R", choices=SHAPES, help="of the suite in `ranks`")
    options = parser.parse_args()
    if options.side:
        one_side(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.folder = folder
        prepare(options)
        rounds(options)


def prepare(options: argparse.Namespace) -> None:
    """Write the vectors (or the module of the revision before) that all sides read."""
    folder = Path(options.folder)
    if options.what == "ranks":
        old = subprocess.run(
            ["git", "show", f"{options.before}:hybrid_core/search.py"],
            cwd=Path(__file__).parent, check=True, capture_output=True, text=True,
        )  # fmt: skip
        (folder / "search_before.py").write_text(old.stdout)
        return
    np.save(folder / "queries.npy", unit(options.queries, 0))
    np.save(folder / "passages.npy", unit(options.passages, 1))


def unit(rows: int, seed: int) -> np.ndarray:
    """Random directions [rows, 384] float32."""
    vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def rounds(options: argparse.Namespace) -> None:
    """All sides in turns; seconds, ratio to the first side, memory, and how far the answers agree."""
    sides = tuple(options.sides.split(",")) if options.sides else SIDES[options.what]
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for number in range(options.rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            found[side].append(child(options, side))
            print(
                f"round {number} {side} {found[side][-1]}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True
            )
        agree(options, sides)
    print(f"| side | seconds | processor seconds | {sides[0]} / side: seconds | processor seconds | memory added, MB |")
    print("|---|---|---|---|---|---|")
    for side in sides:
        cells = [spread([r[clock] for r in found[side]]) for clock in ("seconds", "cpu")]
        for clock in ("seconds", "cpu"):
            pairs = zip(found[sides[0]], found[side], strict=True)
            cells.append(spread([first[clock] / other[clock] for first, other in pairs]))
        print(f"| {side} | {' | '.join(cells)} | {max(r['megabytes'] for r in found[side])} |")


def spread(values: list[float]) -> str:
    """Median with smallest and largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def child(options: argparse.Namespace, side: str) -> dict[str, Any]:
    """One side in a fresh process."""
    threads = {f"{library}_NUM_THREADS": str(options.threads) for library in ("OMP", "MKL", "OPENBLAS")}
    values = {name: value for name, value in vars(options).items() if name not in ("what", "side", "sides")}
    flags = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, __file__, options.what, "--side", side, *flags]
    done = subprocess.run(command, env={**os.environ, **threads}, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def one_side(options: argparse.Namespace) -> None:
    """Measure, keep the answer for comparison, print seconds and memory."""
    search = {"top_k": top_k_side, "ranks": ranks_side}[options.what](options)
    seconds, cpu, megabytes, answer = measured(search)
    for name, values in answer.items():
        np.save(Path(options.folder) / f"{options.side}.{name}.npy", values)
    print(json.dumps({"seconds": round(seconds, 3), "cpu": round(cpu, 2), "megabytes": round(megabytes)}))


def top_k_side(options: argparse.Namespace) -> Callable[[], dict[str, np.ndarray]]:
    """The search of one side over the stored vectors."""
    folder = Path(options.folder)
    queries = np.load(folder / "queries.npy")
    passages = np.load(folder / "passages.npy", mmap_mode="r" if options.side == "ours_mapped" else None)
    if options.side == "faiss":
        import faiss

        faiss.omp_set_num_threads(options.threads)
        index = faiss.IndexFlatIP(DIMENSION)
        index.add(passages)
        del passages
        index.search(queries[:20], options.k)
        return lambda: dict(zip(("scores", "rows"), index.search(queries, options.k), strict=True))
    from hybrid_core.search import top_k

    top_k(queries[:20], passages[:20_000], options.k)
    return lambda: top_k(queries, passages, options.k)._asdict()


def ranks_side(options: argparse.Namespace) -> Callable[[], dict[str, np.ndarray]]:
    """Ranks by one of the two modules."""
    import torch

    from hybrid_core.data.suites import Suite, Texts

    torch.set_num_threads(options.threads)
    if options.side == "before":
        sys.path.insert(0, options.folder)
        from search_before import rank_relevant  # type: ignore[import-not-found]
    else:
        from hybrid_core.search import rank_relevant
    count, pool, languages, judged = SHAPES[options.shape]
    queries, passages = Texts(), Texts()
    for texts, kind, size in ((queries, "q", count), (passages, "p", pool)):
        for i in range(size):
            texts.add(f"{kind}{i:06d}", f"l{i % languages:02d}", "text")
    first = np.random.default_rng(2).integers(0, pool - judged, count)
    relevant = [np.arange(start, start + judged) for start in first.tolist()]
    suite = Suite("made_up", queries, passages, relevant, ("mono", "cross", "multi"), "none", "made up")
    vectors = unit(count, 0), unit(pool, 1)

    def search(asked: int = count) -> dict[str, np.ndarray]:
        part = suite if asked == count else Suite(**{**vars(suite), "relevant": relevant[:asked]})
        ranks = rank_relevant(part, vectors[0][:asked], vectors[1], top_k=options.k)
        return {"rows": ranks.top, "ahead": ranks.ahead}

    search(20)
    return search


def measured(
    search: Callable[[], dict[str, np.ndarray]],
) -> tuple[float, float, float, dict[str, np.ndarray]]:
    """Seconds by the clock and of processors, megabytes of anonymous memory added at the worst moment, and the answer."""
    before, peak, done = anonymous(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, start_cpu = time.perf_counter(), time.process_time()
    answer = search()
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    done.set()
    watcher.join()
    return seconds, cpu, peak[0] - before, answer


def anonymous() -> float:
    """Anonymous resident memory of this process, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def agree(options: argparse.Namespace, sides: tuple[str, ...]) -> None:
    """Say how many entries of each side's answer equal the first side's."""
    folder = Path(options.folder)
    names = {"top_k": ("rows",), "ranks": ("rows", "ahead")}[options.what]
    first = {name: np.load(folder / f"{sides[0]}.{name}.npy") for name in names}
    for side in sides[1:]:
        shares = {name: float(np.mean(first[name] == np.load(folder / f"{side}.{name}.npy"))) for name in names}
        print(f"equal to {sides[0]}: {side} {shares}", file=sys.stderr)


if __name__ == "__main__":
    main()
