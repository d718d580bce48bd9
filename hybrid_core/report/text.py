"""The result of a study in a few lines of a terminal."""

from __future__ import annotations

from typing import Any

_COLUMNS = (
    ("mono mAP", "mono", "mAP"),
    ("cross mAP", "cross", "mAP"),
    ("multi mAP", "multi", "mAP"),
    ("own-language share of top {k}", "multi", "same_language_share"),
)


def terminal_table(comparison: dict[str, Any]) -> str:
    """One line per suite and arm, values in percent; the training domain first."""
    values = {(r["suite"], r["arm"], r["setting"], r["metric"]): r["value"] for r in comparison["levels"]}
    width = max(len(s) for s in comparison["suites"]) + 2
    arm_width = max(len(a) for a in comparison["arms"]) + 2
    columns = [(title.format(k=comparison.get("top_k", 10)), setting, metric) for title, setting, metric in _COLUMNS]
    lines = [" " * (width + arm_width) + "  ".join(title for title, _, _ in columns)]
    for suite in comparison["suites"]:
        for arm in comparison["arms"]:
            shown = [_cell(values.get((suite, arm, setting, metric)), len(title)) for title, setting, metric in columns]
            lines.append(f"{suite:{width}}{arm:{arm_width}}" + "  ".join(shown))
    return "\n".join(lines)


def _cell(value: float | None, width: int) -> str:
    return f"{100 * value:{width}.1f}" if value is not None else " " * (width - 1) + "-"
