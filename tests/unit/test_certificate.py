"""The invariance certificate: it records what a result depends on, and notices when it depends on something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import made_up_pairs
from made_up_suites import a_suite, smooth_vectors, tied_vectors

from hybrid_core import certificate, search
from hybrid_core.config import ModelConfig
from hybrid_core.data.suites import Suite, Texts
from hybrid_core.encode import encode
from hybrid_core.model import load_encoder


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
    assert found["order"] == {suite.name: True}
    said = certificate.summary_of_checks([found])
    assert said["batch size of encoding"].startswith("same") and said["order of passages and queries"].startswith(
        "same"
    )

    wrong = {suite.name: (np.roll(queries, 1, axis=0), passages)}
    noticed = certificate.check_invariance(encoder, [suite], wrong, precision="float32", seed=0)
    assert certificate.summary_of_checks([found, noticed])["batch size of encoding"].startswith("NOT the same")


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
    assert found["data"] == {"made_up": suite.fingerprint} != {"made_up": other.fingerprint}
    assert (found["weights"], found["plans"]) == ({"base": "w"}, {"hybrid": "p"})
