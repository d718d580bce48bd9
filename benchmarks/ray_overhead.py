"""What Ray adds to a training step: the same run under torchrun and under Ray Train, in turns.

    python benchmarks/ray_overhead.py [--workers 2] [--steps 30] [--rounds 3] [--log-every 5] [--set path.to.field=value ...]

Both run `hybrid_core.trainer` with the same config; the seconds a step from one logged point to the next on rank 0
(the metric train/step_seconds) are compared, start-up left out. Under Ray the run is `ray_jobs.train` with everything it does.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WARM_UP = 1


def settings(args: argparse.Namespace) -> list[str]:
    """The config of both sides."""
    steps = args.steps + WARM_UP * args.log_every
    fixed = [
        f"train.workers={args.workers}",
        f"train.steps={steps}",
        f"train.log_every={args.log_every}",
        "train.checkpoint_every=1000000",
    ]
    return [*fixed, *args.set]


def train(args: argparse.Namespace) -> list[float]:
    """Train in this process, one rank of torchrun; seconds of each step on rank 0."""
    import torch
    import torch.distributed as dist

    from hybrid_core.data.sources import open_sources, plan_for
    from hybrid_core.model import load_encoder
    from hybrid_core.recipes import load_config
    from hybrid_core.trainer import Hooks, Trainer

    config = load_config(args.recipe, None, settings(args))
    torch.set_num_threads(config.train.threads)
    dist.init_process_group("gloo")
    sources = open_sources(config)
    encoder = load_encoder(config.model, texts=(text for s in sources.values() for text in s.corpus.texts()))
    trainer = Trainer(encoder, sources, plan_for(config, sources), config.train)
    seconds: list[float] = []
    trainer.run(Hooks(log=lambda step, metrics: seconds.append(metrics["train/step_seconds"])))
    return seconds if dist.get_rank() == 0 else []


def under_torchrun(args: argparse.Namespace) -> list[float]:
    """Seconds of each step."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "seconds.json"
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={args.workers}",
            __file__,
        ]
        subprocess.run(
            [*command, *sys.argv[1:], "--rank-of-torchrun", str(target)], check=True, stderr=subprocess.DEVNULL
        )
        return list(json.loads(target.read_text()))[WARM_UP:]


def under_ray(args: argparse.Namespace) -> list[float]:
    """Seconds of each step."""
    with tempfile.TemporaryDirectory() as scratch:
        flags = [part for text in [*settings(args), f"output={scratch}"] for part in ("--set", text)]
        environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        environment["RAY_worker_niceness"] = "0"  # Ray's default of 15 yields to every other process; torchrun has 0
        command = [sys.executable, "-m", "ray_jobs.train", "--recipe", args.recipe, *flags]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with sqlite3.connect(Path(scratch) / "mlflow.db") as runs:
            rows = runs.execute("select value from metrics where key = 'train/step_seconds' order by step")
            return [float(value) for (value,) in rows][WARM_UP:]


def main() -> None:
    """Alternate between the two and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--log-every", type=int, default=5)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--rank-of-torchrun", metavar="FILE", help="(internal)")
    args = parser.parse_args()
    if args.rank_of_torchrun:
        if seconds := train(args):
            Path(args.rank_of_torchrun).write_text(json.dumps(seconds))
        return
    sides: dict[str, Any] = {"torchrun": under_torchrun, "ray": under_ray}
    rounds: dict[str, list[list[float]]] = {side: [] for side in sides}
    for number in range(args.rounds):
        for side, run in sides.items():
            rounds[side].append(run(args))
            print(f"round {number + 1} {side:9} {statistics.median(rounds[side][-1]):.4f} s/step", flush=True)
    ratios = [
        statistics.median(b) / statistics.median(a) for a, b in zip(rounds["torchrun"], rounds["ray"], strict=True)
    ]
    print(
        f"ray / torchrun: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), {args.workers} workers"
    )


if __name__ == "__main__":
    main()
