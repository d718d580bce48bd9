"""Named recipes, and how recipe, config file and `--set` become one checked config (later ones win).

A recipe is a function that returns only what differs from the defaults in `hybrid_core.config`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hybrid_core.config import Config
from hybrid_core.errors import RequestError, nearest
from hybrid_core.processor import with_precision
from hybrid_core.settings import Unparsed, build

Values = dict[str, Any]


def default() -> Values:
    """The defaults: hybrid batches on the sample corpus, one worker."""
    return {}


def quickstart() -> Values:
    """The study of the README: four arms on the built-in corpus, minutes on two cores."""
    return {
        "output": "runs/quickstart",
        "model": {"vocabulary": "trimmed", "freeze_embeddings": True, "max_query_tokens": 48, "max_passage_tokens": 96},
        "plan": {"block": 12},
        "train": {"steps": 24, "global_batch": 16, "learning_rate": 5e-5, "workers": 2, "precision": "fastest",
                  "log_every": 4, "checkpoint_every": 12},
        "encode": {"actors": 1, "threads": 2, "precision": "fastest"},
        "evaluate": {"suites": ["sample"]},
    }  # fmt: skip


def squad_parallel() -> Values:
    """Real data on a CPU: a corpus made from parallel SQuAD by ray_jobs.prepare, evaluated on XQuAD-R."""
    return {
        "output": "runs/squad_parallel",
        "data": {"corpus": "runs/squad_parallel/corpus"},
        "model": {"vocabulary": "trimmed", "freeze_embeddings": True, "max_query_tokens": 48, "max_passage_tokens": 96},
        "prepare": {"exclude": ["xquad_r", "mlqa_r"], "licence": "CC BY-SA 4.0"},
        "train": {"steps": 100, "global_batch": 32, "learning_rate": 5e-5, "workers": 2, "precision": "fastest",
                  "log_every": 10, "checkpoint_every": 25},
        "encode": {"actors": 1, "threads": 2, "precision": "fastest"},
        "evaluate": {"suites": ["xquad_r"]},
    }  # fmt: skip


def _paper(name: str) -> Values:
    """What arXiv 2408.10536 states: batch 100, AdamW 3e-5, weight decay 1e-2, alpha 0.5. Steps and temperature it does not state."""
    return {
        "model": {"name": name, "max_query_tokens": 64, "max_passage_tokens": 256},
        "plan": {"policy": "hybrid", "alpha": 0.5},
        "train": {"steps": 20_000, "global_batch": 100, "learning_rate": 3e-5, "weight_decay": 1e-2, "workers": 4, "use_gpu": True,
                  "precision": "bfloat16", "checkpoint_every": 1000, "log_every": 50},
        "encode": {"actors": 4, "use_gpu": True, "precision": "bfloat16"},
        "evaluate": {"suites": ["xquad_r", "mlqa_r"]},
    }  # fmt: skip


def xlmr_hybrid() -> Values:
    """XLM-R base as in the paper, four GPUs."""
    return _paper("xlm-roberta-base")


def labse_hybrid() -> Values:
    """LaBSE as in the paper, four GPUs."""
    return _paper("sentence-transformers/LaBSE")


def me5_hybrid() -> Values:
    """multilingual-e5-base with its own prefixes, four GPUs."""
    return _paper("intfloat/multilingual-e5-base")


RECIPES: Mapping[str, Callable[[], Values]] = {
    f.__name__: f for f in (default, quickstart, squad_parallel, xlmr_hybrid, labse_hybrid, me5_hybrid)
}


def load_config(
    recipe: str = "default", file: str | None = None, overrides: Sequence[str] = (), *, under_file: Sequence[str] = ()
) -> Config:
    """Resolve a request.

    Args:
        recipe: name of a built-in recipe.
        file: YAML file with the same tree as the config.
        overrides: `path.to.field=value`, values in YAML syntax.
        under_file: overrides of the recipe that file and `overrides` win over (those of a search space).

    Raises:
        RequestError: unknown recipe or key (the nearest is named), broken YAML, a value outside its range.
    """
    if recipe not in RECIPES:
        raise RequestError(f"unknown recipe {recipe!r}{nearest(recipe, RECIPES)}")
    values = RECIPES[recipe]()
    for override in under_file:
        values = merged(values, _parse_override(override))
    if file:
        values = merged(values, _read_yaml(Path(file)))
    for override in overrides:
        values = merged(values, _parse_override(override))
    return with_precision(build(Config, values))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Values:
    """Nested mappings combined; values of `over` win."""
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merged(out[key], value) if both else value
    return out


def _read_yaml(file: Path) -> Values:
    if not file.is_file():
        raise RequestError(f"--config {file} does not exist or is not a file")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError(f"--config {file} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise RequestError(f"--config {file} must be a mapping of config keys")
    return values


def _parse_override(text: str) -> Values:
    path, equals, raw = text.partition("=")
    if not equals or not path:
        raise RequestError(f"--set {text!r} is not path.to.field=value")
    return nested(path, Unparsed(raw))


def nested(path: str, value: Any) -> Values:
    """{"a": {"b": value}} for the path "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)
