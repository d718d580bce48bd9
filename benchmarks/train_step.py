"""Training steps per second: this trainer against `SentenceTransformerTrainer`, same model, batches, loss, lengths, threads.

    python benchmarks/train_step.py [--corpus URI] [--batch 32] [--steps 8] [--rounds 3] [--threads 2] [--device cpu] [--gradcache 64]

Every side runs in a process of its own, rounds alternate between the sides, the first two steps of each process are not
counted. A step is everything from one optimiser step to the next: reading texts, tokenizing, forward, loss, backward,
clipping, AdamW. Sides:

    theirs          SentenceTransformerTrainer as it comes, MultipleNegativesRankingLoss, float32, dropout as in the model
    theirs-nodrop   the same with dropout 0, as ours
    ours            float32, all weights trained, full vocabulary: the same work as theirs-nodrop
    ours-trimmed    as ours, with the vocabulary trimmed to the corpus: embeddings of tokens that do not occur are not updated
    theirs-bf16     as theirs, with bf16=True
    ours-bf16       as ours, in bfloat16
    ours-best       bfloat16 and the vocabulary trimmed to the corpus
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

import peer

WARM_UP = 2
RATIOS = (
    ("ours", "theirs-nodrop"),
    ("ours", "theirs"),
    ("ours-trimmed", "theirs-nodrop"),
    ("ours-bf16", "theirs-bf16"),
    ("ours-best", "theirs"),
)
SIDES = ("theirs", "theirs-nodrop", "ours", "ours-trimmed", "theirs-bf16", "ours-bf16", "ours-best")


def ours(args: argparse.Namespace, side: str) -> list[float]:
    """Seconds of every step of this project's trainer."""
    import torch

    from hybrid_core.data.sources import open_sources, plan_for
    from hybrid_core.model import load_encoder
    from hybrid_core.trainer import Trainer

    torch.set_num_threads(args.threads)
    config = request(
        args,
        "float32" if side in ("ours", "ours-trimmed") else "bfloat16",
        trimmed=side in ("ours-trimmed", "ours-best"),
    )
    sources = open_sources(config)
    texts = (text for source in sources.values() for text in source.corpus.texts())
    encoder = load_encoder(config.model, texts=texts).to(args.device)
    trainer = Trainer(encoder, sources, plan_for(config, sources), config.train)
    encoder.train()
    seconds = []
    for number in range(WARM_UP + args.steps):
        before = time.perf_counter()
        trainer.step(trainer.plan.step(number))
        seconds.append(time.perf_counter() - before)
    return seconds[WARM_UP:]


def request(args: argparse.Namespace, precision: str, *, trimmed: bool) -> Any:
    """The config both sides follow."""
    from hybrid_core.recipes import load_config

    settings = {
        "data.corpus": args.corpus, "model.name": args.model, "model.vocabulary": "trimmed" if trimmed else "full",
        "model.max_query_tokens": args.tokens, "model.max_passage_tokens": args.tokens, "plan.policy": args.policy,
        "train.steps": WARM_UP + args.steps, "train.global_batch": args.batch, "train.precision": precision,
        "train.learning_rate": 3e-5, "train.temperature": 0.02, "train.gradcache": bool(args.gradcache),
    }  # fmt: skip
    return load_config("default", None, [f"{key}={value}" for key, value in settings.items()])


def theirs(args: argparse.Namespace, side: str) -> list[float]:
    """Seconds of every step of SentenceTransformerTrainer on the very same examples in the same batches."""
    import torch

    torch.set_num_threads(args.threads)
    config = request(args, "float32", trimmed=False)
    return peer.train(
        config, dropout=side != "theirs-nodrop", bf16=side == "theirs-bf16", device=args.device, cached=args.gradcache
    )[WARM_UP:]


def main() -> None:
    """Run all sides in turns and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="sample")
    parser.add_argument("--model", default="packaged:multilingual-e5-small")
    parser.add_argument("--policy", default="cross")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128, help="longest query and passage")
    parser.add_argument(
        "--gradcache",
        type=int,
        default=0,
        metavar="N",
        help="GradCache on both sides; theirs in mini-batches of N texts",
    )
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--side", help="(internal) run this side once and print its seconds")
    args = parser.parse_args()
    if args.side:
        print(json.dumps((ours if args.side.startswith("ours") else theirs)(args, args.side)))
        return
    seconds: dict[str, list[list[float]]] = {side: [] for side in args.sides.split(",")}
    for number in range(args.rounds):
        for side, rounds in seconds.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"round {number + 1} {side:14} {statistics.median(rounds[-1]):7.3f} s/step", flush=True)
    report(args, seconds)


def report(args: argparse.Namespace, seconds: dict[str, list[list[float]]]) -> None:
    """Medians over all steps; ratios of the rounds' medians, with the smallest and the largest."""
    print(
        f"\n{platform.processor() or platform.machine()}, {args.threads} threads, {args.device}; {args.model}, batch {args.batch}"
    )
    for side, rounds in seconds.items():
        steps = [s for each in rounds for s in each]
        print(
            f"{side:14} {statistics.median(steps):7.3f} s/step  {args.batch / statistics.median(steps):7.1f} examples/s"
        )
    for fast, slow in RATIOS:
        if fast in seconds and slow in seconds:
            ratios = [
                statistics.median(b) / statistics.median(a) for a, b in zip(seconds[fast], seconds[slow], strict=True)
            ]
            print(f"{fast} / {slow}: {statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
