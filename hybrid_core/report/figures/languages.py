"""Languages against languages: mAP by query and passage language, and the languages of the pooled top."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from hybrid_core.report.arms import models_only
from hybrid_core.report.figures.canvas import INK, PAPER, grid, note, plain, styled
from hybrid_core.report.lookup import Comparison, languages_of, top_k, uniform_share
from hybrid_core.report.style import arm_colour, suite_title

_HEAT = "YlGnBu"
_MOST_WITH_NUMBERS = 14
"""Languages of a heat map whose cells carry their numbers; larger ones are pictures, their numbers are in tables."""
_OTHER_LANGUAGES = ("#bcc4ce", "#d6dbe2")


@styled
def heat_map_figure(comparison: Comparison, suite: str) -> Figure:
    """mAP by query and passage language, a panel per arm on one colour scale; monolingual retrieval is the diagonal."""
    comparison = models_only(comparison)
    rows = [row for row in comparison["heat_maps"] if row["suite"] == suite and math.isfinite(row["value"])]
    if not rows:
        return note(f"{suite_title(suite)} has no monolingual or cross-lingual setting")
    arms, passages, queries = (
        comparison["arms"],
        languages_of(comparison, suite),
        sorted({row["query"] for row in rows}),
    )
    cell = 0.34 if len(passages) <= _MOST_WITH_NUMBERS else 0.17
    figure, panels = grid(arms, cell * len(passages) + 0.45, min(0.3, cell) * len(queries) + 0.65)
    scale = Normalize(100 * min(row["value"] for row in rows), 100 * max(row["value"] for row in rows))
    for axes, arm in zip(panels, arms, strict=False):
        values = {(row["query"], row["passage"]): 100 * row["value"] for row in rows if row["arm"] == arm}
        _heat_map(axes, values, queries, passages, scale)
    figure.colorbar(
        ScalarMappable(scale, _HEAT), ax=panels, label="mAP × 100", shrink=0.8, aspect=30, pad=0.01
    ).outline.set_visible(False)
    return figure


@styled
def histogram_figure(comparison: Comparison, suite: str) -> Figure:
    """Share of each passage language in the pooled top k per query language, a panel per arm.

    The query's own language comes first, in the arm's colour; without language bias it would end at the dashed line (uniform share).
    """
    comparison = models_only(comparison)
    rows = [row for row in comparison["histograms"] if row["suite"] == suite]
    if not rows:
        return note(f"{suite_title(suite)} has no pooled ranking")
    arms, queries = comparison["arms"], sorted({row["query"] for row in rows})
    height = 0.26 if len(queries) <= _MOST_WITH_NUMBERS else 0.17
    figure, panels = grid(arms, min(4.6, 0.26 * len(comparison["pools"][suite]) + 0.9), height * len(queries) + 0.85)
    for axes, arm in zip(panels, arms, strict=False):
        for y, query in enumerate(queries):
            shares = {row["passage"]: 100 * row["share"] for row in rows if row["arm"] == arm and row["query"] == query}
            _share_bar(axes, y, query, shares, arm_colour(arm, arms))
        axes.axvline(100 * uniform_share(comparison, suite), color=INK, linestyle="--", linewidth=1.1)
        axes.set(
            xlim=(0, 100),
            ylim=(len(queries) - 0.45, -0.55),
            xlabel=f"% of the pooled top {top_k(comparison)}",
        )
        axes.set_yticks(range(len(queries)), [plain(query) for query in queries], fontsize=9 if height > 0.2 else 7)
        axes.spines["left"].set_visible(False)
    return figure


def _heat_map(
    axes: Axes,
    values: Mapping[tuple[str, str], float],
    queries: Sequence[str],
    passages: Sequence[str],
    scale: Normalize,
) -> None:
    cells = [[values.get((query, passage), math.nan) for passage in passages] for query in queries]
    colours = matplotlib.colormaps[_HEAT]
    small = len(passages) <= _MOST_WITH_NUMBERS
    axes.pcolormesh(
        cells, cmap=colours, norm=scale, edgecolors=PAPER if small else "none", linewidth=1.0, rasterized=not small
    )
    for y, row in enumerate(cells if small else []):
        for x, value in enumerate(row):
            if math.isfinite(value):
                ink = _readable_on(colours(scale(value)))
                axes.text(x + 0.5, y + 0.52, f"{value:.0f}", ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks([x + 0.5 for x in range(len(passages))], [plain(name) for name in passages])
    axes.set_yticks([y + 0.5 for y in range(len(queries))], [plain(name) for name in queries])
    axes.set(xlabel="passage language", ylabel="query language")
    axes.tick_params(length=0, labelcolor=INK, labelsize=9 if small else 7)
    axes.invert_yaxis()
    for spine in axes.spines.values():
        spine.set_visible(False)


def _readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever has more contrast (WCAG relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if luminance < 0.179 else "#111111"


def _share_bar(axes: Axes, y: int, own: str, shares: Mapping[str, float], colour: str) -> None:
    """One stacked bar; segments wide enough carry their language, so no colour has to be decoded."""
    names = sorted(shares, key=lambda name: (name != own, name))
    widths = [shares[name] for name in names]
    lefts = [sum(widths[:place]) for place in range(len(names))]
    faces = [colour if name == own else _OTHER_LANGUAGES[place % 2] for place, name in enumerate(names)]
    large = len(names) > _MOST_WITH_NUMBERS
    axes.barh(
        [y] * len(names), widths, left=lefts, height=0.78, color=faces, edgecolor="none" if large else PAPER,
        linewidth=0.6, rasterized=large,
    )  # fmt: skip
    for name, width, left in zip(names, widths, lefts, strict=True):
        if name != own and width >= 7.5:  # the row's name already names the coloured segment
            axes.text(left + width / 2, y, plain(name), ha="center", va="center", fontsize=7.5, color="#222222")
