"""Useful tokens per second of encoding: this project against `sentence-transformers`, same model, texts, lengths, threads.

    python benchmarks/encode.py --suites FOLDER [--texts 1500] [--rounds 3] [--threads 2] [--device cpu] [--tokens-per-batch N]

Texts are a random sample of the passages of XQuAD-R and MLQA-R. Every side runs in a process of its own, rounds alternate;
loading the model and one warm-up batch are not counted, tokenization is, and on our side writing the shard too. Padding is
no useful token. Sides:

    theirs        SentenceTransformer.encode as it comes: float32, batches of 32
    theirs-pool   its pool of processes, one a thread, started before the clock
    theirs-bf16   the same as theirs with the weights in bfloat16
    ours          float32
    ours-bf16     bfloat16
    ours-openvino, ours-openvino-bf16    compiled by OpenVINO (encode.engine=openvino); compiling is not counted
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from hybrid_core.config import ModelConfig
from hybrid_core.data.suites import load_suites
from hybrid_core.embeddings.shards import write_shard
from hybrid_core.encode import Tokens, encode_tokens
from hybrid_core.model import export, load_encoder
from hybrid_core.openvino import by_openvino

SIDES = ("theirs", "theirs-pool", "theirs-bf16", "ours", "ours-bf16", "ours-openvino", "ours-openvino-bf16")
RATIOS = (
    ("ours", "theirs"),
    ("ours", "theirs-pool"),
    ("ours-bf16", "theirs-bf16"),
    ("ours-bf16", "theirs"),
    ("ours-openvino", "theirs"),
    ("ours-openvino-bf16", "theirs-bf16"),
    ("ours-openvino-bf16", "theirs"),
)


def sample(args: argparse.Namespace) -> list[str]:
    """Random passages, in random order."""
    suites = load_suites(("xquad_r", "mlqa_r"), args.suites, "sentence")
    texts = [text for suite in suites for text in suite.passages.texts]
    return [texts[i] for i in np.random.default_rng(0).choice(len(texts), args.texts, replace=False)]


def ours(args: argparse.Namespace, texts: list[str], precision: str, *, compiled: bool) -> tuple[float, np.ndarray]:
    """Seconds and embeddings."""
    encoder = load_encoder(ModelConfig(name=args.model)).to(args.device)
    budget = args.tokens_per_batch
    forward = by_openvino(encoder, precision=precision, threads=args.threads) if compiled else None

    def run(chosen: list[str], target: str) -> np.ndarray:
        tokens = Tokens.of(encoder.tokenize(chosen, "passage"))
        vectors = encode_tokens(encoder, tokens, tokens_per_batch=budget, precision=precision, forward=forward)
        ids = [str(i) for i in range(len(chosen))]
        write_shard(target, "all", ids, [""] * len(ids), vectors, stored="float32", tokens=len(tokens.ids))
        return vectors

    with tempfile.TemporaryDirectory() as scratch:
        run(texts[:32], scratch)
        started = time.perf_counter()
        vectors = run(texts, scratch)
        return time.perf_counter() - started, vectors


def theirs(args: argparse.Namespace, texts: list[str], precision: str, *, pool: bool) -> tuple[float, np.ndarray]:
    """Seconds and embeddings of the peer, on the same exported model; with `pool`, of processes with a thread each."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as scratch:
        encoder = load_encoder(ModelConfig(name=args.model))
        export(encoder, Path(scratch))
        model = SentenceTransformer(scratch, device=args.device)
        model.max_seq_length = encoder.settings.max_passage_tokens
    if precision == "bfloat16":
        model = model.bfloat16()

    os.environ["OMP_NUM_THREADS"] = "1"  # of the pool's processes; this one has started its threads
    workers = model.start_multi_process_pool([args.device] * args.threads) if pool else None

    def run(chosen: list[str]) -> np.ndarray:
        found = model.encode(
            chosen, prompt_name="passage", convert_to_tensor=not pool, show_progress_bar=False, pool=workers,
            chunk_size=max(1, len(chosen) // (4 * args.threads)) if pool else None,
        )  # fmt: skip
        return np.asarray(found.float().cpu().numpy() if isinstance(found, torch.Tensor) else found)

    run(texts[:32])
    started = time.perf_counter()
    vectors = run(texts)
    seconds = time.perf_counter() - started
    if workers:
        model.stop_multi_process_pool(workers)
    return seconds, vectors


def measure(args: argparse.Namespace) -> None:
    """One side in this process: seconds, useful tokens and a file of embeddings."""
    torch.set_num_threads(args.threads)
    texts = sample(args)
    name, *ways = args.side.split("-")
    precision = "bfloat16" if "bf16" in ways else "float32"
    if name == "ours":
        seconds, vectors = ours(args, texts, precision, compiled="openvino" in ways)
    else:
        seconds, vectors = theirs(args, texts, precision, pool="pool" in ways)
    tokens = sum(map(len, load_encoder(ModelConfig(name=args.model)).tokenize(texts, "passage")))
    np.save(args.vectors, vectors)
    print(json.dumps({"seconds": seconds, "tokens": tokens}))


def main() -> None:
    """Run the rounds and print rates, ratios and cosines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", required=True)
    parser.add_argument("--model", default="packaged:multilingual-e5-small")
    parser.add_argument("--texts", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens-per-batch", type=int)
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--side", help="(internal)")
    parser.add_argument("--vectors", help="(internal)")
    args = parser.parse_args()
    if args.side:
        measure(args)
        return
    sides = args.sides.split(",")
    rates: dict[str, list[float]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(args.rounds):
            for side in sides if number % 2 == 0 else sides[::-1]:
                command = [
                    sys.executable,
                    __file__,
                    *sys.argv[1:],
                    "--side",
                    side,
                    "--vectors",
                    f"{scratch}/{side}.npy",
                ]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found = json.loads(done.stdout.splitlines()[-1])
                rates[side].append(found["tokens"] / found["seconds"])
                print(f"round {number + 1} {side:18} {rates[side][-1]:,.0f} tokens/s", flush=True)
        vectors = {side: np.load(f"{scratch}/{side}.npy") for side in sides}
    print(
        f"\n{platform.processor() or platform.machine()}, torch {torch.__version__}, {args.threads} threads, {args.device}"
    )
    for side in sides:
        cosine = (vectors[side] * vectors[sides[0]]).sum(1) / np.linalg.norm(vectors[side], axis=1)
        print(
            f"{side:18} {statistics.median(rates[side]):,.0f} tokens/s; smallest cosine to {sides[0]} {cosine.min():.6f}"
        )
    for a, b in RATIOS:
        if a in rates and b in rates:
            ratios = sorted(x / y for x, y in zip(rates[a], rates[b], strict=True))
            print(f"{a} / {b}: {statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
