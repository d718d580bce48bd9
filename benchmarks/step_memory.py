"""Peak memory of one contrastive step by global batch, with and without GradCache and gradient checkpointing.

    python benchmarks/step_memory.py [--batches 256,1024,4096] [--tokens 64] [--layers N] [--device cpu]

Every line is a process of its own: the peak of its resident memory (on CUDA: of allocated device memory), and what it was
before the step. With few layers the plain step of a large batch fits too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WAYS = {"plain": (), "checkpointing": ("gradient_checkpointing",), "gradcache": ("gradcache",)}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One step in this process."""
    import torch

    from hybrid_core.data.sources import open_sources, plan_for
    from hybrid_core.model import load_encoder
    from hybrid_core.recipes import load_config
    from hybrid_core.trainer import Trainer

    torch.set_num_threads(args.threads)
    settings = {
        "data.corpus": args.corpus, "model.name": args.model, "model.max_query_tokens": args.tokens,
        "model.max_passage_tokens": args.tokens, "model.vocabulary": "trimmed", "plan.policy": "cross",
        "train.global_batch": args.batch, "train.precision": args.precision,
    } | {f"train.{name}": "true" for name in WAYS[args.way]} | ({"model.layers": args.layers} if args.layers else {})  # fmt: skip
    config = load_config("default", None, [f"{key}={value}" for key, value in settings.items()])
    sources = open_sources(config)
    encoder = load_encoder(config.model, texts=sources["corpus"].corpus.texts()).to(args.device)
    trainer = Trainer(encoder, sources, plan_for(config, sources), config.train)
    encoder.train()
    on_gpu = args.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading the model
    before = torch.cuda.memory_allocated() if on_gpu else resident("VmRSS")
    started = time.perf_counter()
    loss = trainer.step(trainer.plan.step(0))
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() if on_gpu else resident("VmHWM")
    return {"before": before / 2**20, "peak": peak / 2**20, "seconds": seconds, "loss": loss}


def resident(field: str) -> int:
    """Bytes of this process's resident memory: VmRSS now, VmHWM at its peak."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith(field)).split()[1])


def main() -> None:
    """Measure every way at every batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="sample")
    parser.add_argument("--model", default="packaged:multilingual-e5-small")
    parser.add_argument("--batches", default="256,1024,4096")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--layers", type=int, help="of the encoder; unset: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--way", help="(internal) measure this one")
    parser.add_argument("--batch", type=int, help="(internal)")
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args)))
        return
    print(
        "| batch | way | before the step, MB | peak, MB | step adds, MB | s | loss |\n|---:|---|---:|---:|---:|---:|---:|"
    )
    for batch, way in itertools.product(map(int, args.batches.split(",")), args.ways.split(",")):
        command = [sys.executable, __file__, *sys.argv[1:], "--way", way, "--batch", str(batch)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"| {batch} | {way} | | failed with status {done.returncode} (out of memory?) | | | |", flush=True)
            continue
        m = json.loads(done.stdout.splitlines()[-1])
        added = m["peak"] - m["before"]
        print(
            f"| {batch} | {way} | {m['before']:.0f} | {m['peak']:.0f} | {added:.0f} | {m['seconds']:.1f} | {m['loss']:.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
