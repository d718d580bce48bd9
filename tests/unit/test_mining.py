"""Hard negatives: nearest wrong passages, as many in every language, nothing that might be relevant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import made_up_pairs

from hybrid_core.config import MineConfig
from hybrid_core.data.corpus import Corpus, Pair
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.data.mining import mine, rows_in_use


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def random_embeddings(corpus: Corpus, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Queries and passages of one meaning lie near each other in all languages, everything else anywhere."""
    generator = np.random.default_rng(seed)
    meanings = corpus.column("meaning_id", rows_in_use(corpus))
    directions = {meaning: generator.normal(size=16) for meaning in sorted(set(meanings))}
    passages = np.array([directions[meaning] for meaning in meanings])
    passages += 0.2 * generator.normal(size=passages.shape)
    return unit(passages + 0.3 * generator.normal(size=passages.shape)), unit(passages)


def test_every_language_gives_as_many_negatives_and_none_of_the_same_meaning(corpus: Corpus) -> None:
    mined = mine(corpus, *random_embeddings(corpus), MineConfig(per_language=3, max_share=2.0))
    of = {(p.language, p.passage): p.meaning_id for p in mined.pairs}
    assert len(mined.pairs) == 144
    for pair in mined.pairs:
        assert [n.language for n in pair.negatives] == ["de"] * 3 + ["en"] * 3 + ["fr"] * 3
        assert pair.meaning_id not in {of[n.language, n.text] for n in pair.negatives}
    assert mined.report["per_query"]["de"] == {"de": 3.0, "en": 3.0, "fr": 3.0}


def test_negatives_are_the_nearest_ones_with_their_scores(corpus: Corpus) -> None:
    queries, passages = random_embeddings(corpus)
    mined = mine(corpus, queries, passages, MineConfig(per_language=2, max_share=10.0, skip=1, languages=("en",)))
    first, end = corpus.rows_of("en")
    for row in (0, 70, 143):
        scores = queries[row] @ passages[first:end].T
        own = next(i for i in range(first, end) if mined.pairs[i].meaning_id == mined.pairs[row].meaning_id)
        order = [i for i in np.argsort(-scores) + first if i != own][1:3]
        assert [n.text for n in mined.pairs[row].negatives] == [mined.pairs[i].passage for i in order]
        assert [n.score for n in mined.pairs[row].negatives] == pytest.approx(scores[np.array(order) - first], abs=1e-6)
        assert mined.pairs[row].score == pytest.approx(float(queries[row] @ passages[row]), abs=1e-6)


def test_passages_that_may_be_relevant_are_left_out(corpus: Corpus) -> None:
    queries, passages = random_embeddings(corpus)
    twin = 5  # as near to query 0 as its own passage, and of another meaning
    passages[twin] = passages[0]
    strict = mine(corpus, queries, passages, MineConfig(per_language=4, max_share=0.95))
    loose = mine(corpus, queries, passages, MineConfig(per_language=4, max_share=1.5))
    near = loose.pairs[twin].passage
    assert near in {n.text for n in loose.pairs[0].negatives}
    assert near not in {n.text for n in strict.pairs[0].negatives}
    assert strict.report["too_similar"]["de"] > loose.report["too_similar"]["de"]
    for row, pair in enumerate(strict.pairs):
        same_language = [n.score for n in pair.negatives if n.language == pair.language]
        assert all(score <= 0.95 * float(queries[row] @ passages[row]) + 1e-6 for score in same_language if score)


def test_duplicates_of_the_own_passage_are_never_negatives(tmp_path: Path) -> None:
    pairs = made_up_pairs(12, ("de", "en"))
    pairs.append(Pair("again", "de", "another question?", pairs[0].passage))
    write_corpus(tmp_path / "corpus", pairs, licence="Apache-2.0", sources=["tests"])
    corpus = Corpus.open(str(tmp_path / "corpus"))
    mined = mine(corpus, *random_embeddings(corpus), MineConfig(per_language=20, max_share=10.0))
    for pair in mined.pairs:
        texts = [n.text for n in pair.negatives if n.language == "de"]
        assert len(texts) == len(set(texts)) == 11
        assert pair.passage not in texts


def test_blocks_change_nothing(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = random_embeddings(corpus)
    whole = mine(corpus, *embeddings, MineConfig())
    monkeypatch.setattr("hybrid_core.data.mining._SCORES_AT_ONCE", 48 * 7)
    assert [[n.text for n in p.negatives] for p in mine(corpus, *embeddings, MineConfig()).pairs] == [
        [n.text for n in p.negatives] for p in whole.pairs
    ]


def test_a_mined_corpus_keeps_its_negatives_and_their_groups(corpus: Corpus, tmp_path: Path) -> None:
    mined = mine(corpus, *random_embeddings(corpus), MineConfig(per_language=1))
    write_corpus(tmp_path / "mined", mined.pairs, licence="Apache-2.0", sources=["tests"])
    again = Corpus.open(str(tmp_path / "mined"))
    assert again.has_negatives() and again.fingerprint != corpus.fingerprint
    rows = np.arange(144)
    for passage_group, negatives in zip(again.column("group", rows), again.column("negatives", rows), strict=True):
        assert negatives and all(n["group"] >= 0 and n["group"] != passage_group for n in negatives)
