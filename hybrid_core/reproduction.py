"""The tables of arXiv 2408.10536 beside our own results: a verdict for every published number.

A number is OK only if it was produced with the paper's encoder, its batches and its training; whatever was produced
otherwise is compared and said to be qualified, and what was not produced is `not run`, with the reason. Which of several
runs stands in a cell is decided by how alike its training is, never by how near its number is.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from hybrid_core.data.suites.miracl import collection_of
from hybrid_core.paper_suites import Json, Lacking, Measured, parts_of

OK, NEAR, OFF, QUALIFIED, NOT_RUN = "OK", "near", "off", "qualified", "not run"
VERDICTS = (OK, NEAR, OFF, QUALIFIED, NOT_RUN)
IN_RANKS = ("rank_distance",)
"""Metrics counted in ranks: less is better, and tolerances are shares of the published value."""
_TOLERANCES = {OK: 0.005, NEAR: 0.02}
"""Of metrics between 0 and 1: half a point, two points."""
_SHARES = {OK: 0.02, NEAR: 0.1}
"""An interval whose half is wider than `near` agrees with nearly everything: a published value inside it is `near` at best."""
_SAME_ROWS = 0.02
"""Corpora whose sizes differ by less than this share count as the paper's (its filtering cannot be repeated exactly)."""


@dataclass(frozen=True)
class PublishedValue:
    """One number of the paper, in our names."""

    suite: str
    setting: str
    metric: str
    model: str
    """"XLM-R" or "LaBSE"."""
    arm: str
    language: str
    """Of the query; "" is the mean over languages."""
    value: float
    """Between 0 and 1; rank distance in ranks."""
    table: str


@dataclass(frozen=True)
class Cell:
    """A published value and what became of it."""

    published: PublishedValue
    verdict: str
    """One of `VERDICTS`."""
    why: str = ""
    """Why it was not run, or in what the run differs from the paper's."""
    agreement: str = ""
    """OK, near or off by the numbers alone; "" where there is none to compare."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    arm: str = ""
    """Our name of the arm."""
    candidate_text: str = ""
    run: str = ""
    """The run in a few words."""


@functools.cache
def paper() -> dict[str, Any]:
    """The data file: tables, notes on what the paper leaves open, training, pool sizes."""
    found: dict[str, Any] = json.loads(
        resources.files("hybrid_core.report").joinpath("paper.json").read_text(encoding="utf-8")
    )
    return found


def published() -> list[PublishedValue]:
    """Every number of the paper's result tables: means over languages and single languages, three arms each."""
    return [
        PublishedValue(table["suite"], setting, metric, table["model"], arm, "" if language == "mean" else language,
                       value, table["table"])
        for table in paper()["tables"]
        for language, row in table["rows"].items()
        for (setting, metric), values in zip(table["columns"], row, strict=True)
        for arm, value in zip(paper()["arms"], values, strict=True)
    ]  # fmt: skip


def agreement(published: float, value: float, low: float, high: float, metric: str) -> str:
    """OK, near or off: is the published value within a tolerance of our value, or inside our interval?

    Inside counts as OK only if the interval, too, lies within the tolerance of `near` on both sides of our value.

    Args:
        published: the paper's value.
        value: ours.
        low: lower end of our interval.
        high: upper end of our interval.
        metric: its name; those `IN_RANKS` have relative tolerances.
    """
    scale = abs(published) if metric in IN_RANKS else 1.0
    tolerances = _SHARES if metric in IN_RANKS else _TOLERANCES
    difference, inside = abs(value - published), low <= published <= high
    is_near = difference <= tolerances[NEAR] * scale
    if difference <= tolerances[OK] * scale or (inside and is_near and (high - low) / 2 <= tolerances[NEAR] * scale):
        return OK
    return NEAR if inside or is_near else OFF


def paper_model(name: str) -> str | None:
    """The paper's encoder that a model's name stands for: a hub name, or a path whose folder is called so; else None.

    Another owner's encoder of the same name is not the paper's.
    """
    path = name.rstrip("/")
    last = path.rsplit("/", 1)[-1]
    cached = [part.removeprefix("models--").replace("--", "/") for part in path.split("/") if "--" in part]
    is_path = path.startswith(("/", ".", "~")) or "://" in path
    for model, names in paper()["models"].items():
        if path in names or (is_path and (last in names or set(cached) & set(names))):
            return str(model)
    return None


def policy_and_alpha(arm: str) -> str | None:
    """An arm in the paper's terms: mono, cross, hybrid (alpha 0.5), `hybrid@0.4`; None for any other.

    Arms of a sweep say their alpha: `alpha=1.0` is mono, `alpha=0.0` is cross.
    """
    words = dict(word.split("=", 1) for word in arm.split() if "=" in word)
    policy, at, share = ("hybrid", "@", words["alpha"]) if "alpha" in words else arm.partition("@")
    if not at:
        return policy if policy in paper()["arms"] else None
    try:
        alpha = float(share)
    except ValueError:
        return None
    if policy != "hybrid":
        return None
    named = {1.0: "mono", 0.0: "cross", float(paper()["training"]["alpha"]): "hybrid"}
    return named.get(alpha, f"hybrid@{alpha:g}")


def model_of(run: Json, arm: str) -> str:
    """Name of an arm's encoder: the run's, or the one that an arm of a sweep over encoders names."""
    words = dict(word.split("=", 1) for word in arm.split() if "=" in word)
    return str(words.get("name") or run.get("model") or "")


def run_of(result: Json) -> Json:
    """The `run` section of a result; empty if it has none."""
    found: Json = result.get("run") or {}
    return found


def title_of(result: Json, arm: str = "") -> str:
    """A run in a few words: its title, encoder and length."""
    run = run_of(result)
    length = f"{run['steps']} steps of {run.get('global_batch')}" if run.get("steps") else ""
    return ", ".join(part for part in (str(run.get("title") or ""), model_of(run, arm), length) if part) or "a run"


def qualifications(result: Json, arm: str, suite: str) -> tuple[str, ...]:
    """In what an arm's training is not the paper's, as far as the paper states its own; empty: in nothing.

    A fact that the run does not record counts against it: what is not known is not claimed.
    """
    run, stated = run_of(result), paper()["training"]
    found = [] if _same_data(run.get("corpus") or {}) else ["different training data"]
    for name in ("global_batch", "learning_rate", "weight_decay", *(["alpha"] if arm == "hybrid" else [])):
        if name not in run:
            found.append(f"{name} not recorded")
        elif run[name] is not None and not math.isclose(run[name], stated[name]):
            found.append(f"{name} {run[name]:g} instead of {stated[name]:g}")
    if suite in map(collection_of, run.get("unchecked_suites") or ()):
        found.append("training data not checked for overlap with the suite")
    return tuple(found)


def _same_data(corpus: Json) -> bool:
    rows, stated = corpus.get("languages") or {}, paper()["training"]["rows"]
    return set(rows) == set(stated) and all(abs(rows[x] - n) <= _SAME_ROWS * n for x, n in stated.items())


def reproduce(results: Sequence[Json]) -> list[Cell]:
    """A cell for every published value, in the order of `published`.

    Args:
        results: comparisons as `hybrid_core.comparison.compare` returns them, with a `run` section that says at least
            `model`. Of several that have a value the one with the fewest qualifications stands, then the first.
    """
    prepared = [_Result(result) for result in results]
    return [_cell(value, prepared) for value in published()]


class _Result:
    """A comparison with what its arms are in the paper's terms."""

    def __init__(self, result: Json) -> None:
        self.result = result
        self.measured = Measured(result, paper()["pools"])
        self.models = [model_of(run_of(result), arm) for arm in result.get("arms", ())]

    def arms_of(self, model: str) -> dict[str, str]:
        """Paper's arm -> our first arm of that kind, among those of one of the paper's encoders."""
        found: dict[str, str] = {}
        for arm, name in zip(self.result.get("arms", ()), self.models, strict=True):
            kind = policy_and_alpha(arm)
            if kind and paper_model(name) == model:
                found.setdefault(kind, arm)
        return found

    def attempt(self, value: PublishedValue) -> tuple[int, Cell]:
        """How far this result gets, and the cell it gives; with a number to compare, the further the fewer qualifications."""
        if value.model not in map(paper_model, self.models):
            others = ", ".join(dict.fromkeys(name for name in self.models if name)) or "an unnamed encoder"
            return 1, Cell(value, NOT_RUN, f"other model: {others} instead of {value.model}")
        parts = parts_of(self.result, value.suite)
        if not parts:
            return 2, Cell(value, NOT_RUN, f"suite {value.suite} not evaluated{_hint(value.suite)}")
        arm = self.arms_of(value.model).get(value.arm)
        if arm is None:
            return 3, Cell(value, NOT_RUN, f"arm {value.arm} not trained")
        found = self.measured.row(value.suite, value.setting, value.metric, arm, value.language)
        if isinstance(found, Lacking):
            return 4 + found.reached, Cell(value, NOT_RUN, found.why)
        return self._compared(value, arm, parts[0], found)

    def _compared(self, value: PublishedValue, arm: str, suite: str, row: Json) -> tuple[int, Cell]:
        agrees = agreement(value.value, row["value"], row["low"], row["high"], value.metric)
        reasons = qualifications(self.result, arm, value.suite)
        return _COMPARED - len(reasons), Cell(
            value, QUALIFIED if reasons else agrees, "; ".join(reasons), agrees, row["value"], row["low"], row["high"],
            arm, str((self.result.get("candidate_text") or {}).get(suite, "")), title_of(self.result, arm),
        )  # fmt: skip


_COMPARED = 100
"""Further than any attempt that failed."""


def _cell(value: PublishedValue, results: Sequence[_Result]) -> Cell:
    attempts = [result.attempt(value) for result in results]
    return max(attempts, key=lambda attempt: attempt[0])[1] if attempts else Cell(value, NOT_RUN, "no results")


def _hint(suite: str) -> str:
    return (
        ": its passages have to be fetched first (MIRACL corpus, 131,924 to millions per language)"
        if suite == "miracl"
        else ""
    )
