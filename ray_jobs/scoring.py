"""The evaluation half of jobs: suites and their variants, embeddings from Ray Data, measurements."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_core import storage
from hybrid_core.certificate import check_invariance, identities, summary_of_checks
from hybrid_core.config import Config
from hybrid_core.data.sources import open_sources
from hybrid_core.data.suites import Suite, Texts, load_suites
from hybrid_core.data.suites.trec import write_qrels, write_run
from hybrid_core.errors import RequestError, nearest
from hybrid_core.evaluate import Evaluation
from hybrid_core.measure import BM25, Measurement, evaluate_bm25, measure, with_variants
from hybrid_core.metrics.fertility import fertility_rows
from hybrid_core.model import Kind, exported_model, load_encoder
from hybrid_core.results import compare_measured
from hybrid_core.robustness.lexicon import Lexicon, build_lexicon, read_lexicon
from hybrid_core.search import top_k
from hybrid_core.settings import digest
from hybrid_core.storage import absolute, join
from ray_jobs.embed import embed_texts, weights_of


def suites_of(config: Config) -> list[Suite]:
    """The suites of the request."""
    return load_suites(
        config.evaluate.suites, config.data.suites, config.evaluate.candidate_text, corpus=config.data.suite_passages
    )


def in_domain(config: Config, suites: Sequence[Suite]) -> str | None:
    """The suite of the training domain that the request names; None if it names none.

    Raises:
        RequestError: it is not among the suites.
    """
    name, names = config.evaluate.in_domain, [suite.name for suite in suites]
    if name is not None and name not in names:
        raise RequestError(f"evaluate.in_domain={name!r} is not among the suites{nearest(name, names)}")
    return name


def suites_and_variants(config: Config, suites: Sequence[Suite]) -> list[Suite]:
    """The suites, and after each the perturbed and enlarged ones that the request asks for."""
    return with_variants(suites, config.evaluate, seed=config.seed, lexicon=_lexicon(config))


def _lexicon(config: Config) -> Lexicon | None:
    wanted = config.evaluate.lexicon
    if wanted != "corpus":
        return read_lexicon(wanted) if wanted else None
    questions: dict[str, dict[str, str]] = {}
    for source in open_sources(config).values():
        for language in source.corpus.languages:
            rows = np.arange(*source.corpus.rows_of(language))
            columns = (source.corpus.column(name, rows) for name in ("meaning_id", "query"))
            questions.setdefault(language, {}).update(zip(*columns, strict=True))
    return build_lexicon(questions)


def encode_suites(config: Config, model: str, suites: Sequence[Suite]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Embeddings (queries, passages) of every suite; a text that occurs in several is encoded once."""
    sides: list[tuple[Kind, Texts]] = [
        side for suite in suites for side in (("query", suite.queries), ("passage", suite.passages))
    ]
    texts = [text for _, side in sides for text in side.texts]
    kinds = [kind for kind, side in sides for _ in side.texts]
    vectors = embed_texts(texts, kinds, model, config)
    parts = np.split(vectors, np.cumsum([len(side) for _, side in sides])[:-1])
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {suite.name: (queries, passages) for suite, (queries, passages) in zip(suites, pairs, strict=True)}


def measure_model(config: Config, model: str, suites: Sequence[Suite], name: str, *, seed: int) -> Measurement:
    """Measure a model on suites and their variants, and keep the per-query scores."""
    started = time.perf_counter()
    vectors = encode_suites(config, model, suites)
    encoding = time.perf_counter() - started
    found = measure(suites, vectors, config.evaluate, seed=seed)
    found.seconds["encoding"] = encoding
    keep_scores(config, found, name)
    clean = [suite for suite in suites if suite.name in found.evaluations]
    for suite in clean if config.evaluate.run_depth else ():
        _write_runs(config, suite, *vectors[suite.name], name)
    encoder = load_encoder(exported_model(config.model, model))
    if config.evaluate.geometry:
        found.geometry.extend({"suite": s.name, **row} for s in clean for row in fertility_rows(encoder.tokenizer, s))
    found.checks.update(check_invariance(encoder, suites, vectors, precision=config.encode.precision, seed=seed))
    return found


def keep_scores(config: Config, found: Measurement, name: str) -> None:
    """Per-query scores as Parquet: of the model under `<output>/scores/<name>`, of each free baseline under `<name>+<method>`."""
    _keep(config, name, scored_suites(found))
    for method, evaluations in found.free.items():
        _keep(config, f"{name}+{method}", evaluations)


def _keep(config: Config, arm: str, evaluations: Mapping[str, Evaluation]) -> None:
    for suite, evaluation in evaluations.items():
        file = join(absolute(config.output), "scores", arm, f"{suite}.parquet")
        storage.write_bytes(file, parquet_bytes(evaluation.per_query))


def compare_and_keep(
    config: Config,
    measured: Mapping[str, Sequence[Measurement]],
    suites: Sequence[Suite],
    *,
    in_domain: str | None,
    seen: Sequence[str] = (),
) -> dict[str, Any]:
    """`results.compare_measured`, with the per-query scores of BM25 kept beside those of the models."""
    wanted = config.evaluate
    bm25 = evaluate_bm25(suites, wanted) if BM25 in wanted.baselines else None
    _keep(config, BM25, bm25 or {})
    return compare_measured(measured, suites, wanted, in_domain=in_domain, seed=config.seed, seen=seen, bm25=bm25)


def _write_runs(config: Config, suite: Suite, queries: np.ndarray, passages: np.ndarray, name: str) -> None:
    """Judgements, and the best passages of the mixed pool and of the query's own language, in TREC form."""
    folder = join(absolute(config.output), "trec", name)
    write_qrels(suite, join(folder, f"{suite.name}.qrels"))
    ids = np.array(suite.passages.ids)
    place = np.argsort(np.argsort(ids, kind="stable"))
    codes = {language: code for code, language in enumerate(sorted({*suite.queries.languages, *suite.languages}))}
    asked_in, written_in = (np.array([codes[x] for x in t.languages]) for t in (suite.queries, suite.passages))
    pools: list[tuple[str, tuple[np.ndarray, np.ndarray] | None]] = [("multi", None), ("mono", (asked_in, written_in))]
    for setting, languages in pools:
        if setting in suite.settings:
            depth = min(config.evaluate.run_depth, len(ids))
            found = top_k(queries, passages, depth, place=place, languages=languages)
            file = join(folder, f"{suite.name}.{setting}.run")
            write_run(file, suite.queries.ids, ids[found.rows], found.scores, name)


def seen_languages(config: Config) -> tuple[str, ...]:
    """Languages of the training data, as far as the request says."""
    if config.evaluate.seen_languages:
        return config.evaluate.seen_languages
    return tuple(sorted({x for source in open_sources(config).values() for x in source.corpus.languages}))


def certificate(
    config: Config,
    suites: Sequence[Suite],
    models: Mapping[str, str],
    measured: Mapping[str, Sequence[Measurement]],
    plans: Mapping[str, str],
) -> dict[str, Any]:
    """What the results depend on, and the checks that they depend on nothing else.

    Args:
        config: the request.
        suites: every one that was scored, variants too.
        models: training -> model.
        measured: by arm.
        plans: training -> hash of its plan.
    """
    weights = {name: weights_of(uri) for name, uri in models.items()}
    encoding = {key: getattr(config.encode, key) for key in ("precision", "actors", "tokens_per_batch")}
    checks = [m.checks for seeds in measured.values() for m in seeds]
    lexicon = _lexicon(config) if "code_switching" in config.evaluate.perturbations else None
    return identities(suites, weights=weights, plans=plans) | {
        "lexicon": digest(lexicon) if lexicon is not None else None,
        "encoding": encoding,
        "checks": summary_of_checks(checks),
    }


def scored_suites(measurement: Measurement) -> dict[str, Evaluation]:
    """Evaluations of the suites and of their variants, by the name of the suite that was scored."""
    variants = [e for of_suite in measurement.variants.values() for e in of_suite.values()]
    return {e.suite: e for e in (*measurement.evaluations.values(), *variants)}


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
