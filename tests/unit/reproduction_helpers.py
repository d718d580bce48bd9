"""Results as `compare` writes them, made up around the published values."""

from __future__ import annotations

import copy
from typing import Any

from hybrid_core.claims import CLAIMS, Claim
from hybrid_core.data.suites.miracl import suite_name
from hybrid_core.reproduction import IN_RANKS, paper, published

Json = dict[str, Any]
XLMR = "FacebookAI/xlm-roberta-base"
STATED = {"global_batch": 100, "learning_rate": 3e-5, "weight_decay": 0.01, "alpha": 0.5}
MEANS = [p for p in published() if not p.language]
MIRACL = suite_name("miracl", sorted(paper()["pools"]["miracl"]))
"""What the loader calls MIRACL in the paper's languages."""
POOLS = {MIRACL if suite == "miracl" else suite: pools for suite, pools in paper()["pools"].items()}


def a_run(model: str = XLMR, **facts: object) -> Json:
    """A run with the paper's training, as far as the paper states it."""
    corpus = {"name": "the paper's", "languages": paper()["training"]["rows"]}
    return {"title": "Study", "model": model, "corpus": corpus, **STATED, **facts}


def a_result(model: str = XLMR, offset: float = 0.0, half: float = 0.01, **facts: object) -> Json:
    """A result that lies `offset` (of rank distances: that share of them) beside every published value of XLM-R."""
    rows = []
    for p in published():
        if p.model == "XLM-R":
            unit = p.value if p.metric in IN_RANKS else 1.0
            value = p.value + offset * unit
            suite = MIRACL if p.suite == "miracl" else p.suite
            rows.append({"suite": suite, "setting": p.setting, "metric": p.metric, "arm": p.arm, "language": p.language,
                         "value": value, "low": value - half * unit, "high": value + half * unit})  # fmt: skip
    levels = [{k: v for k, v in row.items() if k != "language"} for row in rows if not row["language"]]
    return {
        "arms": ["base", "mono", "cross", "hybrid"], "suites": list(POOLS), "levels": levels,
        "languages": [row for row in rows if row["language"]], "differences": [], "pools": copy.deepcopy(POOLS),
        "candidate_text": {"xquad_r": "sentence", "mlqa_r": "sentence"}, "run": a_run(model, **facts),
    }  # fmt: skip


def claim_of(text: str, setting: str = "", metric: str = "") -> Claim:
    (found,) = [
        c for c in CLAIMS
        if c.text.startswith(text) and setting in ("", c.setting) and metric in ("", c.metric)
    ]  # fmt: skip
    return found


def with_differences(
    *rows: tuple[str, str, str, str, str, float, float], arms: str = "base mono cross hybrid", **facts: object
) -> Json:
    """A result with these differences: (suite, setting, metric, arm, reference, low, high)."""
    keys = ("suite", "setting", "metric", "arm", "reference", "low", "high")
    differences = [dict(zip(keys, row, strict=True)) | {"value": (row[5] + row[6]) / 2} for row in rows]
    return {
        "arms": arms.split(), "suites": list(dict.fromkeys(row[0] for row in rows)), "levels": [],
        "differences": differences, "run": a_run("packaged:multilingual-e5-small", **facts),
    }  # fmt: skip
