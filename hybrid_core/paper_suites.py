"""Which numbers of a result stand for a suite of the paper, and why others do not.

MIRACL may be evaluated whole, in the languages of the paper, or language by language. Every language has topics and a pool
of its own, so what a suite says about a language does not depend on which others are in it, and the mean over the paper's
languages can be made from single ones. Translated suites (LAReQA) have one pool and one set of questions: they count whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybrid_core.data.suites.miracl import collection_of

Json = Mapping[str, Any]
Pools = Mapping[str, Mapping[str, int]]
"""Suite -> language -> passages."""
_UNTRANSLATED = ("miracl",)
"""Suites of the paper whose languages have questions and pools of their own."""
_SAME_PASSAGES = 0.01


@dataclass(frozen=True)
class Lacking:
    """Why a result has no number."""

    reached: int
    """How far it got: 0 other passages or languages, 1 the right ones but no such row."""
    why: str


def parts_of(result: Json, suite: str) -> list[str]:
    """The suites of a result that are one of the paper's or hold languages of it, in their order."""
    return [name for name in result.get("suites") or () if collection_of(name) == suite]


def pool_problem(result: Json, wanted: Pools, suite: str, setting: str, language: str = "") -> str:
    """Why a score of a suite was not measured against the paper's passages; "" if it was, or nothing is known.

    A pool of fewer passages is an easier task, and a mean over other languages is another mean.

    Args:
        result: a comparison; its `pools` are looked at.
        wanted: the paper's pools.
        suite: a suite of the result.
        setting: mono, cross or multi.
        language: of the query; "" for the mean over languages.
    """
    expected, found = wanted.get(collection_of(suite), {}), (result.get("pools") or {}).get(suite)
    if not found or not expected:
        return ""
    alone = setting == "mono" and language
    if alone and language not in found:
        return f"language {language} not evaluated"
    if not alone and set(found) != set(expected):
        return f"{len(found)} language{'s' * (len(found) != 1)} instead of the paper's {len(expected)}"
    for name in [language] if alone else sorted(expected):
        if abs(found.get(name, 0) - expected[name]) > _SAME_PASSAGES * expected[name]:
            return f"passages incomplete: {found.get(name, 0):,} instead of {expected[name]:,} in {name}"
    return ""


class Measured:
    """The rows of a comparison by their labels."""

    def __init__(self, result: Json, pools: Pools) -> None:
        """Args: a comparison, and the paper's pools by suite."""
        self.result, self.pools = result, pools
        self.rows = {
            (r["suite"], r["setting"], r["metric"], r["arm"], r.get("language", "")): r
            for r in (*result.get("levels", ()), *result.get("languages", ()))
        }

    def row(self, suite: str, setting: str, metric: str, arm: str, language: str) -> Json | Lacking:
        """Value and interval that stand for a number of the paper, or why there are none.

        Args:
            suite: of the paper.
            setting: mono, cross or multi.
            metric: its name.
            arm: of this result.
            language: of the query; "" for the mean over languages.
        """
        labels = setting, metric, arm
        tried = [self._in_suite(part, *labels, language) for part in parts_of(self.result, suite)]
        if suite in _UNTRANSLATED and not language:
            tried.append(self._mean(suite, *labels))
        found = [row for row in tried if not isinstance(row, Lacking)]
        reasons = [row for row in tried if isinstance(row, Lacking)]
        nothing = Lacking(0, f"suite {suite} not evaluated")
        return found[0] if found else max(reversed(reasons), key=lambda reason: reason.reached, default=nothing)

    def _in_suite(self, part: str, setting: str, metric: str, arm: str, language: str) -> Json | Lacking:
        problem = pool_problem(self.result, self.pools, part, setting, language)
        if problem:
            return Lacking(0, problem)
        row: Json | None = self.rows.get((part, setting, metric, arm, language))
        if row is None or any(not is_number(row.get(key)) for key in ("value", "low", "high")):
            by = " by language" if language else ""
            return Lacking(1, f"{setting} {metric}{by} not in the results")
        return row

    def _mean(self, suite: str, setting: str, metric: str, arm: str) -> Json | Lacking:
        """The mean over the paper's languages, from single ones."""
        languages = sorted(self.pools[suite])
        each = {language: self.row(suite, setting, metric, arm, language) for language in languages}
        reasons = {language: row for language, row in each.items() if isinstance(row, Lacking)}
        absent = [language for language, reason in reasons.items() if reason.why.endswith("not evaluated")]
        if absent:
            have = len(languages) - len(absent)
            return Lacking(
                0, f"{have} of the paper's {len(languages)} languages evaluated, without {', '.join(absent)}"
            )
        if reasons:
            return next(iter(reasons.values()))
        seeds = int((self.result.get("seeds") or {}).get(arm, 1))
        return mean_of_languages([row for row in each.values() if not isinstance(row, Lacking)], seeds)


def mean_of_languages(rows: Sequence[Json], seeds: int) -> Json:
    """Value and interval of a mean over languages whose questions differ.

    With one training the languages' errors are independent: the distances to the interval's ends add up in squares. With
    several seeds resampled they share the noise of training; then the mean of the ends is taken, which is never too narrow.

    Args:
        rows: value, low and high of each language.
        seeds: trainings of the arm.
    """
    count = len(rows)
    value = math.fsum(row["value"] for row in rows) / count
    below, above = ([abs(row["value"] - row[end]) for row in rows] for end in ("low", "high"))
    down, up = (math.fsum(part) if seeds > 1 else math.hypot(*part) for part in (below, above))
    return {"value": value, "low": value - down / count, "high": value + up / count}


def is_number(number: Any) -> bool:
    """Whether a stored value is a finite number (undefined ones are null or NaN)."""
    return isinstance(number, int | float) and math.isfinite(number)
