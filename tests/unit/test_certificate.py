"""The invariance certificate: it records what a result depends on, and notices when it depends on something else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import made_up_pairs
from made_up_suites import a_suite, smooth_vectors, tied_vectors

from hybrid_core import certificate, search
from hybrid_core.config import Config, ModelConfig
from hybrid_core.data.suites import Suite, Texts
from hybrid_core.encode import encode
from hybrid_core.model import load_encoder
from hybrid_core.storage import mark_complete
from ray_jobs.steps import plan_of, prepare_base


@pytest.mark.parametrize("vectors", [smooth_vectors, tied_vectors])
@pytest.mark.parametrize("seed", range(3))
def test_ranks_do_not_depend_on_the_order_of_corpus_and_queries(vectors: Any, seed: int) -> None:
    suite = a_suite(seed)
    queries, passages = vectors(len(suite.queries), seed + 1), vectors(len(suite.passages), seed)
    assert certificate.ranking_is_invariant(suite, queries, passages, seed=0, sample=25)


def test_a_ranking_that_breaks_ties_by_position_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_position(suite: Suite, queries: np.ndarray, passages: np.ndarray, *, top_k: int) -> search.RelevantRanks:
        places = Texts(**vars(suite.passages) | {"ids": [f"{row:05d}" for row in range(len(passages))]})
        moved = Suite(**vars(suite) | {"passages": places})
        return search.rank_relevant(moved, queries, passages, top_k=top_k)

    monkeypatch.setattr(certificate, "rank_relevant", by_position)
    suite = a_suite(0)
    queries, passages = tied_vectors(len(suite.queries), 1), tied_vectors(len(suite.passages), 0)
    assert not certificate.ranking_is_invariant(suite, queries, passages, seed=0, sample=25)


def test_embeddings_in_a_batch_are_those_of_a_text_alone(encoder_directory: Path) -> None:
    encoder = load_encoder(ModelConfig(name=str(encoder_directory)))
    suite = a_suite_of_texts()
    queries = encode(encoder, suite.queries.texts, "query")
    passages = encode(encoder, suite.passages.texts, "passage")
    found = certificate.check_invariance(
        encoder, [suite], {suite.name: (queries, passages)}, precision="float32", seed=0
    )
    assert found["encoding"] < found["tolerance"] == 1e-5
    assert found["scores"] <= found["score_tolerance"] == 1e-3
    assert found["order"] == {suite.name: True}
    said = certificate.summary_of_checks([found])
    assert said["batch size of encoding"].startswith("same") and said["order of passages and queries"].startswith(
        "same"
    )

    assert said["batch size of encoding, scores"].startswith("same scores")

    wrong = {suite.name: (np.roll(queries, 1, axis=0), passages)}
    noticed = certificate.check_invariance(encoder, [suite], wrong, precision="float32", seed=0)
    said = certificate.summary_of_checks([found, noticed])
    assert said["batch size of encoding"].startswith("NOT the same")
    assert said["batch size of encoding, scores"].startswith("NOT the same scores")


def test_passages_of_another_batch_are_noticed_by_the_scores_of_a_query(encoder_directory: Path) -> None:
    """Stored vectors of relevant passages moved away: a query that is encoded alone finds them again."""
    encoder, suite = load_encoder(ModelConfig(name=str(encoder_directory))), a_suite_of_texts()
    queries = encode(encoder, suite.queries.texts, "query")
    passages = encode(encoder, suite.passages.texts, "passage")
    options = {"precision": "float32", "seed": 0, "sample": 8}
    cosine, score = certificate.encoding_deviation(encoder, suite, queries, passages, **options)
    assert cosine < 1e-5 and score == 0.0
    cosine, score = certificate.encoding_deviation(encoder, suite, queries, -passages, **options)
    assert cosine == pytest.approx(2.0, abs=1e-4) and score > 0.05


def test_every_suite_is_encoded_one_by_one_and_variants_are_checked_by_order_only(encoder_directory: Path) -> None:
    encoder = load_encoder(ModelConfig(name=str(encoder_directory)))
    first = a_suite_of_texts()
    suites = [first, replace(first, name="second"), replace(first, name="second~typos")]
    right = encode(encoder, first.queries.texts, "query"), encode(encoder, first.passages.texts, "passage")
    wrong = np.roll(right[0], 1, axis=0), right[1]
    for bad, same in (("second", False), ("second~typos", True)):
        vectors = {s.name: wrong if s.name == bad else right for s in suites}
        found = certificate.check_invariance(encoder, suites, vectors, precision="float32", seed=0)
        assert (found["encoding"] <= found["tolerance"]) == same
        assert set(found["order"]) == {s.name for s in suites}


def a_suite_of_texts() -> Suite:
    pairs = made_up_pairs(12)
    queries, passages = Texts(), Texts()
    for row, pair in enumerate(pairs):
        queries.add(f"q{row}", pair.language, pair.query, pair.meaning_id)
        passages.add(f"p{row}", pair.language, pair.passage, pair.meaning_id)
    relevant = [np.array([row]) for row in range(len(pairs))]
    return Suite("texts", queries, passages, relevant, ("mono",), "Apache-2.0", "tests")


def test_the_record_names_code_libraries_data_weights_and_plans() -> None:
    suite, other = a_suite(0), a_suite(1)
    found = certificate.identities([suite], weights={"base": "w"}, plans={"base": "", "hybrid": "p"})
    assert found["commit"] and found["versions"]["torch"].startswith("2.")
    assert set(found["versions"]) >= {"ray", "bm25s", "anyascii", "scipy", "scikit-learn"}
    assert "not installed" not in found["versions"].values()
    assert found["code"] == certificate.code_hash()
    assert found["data"] == {"made_up": suite.fingerprint} != {"made_up": other.fingerprint}
    assert (found["weights"], found["plans"]) == ({"base": "w"}, {"hybrid": "p"})


def test_the_hash_of_the_code_needs_no_git_and_changes_with_every_source_file(tmp_path: Path) -> None:
    for name in ("hybrid_core", "ray_jobs"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.py").write_text(f"x = '{name}'\n")
    first = certificate.code_hash(tmp_path)
    (tmp_path / "hybrid_core" / "inner" / "a.pyc").write_text("compiled")
    (tmp_path / "notes.py").write_text("not ours")
    assert certificate.code_hash(tmp_path) == first
    (tmp_path / "ray_jobs" / "inner" / "a.py").write_text("x = 'other'\n")
    second = certificate.code_hash(tmp_path)
    (tmp_path / "ray_jobs" / "inner" / "a.py").rename(tmp_path / "ray_jobs" / "inner" / "b.py")
    assert len({first, second, certificate.code_hash(tmp_path), certificate.code_hash()}) == 4


def test_the_plan_of_a_trained_model_is_known_to_those_who_evaluate_it(encoder_directory: Path, tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    shutil.copytree(encoder_directory, trained)
    mark_complete(trained, kind="encoder", plan_hash="0123")
    for model, plan in ((trained, "0123"), (encoder_directory, "")):
        config = Config(output=str(tmp_path / "out"), model=ModelConfig(name=str(model)))
        base = prepare_base(config, [], with_corpus=False)
        assert plan_of(base) == plan
    assert plan_of(prepare_base(config, [], with_corpus=False)) == "", "a base that is there already"
