"""Names, colours and number formats shared by figures, sentences and page.

Numbers for people are points: 100 x the value of a metric, or of a difference between two.
"""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_core.report.lookup import policy_of
from hybrid_core.stats import Estimate

SETTING_TITLES = {"mono": "Monolingual", "cross": "Cross-lingual", "multi": "Multilingual"}
_SUITE_TITLES = {"xquad_r": "XQuAD-R", "mlqa_r": "MLQA-R"}
_BATCH_POLICIES = ("mono", "cross", "hybrid", "x_x")

# Darkened Okabe-Ito: told apart by colour-blind readers, and at least 3:1 against both a white and a near-black page.
_ARM_COLOURS = {"base": "#7a7f87", "mono": "#0072b2", "cross": "#c95700", "hybrid": "#00825f", "x_x": "#b5588b"}
_OTHER_COLOURS = ("#8a6d00", "#7b5fc0", "#3f8f9e", "#b04a4a", "#5f7f2a", "#9a6a4f")
_ARM_MARKERS = {"base": "o", "mono": "s", "cross": "^", "hybrid": "D", "x_x": "v"}
_OTHER_MARKERS = ("P", "X", "p", "<", ">")


def arm_colour(arm: str, arms: Sequence[str]) -> str:
    """Hex colour of an arm: fixed for the known policies, by position among the others."""
    return _fixed_or_nth(arm, arms, _ARM_COLOURS, _OTHER_COLOURS)


def arm_marker(arm: str, arms: Sequence[str]) -> str:
    """Matplotlib marker of an arm, so that colour is never the only cue."""
    return _fixed_or_nth(arm, arms, _ARM_MARKERS, _OTHER_MARKERS)


def _fixed_or_nth(arm: str, arms: Sequence[str], fixed: dict[str, str], others: Sequence[str]) -> str:
    if arm in fixed:
        return fixed[arm]
    unknown = [a for a in arms if a not in fixed]
    return others[(unknown.index(arm) if arm in unknown else 0) % len(others)]


def arm_phrase(arm: str) -> str:
    """An arm in a sentence; "mono batches", because mono is a setting too."""
    return f"{arm} batches" if policy_of(arm) in _BATCH_POLICIES else arm


def opening(phrase: str) -> str:
    """A phrase at the start of a sentence; names of models and trials keep their spelling."""
    return capital(phrase) if phrase.endswith(" batches") else phrase


def capital(text: str) -> str:
    """The text with a capital at its start."""
    return text[:1].upper() + text[1:]


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def suite_title(suite: str) -> str:
    """A suite's name for people."""
    return _SUITE_TITLES.get(suite, suite.removeprefix("sample_").replace("_", " "))


def percent(confidence: float) -> str:
    """Confidence as a percentage, without needless digits."""
    return f"{100 * confidence:g}%"


def points(value: float, decimals: int = 1) -> str:
    """Value x 100."""
    return _minus_sign(f"{_rounded(100 * value, decimals):.{decimals}f}")


def interval_points(estimate: Estimate) -> str:
    """Interval of a level x 100."""
    return f"{points(estimate.low)}–{points(estimate.high)}"


def signed(value: float, decimals: int = 1) -> str:
    """A number with its sign; zero has none."""
    rounded = _rounded(value, decimals)
    return _minus_sign(f"{rounded:+.{decimals}f}" if rounded else f"{rounded:.{decimals}f}")


def signed_points(value: float, decimals: int = 1) -> str:
    """Difference x 100 with its sign."""
    return signed(100 * value, decimals)


def signed_interval(estimate: Estimate, decimals: int = 1) -> str:
    """Interval of a difference x 100."""
    return f"{signed_points(estimate.low, decimals)} to {signed_points(estimate.high, decimals)}"


def decimals_for(estimate: Estimate) -> int:
    """1, or more when rounding would make an interval that excludes zero look as if it touched it."""
    if not estimate.excludes_zero:
        return 1
    nearest = min(abs(estimate.low), abs(estimate.high))
    return next((d for d in (1, 2, 3) if _rounded(100 * nearest, d)), 4)


def _rounded(value: float, decimals: int) -> float:
    return round(value, decimals) + 0.0  # + 0.0 turns -0.0 into 0.0


def _minus_sign(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
