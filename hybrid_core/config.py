"""The typed configuration of every job: what each field means, its unit, default and allowed range.

A config is a tree of frozen dataclasses. It is built from a plain mapping by `build`, which refuses unknown keys and
names the nearest valid one. `hybrid_core.recipes` merges recipe, file and command line into that mapping.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

from hybrid_core.errors import RequestError, nearest

T = TypeVar("T")


class Unparsed(str):
    """A value from the command line: text fields take it as it is, other fields read it as YAML."""


def setting(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A config field: its default, its meaning (with unit), and the values it allows."""
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high, "choices": choices})


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
class DataConfig:
    """Where texts come from."""

    corpus: str = setting(
        "sample", "training corpus: `sample` (built in) or the URI of a corpus made by ray_jobs.prepare"
    )
    suites: str | None = setting(
        None, "folder or URI under which evaluation suites lie; not needed for the built-in ones"
    )
    languages: tuple[str, ...] = setting((), "train on these languages only (ISO 639-1); empty: all of the corpus")


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """What a batch is made of. Modes: DESIGN of the plan in docs/plan.md."""

    policy: str = setting(
        "hybrid",
        "`mono`: one language a batch; `cross`: query and passage languages differ; `hybrid`: mono with probability alpha; "
        "`x_x`: negative control, languages mixed in a batch, each pair in one language",
        choices=("mono", "cross", "hybrid", "x_x"),
    )
    alpha: float | None = setting(None, "share of monolingual batches under `hybrid`; unset: 0.5", low=0.0, high=1.0)
    cross_pair: str = setting(
        "per_example",
        "draw the language pair of a cross-lingual batch per example or once per batch",
        choices=("per_example", "per_batch"),
    )
    language_exponent: float = setting(
        0.0,
        "a language (pair) is drawn with weight size**exponent: 0 is uniform (the paper), 1 proportional to size",
        low=0.0,
        high=1.0,
    )
    block: int = setting(
        100, "mode and language counts are exact over every block of this many draws", low=1, high=10_000
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimisation. Defaults follow arXiv 2408.10536 where it states a value (docs/training.md lists which)."""

    steps: int = setting(1000, "optimiser steps", low=1, high=10_000_000)
    global_batch: int = setting(
        100, "query-passage pairs in a step, over all workers; a multiple of `workers`", low=2, high=1_048_576
    )
    learning_rate: float = setting(3e-5, "peak learning rate of AdamW", low=0.0, high=1.0)
    weight_decay: float = setting(1e-2, "weight decay of AdamW (not on biases and layer norms)", low=0.0, high=1.0)
    warmup: float = setting(0.1, "share of the steps over which the learning rate rises linearly", low=0.0, high=1.0)
    schedule: str = setting("linear", "learning rate after warm-up", choices=("linear", "constant"))
    temperature: float = setting(0.02, "divides the cosine similarities before the softmax", low=1e-4, high=10.0)
    clip_norm: float = setting(1.0, "gradients are scaled down to this norm; 0 switches it off", low=0.0, high=1e6)
    micro_batch: int = setting(
        0, "pairs a worker holds activations for at once (GradCache); 0: all of its share", low=0, high=1_048_576
    )
    precision: str = setting(
        "float32", "arithmetic of the forward pass; logits are always float32", choices=("float32", "bfloat16")
    )
    workers: int = setting(1, "training processes; each takes an equal slice of every global batch", low=1, high=4096)
    threads: int = setting(1, "torch threads of a CPU worker", low=1, high=256)
    use_gpu: bool = setting(False, "give every worker one GPU")
    log_every: int = setting(10, "steps between two logged points of the loss curve", low=1, high=1_000_000)
    checkpoint_every: int = setting(100, "steps between two checkpoints", low=1, high=10_000_000)
    evaluate_every: int = setting(
        0,
        "steps between two evaluations during training (tune reports them to its scheduler); 0: none",
        low=0,
        high=10_000_000,
    )
    keep_checkpoints: int = setting(2, "checkpoints kept; older ones are deleted", low=1, high=1000)
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

    suites: tuple[str, ...] = setting(("sample",), "suite names or folders; `sample` stands for the five built-in ones")
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
class StudyConfig:
    """Arms compared under equal steps and equal data."""

    arms: tuple[str, ...] = setting(
        ("base", "mono", "cross", "hybrid"), "`base` (no training), a policy, or `hybrid@0.25` for another alpha"
    )
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
    study: StudyConfig = field(default_factory=StudyConfig)

    def __post_init__(self) -> None:
        check_alpha(self.plan)
        if self.train.global_batch % self.train.workers:
            raise RequestError(
                f"train.global_batch={self.train.global_batch} is not a multiple of train.workers={self.train.workers}; "
                "every worker takes an equal slice of each batch, so choose a multiple"
            )


def check_alpha(plan: PlanConfig) -> None:
    """Alpha belongs to `hybrid`. A value that the policy would silently ignore is an error."""
    if plan.alpha is not None and plan.policy != "hybrid":
        raise RequestError(
            f"plan.alpha={plan.alpha} has no meaning under plan.policy={plan.policy!r}; remove it or set plan.policy=hybrid"
        )


def build(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """Make a config dataclass from a nested mapping.

    Raises:
        RequestError: unknown key (the nearest valid one is named), wrong type, value outside its range.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise RequestError(f"unknown config key '{path}{key}'{nearest(key, fields)}")
    built: dict[str, Any] = {}
    for key, value in values.items():
        where, hint = f"{path}{key}", hints[key]
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise RequestError(f"{where} is a section with keys of its own, not the value {value!r}")
            built[key] = build(typing.cast(type, hint), value, f"{where}.")
        else:
            built[key] = _checked(where, value, hint, fields[key].metadata)
    return cls(**built)


def _checked(where: str, value: Any, hint: Any, meta: Mapping[str, Any]) -> Any:
    """Return the value in its field's type, or raise a RequestError that says what is allowed."""
    value = _coerced(where, value, hint)
    low, high, choices = meta["low"], meta["high"], meta["choices"]
    if value is None:
        return None
    if choices is not None and value not in choices:
        raise RequestError(f"{where}={value!r}{nearest(str(value), choices)} (allowed: {', '.join(choices)})")
    if low is not None and not low <= value <= high:
        raise RequestError(f"{where}={value} is outside [{low}, {high}]: {meta['meaning']}")
    return value


def _coerced(where: str, value: Any, hint: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None:
        if type(None) in options:
            return None
        raise RequestError(f"{where} needs a value")
    wanted = next(o for o in options if o is not type(None))
    if isinstance(value, Unparsed):
        value = _parsed(where, value, wanted, nullable=type(None) in options)
        if value is None:
            return None
    if typing.get_origin(wanted) is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
            raise RequestError(f"{where}={value!r} must be a list of names, for example a,b")
        return tuple(i.strip() for i in items if i.strip())
    if wanted is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 3e-5 as text
        except ValueError:
            raise RequestError(f"{where}={value!r} must be a number") from None
    if wanted is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise RequestError(f"{where}={value!r} must be of type {wanted.__name__}")
    return value


def _parsed(where: str, raw: Unparsed, wanted: Any, *, nullable: bool) -> Any:
    if wanted is str or typing.get_origin(wanted) is tuple:
        return None if nullable and raw in ("null", "~") else str(raw).strip("[]") if wanted is not str else str(raw)
    try:
        return yaml.safe_load(raw) if raw else ""
    except yaml.YAMLError as error:
        raise RequestError(f"{where}={str(raw)!r} is not a value in YAML: {error}") from error


def as_dict(config: Any) -> dict[str, Any]:
    """The config as plain nested dicts and lists (for YAML, JSON and MLflow)."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(config))))


def flat(config: Any) -> dict[str, Any]:
    """The config as {'path.to.field': value}."""

    def walk(node: dict[str, Any], path: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in node.items():
            out |= walk(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
        return out

    return walk(as_dict(config), "")


def digest(value: Any) -> str:
    """16 hex digits that name a JSON-able value, the same on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def config_hash(config: Config) -> str:
    """Identity of a request: everything but the place where outputs go and the name it is filed under."""
    values = as_dict(config)
    for key in ("output", "experiment"):
        values.pop(key)
    return digest(values)
