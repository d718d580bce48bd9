"""What the evaluation half of a job keeps: the per-query scores of every arm."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from made_up_suites import a_suite, smooth_vectors

from hybrid_core.config import Config, EvaluateConfig
from hybrid_core.measure import measure, with_variants
from ray_jobs.scoring import compare_and_keep, keep_scores


def test_per_query_scores_of_every_arm_are_kept(tmp_path: Path) -> None:
    evaluate = EvaluateConfig(bootstrap_samples=100, perturbations=("case",), geometry=False)
    config = Config(output=str(tmp_path), evaluate=evaluate)
    suite = a_suite(0)
    whole = with_variants([suite], evaluate, seed=0)
    vectors = {s.name: (smooth_vectors(len(s.queries), 1), smooth_vectors(len(s.passages), 0)) for s in whole}
    found = measure(whole, vectors, evaluate, seed=0)
    keep_scores(config, found, "mono")
    comparison = compare_and_keep(config, {"mono": [found]}, [suite], in_domain=None)
    kept = {str(file.relative_to(tmp_path / "scores")) for file in tmp_path.rglob("*.parquet")}
    assert kept == {"mono/made_up~case.parquet", *(f"{arm}/made_up.parquet" for arm in comparison["arms"])}
    for arm in comparison["arms"]:
        scores = pq.read_table(tmp_path / "scores" / arm / "made_up.parquet")
        assert len(scores) and set(scores["setting"].to_pylist()) <= {"mono", "cross", "multi"}
    (level,) = [r for r in comparison["levels"] if (r["arm"], r["metric"]) == ("bm25", "mAP")]
    assert 0 <= level["value"] <= 1 and level["setting"] == "mono"


def test_without_bm25_nothing_of_it_is_kept(tmp_path: Path) -> None:
    evaluate = EvaluateConfig(bootstrap_samples=100, baselines=(), geometry=False)
    suite = a_suite(0)
    vectors = {suite.name: (smooth_vectors(len(suite.queries), 1), smooth_vectors(len(suite.passages), 0))}
    found = measure([suite], vectors, evaluate, seed=0)
    config = Config(output=str(tmp_path), evaluate=evaluate)
    assert compare_and_keep(config, {"base": [found]}, [suite], in_domain=None)["arms"] == ["base"]
    assert not list(tmp_path.rglob("*.parquet"))
