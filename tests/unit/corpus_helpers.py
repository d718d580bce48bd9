"""Pairs of every kind, and a corpus written from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from hybrid_core.data.corpus import Corpus, Negative, Pair
from hybrid_core.data.corpus_writer import write_corpus

some_language = st.sampled_from(["ar", "de", "en", "zh"])
some_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
some_passage = st.one_of(st.sampled_from(["same text", "same  text ", "other text"]), some_text)
some_score = st.none() | st.floats(-100, 100, width=32)
some_negatives = st.lists(st.builds(Negative, some_passage, some_language, some_score), max_size=3).map(tuple)
some_pairs = st.dictionaries(
    st.tuples(st.sampled_from(["m0", "m1", "m2", "m3", "ü", "z-9"]), some_language),
    st.tuples(some_text, some_passage, some_negatives, some_score),
    min_size=1,
    max_size=16,
).map(lambda rows: [Pair(m, lang, q, p, "set", f"about {lang}", n, s) for (m, lang), (q, p, n, s) in rows.items()])
modest = settings(max_examples=25)


def written(directory: Path, pairs: list[Pair]) -> Corpus:
    write_corpus(directory, pairs, licence="Apache-2.0", sources=["tests"])
    return Corpus.open(str(directory))


def content(directory: Path) -> dict[str, bytes]:
    return {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}


def joined(corpus: Corpus, low: str, high: str) -> np.ndarray:
    """Rows [2, n] of all meanings that two languages share."""
    return corpus.pair_rows(np.arange(*corpus.pairs_of(low, high)))
