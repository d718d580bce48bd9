"""All files of a report by name: the main page, the pages of languages and domains, Markdown and LaTeX tables."""

from __future__ import annotations

from typing import Any

from hybrid_core.report import tables
from hybrid_core.report.arms import models, models_only
from hybrid_core.report.breakdown import (
    breakdown_tables,
    domains_across,
    perturbation_breakdown,
    perturbation_cross,
    unseen_by_domain,
)
from hybrid_core.report.cells import Block, Table, ungrouped
from hybrid_core.report.drawing import page
from hybrid_core.report.latex import latex_tables
from hybrid_core.report.lookup import Comparison, domains_of, languages_of, run_of, top_k
from hybrid_core.report.markdown import markdown_report
from hybrid_core.report.page import render
from hybrid_core.report.pictures import suite_pictures
from hybrid_core.report.style import arm_colour, percent, suite_title


def pages(comparison: Comparison) -> dict[str, str]:
    """File name -> text of everything that belongs beside report.json.

    report.html, report.md, report.tex and languages.html always; domains.html where suites name two domains or more.

    Raises:
        KeyError: the mapping lacks a key that `compare` always sets.
    """
    files = {
        "report.html": render(comparison),
        "report.md": markdown_report(comparison),
        "report.tex": latex_tables(comparison),
        "languages.html": languages_page(comparison),
    }
    return files | ({"domains.html": domains_page(comparison)} if domains_of(comparison) else {})


def languages_page(comparison: Comparison) -> str:
    """Levels of every query language with intervals, and every pair of query and passage language."""
    shown = models_only(comparison)
    suites = [
        {
            "title": suite_title(suite),
            "tables": breakdown_tables(shown, "languages", suite),
            "perturbed": perturbation_breakdown(shown, "languages", suite),
            "pictures": suite_pictures(shown, suite, f"s{place}"),
            "maps": _grids(shown, suite, "heat_maps", "value", "mAP × 100"),
            "shares": _grids(shown, suite, "histograms", "share", f"% of the top {top_k(shown)}"),
        }
        for place, suite in enumerate(shown["suites"], start=1)
    ]
    return page("breakdown.html.j2", _frame(shown, "languages") | {"suites": suites})


def domains_page(comparison: Comparison) -> str:
    """Levels of every domain of all suites side by side; then suites whose queries carry several, one by one."""
    shown = models_only(comparison)
    across = [{"title": "All suites", "tables": domains_across(shown), "perturbed": []}]
    suites = [
        {
            "title": suite_title(suite),
            "tables": found,
            "perturbed": [
                *perturbation_breakdown(shown, "domains", suite),
                *perturbation_cross(shown, suite),
                *unseen_by_domain(shown, suite),
            ],
        }
        for suite in shown["suites"]
        if (found := breakdown_tables(shown, "domains", suite))
    ]
    return page("breakdown.html.j2", _frame(shown, "domains") | {"suites": across + suites})


def _frame(comparison: Comparison, kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "title": str(run_of(comparison).get("title") or "Retrieval report"),
        "confidence": percent(comparison["confidence"]),
        "top_k": top_k(comparison),
        "colours": {arm: arm_colour(arm, models(comparison)) for arm in models(comparison)},
        "has_domains": bool(domains_of(comparison)),
        "has_languages": bool(comparison.get("languages")),
    }


def _grids(comparison: Comparison, suite: str, rows: str, key: str, unit: str) -> list[Table]:
    """Query languages x passage languages, a table per model."""
    blocks = [tables.language_grid(comparison[rows], comparison, suite, arm, key) for arm in comparison["arms"]]
    columns = ungrouped(languages_of(comparison, suite))
    return [Table(f"{b.title}: {unit}", "query", columns, (Block("", b.rows),)) for b in blocks if b.rows]
