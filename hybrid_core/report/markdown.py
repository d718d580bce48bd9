"""A comparison as Markdown, readable as plain text too: the answer, the tables, what the letters mean, what limits it."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid_core.report.answer import short_answer
from hybrid_core.report.arms import models_only
from hybrid_core.report.caveats import caveats
from hybrid_core.report.cells import Block, Cell
from hybrid_core.report.free import free_blocks, free_columns
from hybrid_core.report.letters import letters
from hybrid_core.report.lookup import Comparison, run_of
from hybrid_core.report.tables import column_label, main_columns, main_table


def markdown_report(comparison: Comparison) -> str:
    """The report in Markdown: short answer, main table, free baselines, limits."""
    legend = letters(comparison).legend()
    parts = [
        f"# {escaped(str(run_of(comparison).get('title') or 'Retrieval report'))}",
        "\n".join(f"- {escaped(sentence)}" for sentence in short_answer(comparison)),
        markdown_table(comparison).rstrip(),
        f"Values × 100. {escaped(legend)}".rstrip(),
    ]
    blocks = free_blocks(comparison)
    if blocks:
        parts += [
            "## What costs nothing",
            _table(blocks, _names(comparison, free_columns(comparison)), letter=bool(legend)).rstrip(),
        ]
    parts += ["## What no interval covers", "\n".join(f"- {escaped(text)}" for text in caveats(comparison))]
    return "\n\n".join(parts) + "\n"


def markdown_table(comparison: Comparison) -> str:
    """The main table: levels x 100 with their intervals, best model bold where it differs from the baseline."""
    names = _names(comparison, main_columns(comparison))
    return _table(main_table(comparison), names, letter=bool(letters(models_only(comparison)).of))


def _names(comparison: Comparison, columns: Sequence[tuple[str, str]]) -> list[str]:
    return [column_label(comparison, column) for column in columns]


def _table(blocks: Sequence[Block], names: Sequence[str], letter: bool) -> str:
    lines = [
        "| suite | arm | " + " | ".join(names) + " |",
        "|---|---|" + "---:|" * len(names),
    ]
    for block in blocks:
        for row in block.rows:
            name = escaped(row.label) + (f" ({row.letter})" if letter and row.letter else "")
            cells = " | ".join(_cell(cell) for cell in row.cells)
            lines.append(f"| {escaped(block.title)} | {name} | {cells} |")
    return "\n".join(lines) + "\n"


def _cell(cell: Cell) -> str:
    value = f"**{cell.value}**" if cell.strong else cell.value
    return " ".join(part for part in (value, f"({cell.interval})" if cell.interval else "", cell.marks) if part)


def escaped(text: str) -> str:
    """Text that neither ends a cell nor starts HTML or a link."""
    for character in ("\\", "|", "[", "]", "*", "`"):
        text = text.replace(character, f"\\{character}")
    return text.replace("<", "&lt;").replace("\n", " ")
