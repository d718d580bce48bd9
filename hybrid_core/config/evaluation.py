"""How texts become embeddings, and what is measured or mined with them."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_core.settings import setting


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """How texts become embeddings: for evaluation and mining, and of whole corpora (docs/encode.md)."""

    source: str | None = setting(
        None,
        "texts of `ray_jobs.encode`: a file or folder of .jsonl, .jsonl.gz, .parquet or .arrow (path, s3:// or "
        "hf://datasets/NAME), or `suites` for the passages of evaluate.suites",
    )
    target: str | None = setting(None, "folder or URI of the embeddings; unset: `<output>/encoded`")
    kind: str = setting("passage", "which prefix and length the texts get", choices=("passage", "query"))
    id_field: str | None = setting(None, "field of the id; unset: the first of id, docid, _id that is there")
    text_fields: tuple[str, ...] = setting(
        ("title", "text"), "fields that make up a text, joined by a space; absent and empty ones are left out"
    )
    language: str | None = setting(
        None,
        "language (its ISO 639 code) of rows without a field `language`; unset: what the name of the file's folder says "
        "(`language=sw`, `miracl-corpus-v1.0-sw`, `20231101.sw`)",
    )
    stored: str = setting(
        "float32",
        "numbers of an embedding as kept by `ray_jobs.encode`; what is lost is measured and reported",
        choices=("float32", "float16", "int8"),
    )
    actors: int = setting(1, "encoder processes of Ray Data; each loads the model once", low=1, high=4096)
    min_actors: int | None = setting(
        None, "encoder processes to begin with; more, up to `actors`, while texts wait; unset: all", low=1, high=4096
    )
    tokenizers: int | None = setting(
        None,
        "processes that split texts into tokens while encoders compute; 0: every encoder does; unset: 0 on CPUs, 4 for each GPU",
        low=0,
        high=1024,
    )
    threads: int = setting(2, "processors of a CPU actor, and torch threads in it", low=1, high=256)
    tokens_per_batch: int | None = setting(
        None,
        "token budget of a forward pass, padding included; unset: 1024 on a CPU, 16384 on a GPU",
        low=64,
        high=10_000_000,
    )
    rows_per_shard: int | None = setting(
        None,
        "texts that are sorted by length, encoded and committed together; fewer where they have more than 16 MiB; "
        "unset: 4096 on a CPU, 16384 on a GPU",
        low=1,
        high=1_000_000,
    )
    precision: str = setting(
        "float32",
        "arithmetic of the forward pass; `fastest` as in train.precision",
        choices=("float32", "bfloat16", "fastest"),
    )
    engine: str = setting(
        "torch",
        "what computes embeddings in the jobs encode, evaluate, study and mine; `openvino` is faster on a CPU and needs "
        "its package (pip install 'hybrid-batches[openvino]')",
        choices=("torch", "openvino"),
    )
    use_gpu: bool = setting(False, "give every actor one GPU")
    store: str | None = setting(
        None,
        "folder or URI where embeddings of suites and corpora are kept for later runs; unset: `<output>/embeddings`",
    )
    store_gigabytes: float = setting(
        20.0, "the models used longest ago are removed from the store above this size", low=0.0, high=1e6
    )
    patience: float = setting(300.0, "seconds to go on trying while storage fails", low=0.0, high=86_400.0)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is measured."""

    suites: tuple[str, ...] = setting(
        ("sample",),
        "suite names, folders or URIs; `sample` stands for the five built-in ones, `miracl/sw+bn` chooses languages",
    )
    in_domain: str | None = setting(
        None,
        "suite of the training domain; the others count as shifted. unset: in a study the first suite, in a sweep that of "
        "the objective; in `ray_jobs.evaluate`, which does not know what the model was trained on, none",
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
    bm25_passages: int = setting(
        2_000_000,
        "a suite with more passages than this in a language goes without bm25, which holds its index in memory; the report says so",
        low=1,
        high=10**9,
    )
    csls_neighbours: int = setting(
        10, "nearest passages per language by which the baseline csls measures crowding", low=1, high=1000
    )
    geometry: bool = setting(True, "measure how embeddings lie in space (diagnostics, never targets)")
    perturbations: tuple[str, ...] = setting(
        (),
        "changes of the queries, each measured against the clean suite; all but truncation keep the meaning",
        choices=("case", "punctuation", "diacritics", "typos", "transliteration", "code_switching", "truncation"),
    )
    perturbation_rates: tuple[str, ...] = setting(
        (),
        "how much a perturbation changes, as in `typos=0.1,truncation=0.5`: typos per letter (unset: 0.05), share cut off by "
        "truncation (1/3), probability of a switched word (0.5), of upper case (0.5); the others have no rate",
    )
    lexicon: str | None = setting(
        None,
        "word translations for the perturbation code_switching: a file of JSON lines, or `corpus` to derive them from data.corpus",
    )
    distractors: tuple[int, ...] = setting(
        (),
        "passages per language, relevant to nothing, added to every suite from the request's other suites; each number is "
        "measured, and a language that has fewer gets what there is (the report says how many)",
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
