"""Reading a comparison: one estimate at a time, in either direction of a contrast, absent ones as None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hybrid_core.comparison import Json, find
from hybrid_core.report.arms import Comparison as Comparison
from hybrid_core.report.arms import free_baselines, models
from hybrid_core.stats import Estimate

SETTINGS = ("mono", "cross", "multi")
FEW_QUESTIONS = 200


def run_of(comparison: Comparison) -> Json:
    """The `run` section; empty when there is none."""
    return dict(comparison.get("run") or {})


def top_k(comparison: Comparison) -> int:
    """Depth of the pooled list whose languages are counted; 10 unless the comparison or its `run` says otherwise."""
    return int(comparison.get("top_k") or run_of(comparison).get("top_k") or 10)


def bias_names(comparison: Comparison) -> dict[str, str]:
    """Names of the bias metrics that a table shows x 100; the share says of how many passages it is."""
    return {
        "rank_distance_share": "rank distance, % of pool",
        "same_language_share": f"same-language share of the top {top_k(comparison)}, %",
    }


def was_trained(comparison: Comparison) -> bool:
    """Whether training took place: several models, or plans or curves of one."""
    run = run_of(comparison)
    return len(models(comparison)) > 1 or any((run.get("plans") or {}).values()) or bool(run.get("curves"))


def level(comparison: Comparison, suite: str, setting: str, metric: str, arm: str) -> Estimate | None:
    """An arm's level; None where the suite lacks the setting or the metric is not defined."""
    return _estimate(comparison["levels"], suite=suite, setting=setting, metric=metric, arm=arm)


def difference(
    comparison: Comparison, suite: str, setting: str, metric: str, arm: str, reference: str
) -> Estimate | None:
    """Arm minus reference, whichever of the two the comparison lists first."""
    return _contrast(comparison["differences"], arm, reference, suite=suite, setting=setting, metric=metric)


def shift_effect(comparison: Comparison, setting: str, metric: str, arm: str, reference: str) -> Estimate | None:
    """(Arm minus reference) outside the training domain, minus the same inside it; None without shifted suites."""
    return _contrast(comparison["shift_effects"], arm, reference, setting=setting, metric=metric)


def shift_of_suite(
    comparison: Comparison, suite: str, setting: str, metric: str, arm: str, reference: str
) -> Estimate | None:
    """The same for one shifted suite; None where the comparison gives no effects by suite."""
    rows = comparison.get("shift_by_suite") or []
    return _contrast(rows, arm, reference, suite=suite, setting=setting, metric=metric)


def includes_zero(estimate: Estimate) -> bool:
    """Whether the interval leaves the sign open."""
    return not estimate.excludes_zero


def settings_in(comparison: Comparison, suites: Sequence[str] | None = None) -> list[str]:
    """Settings that occur in these suites (all suites by default), in the order mono, cross, multi."""
    wanted = set(comparison["suites"] if suites is None else suites)
    found = {row["setting"] for row in comparison["levels"] if row["suite"] in wanted}
    return [setting for setting in SETTINGS if setting in found]


def main_suite(comparison: Comparison) -> str:
    """The suite that sentences speak of first: that of the training domain, the first where it is not known."""
    return str(comparison["in_domain"] or comparison["suites"][0])


def shifted_suites(comparison: Comparison, setting: str | None = None) -> list[str]:
    """Suites outside the training domain, those that have the setting if one is given; none where the domain is not known."""
    inside = comparison["in_domain"]
    outside = [suite for suite in comparison["suites"] if inside is not None and suite != inside]
    return [suite for suite in outside if setting is None or setting in settings_in(comparison, [suite])]


def shifted_mean(comparison: Comparison, setting: str, metric: str, arm: str) -> float | None:
    """Mean level over the shifted suites that have the setting. It has no interval: the comparison holds none."""
    levels = [level(comparison, suite, setting, metric, arm) for suite in shifted_suites(comparison, setting)]
    known = [estimate.value for estimate in levels if estimate is not None]
    return sum(known) / len(known) if known else None


def languages_of(comparison: Comparison, suite: str) -> list[str]:
    """Languages of the passages of a suite, sorted."""
    return sorted(comparison["pools"][suite])


def uniform_share(comparison: Comparison, suite: str) -> float:
    """Share that each language would have in the pooled top if language played no part (0 to 1)."""
    return 1.0 / max(1, len(comparison["pools"][suite]))


def baseline(comparison: Comparison) -> str:
    """The arm that others are held against: `base`, or the first arm."""
    arms = models(comparison)
    return "base" if "base" in arms else arms[0]


def free_references(comparison: Comparison) -> list[str]:
    """What costs nothing: the free baselines on the baseline model, and those that need no model."""
    base = baseline(comparison)
    return [arm for arm, free in free_baselines(comparison).items() if free.of in (base, "")]


def of_all_queries(comparison: Comparison, key: str = "perturbations") -> list[Json]:
    """Rows of perturbations about all queries of a suite, not those of one language or domain."""
    rows: list[Json] = comparison.get(key) or []
    return [row for row in rows if not row.get("language") and not row.get("domain")]


def domains_of(comparison: Comparison) -> list[tuple[str, str]]:
    """(Suite, domain) of all suites; "" where a suite names none. Empty unless two domains or more are named."""
    stated = comparison.get("suite_domains") or {}
    rows = comparison.get("domains") or []
    inner = {s: list(dict.fromkeys(r["domain"] for r in rows if r["suite"] == s)) for s in comparison["suites"]}
    found = [(suite, domain) for suite in comparison["suites"] for domain in stated.get(suite) or inner[suite] or [""]]
    return found if sum(domain != "" for _, domain in found) > 1 else []


def policy_of(arm: str) -> str:
    """Batch policy of an arm: `hybrid@0.25` and `hybrid/4` are hybrid."""
    return arm.replace("/", "@").split("@", 1)[0]


def contrasts(comparison: Comparison) -> list[tuple[str, str]]:
    """(arm, reference) pairs worth a sentence: hybrid against mono and cross, then every arm against the baseline."""
    arms, base = models(comparison), baseline(comparison)
    hybrids = [arm for arm in arms if policy_of(arm) == "hybrid" and arm != base]
    between = [
        (arm, reference)
        for arm in hybrids
        for reference in ("mono", "cross")
        if reference in arms and reference != base
    ]
    return between + [(arm, base) for arm in arms if arm != base]


def estimate_of(
    row: Mapping[str, object], value: str = "value", low: str = "low", high: str = "high"
) -> Estimate | None:
    """A row's value and interval under these keys; None where one of them is absent or not a number."""
    numbers = [row.get(key) for key in (value, low, high)]
    finite = [float(n) for n in numbers if isinstance(n, int | float) and math.isfinite(n)]
    return Estimate(*finite) if len(finite) == 3 else None


def _estimate(rows: Sequence[Json], **labels: str) -> Estimate | None:
    try:
        row = find(rows, **labels)
    except KeyError:
        return None
    return estimate_of(row)


def _contrast(rows: Sequence[Json], arm: str, reference: str, **labels: str) -> Estimate | None:
    direct = _estimate(rows, arm=arm, reference=reference, **labels)
    if direct is not None:
        return direct
    turned = _estimate(rows, arm=reference, reference=arm, **labels)
    return None if turned is None else Estimate(-turned.value, -turned.high, -turned.low)
