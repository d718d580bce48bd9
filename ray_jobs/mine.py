"""`python -m ray_jobs.mine`: hard negatives for a training corpus, balanced over languages, with the miner's scores."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.data.mining import Mined, mine, rows_in_use
from hybrid_core.data.sample import corpus_location
from hybrid_core.errors import RequestError, nearest
from hybrid_core.model import Kind
from hybrid_core.settings import as_dict
from hybrid_core.storage import absolute, join
from ray_jobs._ray.cluster import disconnect
from ray_jobs.cli import Job, Outcome, main
from ray_jobs.embed import embed_texts
from ray_jobs.steps import check_output, connect_for, prepare_base


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Encode the corpus, search every language, write the corpus again with what was found."""
    corpus = _corpus(config)
    target = _target(config)
    check_output(config)
    model = dataclasses.replace(config.model, name=config.mine.model or config.model.name)
    config = dataclasses.replace(config, model=model)
    encoder = prepare_base(config, [], with_corpus=True)
    connect_for(config)
    try:
        queries, passages = _encode(config, corpus, encoder)
    finally:
        disconnect()
    mined = mine(corpus, queries, passages, config.mine)
    _write(corpus, mined, config, target)
    print(_table(mined))
    print(f"corpus: {target}\nfingerprint: {Corpus.open(target).fingerprint}")
    print(f"train on it: --set data.corpus={target} --set plan.hard_negatives={min(2, config.mine.per_language)}")
    metrics = {"negatives": float(mined.report["negatives"]), "queries": float(mined.report["queries"])}
    return Outcome({"corpus": target}, metrics, details={"mined": mined.report})


def _corpus(config: Config) -> Corpus:
    if config.data.corpora:
        raise RequestError("ray_jobs.mine reads one corpus: set data.corpus, and mine each of data.corpora by itself")
    corpus = Corpus.open(corpus_location(config.data.corpus), config.data.languages, verify=True)
    for language in config.mine.languages:
        if language not in corpus.languages:
            raise RequestError(
                f"mine.languages: {language!r} has no passages in the corpus{nearest(language, corpus.languages)}"
            )
    return corpus


def _target(config: Config) -> str:
    return absolute(config.mine.target) if config.mine.target else join(absolute(config.output), "mined")


def _encode(config: Config, corpus: Corpus, encoder: str) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of queries and passages, in row order."""
    rows = rows_in_use(corpus)
    texts = corpus.column("query", rows) + corpus.column("passage", rows)
    asked: list[Kind] = ["query"]
    answered: list[Kind] = ["passage"]
    kinds = asked * len(rows) + answered * len(rows)
    vectors = embed_texts(texts, kinds, encoder, config)
    return vectors[: len(rows)], vectors[len(rows) :]


def _write(corpus: Corpus, mined: Mined, config: Config, target: str) -> None:
    report = corpus.manifest["report"] | {"mined": mined.report | {"model": config.model.name} | as_dict(config.mine)}
    with tempfile.TemporaryDirectory() as scratch:
        write_corpus(
            Path(scratch),
            mined.pairs,
            licence=corpus.manifest["licence"],
            sources=corpus.manifest["sources"],
            report=report,
        )
        storage.upload_directory(Path(scratch), target)


def _table(mined: Mined) -> str:
    r = mined.report
    lines = [
        f"{r['negatives']:,} hard negatives for {r['queries']:,} queries ({r['queries_without_negatives']:,} without any)",
        f"left out as too similar to the query's own passage: {sum(r['too_similar'].values()):,}",
        "",
        "negatives per query, by language of query (rows) and negative",
    ]
    languages = sorted({n for counts in r["per_query"].values() for n in counts})
    lines.append(f"{'':6}" + "".join(f"{language:>7}" for language in languages))
    for query, counts in r["per_query"].items():
        lines.append(f"{query:6}" + "".join(f"{counts.get(language, 0.0):7.2f}" for language in languages))
    return "\n".join(lines) + "\n"


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do."""
    corpus = _corpus(config)
    languages = config.mine.languages or corpus.languages
    return (
        f"would find {config.mine.per_language} hard negatives in each of {', '.join(languages)} for {len(rows_in_use(corpus)):,} queries "
        f"with {config.mine.model or config.model.name} and write a corpus to {_target(config)}"
    )


JOB = Job("mine", __doc__ or "", run, describe)

if __name__ == "__main__":
    sys.exit(main(JOB))
