"""The typed configuration of every job: what each field means, its unit, default and allowed range.

A config is a tree of frozen dataclasses. `hybrid_core.recipes` merges recipe, file and command line into a mapping;
`hybrid_core.settings.build` makes the tree from it and refuses unknown keys, naming the nearest valid one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid_core.config_checks import check_alpha, check_train
from hybrid_core.errors import RequestError
from hybrid_core.settings import as_dict, digest, setting


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The encoder: which weights, and how a text becomes one vector."""

    name: str = setting(
        "packaged:multilingual-e5-small",
        "hub name, directory, storage URI, `models:/...` of MLflow, or `packaged:multilingual-e5-small`",
    )
    pooling: str | None = setting(
        None,
        "how token states become one vector; unset: what the backbone was made for",
        choices=("mean", "cls", "pooler"),
    )
    query_prefix: str | None = setting(None, "text put before every query; unset: what the backbone was made for")
    passage_prefix: str | None = setting(None, "text put before every passage; unset: what the backbone was made for")
    max_query_tokens: int | None = setting(
        None,
        "a query is cut after this many tokens; unset: what the model was exported with, else 64",
        low=4,
        high=8192,
    )
    max_passage_tokens: int | None = setting(
        None,
        "a passage is cut after this many tokens; unset: what the model was exported with, else 256",
        low=4,
        high=8192,
    )
    vocabulary: str = setting(
        "full",
        "`trimmed` keeps only the tokens of the corpus and the suites (outputs for covered text are unchanged)",
        choices=("full", "trimmed"),
    )
    layers: int | None = setting(None, "keep only the first n transformer layers; unset: all", low=1, high=200)
    freeze_embeddings: bool = setting(False, "do not train the token, position and type embeddings")
    lora_rank: int = setting(
        0, "rank of LoRA adapters on the attention projections; 0 trains the weights themselves", low=0, high=1024
    )


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """One of several training corpora: where it lies, how often it is drawn, and how its batches are used."""

    corpus: str = setting("sample", "`sample` or the URI of a corpus made by ray_jobs.prepare or ray_jobs.mine")
    weight: float | None = setting(
        None,
        "share of the batches, relative to the other corpora; unset: size**plan.corpus_exponent",
        low=1e-6,
        high=1e9,
    )
    query_prefix: str | None = setting(None, "text put before its queries; unset: that of the model")
    passage_prefix: str | None = setting(None, "text put before its passages; unset: that of the model")
    loss: str | None = setting(
        None,
        "loss of its batches; unset: train.loss",
        choices=("info_nce", "distillation", "info_nce_and_distillation"),
    )
    negatives: str | None = setting(None, "negatives of its batches; unset: train.negatives", choices=("batch", "own"))
    hard_negatives: int | None = setting(
        None, "hard negatives of its queries; unset: plan.hard_negatives", low=0, high=100
    )
    negative_language: str | None = setting(
        None, "language of its hard negatives; unset: plan.negative_language", choices=("passage", "query", "any")
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where texts come from."""

    corpus: str = setting(
        "sample", "training corpus: `sample` (built in) or the URI of a corpus made by ray_jobs.prepare"
    )
    corpora: Mapping[str, CorpusConfig] = field(default_factory=dict, metadata={"section": CorpusConfig})
    suites: str | None = setting(
        None, "folder or URI under which evaluation suites lie; not needed for the built-in ones"
    )
    suite_passages: str | None = setting(
        None, "where the passages of MIRACL or Mr. TyDi lie if not with their topics: folder, URI or hf://datasets/NAME"
    )
    languages: tuple[str, ...] = setting((), "train on these languages only (ISO 639-1); empty: all of the corpus")


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """What a batch is made of: docs/plan.md argues every default."""

    policy: str = setting(
        "hybrid",
        "`mono`: one language a batch; `cross`: query and passage languages differ; `hybrid`: mono with probability alpha; "
        "`multi_positive`: a query in one language, its passage in that and in further languages, all positives; "
        "`x_x`: negative control, languages mixed in a batch, each pair in one language",
        choices=("mono", "cross", "hybrid", "multi_positive", "x_x"),
    )
    alpha: float | None = setting(
        None,
        "share of monolingual batches under `hybrid` (at the first step, if scheduled); unset: 0.5",
        low=0.0,
        high=1.0,
    )
    alpha_schedule: str = setting(
        "constant",
        "how alpha changes: `linear` or `cosine` from alpha to alpha_end, `piecewise` through alpha_points",
        choices=("constant", "linear", "cosine", "piecewise"),
    )
    alpha_end: float | None = setting(None, "alpha at the last step of a linear or cosine schedule", low=0.0, high=1.0)
    alpha_points: tuple[str, ...] = setting((), "step:alpha pairs of a piecewise schedule, for example 0:1.0,500:0.3")
    cross_pair: str = setting(
        "per_example",
        "draw the language pair of a cross-lingual batch per example or once per batch",
        choices=("per_example", "per_batch"),
    )
    pivot: str | None = setting(
        None, "draw only cross-lingual pairs with this language on one side (`en`: English-centred); unset: all pairs"
    )
    language_exponent: float = setting(
        0.0,
        "a language (pair) is drawn with weight size**exponent: 0 is uniform (the paper), 1 proportional to size",
        low=0.0,
        high=1.0,
    )
    corpus_exponent: float = setting(
        0.0,
        "a corpus without weight is drawn with weight size**exponent: 0 is uniform, 1 proportional",
        low=0.0,
        high=1.0,
    )
    unpaired: str = setting(
        "mono_only",
        "a corpus or language without translations feeds monolingual batches only, or is refused",
        choices=("mono_only", "refuse"),
    )
    translations: int = setting(1, "further positives of a query under `multi_positive`", low=1, high=100)
    hard_negatives: int = setting(0, "hard negatives from the corpus for every query", low=0, high=100)
    negative_language: str = setting(
        "passage",
        "language of a query's hard negatives: that of its passage, of the query, or any that the corpus names",
        choices=("passage", "query", "any"),
    )
    block: int = setting(
        100, "mode, corpus and language counts are exact over every block of this many batches", low=1, high=10_000
    )
    draws_per_step: int = setting(
        1,
        "1: a step is one draw for all ranks. n: negative control, n smaller batches drawn one by one make up a step, as in "
        "trainers whose n ranks draw their own batch and then gather negatives",
        low=1,
        high=4096,
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimisation. Defaults follow arXiv 2408.10536 where it states a value (docs/training.md lists which)."""

    steps: int = setting(1000, "optimiser steps", low=1, high=10_000_000)
    global_batch: int = setting(100, "query-passage pairs in a step, over all workers", low=2, high=1_048_576)
    learning_rate: float = setting(3e-5, "peak learning rate of AdamW", low=0.0, high=1.0)
    weight_decay: float = setting(1e-2, "weight decay of AdamW (not on biases and layer norms)", low=0.0, high=1.0)
    warmup: float = setting(0.1, "share of the steps over which the learning rate rises linearly", low=0.0, high=1.0)
    schedule: str = setting("linear", "learning rate after warm-up", choices=("linear", "cosine", "constant"))
    temperature: float = setting(0.02, "divides the cosine similarities before the softmax", low=1e-3, high=10.0)
    learn_temperature: bool = setting(False, "train the temperature too, starting from `temperature`")
    loss: str = setting(
        "info_nce",
        "contrast with negatives, follow a teacher's scores of the query's own passages, or the sum of both",
        choices=("info_nce", "distillation", "info_nce_and_distillation"),
    )
    negatives: str = setting(
        "batch",
        "what a query's passage is contrasted with: all passages of the batch, or only its own hard negatives",
        choices=("batch", "own"),
    )
    teacher_temperature: float | None = setting(
        None, "divides the teacher's scores before their softmax; unset: `temperature`", low=1e-4, high=1000.0
    )
    matryoshka: tuple[int, ...] = setting(
        (), "the loss is averaged over the whole embedding and its first n numbers, for each n", low=1, high=65536
    )
    clip_norm: float = setting(1.0, "gradients are scaled down to this norm; 0 switches it off", low=0.0, high=1e6)
    tokens_per_forward: int | None = setting(
        None,
        "token budget of a forward pass, padding included, texts sorted by length; unset: 1024 on a CPU, 65536 on a GPU",
        low=64,
        high=10_000_000,
    )
    gradcache: bool = setting(
        False, "hold the activations of one forward pass at a time and compute them twice: memory flat in the batch"
    )
    gradient_checkpointing: bool = setting(
        False, "recompute every layer's activations in the backward pass: less memory"
    )
    precision: str = setting(
        "float32", "arithmetic of the forward pass; logits are always float32", choices=("float32", "bfloat16")
    )
    workers: int = setting(1, "training processes; each takes a slice of every global batch", low=1, high=4096)
    min_workers: int | None = setting(
        None, "go on with as few workers as this while machines are missing; unset: wait for all", low=1, high=4096
    )
    threads: int = setting(1, "torch threads of a CPU worker", low=1, high=256)
    use_gpu: bool = setting(False, "give every worker one GPU")
    log_every: int = setting(10, "steps between two logged points of the loss curve", low=1, high=1_000_000)
    agree_every: int = setting(10, "steps between two checks that all ranks hold the same batch", low=1, high=1_000_000)
    checkpoint_every: int = setting(100, "steps between two checkpoints", low=1, high=10_000_000)
    evaluate_every: int = setting(
        0,
        "steps between two evaluations during training (tune reports them to its scheduler); 0: none",
        low=0,
        high=10_000_000,
    )
    select: str | None = setting(
        None, "`suite/setting/metric` by which the best checkpoint becomes the model; unset: the last step's weights"
    )
    patience: int = setting(
        0, "stop after this many evaluations in a row without a better `select`; 0: never", low=0, high=100_000
    )
    keep_checkpoints: int = setting(2, "checkpoints kept: the best by `select`, else the latest", low=1, high=1000)
    max_failures: int = setting(3, "restarts from the last checkpoint before the run is given up", low=0, high=1000)


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
class PrepareConfig:
    """How sources become a training corpus."""

    source: str | None = setting(
        None, "folder of SQuAD-format JSON (one file per language), a JSONL or Parquet file, or hf://datasets/NAME"
    )
    format: str = setting("auto", "format of the source", choices=("auto", "squad", "jsonl", "parquet", "huggingface"))
    passage: str = setting(
        "sentence",
        "what a SQuAD passage is: the sentence that holds the answer's start, or the whole paragraph",
        choices=("sentence", "paragraph"),
    )
    exclude: tuple[str, ...] = setting(
        (), "suites whose questions and passages must not be in the corpus; found by id and by text, and removed"
    )
    licence: str = setting("unknown", "licence of the texts, written into the manifest")
    minimum_characters: int = setting(1, "shorter queries or passages are dropped", low=1, high=10_000)


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


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Arms compared under equal steps and equal data."""

    arms: tuple[str, ...] = setting(
        ("base", "mono", "cross", "hybrid"),
        "`base` (no training), a policy, `hybrid@0.25` for another alpha, `hybrid/4` for plan.draws_per_step=4",
    )
    seeds: tuple[int, ...] = setting((), "train every arm once with each; empty: `seed`", low=0, high=2**31 - 1)
    in_domain: str | None = setting(
        None, "suite of the training domain; the others count as shifted. unset: the first of evaluate.suites"
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole request. Every job takes the same tree and reads the parts it needs."""

    seed: int = setting(0, "the only source of randomness", low=0, high=2**31 - 1)
    output: str = setting("runs", "folder or URI for checkpoints, embeddings, models, scores and reports")
    experiment: str = setting("hybrid-batches", "name of the MLflow experiment")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    mine: MineConfig = field(default_factory=MineConfig)
    study: StudyConfig = field(default_factory=StudyConfig)

    def __post_init__(self) -> None:
        check_alpha(self.plan)
        check_train(self.train)
        if self.data.corpora and self.data.corpus != "sample":
            raise RequestError(
                f"data.corpus={self.data.corpus!r} would not be used beside data.corpora; name it there too, or remove one of them"
            )
        if self.train.global_batch % self.plan.draws_per_step:
            raise RequestError(
                f"plan.draws_per_step={self.plan.draws_per_step} does not divide train.global_batch={self.train.global_batch}; "
                "the draws of a step are of equal size, so choose a divisor"
            )


def config_hash(config: Config) -> str:
    """Identity of a request: everything but the place where outputs go and the name it is filed under."""
    values = as_dict(config)
    for key in ("output", "experiment"):
        values.pop(key)
    return digest(values)
