"""Differences of differences as tables: outside the training domain against inside it, under a perturbation against without.

Each cell holds the difference, its interval, and the p-value after Holm's correction (its families: `stats.families`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hybrid_core.comparison import Json
from hybrid_core.report.cells import EMPTY, Block, Cell, Row, Table, difference_cell, ungrouped
from hybrid_core.report.lookup import SETTINGS, Comparison, contrasts, of_all_queries
from hybrid_core.report.lookup import estimate_of as estimate
from hybrid_core.report.style import SETTING_TITLES, percent, suite_title
from hybrid_core.robustness.perturbations import PERTURBATIONS, perturbation_of
from hybrid_core.stats import Estimate

_Pair = tuple[str, str]


def shift_table(comparison: Comparison) -> Table | None:
    """Shift effects of mAP, over all shifted suites and by suite; None where there are none."""
    blocks = [("all shifted suites", comparison["shift_effects"])]
    by_suite = comparison.get("shift_by_suite") or []
    names = list(dict.fromkeys(row["suite"] for row in by_suite))
    blocks += [(suite_title(s), [r for r in by_suite if r["suite"] == s]) for s in (names if len(names) > 1 else ())]
    found = [(title, [row for row in rows if row["metric"] == "mAP"]) for title, rows in blocks]
    caption = "Difference outside the training domain minus that inside it, points of mAP"
    return _table(comparison, found, caption)


def perturbation_contrast_tables(comparison: Comparison) -> list[Table]:
    """What perturbations cost one arm minus what they cost another, mAP: a table per suite, a block per perturbation."""
    rows = [r for r in of_all_queries(comparison, "perturbation_contrasts") if r["metric"] == "mAP"]
    found = []
    for suite in dict.fromkeys(row["suite"] for row in rows):
        chosen = [row for row in rows if row["suite"] == suite]
        blocks = [
            (name.replace("_", " "), [row for row in chosen if row["perturbation"] == name])
            for name in dict.fromkeys(row["perturbation"] for row in chosen)
        ]
        caption = f"{suite_title(suite)}: does one arm lose less than another? Losses of mAP, points; above zero: less is lost"
        table = _table(comparison, blocks, caption)
        found += [table] if table is not None else []
    return found


def perturbation_note(comparison: Comparison) -> str:
    """What the variants that were measured change; one that does not keep what is asked is named."""
    names = list(dict.fromkeys(row["perturbation"] for row in comparison.get("perturbations") or []))
    known = {name: PERTURBATIONS[p] for name in names if (p := perturbation_of(name)) is not None}
    kept = [name for name, p in known.items() if p.keeps_meaning]
    lost = [name for name, p in known.items() if not p.keeps_meaning]
    larger = [name for name in names if name not in known]
    parts = [
        f"The same questions, written in another way: {_listed(kept)}." if kept else "",
        f"Questions of which a part is missing, so that not all that was asked is kept: {_listed(lost)}."
        if lost
        else "",
        f"The same questions, asked of a larger pool: {_listed(larger)}." if larger else "",
    ]
    return " ".join(part for part in parts if part)


def p_note(row: Mapping[str, object]) -> str:
    """The corrected p-value of a row, to stand below its interval; empty where nothing was tested."""
    p = row.get("p_holm")
    if not isinstance(p, int | float) or not math.isfinite(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def effect_cell(row: Json | None) -> Cell:
    """A difference with its interval and corrected p-value."""
    plain = difference_cell(estimate(row or {}))
    return Cell(plain.value, plain.interval, plain.strong, note=p_note(row or {}))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _table(comparison: Comparison, blocks: Sequence[tuple[str, Sequence[Json]]], caption: str) -> Table | None:
    """Contrasts by setting in blocks of rows; None where no contrast of the report has a row."""
    settings = [s for s in SETTINGS if any(row["setting"] == s for _, rows in blocks for row in rows)]
    made = []
    for title, rows in blocks:
        by_place = {(r["setting"], r["arm"], r["reference"]): r for r in rows}
        lines = [
            Row(f"{arm} − {other}", tuple(_contrast(by_place, setting, (arm, other)) for setting in settings))
            for arm, other in contrasts(comparison)
        ]
        made.append(Block(title, tuple(line for line in lines if any(cell != EMPTY for cell in line.cells))))
    made = [block for block in made if block.rows]
    if not made:
        return None
    with_intervals = f"{caption}; with {percent(comparison['confidence'])} intervals and p-values (Holm); grey: the interval includes zero"
    columns = ungrouped(SETTING_TITLES[setting].lower() for setting in settings)
    return Table(with_intervals, "difference", columns, tuple(made), weak=True)


def _contrast(rows: Mapping[tuple[str, str, str], Json], setting: str, pair: _Pair) -> Cell:
    """A contrast in whichever direction the comparison has it."""
    arm, other = pair
    row = rows.get((setting, arm, other))
    if row is None and (turned := rows.get((setting, other, arm))) is not None:
        found = estimate(turned)
        row = turned | _numbers(Estimate(-found.value, -found.high, -found.low)) if found is not None else None
    return effect_cell(row)


def _numbers(found: Estimate) -> Json:
    return {"value": found.value, "low": found.low, "high": found.high}
