"""Tables in LaTeX (package booktabs), in the layout of arXiv 2408.10536: arms by mAP, recall and rank distance, a table per suite.

Letters stand as superscripts; below each value its interval. Free baselines follow their model, indented.
"""

from __future__ import annotations

import re

from hybrid_core.report.arms import free_baselines, grouped
from hybrid_core.report.cells import EMPTY, IN_RANKS, Cell, level_cell
from hybrid_core.report.letters import Letters, letters
from hybrid_core.report.lookup import Comparison, estimate_of, settings_in
from hybrid_core.report.style import SETTING_TITLES, percent, suite_title
from hybrid_core.report.tables import best_arm
from hybrid_core.stats import Estimate
from hybrid_core.summary import label

COLUMNS = (
    ("mono", "mAP"), ("cross", "mAP"), ("multi", "mAP"), ("mono", "R_1"), ("cross", "R_1"), ("multi", "R_10"), ("multi", "rank_distance"),
)  # fmt: skip
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "\N{MINUS SIGN}": "$-$", "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{EN DASH}": "--", "[": "{[}", "]": "{]}", "*": "{*}", "\n": " ", "\r": " ",
}  # fmt: skip
_HEAD = "% Needs \\usepackage{booktabs}; with pdfLaTeX also \\usepackage[T1]{fontenc}.\n"


def latex_tables(comparison: Comparison) -> str:
    """One `table` environment per suite, values x 100 (rank distance in ranks), as text to \\input."""
    levels = {
        (row["suite"], row["setting"], row["metric"], row["arm"]): estimate
        for row in comparison["levels"]
        if (estimate := estimate_of(row)) is not None
    }
    known = letters(comparison)
    return _HEAD + "\n".join(
        _table(comparison, suite, place, levels, known) for place, suite in enumerate(comparison["suites"], 1)
    )


def escaped(text: str) -> str:
    """Text that LaTeX takes literally."""
    return "".join(_SPECIAL.get(character, character) for character in text)


_Levels = dict[tuple[str, str, str, str], Estimate]


def _table(comparison: Comparison, suite: str, place: int, levels: _Levels, known: Letters) -> str:
    columns = [column for column in COLUMNS if column[0] in settings_in(comparison, [suite])]
    best = {column: best_arm(comparison, suite, *_bias_share(column)) for column in columns}
    free, lines = free_baselines(comparison), []
    for arm in grouped(comparison):
        cells = [
            level_cell(
                levels.get((suite, *column, arm)),
                column[1],
                strong=arm == best[column],
                marks=known.marks(suite, *column, arm),
            )
            for column in columns
        ]
        if any(cell != EMPTY for cell in cells):
            lines += _rows(arm, cells, arm in free and bool(free[arm].of), known.of.get(arm, ""))
    caption = f"{suite_title(suite)}. Values \N{MULTIPLICATION SIGN} 100, rank distance in ranks; below them their "
    caption += f"{percent(comparison['confidence'])} intervals. {known.legend()}"
    return "\n".join([
        r"\begin{table}", r"\centering", f"\\caption{{{escaped(caption.strip())}}}", f"\\label{{tab:suite-{place}-{_slug(suite)}}}",
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule", *_header(columns), r"\midrule", *lines, r"\bottomrule",
        r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def _bias_share(column: tuple[str, str]) -> tuple[str, str]:
    """The best arm by rank distance is the best by its share of the pool."""
    setting, metric = column
    return setting, "rank_distance_share" if metric == "rank_distance" else metric


def _header(columns: list[tuple[str, str]]) -> list[str]:
    """Two lines: settings under the metric they are measured by."""
    groups: dict[str, list[str]] = {}
    for setting, metric in columns:
        groups.setdefault(_heading(metric), []).append(_short(setting, metric))
    first, rules, start = [], [], 2
    for heading, names in groups.items():
        end = start + len(names) - 1
        first.append(f"\\multicolumn{{{len(names)}}}{{c}}{{{heading}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{end}}}")
        start = end + 1
    names = [name for found in groups.values() for name in found]
    return [" & ".join(["", *first]) + r" \\", " ".join(rules), " & ".join(["arm", *names]) + r" \\"]


def _heading(metric: str) -> str:
    if metric in IN_RANKS:
        return "rank distance"
    return "recall" if metric.startswith("R_") else escaped(metric)


def _short(setting: str, metric: str) -> str:
    name = SETTING_TITLES[setting].lower().removesuffix("lingual").rstrip("-")
    return f"{label(metric)} {name}" if metric.startswith("R_") else name


def _rows(arm: str, cells: list[Cell], secondary: bool, letter: str) -> list[str]:
    """An arm's values, and under them its intervals."""
    name = ("\\quad " if secondary else "") + escaped(arm) + (f" ({letter})" if letter else "")
    lines = [" & ".join([name, *map(_value, cells)]) + r" \\"]
    if any(cell.interval for cell in cells):
        lines.append(
            " & ".join(["", *(f"{{\\scriptsize {escaped(c.interval)}}}" if c.interval else "" for c in cells)]) + r" \\"
        )
    return lines


def _value(cell: Cell) -> str:
    value = f"\\textbf{{{escaped(cell.value)}}}" if cell.strong else escaped(cell.value)
    return f"{value}\\textsuperscript{{{escaped(cell.marks)}}}" if cell.marks else value


def _slug(suite: str) -> str:
    """Letters, digits and hyphens: a label that LaTeX and people can refer to."""
    return re.sub(r"[^A-Za-z0-9]+", "-", suite).strip("-") or "unnamed"
