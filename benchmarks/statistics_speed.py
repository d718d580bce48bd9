"""Seconds of a comparison of the size of XQuAD-R: 1,190 questions, 11 languages, 132 (setting, query, pool) parts.

    python benchmarks/statistics_speed.py [--arms 1,4] [--samples 2000] [--rounds 2]

Scores are random; building the tables is not timed.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pyarrow as pa

from hybrid_core.comparison import compare
from hybrid_core.config import EvaluateConfig
from hybrid_core.evaluate import ALL_LANGUAGES, BIAS_METRICS, METRICS, Evaluation

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
QUESTIONS = 1190


def per_query(seed: int) -> pa.Table:
    """Scores of every question in every language in all three settings."""
    rng = np.random.default_rng(seed)
    pairs = [("mono", q, q) for q in LANGUAGES] + [("multi", q, ALL_LANGUAGES) for q in LANGUAGES]
    pairs += [("cross", q, p) for p in LANGUAGES for q in LANGUAGES if p != q]
    return pa.concat_tables([_part(rng, *pair) for pair in pairs])


def _part(rng: np.random.Generator, setting: str, query: str, pool: str) -> pa.Table:
    labels = {
        "setting": [setting] * QUESTIONS, "query_id": [f"{query}-{i}" for i in range(QUESTIONS)],
        "meaning_id": [f"m{i}" for i in range(QUESTIONS)], "domain": [""] * QUESTIONS,
        "query_language": [query] * QUESTIONS, "passage_language": [pool] * QUESTIONS,
    }  # fmt: skip
    columns = {name: pa.array(values, pa.string()).dictionary_encode() for name, values in labels.items()}
    columns |= {name: pa.array(rng.random(QUESTIONS)) for name in METRICS}
    bias = rng.random if setting == "multi" else lambda n: np.full(n, np.nan)
    return pa.table(columns | {name: pa.array(bias(QUESTIONS)) for name in BIAS_METRICS})


def main() -> None:
    """Print seconds of every round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", default="1,4")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    numbers = [int(n) for n in options.arms.split(",")]
    sizes = dict.fromkeys(LANGUAGES, QUESTIONS)
    arms = {
        f"arm{i}": {"xquad_r": Evaluation("xquad_r", "sentence", per_query(i), {}, sizes)} for i in range(max(numbers))
    }
    config = EvaluateConfig(bootstrap_samples=options.samples)
    for number in numbers * options.rounds:
        started = time.perf_counter()
        compare({name: arms[name] for name in list(arms)[:number]}, config, in_domain="xquad_r", seed=0)
        print(f"{number} arms: {time.perf_counter() - started:.2f} s")


if __name__ == "__main__":
    main()
