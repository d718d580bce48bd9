"""From numbers to sentences: what the intervals allow one to say, and what they do not.

A sentence about a difference ends in a claim only if its interval excludes zero. An interval that includes zero is never
turned into "the same": it leaves the question open.
"""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_core.report.lookup import (
    Comparison,
    contrasts,
    difference,
    includes_zero,
    level,
    main_suite,
    settings_in,
    shift_effect,
    top_k,
    uniform_share,
)
from hybrid_core.report.style import (
    SETTING_TITLES,
    arm_phrase,
    decimals_for,
    percent,
    points,
    signed,
    signed_interval,
    signed_points,
)
from hybrid_core.stats import Estimate
from hybrid_core.summary import label

UNDECIDED = "the interval includes zero: no difference can be claimed, which does not show that there is none"


@dataclass(frozen=True)
class Statement:
    """One sentence about one interval."""

    text: str
    decided: bool
    """Whether the interval excludes zero."""
    setting: str
    arm: str
    reference: str

    @property
    def brief(self) -> str:
        """The sentence without the explanation of an undecided interval, for lists that give it once."""
        return self.text.replace(f"; {UNDECIDED}", "")


def retrieval_statements(comparison: Comparison, suite: str | None = None, metric: str = "mAP") -> list[Statement]:
    """One sentence per setting and contrast about how well passages are found.

    Args:
        comparison: result of `compare`.
        suite: which suite; that of the training domain by default, or the first.
        metric: a metric where higher is better; differences are given in points (x 100).
    """
    where = main_suite(comparison) if suite is None else suite
    found = []
    for setting in settings_in(comparison, [where]):
        for arm, reference in contrasts(comparison):
            estimate = difference(comparison, where, setting, metric, arm, reference)
            if estimate is not None:
                text = _difference(
                    f"{SETTING_TITLES[setting]} retrieval",
                    estimate,
                    arm,
                    reference,
                    f"points of {label(metric)}",
                    comparison,
                )
                found.append(Statement(text, estimate.excludes_zero, setting, arm, reference))
    return found


def bias_statements(comparison: Comparison, suite: str | None = None) -> list[Statement]:
    """One sentence per contrast about rank distance, one about the same-language share of the pooled top (lower: less bias)."""
    where = main_suite(comparison) if suite is None else suite
    found = []
    for metric, sentence in (("rank_distance_share", _rank_distance), ("same_language_share", _same_language)):
        for arm, reference in contrasts(comparison):
            estimate = difference(comparison, where, "multi", metric, arm, reference)
            if estimate is not None:
                text = sentence(comparison, where, estimate, arm, reference)
                found.append(Statement(text, estimate.excludes_zero, "multi", arm, reference))
    return found


def shift_statements(comparison: Comparison, metric: str = "mAP") -> list[Statement]:
    """One sentence per setting and contrast: does the advantage grow, shrink, or is it undecided outside the training domain?"""
    found = []
    for setting in settings_in(comparison):
        for arm, reference in contrasts(comparison):
            effect = shift_effect(comparison, setting, metric, arm, reference)
            inside = difference(comparison, main_suite(comparison), setting, metric, arm, reference)
            if effect is not None and inside is not None:
                text = _shift(comparison, setting, metric, effect, inside, arm, reference)
                found.append(Statement(text, effect.excludes_zero, setting, arm, reference))
    return found


def shift_direction(effect: Estimate, inside: Estimate) -> str:
    """`undecided`, or what happens outside the domain: the advantage grows or shrinks, or (none inside) the difference moves up or down."""
    if includes_zero(effect):
        return "undecided"
    if inside.excludes_zero and inside.value > 0:
        return "grows" if effect.value > 0 else "shrinks"
    return "moves up" if effect.value > 0 else "moves down"


def _difference(where: str, estimate: Estimate, arm: str, reference: str, unit: str, comparison: Comparison) -> str:
    """Higher, lower, or undecided, with the interval."""
    digits = decimals_for(estimate)
    interval = f"{percent(comparison['confidence'])} interval {signed_interval(estimate, digits)}"
    first, second = arm_phrase(arm), arm_phrase(reference)
    if includes_zero(estimate):
        return f"{where}: {first} minus {second} is {signed_points(estimate.value, digits)} {unit} ({interval}); {UNDECIDED}."
    verb, direction = "lie" if first.endswith("batches") else "lies", "above" if estimate.value > 0 else "below"
    return f"{where}: {first} {verb} {points(abs(estimate.value), digits)} {unit} {direction} {second} ({interval})."


def _rank_distance(comparison: Comparison, suite: str, estimate: Estimate, arm: str, reference: str) -> str:
    text = _difference("Rank distance", estimate, arm, reference, "points of the pool size", comparison)
    ranks = difference(comparison, suite, "multi", "rank_distance", arm, reference)
    in_ranks = f"; in ranks {signed(ranks.value)}" if ranks is not None else ""
    if includes_zero(estimate):
        return text
    return f"{text[:-2]}{in_ranks}): {'less' if estimate.value < 0 else 'more'} language bias by this measure."


def _same_language(comparison: Comparison, suite: str, estimate: Estimate, arm: str, reference: str) -> str:
    where = f"Same-language share of the top {top_k(comparison)}"
    text = _difference(where, estimate, arm, reference, "points", comparison)
    own, uniform = level(comparison, suite, "multi", "same_language_share", arm), uniform_share(comparison, suite)
    if includes_zero(estimate) or own is None:
        return text
    if own.value < uniform:
        below = f"at {points(own.value)}% it is below the uniform share of {points(uniform)}%"
        return f"{text[:-1]}; {below}, where lower is no longer less bias."
    amount = "less" if estimate.value < 0 else "more"
    return f"{text[:-1]}: {amount} language bias by this measure (uniform: {points(uniform)}%)."


def _shift(
    comparison: Comparison, setting: str, metric: str, effect: Estimate, inside: Estimate, arm: str, reference: str
) -> str:
    digits = decimals_for(effect)
    first, second = arm_phrase(arm), arm_phrase(reference)
    size = f"{points(abs(effect.value), digits)} points of {label(metric)}"
    interval = f"({percent(comparison['confidence'])} interval {signed_interval(effect, digits)})"
    where = f"{SETTING_TITLES[setting]} retrieval, {first} against {second}"
    direction = shift_direction(effect, inside)
    if direction == "undecided":
        change = signed_points(effect.value, digits)
        undecided = "undecided whether the advantage grows or shrinks outside the training domain"
        return f"{where}: {undecided}, change {change} points {interval}; {UNDECIDED}."
    if direction in ("grows", "shrinks"):
        return f"{where}: the advantage {direction} by {size} outside the training domain {interval}."
    moves = f"moves {'towards' if effect.value > 0 else 'away from'} {first}"
    return f"{where}: the difference {moves} by {size} outside the training domain {interval}."
