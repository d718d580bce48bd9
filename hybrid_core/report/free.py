"""Free baselines against trained arms: whether training beats what costs nothing beside the model that was there before.

A trained arm beats a free baseline in a setting if the interval of their difference lies above zero. Where it does not,
that is said, with the interval: an interval that includes zero does not show that the two are alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hybrid_core.report.arms import free_baselines, grouped, models
from hybrid_core.report.cells import Block, Row, Table, difference_cell, level_cell, ungrouped
from hybrid_core.report.letters import letters
from hybrid_core.report.lookup import (
    Comparison,
    baseline,
    estimate_of,
    free_references,
    main_suite,
    settings_in,
    shifted_suites,
)
from hybrid_core.report.style import (
    SETTING_TITLES,
    arm_phrase,
    decimals_for,
    listed,
    opening,
    signed_interval,
    signed_points,
    suite_title,
)
from hybrid_core.stats import Estimate

COLUMNS = (("mono", "mAP"), ("cross", "mAP"), ("multi", "mAP"), ("multi", "rank_distance_share"))
_Contrasts = Mapping[tuple[str, str, str, str], Estimate]
"""(Suite, setting, arm, reference) -> difference of mAP, in both directions."""


def trained_arms(comparison: Comparison) -> list[str]:
    """Models other than the baseline."""
    return [arm for arm in models(comparison) if arm != baseline(comparison)]


def free_statements(comparison: Comparison) -> list[str]:
    """One statement for each trained arm; where nothing was trained, one about what the free baselines add."""
    references = free_references(comparison)
    if not references:
        return []
    found = _contrasts(comparison)
    if not trained_arms(comparison):
        return [text for text in [_added(comparison, found, references)] if text]
    texts = [_against_free(comparison, found, arm, references) for arm in trained_arms(comparison)]
    return [text for text in texts if text]


def free_contrasts(comparison: Comparison) -> int:
    """How many differences between trained arms and free baselines the statements draw conclusions from."""
    pairs = {(arm, reference) for arm in trained_arms(comparison) for reference in free_references(comparison)}
    return sum(
        row["metric"] == "mAP" and bool({(row["arm"], row["reference"]), (row["reference"], row["arm"])} & pairs)
        for row in comparison["differences"]
    )


def _contrasts(comparison: Comparison) -> _Contrasts:
    found = {}
    for row in comparison["differences"]:
        estimate = estimate_of(row) if row["metric"] == "mAP" else None
        if estimate is not None:
            key = row["suite"], row["setting"]
            found[*key, row["arm"], row["reference"]] = estimate
            found[*key, row["reference"], row["arm"]] = Estimate(-estimate.value, -estimate.high, -estimate.low)
    return found


def _against_free(comparison: Comparison, found: _Contrasts, arm: str, references: Sequence[str]) -> str:
    inside, phrase = main_suite(comparison), arm_phrase(arm)
    do, beat = ("do", "beat") if phrase.endswith(" batches") else ("does", "beats")
    missed: list[str] = []
    beaten: list[str] = []
    for setting in settings_in(comparison, [inside]):
        against = {r: found[inside, setting, arm, r] for r in references if (inside, setting, arm, r) in found}
        above = [f"{r} {_numbers(estimate)}" for r, estimate in against.items() if estimate.low <= 0]
        where = SETTING_TITLES[setting].lower()
        if above:
            cost = "which costs nothing" if len(above) == 1 else "which cost nothing"
            missed.append(f"{do} not beat {listed(above)}, {cost}, in {where}")
        elif against:
            nearest = min(against, key=lambda reference: against[reference].value)
            beaten.append(f"{where} (nearest: {nearest} {_numbers(against[nearest])})")
    clauses = missed + ([f"{beat} everything that costs nothing in {listed(beaten)}"] if beaten else [])
    if not clauses:
        return ""
    start = f"{opening(phrase)}, mAP on {suite_title(inside)}"
    return f"{start}: {'; '.join(clauses)}.{_outside(comparison, found, arm, references)}"


def _outside(comparison: Comparison, found: _Contrasts, arm: str, references: Sequence[str]) -> str:
    """How often each reference is not beaten outside the training domain."""
    counts: dict[str, list[bool]] = {}
    for suite in shifted_suites(comparison):
        for setting in settings_in(comparison, [suite]):
            for reference in references:
                estimate = found.get((suite, setting, arm, reference))
                if estimate is not None:
                    counts.setdefault(reference, []).append(estimate.low <= 0)
    if not counts:
        return ""
    missed = [f"{name} in {sum(lost)} of {len(lost)}" for name, lost in counts.items() if any(lost)]
    if not missed:
        return " Outside the training domain: beats all of them, on every suite in every setting."
    return f" Outside the training domain, of all suites and settings, not beaten: {listed(missed)}."


def _added(comparison: Comparison, found: _Contrasts, references: Sequence[str]) -> str:
    """One model, nothing trained: where a free baseline is above the model itself."""
    (model,), suite = models(comparison)[:1], main_suite(comparison)
    above: list[str] = []
    for reference in references:
        gains = [
            f"{SETTING_TITLES[setting].lower()} {_numbers(estimate)}"
            for setting in settings_in(comparison, [suite])
            if (estimate := found.get((suite, setting, reference, model))) is not None and estimate.low > 0
        ]
        above += [f"{reference} in {listed(gains)}"] if gains else []
    if not any((suite, s, r, model) in found for s in SETTING_TITLES for r in references):
        return ""
    where = f"What costs nothing, mAP on {suite_title(suite)}"
    return f"{where}: above {model} are {'; '.join(above)}." if above else f"{where}: nothing is above {model}."


def _numbers(estimate: Estimate) -> str:
    digits = decimals_for(estimate)
    return f"{signed_points(estimate.value, digits)} ({signed_interval(estimate, digits)})"


def free_columns(comparison: Comparison) -> list[tuple[str, str]]:
    """(Setting, metric) of the columns of the tables about free baselines."""
    return [(setting, metric) for setting, metric in COLUMNS if setting in settings_in(comparison)]


def free_blocks(comparison: Comparison) -> list[Block]:
    """Levels x 100 per suite: each model, below it its free baselines; empty where there are none."""
    free, known = free_baselines(comparison), letters(comparison)
    if not free:
        return []
    rows = {(r["suite"], r["setting"], r["metric"], r["arm"]): r for r in comparison["levels"]}
    columns = free_columns(comparison)
    return [
        Block(
            suite_title(suite),
            tuple(
                Row(
                    arm,
                    tuple(
                        level_cell(
                            estimate_of(rows.get((suite, *column, arm), {})), marks=known.marks(suite, *column, arm)
                        )
                        for column in columns
                    ),
                    arm in free,
                    known.of.get(arm, ""),
                )
                for arm in grouped(comparison)
            ),
        )
        for suite in comparison["suites"]
    ]


def free_difference_table(comparison: Comparison) -> Table | None:
    """Differences of mAP, trained arm minus what costs nothing, a block per suite; None where there are none."""
    references, trained = free_references(comparison), trained_arms(comparison)
    pairs = [(arm, r) for arm in trained for r in references] or [(r, baseline(comparison)) for r in references]
    if not pairs:
        return None
    found, settings = _contrasts(comparison), settings_in(comparison)
    blocks = []
    for suite in comparison["suites"]:
        rows = [
            Row(f"{arm} − {reference}", tuple(difference_cell(found.get((suite, s, arm, reference))) for s in settings))
            for arm, reference in pairs
        ]
        blocks.append(Block(suite_title(suite), tuple(rows)))
    caption = "Points of mAP with intervals; grey: the interval includes zero."
    names = ungrouped(SETTING_TITLES[setting].lower() for setting in settings)
    return Table(caption, "difference", names, tuple(blocks), weak=True)
