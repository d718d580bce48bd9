"""What arXiv 2408.10536 claims, decided on our own differences: with any encoder, on its suites and on others.

A published number needs the paper's encoder and data; a claim about batches does not. Each is a statement about paired
differences between arms: supported, contradicted, undecided (the interval leaves it open), or not run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybrid_core.data.suites.miracl import collection_of
from hybrid_core.paper_suites import Json, is_number, parts_of, pool_problem
from hybrid_core.reproduction import IN_RANKS, model_of, paper, policy_and_alpha, published, title_of

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN = "supported", "contradicted", "undecided", "not run"
VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN)
_LAREQA = ("xquad_r", "mlqa_r")
_BOTH = (("hybrid", "mono"), ("hybrid", "cross"))


@dataclass(frozen=True)
class Claim:
    """A statement about differences between arms in one setting and metric."""

    text: str
    setting: str
    metric: str
    contrasts: tuple[tuple[str, str], ...]
    """(Arm, reference) pairs, all of which must hold."""
    kind: str
    """better: arm beats reference. comparable: arm is not worse. same: neither is better."""
    suites: tuple[str, ...] = _LAREQA
    """The paper's suites that it speaks of."""
    elsewhere: bool = True
    """Whether it can be asked of other suites too."""


def _quality(text: str, contrasts: tuple[tuple[str, str], ...], kind: str, settings: str) -> list[Claim]:
    return [Claim(text, setting, "mAP", contrasts, kind) for setting in settings.split()]


CLAIMS: tuple[Claim, ...] = (
    *_quality("hybrid batches are at least as good as the better of mono and cross batches", _BOTH, "comparable", "mono cross multi"),
    *_quality("hybrid batches beat mono batches", (("hybrid", "mono"),), "better", "cross multi"),
    *_quality("hybrid batches beat cross batches", (("hybrid", "cross"),), "better", "mono"),
    *_quality("cross batches beat mono batches", (("cross", "mono"),), "better", "cross multi"),
    *_quality("mono batches beat cross batches", (("mono", "cross"),), "better", "mono"),
    Claim("hybrid batches lower rank distance against mono batches", "multi", "rank_distance", (("hybrid", "mono"),), "better"),
    Claim("cross batches lower rank distance against mono batches", "multi", "rank_distance", (("cross", "mono"),), "better"),
    *_quality("alpha 0.4 and 0.6 do as well as 0.5", (("hybrid@0.4", "hybrid"), ("hybrid@0.6", "hybrid")), "same", "mono multi"),
    Claim("mono batches beat hybrid batches", "mono", "nDCG_10", (("mono", "hybrid"),), "better", ("miracl",), False),
    Claim("hybrid batches beat cross batches", "mono", "nDCG_10", (("hybrid", "cross"),), "better", ("miracl",), False),
)  # fmt: skip
"""The paper's claims in its order. The two on MIRACL are what its table shows; its text says hybrid is comparable there."""


@dataclass(frozen=True)
class Effect:
    """Arm minus reference, turned so that more is better; `margin` is the largest difference that does not matter (0: none set)."""

    arm: str
    reference: str
    value: float
    low: float
    high: float
    margin: float = 0.0


@dataclass(frozen=True)
class Finding:
    """A claim on one suite in one run."""

    claim: Claim
    suite: str
    verdict: str
    why: str = ""
    """Why not run; of one that was run: in what it is not the paper's task."""
    effects: tuple[Effect, ...] = ()
    run: str = ""


def decide(kind: str, effects: Sequence[Effect]) -> str:
    """Supported, contradicted or undecided by intervals of the differences.

    better: every interval is above zero; contradicted as soon as one is below. comparable (non-inferior): above minus the
    margin. same (equivalent): within the margin on both sides; without a margin equality cannot be shown, only refuted.
    Intervals are not corrected for the number of claims: Holm's p-values exist for "better" alone, and their family grows with
    every suite of a run, so that a claim about one suite would hang on which others were evaluated.
    """
    if kind == "same":
        if any(e.low > e.margin or e.high < -e.margin for e in effects):
            return CONTRADICTED
        return SUPPORTED if all(-e.margin <= e.low and e.high <= e.margin for e in effects) else UNDECIDED
    if kind == "comparable":
        if any(e.high < -e.margin for e in effects):
            return CONTRADICTED
        return SUPPORTED if all(e.low >= -e.margin for e in effects) else UNDECIDED
    if any(e.high < 0 for e in effects):
        return CONTRADICTED
    return SUPPORTED if all(e.low > 0 for e in effects) else UNDECIDED


def findings(results: Sequence[Json]) -> list[Finding]:
    """Every claim on the paper's suites, run or not, then on the other suites of the results where it was run.

    A suite of some languages of MIRACL stands for it, and the finding says how many of the paper's languages it has.

    Args:
        results: comparisons; their `differences` decide, with `margin` where they have one.
    """
    own = [finding for claim in CLAIMS for suite in claim.suites for finding in _on_suite(claim, suite, results)]
    others = dict.fromkeys(suite for result in results for suite in result.get("suites", ()))
    further = [
        finding
        for suite in others
        for claim in CLAIMS
        if claim.elsewhere and collection_of(suite) not in claim.suites
        for finding in _on_suite(claim, suite, results)
        if finding.verdict != NOT_RUN
    ]
    return own + further


def _on_suite(claim: Claim, suite: str, results: Sequence[Json]) -> list[Finding]:
    """A finding for each run (and encoder of a sweep) that can decide; if none can, one that says why."""
    tried = [
        _in_run(claim, suite, name, result, model)
        for result in results
        for name in ([suite] if suite in result.get("suites", ()) else parts_of(result, suite)) or [""]
        for model in _models(result)
    ]
    decided = [finding for reached, finding in tried if reached == _DECIDED]
    if decided:
        return decided
    return [max(tried, key=lambda t: t[0])[1] if tried else Finding(claim, suite, NOT_RUN, "no results")]


_DECIDED = 9
"""Further than any that could not decide."""


def _models(result: Json) -> list[str]:
    run: Mapping[str, Any] = result.get("run") or {}
    return list(dict.fromkeys(model_of(run, arm) for arm in result.get("arms", ())))


def _in_run(claim: Claim, suite: str, name: str, result: Json, model: str) -> tuple[int, Finding]:
    """How far this run gets, and what it finds; `name` is its own suite that stands for `suite` ("": it has none)."""
    if not name:
        return 1, Finding(claim, suite, NOT_RUN, f"suite {suite} not evaluated")
    run: Mapping[str, Any] = result.get("run") or {}
    arms: dict[str, str] = {}
    for arm in result["arms"]:
        kind = policy_and_alpha(arm)
        if kind and model_of(run, arm) == model:
            arms.setdefault(kind, arm)
    absent = [kind for kind in dict.fromkeys(k for pair in claim.contrasts for k in pair) if kind not in arms]
    if absent:
        return 2, Finding(claim, suite, NOT_RUN, f"arm {' and '.join(absent)} not trained")
    effects = [_effect(claim, name, result, arms[a], arms[b]) for a, b in claim.contrasts]
    known = tuple(effect for effect in effects if effect is not None)
    if len(known) < len(effects):
        return 3, Finding(claim, suite, NOT_RUN, f"{claim.setting} {claim.metric} not in the results")
    caveat = pool_problem(result, paper()["pools"], name, claim.setting)
    title = title_of(result, arms[claim.contrasts[0][0]])
    return _DECIDED, Finding(claim, suite, decide(claim.kind, known), caveat, known, title)


def _effect(claim: Claim, suite: str, result: Json, arm: str, reference: str) -> Effect | None:
    """The stored difference, in whichever direction it is stored; for rank distance less is better."""
    wanted = suite, claim.setting, claim.metric
    for row in result.get("differences", ()):
        if (row["suite"], row["setting"], row["metric"]) != wanted or {row["arm"], row["reference"]} != {
            arm,
            reference,
        }:
            continue
        if not all(is_number(row[key]) for key in ("value", "low", "high")):
            return None
        sign = (1 if row["arm"] == arm else -1) * (-1 if claim.metric in IN_RANKS else 1)
        low, high = sorted((sign * row["low"], sign * row["high"]))
        return Effect(arm, reference, sign * row["value"], low, high, float(row.get("margin") or 0.0))
    return None


def published_effects(claim: Claim, suite: str) -> dict[str, float]:
    """The paper's own difference for each of its encoders (the smallest of several contrasts, more is better).

    Empty where the paper prints no numbers for it.
    """
    means = {
        (p.model, p.arm): p.value
        for p in published()
        if (p.suite, p.setting, p.metric, p.language) == (suite, claim.setting, claim.metric, "")
    }
    sign = -1 if claim.metric in IN_RANKS else 1
    return {
        model: min(sign * (means[model, a] - means[model, b]) for a, b in claim.contrasts)
        for model in dict.fromkeys(model for model, _ in means)
        if all((model, arm) in means for pair in claim.contrasts for arm in pair)
    }
