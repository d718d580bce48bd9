"""The five built-in suites: held-out meanings of the sample corpus, one suite per domain."""

from __future__ import annotations

from hybrid_core.data import sample
from hybrid_core.data.suites.collection import SETTINGS, Suite, Texts, relevant_by_meaning

SAMPLE_SUITES = tuple(f"sample_{domain}" for domain in sample.DOMAINS)


def load_sample(name: str) -> Suite:
    """Held-out meanings of the training domain, or all meanings of a shifted one; relevant = same meaning."""
    domain = name.removeprefix("sample_")
    queries, passages = Texts(), Texts()
    for p in sample.pairs(domain, "heldout"):
        queries.add(f"{p.language}-{p.meaning_id}", p.language, p.query, p.meaning_id, domain)
        passages.add(f"{p.language}-{p.meaning_id}", p.language, p.passage, p.meaning_id, domain)
    relevant = relevant_by_meaning(queries, passages)
    return Suite(name, queries, passages, relevant, SETTINGS, sample.LICENCE, "hybrid_core/data/sample")
