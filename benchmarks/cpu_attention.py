"""Seconds of a training step and of encoding on this CPU, by attention implementation and precision, interleaved.

python benchmarks/cpu_attention.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

from hybrid_core.config import Config, ModelConfig, PlanConfig, TrainConfig
from hybrid_core.data.sources import ONLY, open_sources, plan_for
from hybrid_core.encode import encode
from hybrid_core.model import load_encoder
from hybrid_core.trainer import Trainer


def main(rounds: int) -> None:
    """Measure every variant once per round, so that a machine that drifts hurts all alike."""
    torch.set_num_threads(2)
    config = Config(plan=PlanConfig(), train=TrainConfig(global_batch=16))
    sources = open_sources(config)
    plan, corpus = plan_for(config, sources), sources[ONLY].corpus
    encoder = load_encoder(ModelConfig(freeze_embeddings=True, max_query_tokens=48, max_passage_tokens=96))
    texts = corpus.column("passage", plan.step(0).passage_rows) * 8
    variants = [(a, p) for a in ("sdpa", "eager") for p in ("float32", "bfloat16")]
    step_s: dict[tuple[str, str], list[float]] = {v: [] for v in variants}
    encode_s: dict[tuple[str, str], list[float]] = {v: [] for v in variants}
    for number in range(rounds + 1):
        for attention, precision in variants:
            encoder.backbone.set_attn_implementation(attention)
            settings = TrainConfig(steps=100, global_batch=16, learning_rate=0.0, precision=precision)
            trainer = Trainer(encoder, sources, plan, settings)
            encoder.train()
            started = time.perf_counter()
            for k in range(3):
                trainer.step(plan.step(k))
            middle = time.perf_counter()
            encode(encoder, texts, "passage", precision=precision)
            if number:  # the first round warms up
                step_s[attention, precision].append((middle - started) / 3)
                encode_s[attention, precision].append(time.perf_counter() - middle)
    base = statistics.median(step_s["sdpa", "float32"])
    print(
        "| attention | precision | s/step median (min-max) | ratio to sdpa float32 | encode s median |\n|---|---|---|---|---|"
    )
    for variant in variants:
        steps = step_s[variant]
        median = statistics.median(steps)
        print(
            f"| {variant[0]} | {variant[1]} | {median:.2f} ({min(steps):.2f}-{max(steps):.2f}) | {base / median:.2f} "
            f"| {statistics.median(encode_s[variant]):.2f} |"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
