"""The main page of a report as self-contained HTML: no scripts, no external requests, figures inside.

`render` returns the page. `hybrid_core.report.pages` returns it with the others that belong beside it. Tables, figures and
sentences speak of models; free baselines have a section of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid_core.report import effects, free, sections, statements, tables
from hybrid_core.report.answer import short_answer
from hybrid_core.report.arms import models, models_only
from hybrid_core.report.caveats import caveats
from hybrid_core.report.cells import Block, Table, ungrouped
from hybrid_core.report.drawing import page
from hybrid_core.report.letters import letters
from hybrid_core.report.lookup import (
    Comparison,
    baseline,
    bias_names,
    contrasts,
    domains_of,
    free_references,
    languages_of,
    main_suite,
    run_of,
    settings_in,
    shifted_suites,
    top_k,
    uniform_share,
    was_trained,
)
from hybrid_core.report.markdown import markdown_table
from hybrid_core.report.pictures import perturbation_pictures, pictures
from hybrid_core.report.style import SETTING_TITLES, arm_colour, percent, points, suite_title

__all__ = ["markdown_table", "render"]

_FACTS = (
    ("command", "Command"), ("config_hash", "Hash of the configuration"), ("model", "Model"), ("steps", "Training steps per arm"),
    ("global_batch", "Global batch (examples)"), ("workers", "Workers"), ("seed", "Seed"), ("tracking", "Tracked in"),
)  # fmt: skip
_TRAINING = ("steps", "global_batch", "workers")
"""Facts that an evaluation without training does not have, though its configuration does."""


def render(comparison: Comparison) -> str:
    """The whole page as HTML text.

    Args:
        comparison: result of `hybrid_core.comparison.compare`, with an optional `run` section: title, date, command,
            config_hash, model, corpus, versions, seconds, steps, global_batch, workers, seed, tracking, plans, curves,
            suites, top_k; every key may be absent.

    Raises:
        KeyError: the mapping lacks a key that `compare` always sets.
    """
    return page("page.html.j2", _content(comparison))


def _content(comparison: Comparison) -> dict[str, Any]:
    shown = models_only(comparison)
    return _about(comparison) | {
        "answer": short_answer(comparison),
        "levels": _main_table(shown),
        "legend": letters(shown).legend(),
        "free": _free(comparison),
        "pictures": pictures(shown),
        "worst": _opened(sections.worst_tables(comparison), shown),
        "unseen": sections.unseen_tables(shown),
        "perturbations": sections.perturbation_tables(comparison),
        "perturbation_pictures": perturbation_pictures(shown),
        "perturbation_note": effects.perturbation_note(comparison),
        "perturbation_contrasts": effects.perturbation_contrast_tables(shown),
        "shift_table": effects.shift_table(shown),
        "inside_sentences": [*statements.retrieval_statements(shown), *statements.bias_statements(shown)],
        "shift_sentences": statements.shift_statements(shown),
        "caveats": caveats(comparison),
        "geometry": sections.geometry_tables(comparison),
        "certificate": sections.certificate_lines(comparison),
        "differences": [_difference_table(shown, suite) for suite in shown["suites"]] if contrasts(shown) else [],
        "suites": [_suite(shown, suite) for suite in shown["suites"]],
        "seeds": tables.seed_table(shown),
    }


def _about(comparison: Comparison) -> dict[str, Any]:
    """What was compared, and what was run."""
    run, inside, trained = run_of(comparison), main_suite(comparison), was_trained(comparison)
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
        "arms": models(comparison),
        "colours": {arm: arm_colour(arm, models(comparison)) for arm in models(comparison)},
        "baseline": baseline(comparison),
        "inside": suite_title(inside),
        "shifted": [suite_title(suite) for suite in shifted_suites(comparison)],
        "confidence": percent(comparison["confidence"]),
        "samples": comparison.get("bootstrap_samples"),
        "uniform": points(uniform_share(comparison, inside)),
        "top_k": top_k(comparison),
        "settings": settings_in(comparison),
        "languages": languages_of(comparison, inside),
        "has_domains": bool(domains_of(comparison)),
    }


def _main_table(comparison: Comparison) -> Table:
    columns = _grouped(comparison, tables.main_columns(comparison))
    return Table("Models by suite", "arm", columns, tuple(tables.main_table(comparison)))


def _grouped(comparison: Comparison, columns: Sequence[tuple[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Main-table columns in groups: (heading, sub-headings)."""
    groups: dict[str, list[str]] = {}
    lower = bias_names(comparison)
    for setting, metric in columns:
        ranked = "Recall × 100" if metric.startswith("R_") else "mAP × 100"
        name = (
            f"R@{metric[2:]} {SETTING_TITLES[setting].lower()}"
            if metric.startswith("R_")
            else SETTING_TITLES[setting].lower()
        )
        heading = "Language bias (lower: less)" if metric in lower else ranked
        groups.setdefault(heading, []).append(lower.get(metric, name))
    return tuple((heading, tuple(names)) for heading, names in groups.items())


def _free(comparison: Comparison) -> dict[str, Any] | None:
    """Free baselines: a table of levels per suite, one of differences, what the letters mean; None without any."""
    blocks = free.free_blocks(comparison)
    if not blocks:
        return None
    columns = _grouped(comparison, free.free_columns(comparison))
    levels = [
        Table(f"{block.title}: values × 100", "arm", columns, (Block("", block.rows),), more=place > 0)
        for place, block in enumerate(blocks)
    ]
    return {
        "levels": levels,
        "differences": free.free_difference_table(comparison),
        "legend": letters(comparison).legend(),
        "references": free_references(comparison),
    }


def _opened(found: Sequence[Table], comparison: Comparison) -> list[tuple[bool, Table]]:
    """(Open at once, table): the main suite and all suites together are, the others are not."""
    opened = (suite_title(main_suite(comparison)), "all suites")
    return [(table.caption.split(":")[0] in opened, table) for table in found]


def _difference_table(comparison: Comparison, suite: str) -> Table:
    block = tables.difference_table(comparison, suite)
    names = ungrouped(tables.column_label(comparison, column) for column in tables.main_columns(comparison))
    caption = f"Points with {percent(comparison['confidence'])} intervals; grey: the interval includes zero."
    return Table(caption, "difference", names, (Block("", block.rows),), weak=True)


def _suite(comparison: Comparison, suite: str) -> dict[str, Any]:
    """What the page says about one suite beyond the main table."""
    about = (run_of(comparison).get("suites") or {}).get(suite) or {}
    block = tables.all_metrics_table(comparison, suite)
    caption = f"Values × 100 unless in ranks, with {percent(comparison['confidence'])} intervals."
    return {
        "name": suite,
        "title": suite_title(suite),
        "questions": comparison["questions"][suite],
        "pool": comparison["pools"][suite],
        "candidate": comparison["candidate_text"][suite],
        "licence": about.get("licence", ""),
        "source": about.get("source", ""),
        "metrics": Table(caption, "metric", ungrouped(comparison["arms"]), (Block("", block.rows),)),
    }
