"""One step of a run as texts: what the model was shown, and how many negatives each query really had."""

from __future__ import annotations

from typing import Any

import numpy as np

from hybrid_core.batch import Batch, read_batch
from hybrid_core.data.sources import Sources
from hybrid_core.plan import BatchPlan, StepPlan


def replay(sources: Sources, plan: BatchPlan, number: int) -> dict[str, Any]:
    """Everything about step `number`, JSON-able: mode, corpus, digest, negatives, and the texts of every example."""
    planned = plan.step(number)
    source = sources[planned.corpus]
    everything = slice(0, len(planned.query_rows))
    batch = read_batch(source.corpus, planned, plan.config, everything, seed=plan.seed)
    asked = source.corpus.column("language", planned.query_rows)
    meanings = source.corpus.column("meaning_id", planned.query_rows)
    return {
        "step": number,
        "mode": planned.mode,
        "corpus": planned.corpus,
        "plan_hash": plan.hash,
        "digest": f"{planned.digest:016x}",
        "negatives": _negatives(batch, asked),
        "prefixes": {"query": source.config.query_prefix, "passage": source.config.passage_prefix},
        "examples": [
            {
                "meaning_id": meaning,
                "language": language,
                "query": query,
                "passages": _passages(batch, planned, example),
            }
            for example, (meaning, language, query) in enumerate(zip(meanings, asked, batch.queries, strict=True))
        ],
    }


def _passages(batch: Batch, planned: StepPlan, example: int) -> list[dict[str, Any]]:
    """The passages an example brings, without its empty slots."""
    found = []
    positives = 1 + planned.translation_rows.shape[1] if planned.translation_rows.size else 1
    for slot in range(batch.slots):
        place = example * batch.slots + slot
        positive = bool(batch.positive[example, slot])
        empty = not positive and (
            slot < positives or batch.passage_groups[example, slot] == batch.query_groups[example]
        )
        if not empty:
            role = "positive" if positive else "negative"
            found.append({"role": role, "language": batch.languages[place], "text": batch.passages[place]})
    return found


def _negatives(batch: Batch, asked: list[str]) -> dict[str, float]:
    """Means over the queries: passages contrasted with, how many were left out, and the share in the query's language."""
    groups = batch.passage_groups.reshape(-1)
    negative = groups[None, :] != batch.query_groups[:, None]
    same = np.array(batch.languages)[None, :] == np.array(asked)[:, None]
    count = negative.sum(1)
    return {
        "per_query": float(count.mean()),
        "left_out": float((len(groups) - count).mean() - batch.positive.sum(1).mean()),
        "same_language_share": float(((negative & same).sum(1) / np.maximum(count, 1)).mean()),
    }


def as_text(step: dict[str, Any]) -> str:
    """The same for people."""
    n = step["negatives"]
    lines = [
        f"step {step['step']}: {step['mode']}, corpus {step['corpus']}, {len(step['examples'])} examples",
        f"plan {step['plan_hash']}, digest {step['digest']}",
        f"negatives of a query: {n['per_query']:.1f} ({100 * n['same_language_share']:.0f}% in its own language), "
        f"{n['left_out']:.1f} left out as translations or duplicates of its passage",
    ]
    for number, example in enumerate(step["examples"]):
        lines += ["", f"[{number}] {example['meaning_id']}", f"  query    {example['language']}: {example['query']}"]
        lines += [f"  {p['role']} {p['language']}: {p['text']}" for p in example["passages"]]
    return "\n".join(lines)
