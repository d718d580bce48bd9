"""The tables about levels, differences and seeds. Letters and bold type say which differences hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid_core.comparison import Json
from hybrid_core.report.arms import models, models_only
from hybrid_core.report.cells import EMPTY, IN_RANKS, Block, Cell, Row, difference_cell, level_cell
from hybrid_core.report.letters import letters
from hybrid_core.report.lookup import (
    Comparison,
    baseline,
    bias_names,
    contrasts,
    difference,
    languages_of,
    level,
    main_suite,
    run_of,
    settings_in,
    shifted_mean,
    shifted_suites,
    top_k,
    uniform_share,
)
from hybrid_core.report.style import SETTING_TITLES, points, suite_title
from hybrid_core.summary import label, metrics_of

COLUMNS = (
    ("mono", "mAP"), ("cross", "mAP"), ("multi", "mAP"), ("mono", "R_1"), ("cross", "R_1"), ("multi", "R_10"),
    ("multi", "rank_distance_share"), ("multi", "same_language_share"),
)  # fmt: skip


def main_columns(comparison: Comparison) -> list[tuple[str, str]]:
    """(Setting, metric) of the main table's columns: those some suite has."""
    present = settings_in(comparison)
    return [(setting, metric) for setting, metric in COLUMNS if setting in present]


def main_table(comparison: Comparison) -> list[Block]:
    """Levels x 100 of every model: training domain first, then each shifted suite, then their mean (which has no interval).

    Where the training domain is not known, the suites stand as they are.
    """
    comparison = models_only(comparison)
    columns, shifted = main_columns(comparison), shifted_suites(comparison)
    inside = main_suite(comparison)
    labels = {inside: " (training domain)"} | dict.fromkeys(shifted, " (shifted)") if shifted else {}
    blocks = [
        _suite_block(comparison, suite, suite_title(suite) + labels.get(suite, ""), columns)
        for suite in [inside, *(other for other in comparison["suites"] if other != inside)]
    ]
    if len(shifted) > 1:
        blocks.append(_mean_block(comparison, columns, f"mean of the {len(shifted)} shifted suites"))
    return blocks


def _suite_block(comparison: Comparison, suite: str, title: str, columns: Sequence[tuple[str, str]]) -> Block:
    best = {column: best_arm(comparison, suite, *column) for column in columns}
    known = letters(comparison)
    rows = []
    for arm in comparison["arms"]:
        cells = tuple(
            level_cell(
                level(comparison, suite, *column, arm),
                strong=arm == best[column],
                marks=known.marks(suite, *column, arm),
            )
            for column in columns
        )
        rows.append(Row(arm, cells, letter=known.of.get(arm, "")))
    return Block(title, tuple(rows))


def _mean_block(comparison: Comparison, columns: Sequence[tuple[str, str]], title: str) -> Block:
    rows = []
    for arm in comparison["arms"]:
        means = [shifted_mean(comparison, *column, arm) for column in columns]
        rows.append(Row(arm, tuple(EMPTY if mean is None else Cell(points(mean)) for mean in means)))
    return Block(title, tuple(rows))


def best_arm(comparison: Comparison, suite: str, setting: str, metric: str) -> str | None:
    """The best arm if it differs from the baseline by its interval, else None.

    Best is highest; lowest rank distance; for the same-language share, nearest to the uniform share.
    """
    levels = {arm: level(comparison, suite, setting, metric, arm) for arm in models(comparison)}
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


def column_label(comparison: Comparison, column: tuple[str, str]) -> str:
    """A main-table column in one phrase."""
    setting, metric = column
    return bias_names(comparison).get(metric) or f"{label(metric)} {setting}"


def difference_table(comparison: Comparison, suite: str) -> Block:
    """Differences x 100 of the contrasts that the sentences speak about; strong where the interval excludes zero."""
    rows = tuple(
        Row(
            f"{arm} − {reference}",
            tuple(
                difference_cell(difference(comparison, suite, *column, arm, reference))
                for column in main_columns(comparison)
            ),
        )
        for arm, reference in contrasts(comparison)
    )
    return Block(suite_title(suite), rows)


def all_metrics_table(comparison: Comparison, suite: str) -> Block:
    """Every metric of a suite: rows are setting and metric, columns are models."""
    rows = []
    for setting in settings_in(comparison, [suite]):
        for metric in metrics_of(setting):
            cells = tuple(
                level_cell(level(comparison, suite, setting, metric, arm), metric) for arm in models(comparison)
            )
            unit = " (ranks)" if metric in IN_RANKS else ""
            name = (
                f"{label(metric)} of the top {top_k(comparison)}" if metric == "same_language_share" else label(metric)
            )
            rows.append(Row(f"{SETTING_TITLES[setting]}: {name}{unit}", cells))
    return Block(suite_title(suite), tuple(rows))


def language_grid(rows: Sequence[Json], comparison: Comparison, suite: str, arm: str, key: str) -> Block:
    """Query languages x passage languages of one arm, from `heat_maps` (key value) or `histograms` (key share), x 100."""
    chosen = {(row["query"], row["passage"]): row[key] for row in rows if row["suite"] == suite and row["arm"] == arm}
    passages = languages_of(comparison, suite)
    queries = sorted({query for query, _ in chosen})
    return Block(
        arm,
        tuple(Row(query, tuple(_grid_cell(chosen.get((query, passage))) for passage in passages)) for query in queries),
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
