"""Names and averages: what single evaluations are boiled down to."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scored_rows import Row, a_table, an_evaluation

from hybrid_core.data.suites import load_suites
from hybrid_core.evaluate import ALL_LANGUAGES, BIAS_METRICS, METRICS, Evaluation, evaluate
from hybrid_core.summary import heat_map, label, language_means, metrics_of, setting_means, settings_of


def random_evaluation(suite_name: str = "sample_finance") -> Evaluation:
    (suite,) = load_suites((suite_name,), None, "sentence")
    rng = np.random.default_rng(0)
    queries, passages = (
        rng.standard_normal((len(texts), 8)).astype(np.float32) for texts in (suite.queries, suite.passages)
    )
    return evaluate(suite, queries, passages)


def test_metric_names_follow_one_scheme() -> None:
    evaluation = random_evaluation()
    languages = sorted(evaluation.pool_sizes)
    levels = setting_means(evaluation)
    assert set(levels) == {
        f"sample_finance/{setting}/{metric}"
        for setting in ("mono", "cross", "multi")
        for metric in METRICS + (BIAS_METRICS if setting == "multi" else ())
        if metric != "peer_relevant_100"  # not defined where every language has one relevant passage
    }
    pairs = [f"{q}-{p}" for q in languages for p in languages if q != p]
    cells = {"mono": languages, "multi": languages, "cross": pairs}
    by_language = language_means(evaluation)
    assert set(by_language) == {
        f"sample_finance/{setting}/{metric}/{cell}"
        for setting, names in cells.items()
        for metric in ("mAP", "R_1")
        for cell in names
    }
    assert all(re.fullmatch(r"[\w./-]+", name) for name in [*levels, *by_language])


def test_setting_means_are_means_of_language_means() -> None:
    evaluation = random_evaluation()
    by_language, levels = language_means(evaluation, METRICS), setting_means(evaluation)
    for setting in ("mono", "cross", "multi"):
        for metric in METRICS:
            prefix = f"sample_finance/{setting}/{metric}"
            cells = [value for name, value in by_language.items() if name.startswith(f"{prefix}/")]
            assert levels[prefix] == pytest.approx(sum(cells) / len(cells))


def test_language_means_of_hand_made_numbers() -> None:
    rows: list[Row] = [("cross", "de", "en", "m1", 0.2), ("cross", "de", "en", "m2", 0.4), ("cross", "en", "de", "m1", 1.0),
                       ("mono", "de", "de", "m1", 0.5), ("multi", "de", ALL_LANGUAGES, "m1", 0.7)]  # fmt: skip
    evaluation = an_evaluation(rows)
    assert language_means(evaluation, ["MRR"]) == pytest.approx(
        {"home/mono/MRR/de": 0.5, "home/cross/MRR/de-en": 0.3, "home/cross/MRR/en-de": 1.0, "home/multi/MRR/de": 0.7}
    )
    assert setting_means(evaluation)["home/cross/mAP"] == pytest.approx(0.65)
    assert heat_map(evaluation.per_query, "mAP") == pytest.approx(
        {("de", "de"): 0.5, ("de", "en"): 0.3, ("en", "de"): 1.0}
    )


def test_settings_come_in_one_order() -> None:
    rows: list[Row] = [("multi", "de", "*", "m", 1), ("cross", "de", "en", "m", 1), ("mono", "de", "de", "m", 1)]
    assert settings_of(a_table(rows)) == ["mono", "cross", "multi"]
    assert settings_of(a_table(rows[:1])) == ["multi"]
    assert metrics_of("cross") == METRICS
    assert metrics_of("multi") == METRICS + BIAS_METRICS


def test_labels_are_what_people_write() -> None:
    assert [label(metric) for metric in ("mAP", "mAP_20", "R_1", "nDCG_10")] == ["mAP", "mAP@20", "R@1", "nDCG@10"]
    assert label("rank_distance_share") == "rank distance share"
