"""The answer in short: three to five sentences for someone who reads no further."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_core.report.arms import models_only
from hybrid_core.report.free import free_statements
from hybrid_core.report.lookup import (
    Comparison,
    baseline,
    contrasts,
    difference,
    level,
    main_suite,
    policy_of,
    settings_in,
    shift_effect,
    shifted_suites,
    top_k,
    uniform_share,
)
from hybrid_core.report.statements import shift_direction
from hybrid_core.report.style import (
    SETTING_TITLES,
    arm_phrase,
    capital,
    decimals_for,
    interval_points,
    listed,
    opening,
    percent,
    points,
    signed_interval,
    signed_points,
    suite_title,
)
from hybrid_core.stats import Estimate


def short_answer(comparison: Comparison) -> list[str]:
    """Three to five sentences: each reference in turn, language bias, domain shift; levels if there is only one model.

    After them, for each trained arm, whether it beats what costs nothing.
    """
    return _about_models(models_only(comparison)) + free_statements(comparison)


def _about_models(comparison: Comparison) -> list[str]:
    if len(comparison["arms"]) == 1:
        return _levels_in_short(comparison)
    arm, references = _focus(comparison)
    found = [_against(comparison, arm, reference) for reference in references]
    found += [_bias(comparison, arm, references), _shift(comparison, arm, references[:2])]
    return [text for text in found if text][:5]


def _focus(comparison: Comparison) -> tuple[str, list[str]]:
    """The arm the answer is about (hybrid, or the last) and what it is held against."""
    arms = list(comparison["arms"])
    arm = next((a for a in arms if policy_of(a) == "hybrid"), arms[-1])
    references = [reference for a, reference in contrasts(comparison) if a == arm]
    if not references:  # the focus arm is itself the baseline: answer about the last of the others
        arm = [a for a in arms if a != baseline(comparison)][-1]
        references = [reference for a, reference in contrasts(comparison) if a == arm]
    return arm, references[:3]


def _against(comparison: Comparison, arm: str, reference: str) -> str:
    suite = main_suite(comparison)
    parts: dict[str, list[str]] = {"higher": [], "lower": [], "undecided": []}
    for setting in settings_in(comparison, [suite]):
        estimate = difference(comparison, suite, setting, "mAP", arm, reference)
        if estimate is not None:
            parts[_direction(estimate)].append(f"{SETTING_TITLES[setting].lower()} {_numbers(estimate)}")
    clauses = [f"{word} in {listed(parts[word])}" for word in ("higher", "lower") if parts[word]]
    if parts["undecided"]:
        clauses.append(f"no difference can be claimed in {listed(parts['undecided'])}")
    where = f"mAP points on {suite_title(suite)} (mono-, cross- and multilingual retrieval)"
    start = f"{opening(arm_phrase(arm))} against {arm_phrase(reference)}, {where}"
    return f"{start}: {'; '.join(clauses)}." if clauses else ""


def _bias(comparison: Comparison, arm: str, references: Sequence[str]) -> str:
    suite = main_suite(comparison)
    own, distance = (level(comparison, suite, "multi", m, arm) for m in ("same_language_share", "rank_distance_share"))
    if own is None or distance is None:
        return ""
    others = [
        f"{a} {points(e.value)}%"
        for a in references
        if (e := level(comparison, suite, "multi", "same_language_share", a)) is not None
    ]
    return (
        f"Language bias in the mixed pool: the rank distance of {arm_phrase(arm)} is {points(distance.value)}% of the pool"
        f"{_rank_distance_clauses(comparison, arm, references)}. "
        f"Same-language share of the top {top_k(comparison)}: {points(own.value)}% "
        f"({', '.join(others)}; uniform {points(uniform_share(comparison, suite))}%)."
    )


def _rank_distance_clauses(comparison: Comparison, arm: str, references: Sequence[str]) -> str:
    """The references by whether the rank distance is lower or higher than theirs, or the interval leaves it open."""
    words = {"lower": "lower than", "higher": "higher than", "undecided": "no difference can be claimed from"}
    found: dict[str, list[str]] = {word: [] for word in words}
    for other in references:
        estimate = difference(comparison, main_suite(comparison), "multi", "rank_distance_share", arm, other)
        if estimate is not None:
            found[_direction(estimate)].append(f"{other} {_numbers(estimate)}")
    return "".join(f"; {words[word]} {listed(names)}" for word, names in found.items() if names)


def _shift(comparison: Comparison, arm: str, references: Sequence[str]) -> str:
    outside = len(shifted_suites(comparison))
    clauses = [f"over {r}: {text}" for r in references if (text := _shift_clause(comparison, arm, r))]
    where = f"Outside the training domain ({outside} suite{'s' if outside > 1 else ''})"
    question = f"does the mAP advantage of {arm_phrase(arm)} grow?"
    return f"{where}, {question} {capital('; '.join(clauses))}." if clauses else ""


def _shift_clause(comparison: Comparison, arm: str, reference: str) -> str:
    """Settings by direction of the shift effect; sizes only where the direction is decided."""
    suite = main_suite(comparison)
    found: dict[str, list[str]] = {}
    for setting in settings_in(comparison, [suite]):
        effect = shift_effect(comparison, setting, "mAP", arm, reference)
        inside = difference(comparison, suite, setting, "mAP", arm, reference)
        if effect is not None and inside is not None:
            size = f" by {_numbers(effect)}" if effect.excludes_zero else ""
            found.setdefault(shift_direction(effect, inside), []).append(SETTING_TITLES[setting].lower() + size)
    words = {
        "grows": "it grows in", "shrinks": "it shrinks in", "undecided": "undecided in",
        "moves up": "the difference moves towards it in", "moves down": "the difference moves away from it in",
    }  # fmt: skip
    return ", ".join(f"{words[direction]} {listed(names)}" for direction, names in found.items())


def _levels_in_short(comparison: Comparison) -> list[str]:
    """One arm: its levels, those on all suites, its weakest language pair, its language bias."""
    (arm,), suite = comparison["arms"], main_suite(comparison)
    levels = {s: level(comparison, suite, s, "mAP", arm) for s in settings_in(comparison, [suite])}
    named = [
        f"{points(e.value)} ({interval_points(e)}) in {SETTING_TITLES[s].lower()}"
        for s, e in levels.items()
        if e is not None
    ]
    start = f"{arm} on {suite_title(suite)}, mAP × 100 with {percent(comparison['confidence'])} intervals"
    found = [f"{start}: {listed(named)} retrieval."] if named else []
    found += _over_suites(comparison, arm)
    cells = [row for row in comparison["heat_maps"] if row["suite"] == suite and row["value"] == row["value"]]
    if cells:
        low, high = min(cells, key=lambda row: row["value"]), max(cells, key=lambda row: row["value"])
        found.append(
            f"Query to passage language: lowest {low['query']} to {low['passage']} ({points(low['value'])}), "
            f"highest {high['query']} to {high['passage']} ({points(high['value'])}); single cells have no interval."
        )
    own, distance = (level(comparison, suite, "multi", m, arm) for m in ("same_language_share", "rank_distance_share"))
    if own is not None and distance is not None:
        found.append(
            f"Language bias in the mixed pool: rank distance {points(distance.value)}% of the pool; same-language share "
            f"of the top {top_k(comparison)} {points(own.value)}% (uniform {points(uniform_share(comparison, suite))}%)."
        )
    return found


def _over_suites(comparison: Comparison, arm: str) -> list[str]:
    """Where an arm is lowest and highest, in one sentence; none if no setting occurs in several suites."""
    parts = []
    for setting in settings_in(comparison):
        levels = {s: level(comparison, s, setting, "mAP", arm) for s in comparison["suites"]}
        known = sorted((e.value, suite_title(suite)) for suite, e in levels.items() if e is not None)
        if len(known) > 1:
            (low, worst), (high, best) = known[0], known[-1]
            parts.append(f"{SETTING_TITLES[setting].lower()} from {points(low)} on {worst} to {points(high)} on {best}")
    return [f"Over all {len(comparison['suites'])} suites, mAP × 100: {'; '.join(parts)}."] if parts else []


def _direction(estimate: Estimate) -> str:
    if not estimate.excludes_zero:
        return "undecided"
    return "higher" if estimate.value > 0 else "lower"


def _numbers(estimate: Estimate) -> str:
    digits = decimals_for(estimate)
    return f"{signed_points(estimate.value, digits)} ({signed_interval(estimate, digits)})"
