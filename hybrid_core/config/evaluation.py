"""How texts become embeddings, and what is measured or mined with them."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_core.settings import setting


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """How texts are turned into embeddings for evaluation."""

    actors: int = setting(1, "encoder processes of Ray Data; each loads the model once", low=1, high=4096)
    threads: int = setting(2, "torch threads of a CPU actor", low=1, high=256)
    tokens_per_batch: int = setting(4096, "token budget of a forward pass, padding included", low=64, high=10_000_000)
    rows_per_block: int = setting(
        4096, "rows an actor receives at once, sorted by length inside", low=1, high=1_000_000
    )
    precision: str = setting(
        "float32", "arithmetic of the forward pass; embeddings are stored as float32", choices=("float32", "bfloat16")
    )
    use_gpu: bool = setting(False, "give every actor one GPU")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured."""

    suites: tuple[str, ...] = setting(
        ("sample",),
        "suite names, folders or URIs; `sample` stands for the five built-in ones, `miracl/sw+bn` chooses languages",
    )
    candidate_text: str = setting(
        "sentence",
        "what a LAReQA candidate is: the sentence, or the sentence followed by its paragraph",
        choices=("sentence", "sentence_with_context"),
    )
    bootstrap_samples: int = setting(
        2000, "resamples of the question clusters behind every interval", low=100, high=1_000_000
    )
    confidence: float = setting(0.95, "coverage of the intervals", low=0.5, high=0.999)
    top_k: int = setting(10, "depth of the language histogram", low=1, high=1000)
    margin: float = setting(
        0.01,
        "two arms whose difference lies within this in a metric between 0 and 1 are called equivalent",
        low=0.0,
        high=1.0,
    )
    baselines: tuple[str, ...] = setting(
        ("mean_offset", "top_component", "csls", "bm25"),
        "what costs nothing, beside every model",
        choices=("mean_offset", "top_component", "csls", "bm25"),
    )
    geometry: bool = setting(True, "measure how embeddings lie in space (diagnostics, never targets)")
    perturbations: tuple[str, ...] = setting(
        (), "changes of the queries that keep their meaning; each is measured against the clean suite"
    )
    lexicon: str | None = setting(
        None,
        "word translations for the perturbation code_switching: a file of JSON lines, or `corpus` to derive them from data.corpus",
    )
    distractors: tuple[int, ...] = setting(
        (),
        "passages per language, relevant to nothing, added to every suite from the request's other suites; each number is measured",
        low=1,
        high=10**9,
    )
    run_depth: int = setting(0, "passages per query in TREC runs under `<output>/trec`; 0: none", low=0, high=10_000)
    seen_languages: tuple[str, ...] = setting(
        (), "languages of the training data, to tell seen from unseen; empty: those of data.corpus in a job that trains"
    )


@dataclass(frozen=True, kw_only=True)
class MineConfig:
    """How hard negatives are found: the same number in every language, so that language says nothing."""

    model: str | None = setting(
        None, "encoder that finds and scores them (a name as for model.name); unset: model.name"
    )
    target: str | None = setting(None, "folder or URI of the new corpus; unset: `<output>/mined`")
    per_language: int = setting(4, "hard negatives of a query in each language", low=1, high=1000)
    languages: tuple[str, ...] = setting((), "languages to take them from; empty: all of the corpus")
    skip: int = setting(0, "the nearest passages left out, per language", low=0, high=10_000)
    max_share: float = setting(
        0.95,
        "a passage scoring more than this share of the query's own passage in its language is taken for relevant and left out",
        low=0.0,
        high=10.0,
    )
