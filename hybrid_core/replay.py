"""One step of a run as texts: what the model was shown, and how many negatives each query really had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hybrid_core.batch import EMPTY, Batch, read_batch
from hybrid_core.data.sources import Sources
from hybrid_core.model import Kind
from hybrid_core.plan import BatchPlan

_NO_PREFIXES: Mapping[Kind, str | None] = {}


def replay(
    sources: Sources,
    plan: BatchPlan,
    number: int,
    *,
    negatives: str = "batch",
    prefixes: Mapping[Kind, str | None] = _NO_PREFIXES,
) -> dict[str, Any]:
    """Everything about step `number`, JSON-able: mode, corpus, digest, negatives, and the texts of every example.

    `negatives` is train.negatives, and `prefixes` are the model's, for a corpus that does not say itself.
    """
    planned = plan.step(number)
    source = sources[planned.corpus]
    everything = slice(0, len(planned.query_rows))
    batch = read_batch(source.corpus, planned, plan.config_of(planned.corpus), everything, seed=plan.seed)
    asked = source.corpus.column("language", planned.query_rows)
    meanings = source.corpus.column("meaning_id", planned.query_rows)
    return {
        "step": number,
        "mode": planned.mode,
        "corpus": planned.corpus,
        "plan_hash": plan.hash,
        "digest": f"{planned.digest:016x}",
        "negatives": _negatives(batch, asked, own_only=(source.config.negatives or negatives) == "own"),
        "prefixes": {
            "query": _first(source.config.query_prefix, prefixes.get("query")),
            "passage": _first(source.config.passage_prefix, prefixes.get("passage")),
        },
        "examples": [
            {
                "meaning_id": meaning,
                "language": language,
                "query": query,
                "passages": _passages(batch, example),
            }
            for example, (meaning, language, query) in enumerate(zip(meanings, asked, batch.queries, strict=True))
        ],
    }


def _first(*values: str | None) -> str | None:
    """The first that is set; an empty prefix is one."""
    return next((value for value in values if value is not None), None)


def _passages(batch: Batch, example: int) -> list[dict[str, Any]]:
    """The passages an example brings, without its empty slots."""
    found = []
    for slot in range(batch.slots):
        place = example * batch.slots + slot
        if batch.passage_groups[example, slot] != EMPTY:
            role = "positive" if batch.positive[example, slot] else "negative"
            if role == "negative" and batch.passage_groups[example, slot] == batch.query_groups[example]:
                role = "left out"
            found.append({"role": role, "language": batch.languages[place], "text": batch.passages[place]})
    return found


def _negatives(batch: Batch, asked: list[str], *, own_only: bool) -> dict[str, float]:
    """Means over the queries: passages contrasted with, how many were left out, and the share in the query's language."""
    groups = batch.passage_groups.reshape(-1)
    eligible = np.broadcast_to(groups != EMPTY, (len(asked), len(groups)))
    if own_only:
        eligible = eligible & (np.arange(len(asked))[:, None] == np.arange(len(groups))[None, :] // batch.slots)
    negative = eligible & (groups[None, :] != batch.query_groups[:, None])
    same = np.array(batch.languages)[None, :] == np.array(asked)[:, None]
    count = negative.sum(1)
    return {
        "per_query": float(count.mean()),
        "left_out": float((eligible.sum(1) - count - batch.positive.sum(1)).mean()),
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
        "put before them: " + ", ".join(f"{kind} {_shown(prefix)}" for kind, prefix in step["prefixes"].items()),
    ]
    for number, example in enumerate(step["examples"]):
        lines += ["", f"[{number}] {example['meaning_id']}", f"  query    {example['language']}: {example['query']}"]
        lines += [f"  {p['role']} {p['language']}: {p['text']}" for p in example["passages"]]
    return "\n".join(lines)


def _shown(prefix: str | None) -> str:
    return "as the model says, whose files are not here" if prefix is None else f'"{prefix}"' if prefix else "nothing"
