"""Which encoder the queries of a search need: the one that made the passages' embeddings, and no other."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid_core import storage
from hybrid_core.config import Config, ModelConfig
from hybrid_core.errors import RequestError
from hybrid_core.model import encoder_settings, exported_model
from hybrid_core.recipes import RECIPES, load_config
from hybrid_core.storage import absolute, join
from ray_jobs.embed import weights_of
from ray_jobs.steps import prepare_base

_FACTS = {"name", "uri", "fingerprint"}
_SETTINGS = ("pooling", "query_prefix", "passage_prefix", "max_query_tokens", "max_passage_tokens")


def recorded_model(facts: Mapping[str, Any], place: str) -> dict[str, str]:
    """Name, uri and fingerprint of the model that made embeddings.

    Raises:
        RequestError: their facts do not say it.
    """
    recorded = facts.get("model")
    if not isinstance(recorded, dict) or not recorded.keys() >= _FACTS:
        raise RequestError(
            f"{place} does not say which model made it (facts.model with name, uri, fingerprint); encode again"
        )
    return recorded


def query_encoder(
    config: Config, args: argparse.Namespace, facts: Mapping[str, Any], dimension: int, place: str
) -> str:
    """Address of the exported encoder for the queries of a search.

    Args:
        config: names a model, or leaves it to the embeddings.
        args: of the command line: whether a model is named.
        facts: of the embeddings.
        dimension: of the embeddings.
        place: of the embeddings, for errors.

    Raises:
        RequestError: another model, or another use of it, than that of the embeddings.
    """
    recorded = recorded_model(facts, place)
    named = _names_a_model(args)
    model = _exported(config, recorded) if named else recorded["uri"]
    if not storage.exists(join(model, storage.MARKER)):
        raise RequestError(
            f"{model}, the model of {place}, is not there; set model.name to that model ({recorded['name']}) wherever it is now"
        )
    _check_weights(config.model.name if named else model, model, recorded, place)
    _check_settings(config.model, model, place)
    found = storage.read_json(join(model, "config.json"))["hidden_size"]
    if found != dimension:
        raise RequestError(f"{place} has embeddings of {dimension} components, {model} makes {found}; encode again")
    return model


def _names_a_model(args: argparse.Namespace) -> bool:
    """Whether recipe, file or command line do."""
    if "name" in RECIPES[args.recipe]().get("model", {}):
        return True
    unnamed = "(none)"
    return load_config(args.recipe, args.config, args.set, under_file=[f"model.name={unnamed}"]).model.name != unnamed


def _exported(config: Config, recorded: Mapping[str, str]) -> str:
    """The named model: where it lies, if it was exported already, else exported now."""
    name = config.model.name
    if name.startswith("s3://") or Path(name).is_dir():
        place = absolute(name)
        if storage.exists(join(place, storage.MARKER)) and weights_of(place) == recorded["fingerprint"]:
            return place
    if config.model.vocabulary == "trimmed":
        raise RequestError(
            f"model.vocabulary=trimmed: what {name!r} was trimmed to is not known here; leave out model.name, the embeddings say it"
        )
    return prepare_base(config, [], with_corpus=False)


def _check_weights(name: str, model: str, recorded: Mapping[str, str], place: str) -> None:
    found = weights_of(model)
    if found != recorded["fingerprint"]:
        raise RequestError(
            f"model.name={name!r} (fingerprint {found}) is not the model of {place}: {recorded['name']!r} (fingerprint "
            f"{recorded['fingerprint']}); leave out model.name, or encode the passages with it"
        )


def _check_settings(asked: ModelConfig, model: str, place: str) -> None:
    """A setting that would be ignored is refused."""
    settings = encoder_settings(exported_model(ModelConfig(), model))
    for field in _SETTINGS:
        wanted, used = getattr(asked, field), getattr(settings, field)
        if wanted is not None and wanted != used:
            raise RequestError(
                f"model.{field}={wanted!r}, but the model of {place} was exported with {used!r}; leave it out"
            )
