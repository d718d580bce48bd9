"""The optional parts of a comparison as tables: worst cases, perturbations, unseen languages, geometry, certificate.

Each function returns no table where the comparison lacks its key or the key is empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hybrid_core.comparison import Json
from hybrid_core.report.arms import free_baselines, grouped
from hybrid_core.report.cells import EMPTY, Block, Cell, Row, Table, difference_cell, level_cell, ungrouped
from hybrid_core.report.effects import effect_cell, p_note
from hybrid_core.report.lookup import SETTINGS, Comparison, contrasts, estimate_of, of_all_queries
from hybrid_core.report.style import SETTING_TITLES, percent, suite_title
from hybrid_core.summary import label

ALL_SUITES = "*"
"""Suite of rows that are about all suites together."""
_GAP = "gap"
"""Group of rows that hold seen minus unseen languages."""
_STATISTICS = {
    "worst_language": "worst language",
    "worst_domain": "worst domain",
    "worst_suite": "worst suite",
    "cvar_25": "mean of the worst 25%",
}


def worst_tables(comparison: Comparison) -> list[Table]:
    """Worst language, domain and suite and the mean of the worst quarter: a table per metric and suite."""
    found = []
    rows = comparison.get("worst") or []
    for metric in _distinct(rows, "metric"):
        for suite in [*comparison["suites"], ALL_SUITES]:
            chosen = [row for row in rows if row["metric"] == metric and row["suite"] == suite]
            if chosen:
                found.append(_worst_table(comparison, suite, metric, chosen))
    return found


def _worst_table(comparison: Comparison, suite: str, metric: str, rows: Sequence[Json]) -> Table:
    settings = _settings(rows)
    statistics = {s: [x for x in _STATISTICS if any(_is(r, setting=s, statistic=x) for r in rows)] for s in settings}
    columns = tuple((SETTING_TITLES[s], tuple(_STATISTICS[x] for x in statistics[s])) for s in settings)
    wanted = [(s, x) for s in settings for x in statistics[s]]
    by_key = {(row["arm"], row["setting"], row["statistic"]): row for row in rows}

    def cell(arm: str, setting: str, statistic: str) -> Cell:
        row = by_key.get((arm, setting, statistic)) or {}
        name = str(row.get("name") or "")
        named = suite_title(name) if statistic == "worst_suite" else name
        return level_cell(estimate_of(row), metric, note=named)

    block = _arm_block(comparison, [(arm, [cell(arm, *key) for key in wanted]) for arm in grouped(comparison)])
    where = "all suites" if suite == ALL_SUITES else suite_title(suite)
    caption = f"{where}: {_metric(metric)}, with {percent(comparison['confidence'])} intervals"
    return Table(caption, "arm", columns, (block,))


def perturbation_tables(comparison: Comparison) -> list[Table]:
    """Perturbed and clean queries: a table per suite and metric, a block per perturbation."""
    rows = of_all_queries(comparison)
    return [
        _perturbation_table(comparison, suite, metric, chosen)
        for suite in _distinct(rows, "suite")
        for metric in _distinct(rows, "metric")
        if (chosen := [row for row in rows if row["suite"] == suite and row["metric"] == metric])
    ]


def _perturbation_table(comparison: Comparison, suite: str, metric: str, rows: Sequence[Json]) -> Table:
    settings = _settings(rows)
    columns = tuple((SETTING_TITLES[setting], ("perturbed", "perturbed − clean")) for setting in settings)
    by_key = {(row["perturbation"], row["arm"], row["setting"]): row for row in rows}

    def cells(name: str, arm: str) -> list[Cell]:
        found = []
        for setting in settings:
            row = by_key.get((name, arm, setting)) or {}
            change = difference_cell(estimate_of(row, "difference", "difference_low", "difference_high"), metric)
            found += [level_cell(estimate_of(row), metric), replace(change, note=p_note(row))]
        return found

    changed = {row["perturbation"]: row.get("changed") for row in rows}
    blocks = [
        _arm_block(
            comparison,
            [(arm, cells(name, arm)) for arm in grouped(comparison)],
            name.replace("_", " ") + changed_note(changed[name]),
        )
        for name in _distinct(rows, "perturbation")
    ]
    caption = f"{suite_title(suite)}: {_metric(metric)}, with intervals of the level and of the paired difference, and its p-value (Holm)"
    return Table(caption, "arm", columns, tuple(blocks), more=True)


def changed_note(share: float | None) -> str:
    """How many of the queries a perturbation changes, to stand behind its name; nothing where that is not known."""
    return "" if share is None else f" (changes {percent(round(share, 2))} of the queries)"


def unseen_tables(comparison: Comparison) -> list[Table]:
    """Languages seen in training against unseen ones: a table per suite and setting, levels by group, then differences."""
    rows = [row for row in comparison.get("unseen") or [] if not row.get("domain")]
    return [
        _unseen_table(comparison, suite, setting, chosen)
        for suite in _distinct(rows, "suite")
        for setting in _settings(rows)
        if (chosen := [row for row in rows if row["suite"] == suite and row["setting"] == setting])
    ]


def _unseen_table(comparison: Comparison, suite: str, setting: str, rows: Sequence[Json]) -> Table:
    groups = _distinct(rows, "group")
    by_key = {(row["arm"], row.get("reference") or "", row["group"]): row for row in rows}

    def cells(arm: str, reference: str) -> tuple[Cell, ...]:
        found = [(group, estimate_of(by_key.get((arm, reference, group)) or {})) for group in groups]
        if reference:
            return tuple(effect_cell(by_key.get((arm, reference, group))) for group in groups)
        return tuple(difference_cell(e) if group == _GAP else level_cell(e) for group, e in found)

    pairs = [
        (arm, reference) for arm, reference in contrasts(comparison) if any(k[:2] == (arm, reference) for k in by_key)
    ]
    differences = tuple(Row(f"{arm} − {reference}", cells(arm, reference)) for arm, reference in pairs)
    levels = _arm_block(comparison, [(arm, cells(arm, "")) for arm in grouped(comparison)], "levels")
    blocks = (levels, Block("differences", differences)) if differences else (levels,)
    caption = f"{suite_title(suite)}, {SETTING_TITLES[setting].lower()}: mAP × 100, with {percent(comparison['confidence'])} intervals"
    caption += "; differences with p-values (Holm)" * bool(differences)
    return Table(caption, "arm", ungrouped(groups), blocks)


def geometry_tables(comparison: Comparison) -> list[Table]:
    """How embeddings lie in space: per suite a table of diagnostics, and one of their values by language."""
    rows = comparison.get("geometry") or []
    found = []
    for suite in _distinct(rows, "suite"):
        for by_language in (False, True):
            chosen = [r for r in rows if r["suite"] == suite and bool(r.get("language")) == by_language]
            if chosen:
                found.append(_geometry_table(comparison, suite, chosen, by_language))
    return found


def _geometry_table(comparison: Comparison, suite: str, rows: Sequence[Json], by_language: bool) -> Table:
    arms = [arm for arm in grouped(comparison) if any(row["arm"] == arm for row in rows)]
    values = {(row["diagnostic"], row.get("language") or "", row["arm"]): row["value"] for row in rows}
    blocks = []
    for diagnostic in _distinct(rows, "diagnostic"):
        languages = sorted({language for name, language, _ in values if name == diagnostic})
        blocks.append(
            Block(
                label(diagnostic) if by_language else "",
                tuple(
                    Row(
                        language or label(diagnostic),
                        tuple(_plain(values.get((diagnostic, language, a))) for a in arms),
                    )
                    for language in languages
                ),
            )
        )
    if not by_language:
        blocks = [Block("", tuple(row for block in blocks for row in block.rows))]
    caption = f"{suite_title(suite)}{', by language' if by_language else ''}: diagnostics, no targets"
    return Table(caption, "language" if by_language else "diagnostic", ungrouped(arms), tuple(blocks), more=by_language)


def certificate_lines(comparison: Comparison) -> list[tuple[str, str]]:
    """The invariance certificate as (name, value), nested names joined by a slash."""
    return list(_flat(comparison.get("certificate") or {}))


def _flat(value: object, path: tuple[str, ...] = ()) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, (*path, label(str(key))))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value, start=1):
            yield from _flat(item, (*path, str(number)))
    else:
        yield " / ".join(path), _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return "–" if value is None or value == "" else str(value)


def _plain(value: object) -> Cell:
    """A number without unit or interval, to three digits."""
    number = float(value) if isinstance(value, int | float) else math.nan
    return Cell(f"{number:.3g}".replace("-", "\N{MINUS SIGN}")) if math.isfinite(number) else EMPTY


def _arm_block(comparison: Comparison, rows: Sequence[tuple[str, Sequence[Cell]]], title: str = "") -> Block:
    """Rows of arms, free baselines secondary; arms without any value are left out."""
    free = free_baselines(comparison)
    return Block(
        title, tuple(Row(arm, tuple(cells), arm in free) for arm, cells in rows if any(c != EMPTY for c in cells))
    )


def _metric(metric: str) -> str:
    return f"{label(metric)}, ranks" if metric in ("rank_distance", "max_rank") else f"{label(metric)} × 100"


def _settings(rows: Sequence[Json]) -> list[str]:
    found = {row["setting"] for row in rows}
    return [setting for setting in SETTINGS if setting in found]


def _distinct(rows: Sequence[Json], key: str) -> list[str]:
    return list(dict.fromkeys(row.get(key) or "" for row in rows))


def _is(row: Json, **labels: str) -> bool:
    return all(row.get(key) == value for key, value in labels.items())
