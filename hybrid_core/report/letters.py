"""Significance letters: in each column of a table, an arm carries the letters of the arms that it is better than.

A letter stands where the Holm-corrected p-value of the paired test lies below 1 - `evaluate.confidence`
(0.05 at 95%). `=` and a letter stand where the two
arms are equivalent: their difference lies within a margin fixed beforehand. No letter is no statement that arms are alike.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid_core.comparison import Json
from hybrid_core.report.arms import Comparison, models
from hybrid_core.report.lookup import estimate_of, free_references, uniform_share
from hybrid_core.report.style import points

LESS_IS_BETTER = frozenset({"rank_distance", "rank_distance_share", "max_rank", "same_language_share"})
_ALPHABET = string.ascii_lowercase + string.ascii_uppercase

_Key = tuple[str, str, str, str]
"""Suite, setting, metric, arm."""


@dataclass(frozen=True)
class Letters:
    """The letter of each arm, and what each cell of a table carries."""

    of: Mapping[str, str] = field(default_factory=dict)
    """Model or free reference -> its letter; empty where the comparison holds no corrected p-values and no equivalence tests."""
    better_than: Mapping[_Key, frozenset[str]] = field(default_factory=dict)
    equivalent_to: Mapping[_Key, frozenset[str]] = field(default_factory=dict)
    margins: tuple[float, ...] = ()
    """Equivalence margins that occur."""
    tested: bool = False
    """Whether there are corrected p-values."""
    level: float = 0.05
    """Below which a corrected p-value earns a letter."""

    def better(self, suite: str, setting: str, metric: str, arm: str) -> str:
        """Letters of the arms that this one is better than."""
        return self._letters(self.better_than.get((suite, setting, metric, arm), frozenset()))

    def equivalent(self, suite: str, setting: str, metric: str, arm: str) -> str:
        """Letters of the arms that this one is equivalent to."""
        return self._letters(self.equivalent_to.get((suite, setting, metric, arm), frozenset()))

    def marks(self, suite: str, setting: str, metric: str, arm: str) -> str:
        """Both as one text, as in `ab=c`; empty where there is nothing to say."""
        same = self.equivalent(suite, setting, metric, arm)
        return self.better(suite, setting, metric, arm) + (f"={same}" if same else "")

    def legend(self) -> str:
        """One line that says what the letters mean; empty where there are none."""
        if not self.of:
            return ""
        found = []
        if self.tested:
            found.append(
                "A letter after a value: the arm is better than the arm of that letter (paired randomisation test over "
                f"questions, p < {self.level:g} after Holm correction over all suites, settings and contrasts of the metric, free "
                "baselines being a family of their own). Less is better for rank distance and same-language share, for the "
                "latter down to the uniform share"
            )
        if self.margins:
            margins = " or ".join(f"{points(margin)} points" for margin in self.margins)
            found.append(f"= before letters: equivalent to those arms, the difference lies within ±{margins}")
        return ". ".join([*found, "No letter: neither was shown."])

    def _letters(self, arms: frozenset[str]) -> str:
        return "".join(sorted((self.of.get(arm, "") for arm in arms), key=_ALPHABET.find))


def letters(comparison: Comparison) -> Letters:
    """Letters from the keys `p_holm` and `equivalent` of the differences; none where the comparison lacks both."""
    rows = comparison["differences"]
    tested = any(row.get("p_holm") is not None for row in rows)
    known = tested or any(row.get("equivalent") is not None for row in rows)
    if not known:
        return Letters()
    better: dict[_Key, set[str]] = {}
    same: dict[_Key, set[str]] = {}
    below_uniform, level = _below_uniform(comparison), round(1.0 - comparison["confidence"], 9)
    for row in rows:
        won = _winner(row, level)
        if won is not None and (row["suite"], row["metric"], won[0]) not in below_uniform:
            better.setdefault(_key(row, won[0]), set()).add(won[1])
        if row.get("equivalent"):
            same.setdefault(_key(row, row["arm"]), set()).add(row["reference"])
            same.setdefault(_key(row, row["reference"]), set()).add(row["arm"])
    margins = sorted({row["margin"] for row in rows if row.get("equivalent") and row.get("margin") is not None})
    names = [*models(comparison), *free_references(comparison)]
    return Letters(
        dict(zip(names, _ALPHABET, strict=False)),
        {key: frozenset(arms) for key, arms in better.items()},
        {key: frozenset(arms) for key, arms in same.items()},
        tuple(margins),
        tested,
        level,
    )


def _winner(row: Json, level: float) -> tuple[str, str] | None:
    """(Better arm, other arm) of a difference that is significant after correction."""
    p = row.get("p_holm")
    if p is None or not math.isfinite(p) or p >= level or not row["value"]:
        return None
    arm_is_better = (row["value"] < 0) == (row["metric"] in LESS_IS_BETTER)
    return (row["arm"], row["reference"]) if arm_is_better else (row["reference"], row["arm"])


def _below_uniform(comparison: Comparison) -> set[tuple[str, str, str]]:
    """(Suite, metric, arm) whose same-language share is below the uniform share, where less is no longer better."""
    rows = [row for row in comparison["levels"] if row["metric"] == "same_language_share"]
    levels = {(row["suite"], row["metric"], row["arm"]): estimate_of(row) for row in rows}
    return {key for key, e in levels.items() if e is not None and e.value < uniform_share(comparison, key[0])}


def _key(row: Json, arm: str) -> _Key:
    return row["suite"], row["setting"], row["metric"], arm
