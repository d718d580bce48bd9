"""The report as one self-contained HTML page: no scripts, no external requests, figures inside.

`render` returns the page, `markdown_table` its main table for a README.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from hybrid_core.report import figures, statements, tables
from hybrid_core.report.answer import short_answer
from hybrid_core.report.lookup import (
    Comparison,
    baseline,
    contrasts,
    languages_of,
    policy_of,
    run_of,
    settings_in,
    shifted_suites,
    top_k,
    uniform_share,
    was_trained,
)
from hybrid_core.report.style import SETTING_TITLES, arm_colour, percent, points, suite_title
from hybrid_core.report.tables import markdown_table

__all__ = ["markdown_table", "render", "svg"]

_VARIABLES = {
    figures.INK: "var(--ink)",
    figures.MUTED: "var(--muted)",
    figures.RULE: "var(--rule)",
    figures.PAPER: "var(--paper)",
}
_FACTS = (
    ("command", "Command"), ("config_hash", "Hash of the configuration"), ("model", "Model"), ("steps", "Training steps per arm"),
    ("global_batch", "Global batch (examples)"), ("workers", "Workers"), ("seed", "Seed"), ("tracking", "Tracked in"),
)  # fmt: skip
_TRAINING = ("steps", "global_batch", "workers")
"""Facts that an evaluation without training does not have, though its configuration does."""


@dataclass(frozen=True)
class Picture:
    """A figure on the page: the drawing, what a reader who cannot see it is told, and the caption."""

    drawing: Markup
    alt: str
    caption: str


def render(comparison: Comparison) -> str:
    """The whole page as HTML text.

    Args:
        comparison: result of `hybrid_core.comparison.compare`, with an optional `run` section: title, date, command,
            config_hash, model, corpus, versions, seconds, steps, global_batch, workers, seed, tracking, plans, curves,
            suites, top_k; every key may be absent.

    Raises:
        KeyError: the mapping lacks a key that `compare` always sets.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2").render(_content(comparison))


def svg(figure: Figure, prefix: str) -> Markup:
    """A figure as inline SVG that follows the page's fonts and colours.

    Args:
        figure: a figure of `hybrid_core.report.figures`.
        prefix: makes the ids inside unique on the page; letters and digits only.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    share = 100 * figure.get_figwidth() / figures.WIDTH  # a narrow figure stays narrow, so that its letters do not grow
    opening = rf'<svg viewBox="\1" aria-hidden="true" style="max-width: max(620px, {share:.0f}%)">'
    text = re.sub(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", opening, text, count=1)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = text.replace('xlink:href="#', f'href="#{prefix}-').replace("xlink:href", "href")
    text = text.replace("'DejaVu Sans'", "var(--sans)")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return Markup(text)


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _content(comparison: Comparison) -> dict[str, Any]:
    run, inside, trained = run_of(comparison), comparison["in_domain"], was_trained(comparison)
    sentences = [*statements.retrieval_statements(comparison), *statements.bias_statements(comparison)]
    return {
        "title": str(run.get("title") or "Retrieval report"),
        "run": run,
        "trained": trained,
        "plans": [(arm, plan) for arm, plan in (run.get("plans") or {}).items() if plan],
        "facts": [
            (name, run[key])
            for key, name in _FACTS
            if run.get(key) not in (None, "") and (trained or key not in _TRAINING)
        ],
        "arms": [(arm, arm_colour(arm, comparison["arms"])) for arm in comparison["arms"]],
        "baseline": baseline(comparison),
        "inside": suite_title(inside),
        "shifted": [suite_title(suite) for suite in shifted_suites(comparison)],
        "confidence": percent(comparison["confidence"]),
        "samples": comparison.get("bootstrap_samples"),
        "answer": short_answer(comparison),
        "columns": _grouped(tables.main_columns(comparison)),
        "blocks": tables.main_table(comparison),
        "differences": [tables.difference_table(comparison, suite) for suite in comparison["suites"]]
        if contrasts(comparison)
        else [],
        "difference_columns": [tables.column_label(column) for column in tables.main_columns(comparison)],
        "pictures": _pictures(comparison),
        "inside_sentences": sentences,
        "shift_sentences": statements.shift_statements(comparison),
        "caveats": statements.caveats(comparison),
        "suites": [_suite(comparison, suite) for suite in comparison["suites"]],
        "uniform": points(uniform_share(comparison, inside)),
        "top_k": top_k(comparison),
        "settings": settings_in(comparison),
        "languages": languages_of(comparison, inside),
        "seeds": tables.seed_table(comparison),
    }


def _grouped(columns: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Main-table columns in groups: (heading, sub-headings)."""
    groups: dict[str, list[str]] = {}
    headings = {
        "rank_distance_share": "Language bias (lower: less)",
        "same_language_share": "Language bias (lower: less)",
    }
    lower = {"rank_distance_share": "rank distance, % of pool", "same_language_share": "same-language share, %"}
    for setting, metric in columns:
        ranked = "Recall × 100" if metric.startswith("R_") else "mAP × 100"
        name = (
            f"R@{metric[2:]} {SETTING_TITLES[setting].lower()}"
            if metric.startswith("R_")
            else SETTING_TITLES[setting].lower()
        )
        groups.setdefault(headings.get(metric, ranked), []).append(lower.get(metric, name))
    return list(groups.items())


def _suite(comparison: Comparison, suite: str) -> dict[str, Any]:
    """What the page says about one suite beyond the main table."""
    about = (run_of(comparison).get("suites") or {}).get(suite) or {}
    arms, cells, shares = comparison["arms"], comparison["heat_maps"], comparison["histograms"]
    maps = [tables.language_grid(cells, comparison, suite, arm, "value") for arm in arms]
    return {
        "name": suite,
        "title": suite_title(suite),
        "languages": languages_of(comparison, suite),
        "questions": comparison["questions"][suite],
        "pool": comparison["pools"][suite],
        "candidate": comparison["candidate_text"][suite],
        "licence": about.get("licence", ""),
        "source": about.get("source", ""),
        "metrics": tables.all_metrics_table(comparison, suite),
        "maps": [block for block in maps if block.rows],
        "shares": [tables.language_grid(shares, comparison, suite, arm, "share") for arm in arms],
    }


def _pictures(comparison: Comparison) -> list[Picture]:
    """Figures in reading order; those that would be empty are left out."""
    inside, run = comparison["in_domain"], run_of(comparison)
    title, confidence = suite_title(inside), percent(comparison["confidence"])
    found = [
        (figures.levels_figure(comparison), "mAP of each arm in each setting, with intervals; the numbers are in the main table.",
         f"mAP of each arm, with {confidence} intervals. Whether two arms differ is decided by the interval of their difference, "
         "not by whether their intervals overlap."),
    ]  # fmt: skip
    if any(row["suite"] == inside for row in comparison["heat_maps"]):
        found.append((
            figures.heat_map_figure(comparison, inside),
            "Heat maps of mAP by query and passage language, one per arm; the numbers are under Details.",
            f"mAP by query and passage language on {title}. The diagonal is monolingual retrieval. Single cells have no interval.",
        ))  # fmt: skip
    if any(row["suite"] == inside for row in comparison["histograms"]):
        found.append((
            figures.histogram_figure(comparison, inside),
            "Stacked bars of passage languages in the pooled top, one panel per arm; the numbers are under Details.",
            f"Languages of the top {top_k(comparison)} passages when all languages are in one pool ({title}); a row per query language. "
            "Coloured: the query's own language. A ranking that does not care about language has it end at the dashed line.",
        ))  # fmt: skip
    found += [_shift_picture(comparison, arm, reference) for arm, reference in _shift_contrasts(comparison)]
    if run.get("curves"):
        found.append((
            figures.loss_figure(run["curves"]), "Training loss over steps, one line per arm.",
            "Training loss. Batches of different policies differ in difficulty, "
            "so the height of two curves says nothing about which arm is better.",
        ))  # fmt: skip
    return [
        Picture(svg(figure, f"f{number}"), alt, caption) for number, (figure, alt, caption) in enumerate(found, start=1)
    ]


def _shift_contrasts(comparison: Comparison) -> list[tuple[str, str]]:
    """Contrasts worth a shift figure: those of hybrid with another policy, else the first one."""
    if not comparison["shift_effects"]:
        return []
    found = contrasts(comparison)
    return [c for c in found if policy_of(c[0]) == "hybrid" and c[1] in ("mono", "cross")][:2] or found[:1]


def _shift_picture(comparison: Comparison, arm: str, reference: str) -> tuple[Figure, str, str]:
    return (
        figures.shift_figure(comparison, arm, reference),
        f"Difference {arm} minus {reference} inside and outside the training domain, with intervals.",
        f"{arm} minus {reference}, inside and outside the training domain, with {percent(comparison['confidence'])} "
        "intervals. Filled: the interval excludes zero; hollow: it includes zero. Bottom row: mean of the shifted suites "
        "minus the training domain; right of zero: a larger advantage outside.",
    )
