"""Is what trains faster as good? This trainer at its best settings against `SentenceTransformerTrainer` as it comes, then a suite.

    python benchmarks/equal_quality.py [--suite xquad_r] [--set path.to.field=value ...]

Both train on the same examples in the same batches from the same weights (recipe squad_parallel, embeddings trained on both
sides). Theirs: float32, dropout, full vocabulary. Ours: bfloat16, vocabulary trimmed to the texts, no dropout. Both models are
scored by this project, with paired intervals over questions.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peer
import torch

from hybrid_core.comparison import compare
from hybrid_core.config import Config
from hybrid_core.data.sources import open_sources, plan_for
from hybrid_core.data.suites import load_suites
from hybrid_core.encode import encode
from hybrid_core.evaluate import Evaluation, evaluate
from hybrid_core.model import Encoder, export, exported_model, load_encoder
from hybrid_core.recipes import load_config
from hybrid_core.trainer import Hooks, Trainer


def request(args: argparse.Namespace) -> Config:
    """What both sides follow."""
    fixed = [f"evaluate.suites={args.suite}", "model.freeze_embeddings=false", "train.workers=1", "train.threads=2"]
    return load_config("squad_parallel", None, [*fixed, *args.set])


def train_ours(config: Config, target: Path) -> list[float]:
    """Seconds of every step."""
    sources = open_sources(config)
    suites = load_suites(config.evaluate.suites, config.data.suites, config.evaluate.candidate_text)
    texts = [text for s in sources.values() for text in s.corpus.texts()]
    texts += [text for s in suites for text in (*s.queries.texts, *s.passages.texts)]
    encoder = load_encoder(config.model, texts=texts)
    trainer = Trainer(encoder, sources, plan_for(config, sources), dataclasses.replace(config.train, log_every=1))
    seconds: list[float] = []
    trainer.run(Hooks(log=lambda step, metrics: seconds.append(metrics["train/step_seconds"])))
    export(encoder, target)
    return seconds


def scored(config: Config, encoder: Encoder) -> dict[str, Evaluation]:
    """Evaluation of an encoder on every suite."""
    (suite,) = load_suites(config.evaluate.suites, config.data.suites, config.evaluate.candidate_text)
    queries = encode(encoder, suite.queries.texts, "query", precision="bfloat16")
    return {
        suite.name: evaluate(suite, queries, encode(encoder, suite.passages.texts, "passage", precision="bfloat16"))
    }


def main() -> None:
    """Train both, score both, print seconds a step and paired differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="xquad_r")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--side", help="(internal)")
    parser.add_argument("--target", type=Path, help="(internal)")
    args = parser.parse_args()
    config = request(args)
    torch.set_num_threads(2)
    if args.side:
        full = dataclasses.replace(config, model=dataclasses.replace(config.model, vocabulary="full"))
        started = time.perf_counter()
        if args.side == "theirs":
            seconds = peer.train(full, dropout=True, bf16=False, device="cpu", target=args.target)
        else:
            seconds = train_ours(config, args.target)
        median = statistics.median(seconds)
        print(
            f"{args.side}: {median:.2f} s/step (median of {len(seconds)}), {time.perf_counter() - started:.0f} s in all",
            flush=True,
        )
        return
    with tempfile.TemporaryDirectory() as scratch:
        found = {}
        for side in ("theirs", "ours"):
            target = Path(scratch) / side
            subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--side", side, "--target", str(target)], check=True
            )
            found[side] = scored(config, load_encoder(exported_model(config.model, str(target))))
    comparison = compare(found, config.evaluate, in_domain=next(iter(found["ours"])), seed=0)
    for row in (*comparison["levels"], *comparison["differences"]):
        if row["metric"] == "mAP":
            name = row.get("arm", "") + (f" - {row['reference']}" if "reference" in row else "")
            print(
                f"{row['setting']:6} {name:14} {100 * row['value']:7.2f} ({100 * row['low']:.2f} to {100 * row['high']:.2f})"
            )


if __name__ == "__main__":
    main()
