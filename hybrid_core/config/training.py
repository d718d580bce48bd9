"""What a batch is made of, how it is trained on, and which arms are compared."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_core.settings import setting


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
        "how alpha changes: `linear` or `cosine` from alpha to alpha_end over the run, `piecewise` through alpha_points",
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
        "under `hybrid`, a corpus or language without translations feeds monolingual batches only, or is refused",
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
        100,
        "counts are exact after every so many batches: of modes among all batches, of corpora among those of a mode, of "
        "languages among the monolingual ones of a corpus",
        low=1,
        high=10_000,
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
    epsilon: float = setting(
        1e-8,
        "AdamW adds it to the root of the second moment. A gradient far below it, rounding for example, moves no weight: "
        "1e-5 holds runs on different numbers of workers closest together",
        low=1e-12,
        high=1.0,
    )
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
        "float32",
        "arithmetic of the forward pass; logits are always float32. `fastest`: bfloat16 on a GPU and on processors "
        "with instructions for it, else float32",
        choices=("float32", "bfloat16", "fastest"),
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
class StudyConfig:
    """Arms compared under equal steps and equal data."""

    arms: tuple[str, ...] = setting(
        ("base", "mono", "cross", "hybrid"),
        "`base` (no training), a policy, `hybrid@0.25` for another alpha, `hybrid/4` for plan.draws_per_step=4",
    )
    seeds: tuple[int, ...] = setting((), "train every arm once with each; empty: `seed`", low=0, high=2**31 - 1)
