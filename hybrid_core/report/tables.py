"""The tables of a report as plain values: what a cell says, whether it is bold. HTML and Markdown only lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hybrid_core.comparison import Json
from hybrid_core.report.lookup import (
    Comparison,
    baseline,
    contrasts,
    difference,
    languages_of,
    level,
    run_of,
    settings_in,
    shifted_mean,
    shifted_suites,
    uniform_share,
)
from hybrid_core.report.style import (
    SETTING_TITLES,
    decimals_for,
    interval_points,
    points,
    signed_interval,
    signed_points,
    suite_title,
)
from hybrid_core.summary import label, metrics_of

COLUMNS = (
    ("mono", "mAP"), ("cross", "mAP"), ("multi", "mAP"), ("mono", "R_1"), ("cross", "R_1"), ("multi", "R_10"),
    ("multi", "rank_distance_share"), ("multi", "same_language_share"),
)  # fmt: skip
_IN_RANKS = ("rank_distance", "max_rank")
"""Metrics counted in ranks; all others lie between 0 and 1 and are shown x 100."""


@dataclass(frozen=True)
class Cell:
    """A number with its interval as text; an empty interval where there is none."""

    value: str
    interval: str = ""
    strong: bool = False
    """Best arm and different from the baseline by its interval; in tables of differences: the interval excludes zero."""


@dataclass(frozen=True)
class Block:
    """Rows of one suite, or of the mean of the shifted ones."""

    title: str
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    """(Row label, cells in the order of the columns)."""


EMPTY = Cell("–")


def main_columns(comparison: Comparison) -> list[tuple[str, str]]:
    """(Setting, metric) of the main table's columns: those some suite has."""
    present = settings_in(comparison)
    return [(setting, metric) for setting, metric in COLUMNS if setting in present]


def main_table(comparison: Comparison) -> list[Block]:
    """Levels x 100 of every arm: training domain first, then each shifted suite, then their mean (which has no interval)."""
    columns, shifted = main_columns(comparison), shifted_suites(comparison)
    inside = comparison["in_domain"]
    title = suite_title(inside) + (" (training domain)" if shifted else "")
    blocks = [_suite_block(comparison, inside, title, columns)]
    blocks += [_suite_block(comparison, suite, f"{suite_title(suite)} (shifted)", columns) for suite in shifted]
    if len(shifted) > 1:
        blocks.append(_mean_block(comparison, columns, f"mean of the {len(shifted)} shifted suites"))
    return blocks


def _suite_block(comparison: Comparison, suite: str, title: str, columns: Sequence[tuple[str, str]]) -> Block:
    best = {column: best_arm(comparison, suite, *column) for column in columns}
    rows = []
    for arm in comparison["arms"]:
        cells = []
        for column in columns:
            estimate = level(comparison, suite, *column, arm)
            cells.append(
                EMPTY
                if estimate is None
                else Cell(points(estimate.value), interval_points(estimate), arm == best[column])
            )
        rows.append((arm, tuple(cells)))
    return Block(title, tuple(rows))


def _mean_block(comparison: Comparison, columns: Sequence[tuple[str, str]], title: str) -> Block:
    rows = []
    for arm in comparison["arms"]:
        means = [shifted_mean(comparison, *column, arm) for column in columns]
        rows.append((arm, tuple(EMPTY if mean is None else Cell(points(mean)) for mean in means)))
    return Block(title, tuple(rows))


def best_arm(comparison: Comparison, suite: str, setting: str, metric: str) -> str | None:
    """The best arm if it differs from the baseline by its interval, else None.

    Best is highest; lowest rank distance; for the same-language share, nearest to the uniform share.
    """
    levels = {arm: level(comparison, suite, setting, metric, arm) for arm in comparison["arms"]}
    values = {arm: estimate.value for arm, estimate in levels.items() if estimate is not None}
    if not values:
        return None
    uniform = uniform_share(comparison, suite)
    best = min(values, key=lambda arm: _loss(metric, values[arm], uniform))
    against = difference(comparison, suite, setting, metric, best, baseline(comparison))
    return best if against is not None and against.excludes_zero else None


def _loss(metric: str, value: float, uniform: float) -> float:
    """What the best arm has least of."""
    if metric == "same_language_share":
        return abs(value - uniform)
    return value if metric == "rank_distance_share" else -value


def column_label(column: tuple[str, str]) -> str:
    """A main-table column in one phrase."""
    setting, metric = column
    plain = {"rank_distance_share": "rank distance, % of pool", "same_language_share": "same-language share, %"}
    return plain.get(metric) or f"{label(metric)} {setting}"


def markdown_table(comparison: Comparison) -> str:
    """The main table as Markdown: levels x 100 with their intervals, best arm bold where it differs from the baseline."""
    columns = main_columns(comparison)
    lines = [
        "| suite | arm | " + " | ".join(column_label(c) for c in columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for block in main_table(comparison):
        for arm, cells in block.rows:
            lines.append(
                f"| {_escaped(block.title)} | {_escaped(arm)} | "
                + " | ".join(_markdown_cell(cell) for cell in cells)
                + " |"
            )
    return "\n".join(lines) + "\n"


def _markdown_cell(cell: Cell) -> str:
    value = f"**{cell.value}**" if cell.strong else cell.value
    return f"{value} ({cell.interval})" if cell.interval else value


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def difference_table(comparison: Comparison, suite: str) -> Block:
    """Differences x 100 of the contrasts that the sentences speak about; strong where the interval excludes zero."""
    rows = []
    for arm, reference in contrasts(comparison):
        cells = []
        for column in main_columns(comparison):
            estimate = difference(comparison, suite, *column, arm, reference)
            digits = 1 if estimate is None else decimals_for(estimate)
            cells.append(
                EMPTY if estimate is None
                else Cell(signed_points(estimate.value, digits), signed_interval(estimate, digits), estimate.excludes_zero)
            )  # fmt: skip
        rows.append((f"{arm} − {reference}", tuple(cells)))
    return Block(suite_title(suite), tuple(rows))


def all_metrics_table(comparison: Comparison, suite: str) -> Block:
    """Every metric of a suite: rows are setting and metric, columns are arms."""
    rows = []
    for setting in settings_in(comparison, [suite]):
        for metric in metrics_of(setting):
            estimates = [level(comparison, suite, setting, metric, arm) for arm in comparison["arms"]]
            factor = 0.01 if metric in _IN_RANKS else 1.0
            cells = tuple(
                EMPTY
                if e is None
                else Cell(points(factor * e.value), f"{points(factor * e.low)}–{points(factor * e.high)}")
                for e in estimates
            )
            unit = " (ranks)" if metric in _IN_RANKS else ""
            rows.append((f"{SETTING_TITLES[setting]}: {label(metric)}{unit}", cells))
    return Block(suite_title(suite), tuple(rows))


def language_grid(rows: Sequence[Json], comparison: Comparison, suite: str, arm: str, key: str) -> Block:
    """Query languages x passage languages of one arm, from `heat_maps` (key value) or `histograms` (key share), x 100."""
    chosen = {(row["query"], row["passage"]): row[key] for row in rows if row["suite"] == suite and row["arm"] == arm}
    passages = languages_of(comparison, suite)
    queries = sorted({query for query, _ in chosen})
    return Block(
        arm,
        tuple((query, tuple(_grid_cell(chosen.get((query, passage))) for passage in passages)) for query in queries),
    )


def _grid_cell(value: float | None) -> Cell:
    return EMPTY if value is None or value != value else Cell(points(value))


def seed_table(comparison: Comparison) -> dict[str, Any] | None:
    """mAP of every training, where arms were trained with several seeds: columns and rows of text."""
    run = run_of(comparison)
    if len(run.get("seeds") or ()) < 2 or not run.get("by_seed"):
        return None
    measured = [
        f"{suite}/{setting}/mAP" for suite in comparison["suites"] for setting in settings_in(comparison, [suite])
    ]
    columns = [f"{suite_title(name.split('/')[0])}, {SETTING_TITLES[name.split('/')[1]].lower()}" for name in measured]
    rows = [
        (training, [points(values[name]) if name in values else "–" for name in measured])
        for training, values in run["by_seed"].items()
    ]
    return {"columns": columns, "rows": rows}
