"""What goes in: the encoder, the training texts, and how sources become a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid_core.settings import setting


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
    languages: tuple[str, ...] = setting((), "train on these languages only (ISO 639 codes); empty: all of the corpus")


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
