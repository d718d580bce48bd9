"""The figures of the pages with their captions, in reading order; those that would be empty are left out."""

from __future__ import annotations

from matplotlib.figure import Figure

from hybrid_core.report import figures
from hybrid_core.report.drawing import Picture, svg
from hybrid_core.report.lookup import Comparison, contrasts, main_suite, of_all_queries, policy_of, run_of, top_k
from hybrid_core.report.style import percent, suite_title

_Found = tuple[Figure, str, str]
"""Figure, alternative text, caption."""


def pictures(comparison: Comparison) -> list[Picture]:
    """Figures of the main page."""
    inside = main_suite(comparison)
    found = [_levels(comparison)]
    if any(row["suite"] == inside for row in comparison["heat_maps"]):
        found.append(_heat_map(comparison, inside))
    if any(row["suite"] == inside for row in comparison["histograms"]):
        found.append(_histogram(comparison, inside))
    if comparison.get("rank_distances"):
        found.append(_rank_distances(comparison))
    found += [_shift(comparison, arm, reference) for arm, reference in _shift_contrasts(comparison)]
    if run_of(comparison).get("curves"):
        found.append(_loss(comparison))
    return _drawn(found, "f")


def suite_pictures(comparison: Comparison, suite: str, prefix: str) -> list[Picture]:
    """Figures of one suite on the page of languages; the prefix makes their ids unique on that page."""
    found = []
    if any(row["suite"] == suite for row in comparison["heat_maps"]):
        found.append(_heat_map(comparison, suite))
    if any(row["suite"] == suite for row in comparison["histograms"]):
        found.append(_histogram(comparison, suite))
    return _drawn(found, prefix)


def perturbation_pictures(comparison: Comparison) -> list[Picture]:
    """What perturbed queries cost, one figure per suite that was perturbed."""
    rows = [row for row in of_all_queries(comparison) if row["metric"] == "mAP"]
    suites = [suite for suite in comparison["suites"] if any(row["suite"] == suite for row in rows)]
    return _drawn([_perturbations(comparison, suite) for suite in suites], "p")


def _drawn(found: list[_Found], prefix: str) -> list[Picture]:
    return [
        Picture(svg(figure, f"{prefix}{number}"), alt, caption)
        for number, (figure, alt, caption) in enumerate(found, start=1)
    ]


def _levels(comparison: Comparison) -> _Found:
    return (
        figures.levels_figure(comparison),
        "mAP of each arm in each setting, with intervals; the numbers are in the main table.",
        f"mAP of each arm, with {percent(comparison['confidence'])} intervals. Whether two arms differ is decided by the "
        "interval of their difference, not by whether their intervals overlap.",
    )


def _heat_map(comparison: Comparison, suite: str) -> _Found:
    return (
        figures.heat_map_figure(comparison, suite),
        "Heat maps of mAP by query and passage language, one per arm; the numbers are on the page of languages.",
        f"mAP by query and passage language on {suite_title(suite)}. The diagonal is monolingual retrieval. "
        "Single cells have no interval.",
    )


def _histogram(comparison: Comparison, suite: str) -> _Found:
    return (
        figures.histogram_figure(comparison, suite),
        "Stacked bars of passage languages in the pooled top, one panel per arm; the numbers are on the page of languages.",
        f"Languages of the top {top_k(comparison)} passages when all languages are in one pool ({suite_title(suite)}); a row "
        "per query language. Coloured: the query's own language. A ranking that does not care about language has it end at "
        "the dashed line.",
    )


def _rank_distances(comparison: Comparison) -> _Found:
    return (
        figures.rank_distance_figure(comparison),
        "Quantiles of the rank distance of single queries, a panel per suite, a row per arm; means are under Details.",
        "Rank distance of single queries in the mixed pool, in ranks, on a logarithmic axis. Thin line: 5% to 95% of the "
        "queries; thick: the middle half; marker: the median. These show how queries differ, they are no intervals of a mean.",
    )


def _perturbations(comparison: Comparison, suite: str) -> _Found:
    return (
        figures.perturbation_figure(comparison, suite),
        f"Change of mAP with perturbed queries on {suite_title(suite)}, a row per perturbation; the numbers are in the tables below.",
        f"mAP of perturbed minus clean queries on {suite_title(suite)}, with {percent(comparison['confidence'])} paired "
        "intervals. Filled: the interval excludes zero; hollow: it includes zero.",
    )


def _loss(comparison: Comparison) -> _Found:
    return (
        figures.loss_figure(run_of(comparison)["curves"]),
        "Training loss over steps, one line per arm.",
        "Training loss. Batches of different policies differ in difficulty, "
        "so the height of two curves says nothing about which arm is better.",
    )


def _shift_contrasts(comparison: Comparison) -> list[tuple[str, str]]:
    """Contrasts worth a shift figure: those of hybrid with another policy, else the first one."""
    if not comparison["shift_effects"]:
        return []
    found = contrasts(comparison)
    return [c for c in found if policy_of(c[0]) == "hybrid" and c[1] in ("mono", "cross")][:2] or found[:1]


def _shift(comparison: Comparison, arm: str, reference: str) -> _Found:
    return (
        figures.shift_figure(comparison, arm, reference),
        f"Difference {arm} minus {reference} inside and outside the training domain, with intervals.",
        f"{arm} minus {reference}, inside and outside the training domain, with {percent(comparison['confidence'])} "
        "intervals. Filled: the interval excludes zero; hollow: it includes zero. Below the line: mean of the shifted suites "
        f"{'(then each of them) ' if comparison.get('shift_by_suite') else ''}minus the training domain; "
        "right of zero: a larger advantage outside.",
    )
