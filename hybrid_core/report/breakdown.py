"""Levels by language of the query and by domain: a table per suite and measure, an interval as a bar in every cell."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_core.comparison import Json
from hybrid_core.report.arms import Comparison, models
from hybrid_core.report.cells import IN_RANKS, Block, Cell, Row, Table, bars, difference_cell, level_cell, ungrouped
from hybrid_core.report.lookup import SETTINGS, domains_of, estimate_of, settings_in
from hybrid_core.report.sections import changed_note
from hybrid_core.report.style import SETTING_TITLES, percent, points, suite_title
from hybrid_core.stats import Estimate
from hybrid_core.summary import label

_SHOWN = ("mAP", "rank_distance")
"""Metrics with a table; `report.json` holds more, for comparisons with papers, and a page of all would hide these."""
_NAMES = {"languages": "language", "domains": "domain"}


def breakdown_tables(comparison: Comparison, key: str, suite: str) -> list[Table]:
    """Tables of mAP and rank distance in one suite, in the order mono, cross, multi.

    Args:
        comparison: result of `compare`.
        key: "languages" (of the queries) or "domains".
        suite: which suite.
    """
    arms = models(comparison)
    rows = [
        row
        for row in comparison.get(key) or []
        if row["suite"] == suite and row["arm"] in arms and row["metric"] in _SHOWN
    ]
    found = []
    for setting in SETTINGS:
        for metric in dict.fromkeys(row["metric"] for row in rows if row["setting"] == setting):
            chosen = [row for row in rows if row["setting"] == setting and row["metric"] == metric]
            found.append(_table(comparison, chosen, _NAMES[key], setting, metric))
    return found


def domains_across(comparison: Comparison) -> list[Table]:
    """mAP of every domain of every suite, a row each: a table per setting; none unless two domains are named."""
    places = domains_of(comparison)
    inner = {(r["suite"], r["domain"], r["setting"], r["arm"]): r for r in comparison.get("domains") or []}
    whole = {(r["suite"], r["setting"], r["arm"]): r for r in comparison["levels"] if r["metric"] == "mAP"}
    found = []
    for setting in settings_in(comparison):
        rows = [
            row | {"domain": _domain_title(suite, domain)}
            for suite, domain in places
            for arm in models(comparison)
            if (row := inner.get((suite, domain, setting, arm)) or whole.get((suite, setting, arm)))
        ]
        found += [_table(comparison, rows, "domain", setting, "mAP")] if rows else []
    return found


def _domain_title(suite: str, domain: str) -> str:
    title = suite_title(suite)
    return title if domain in ("", title) else f"{domain.replace('_', ' ')} ({title})"


def unseen_by_domain(comparison: Comparison, suite: str) -> list[Table]:
    """mAP in languages seen and not seen in training, by domain: a table per setting, a block per domain."""
    rows = [r for r in comparison.get("unseen") or [] if r["suite"] == suite and r.get("domain") and not r["reference"]]
    arms, found = models(comparison), []
    for setting in settings_in(comparison, [suite]):
        chosen = {(r["domain"], r["group"], r["arm"]): r for r in rows if r["setting"] == setting}
        groups = list(dict.fromkeys(group for _, group, _ in chosen))
        blocks = tuple(
            Block(d, tuple(Row(g, tuple(_group_cell(chosen.get((d, g, a)), g) for a in arms)) for g in groups))
            for d in dict.fromkeys(domain for domain, _, _ in chosen)
        )
        caption = f"Languages seen and not seen in training, {SETTING_TITLES[setting].lower()}: mAP × 100"
        found += [Table(caption, "languages", ungrouped(arms), blocks, more=True)] if blocks else []
    return found


def _group_cell(row: Json | None, group: str) -> Cell:
    estimate = estimate_of(row or {})
    return difference_cell(estimate) if group == "gap" else level_cell(estimate)


def perturbation_breakdown(comparison: Comparison, key: str, suite: str) -> list[Table]:
    """Perturbed minus clean by language of the query or by domain: a table per setting, a block per perturbation."""
    kind = _NAMES[key]
    (other,) = set(_NAMES.values()) - {kind}
    rows = [row for row in _perturbed_rows(comparison, suite) if row[kind] and not row[other]]
    found = []
    for setting in SETTINGS:
        chosen = {(r["perturbation"], r[kind], r["arm"]): r for r in rows if r["setting"] == setting}
        if chosen:
            found.append(_perturbed(comparison, chosen, kind, "Perturbed queries", setting))
    return found


def perturbation_cross(comparison: Comparison, suite: str) -> list[Table]:
    """Perturbed minus clean by language in each domain: a table per perturbation and setting, a block per domain."""
    rows = [row for row in _perturbed_rows(comparison, suite) if row["language"] and row["domain"]]
    found = []
    for perturbation in dict.fromkeys(row["perturbation"] for row in rows):
        for setting in SETTINGS:
            chosen = {
                (r["domain"], r["language"], r["arm"]): r
                for r in rows
                if (r["perturbation"], r["setting"]) == (perturbation, setting)
            }
            if chosen:
                title = f"{perturbation.replace('_', ' ').capitalize()} by language and domain"
                found.append(_perturbed(comparison, chosen, "language", title, setting))
    return found


def _perturbed_rows(comparison: Comparison, suite: str) -> list[Json]:
    rows: list[Json] = comparison.get("perturbations") or []
    return [row for row in rows if row["suite"] == suite and row["metric"] == "mAP"]


def _perturbed(
    comparison: Comparison, rows: dict[tuple[str, str, str], Json], kind: str, title: str, setting: str
) -> Table:
    """Rows by block, name and arm."""

    def cell(block: str, name: str, arm: str) -> Cell:
        row = rows.get((block, name, arm)) or {}
        return difference_cell(estimate_of(row, "difference", "difference_low", "difference_high"))

    def note(block: str, name: str) -> str:
        return next((changed_note(rows[block, name, a].get("changed")) for a in arms if (block, name, a) in rows), "")

    def names(block: str) -> list[str]:
        return sorted({name for found, name, _ in rows if found == block})

    arms = models(comparison)
    blocks = tuple(
        Block(
            block.replace("_", " "),
            tuple(Row(n + note(block, n), tuple(cell(block, n, arm) for arm in arms)) for n in names(block)),
        )
        for block in dict.fromkeys(block for block, _, _ in rows)
    )
    caption = (
        f"{title}, {SETTING_TITLES[setting].lower()}: perturbed minus clean, points of mAP; "
        "grey: the interval includes zero"
    )
    return Table(caption, kind, ungrouped(arms), blocks, weak=True, more=True)


def _table(comparison: Comparison, rows: Sequence[Json], kind: str, setting: str, metric: str) -> Table:
    arms = models(comparison)
    estimates = {(row[kind], row["arm"]): e for row in rows if (e := estimate_of(row)) is not None}
    names = sorted({row[kind] for row in rows})
    places = [(name, arm) for name in names for arm in arms]
    drawn = dict(zip(places, bars([estimates.get(place) for place in places], zero=metric in IN_RANKS), strict=True))

    def cell(name: str, arm: str) -> Cell:
        plain = level_cell(estimates.get((name, arm)), metric)
        return Cell(plain.value, plain.interval, bar=drawn[name, arm])

    block = Block("", tuple(Row(name, tuple(cell(name, arm) for arm in arms)) for name in names))
    what = f"{label(metric)}, ranks" if metric in IN_RANKS else f"{label(metric)} × 100"
    caption = (
        f"{SETTING_TITLES[setting]}: {what}, with {percent(comparison['confidence'])} intervals; "
        f"bars run from {_scale(list(estimates.values()), metric)}"
    )
    return Table(caption, kind, ungrouped(arms), (block,))


def _scale(estimates: Sequence[Estimate], metric: str) -> str:
    """Both ends of the scale of the bars, in words."""
    if not estimates:
        return "nowhere"
    factor = 0.01 if metric in IN_RANKS else 1.0
    low = 0.0 if metric in IN_RANKS else min(e.low for e in estimates)
    return f"{points(factor * low)} to {points(factor * max(e.high for e in estimates))}"
