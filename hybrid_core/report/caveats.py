"""What no interval on the page covers: seeds, few questions, many comparisons, data that was not checked."""

from __future__ import annotations

from collections.abc import Mapping

from hybrid_core.report.arms import models_only
from hybrid_core.report.free import free_contrasts, trained_arms
from hybrid_core.report.lookup import FEW_QUESTIONS, Comparison, run_of, was_trained
from hybrid_core.report.statements import bias_statements, retrieval_statements, shift_statements
from hybrid_core.report.style import listed, percent, suite_title


def caveats(comparison: Comparison) -> list[str]:
    """What no interval on the page covers, as far as it follows from the comparison and its `run` section."""
    found = [
        _randomness(comparison), _few_questions(comparison), _many_intervals(comparison), _unchecked(comparison),
        _known_data(comparison), _sample(comparison), _suites_differ(comparison), _other_pools(comparison),
    ]  # fmt: skip
    return [text for text in found if text] + list(run_of(comparison).get("notes") or ())


def seeds_of(comparison: Comparison) -> dict[str, int]:
    """Arm -> number of its trainings, from the key `seeds` (numbers, or lists of seeds); empty without that key."""
    counts = comparison.get("seeds") or {}
    return (
        {arm: n if isinstance(n, int) else len(n) for arm, n in counts.items()} if isinstance(counts, Mapping) else {}
    )


def _randomness(comparison: Comparison) -> str:
    if not was_trained(comparison):
        return "The intervals cover the choice of questions, nothing else."
    by_arm = {arm: n for arm, n in seeds_of(comparison).items() if arm in trained_arms(comparison)}
    several = {arm: n for arm, n in by_arm.items() if n > 1}
    if by_arm and len(several) == len(by_arm):
        counts = sorted(set(several.values()))
        return (
            f"Means over {' to '.join(map(str, counts[:1] + counts[1:][-1:]))} seeds: intervals and p-values cover the choice "
            "of questions and, as far as so few seeds show it, the randomness of training."
        )
    if several:
        one = [arm for arm, n in by_arm.items() if n == 1]
        return (
            f"One seed for {listed(one)} (others: {', '.join(f'{arm} {n}' for arm, n in several.items())}): intervals and "
            "p-values of an arm with one seed cover the choice of questions, not the randomness of training."
        )
    return _one_or_averaged(comparison)


def _one_or_averaged(comparison: Comparison) -> str:
    """One seed, or several whose scores were averaged before the intervals were made."""
    run = run_of(comparison)
    seeds = len(run.get("seeds") or ())
    seed = f" ({run['seed']})" if run.get("seed") is not None else ""
    start = f"Means over {seeds} seeds" if seeds > 1 else f"One seed{seed}"
    return (
        f"{start}: the intervals cover the choice of questions, not the randomness of training. "
        "Another seed may move a difference further."
    )


def _unchecked(comparison: Comparison) -> str:
    suites = run_of(comparison).get("unchecked_suites") or []
    if not suites:
        return ""
    return (
        f"Overlap with the training corpus was not checked for {', '.join(map(suite_title, suites))}: "
        "texts of these suites may have been trained on, and levels there may flatter the trained arms."
    )


def _known_data(comparison: Comparison) -> str:
    if "e5" not in str(run_of(comparison).get("model", "")).lower():
        return ""
    return (
        "multilingual-e5 was trained by its authors on similar data (labelled question-passage pairs, SQuAD among them): "
        "levels may flatter it, and base is no untrained starting point."
    )


def _sample(comparison: Comparison) -> str:
    named = (run_of(comparison).get("corpus") or {}).get("name") == "sample"
    if not named and not any(suite.startswith("sample_") for suite in comparison["suites"]):
        return ""
    return "The parallel sample corpus is small and simple: it shows that the method runs, not how large its effect is on real texts."


def _suites_differ(comparison: Comparison) -> str:
    if len(comparison["suites"]) < 2:
        return ""
    return (
        "Suites differ in difficulty as well as in domain: compare arms within a suite, not levels between suites. "
        "The intervals hold for these suites; other domains were not sampled."
    )


def _other_pools(comparison: Comparison) -> str:
    missing = comparison.get("without_passages") or {}
    if not missing or not comparison.get("free"):
        return ""
    named = "; ".join(f"{suite_title(suite)}: {', '.join(languages)}" for suite, languages in missing.items())
    return (
        f"Languages with questions and no passages ({named}): mean offset and top component use the value of all passages "
        "together for them."
    )


def _few_questions(comparison: Comparison) -> str:
    counts = {suite: n for suite, n in comparison["questions"].items() if n < FEW_QUESTIONS}
    if not counts:
        return ""
    named = ", ".join(f"{suite_title(suite)} {n}" for suite, n in counts.items())
    return (
        f"Few questions ({named}; fewer than {FEW_QUESTIONS} each): intervals are wide, "
        "small differences cannot be seen, and the ends are rough."
    )


def _many_intervals(comparison: Comparison) -> str:
    shown = intervals_shown(comparison)
    if shown < 2:
        return ""
    missed = 1 - comparison["confidence"]
    corrected = any(row.get("p_holm") is not None for row in comparison["differences"])
    letters = (
        "; the letters in the tables are corrected (Holm), intervals are not."
        if corrected
        else "; none is corrected for that."
    )
    return (
        f"Several comparisons at once: about {percent(round(missed, 6))} of such intervals miss the true value by chance. "
        f"This page draws conclusions from {shown}, so expect about {max(1, round(shown * missed))} to miss{letters}"
    )


def intervals_shown(comparison: Comparison) -> int:
    """How many intervals sentences of the report draw conclusions from."""
    models = models_only(comparison)
    found = len(retrieval_statements(models)) + len(bias_statements(models)) + len(shift_statements(models))
    return found + free_contrasts(comparison)
