"""What each known backbone was made for: pooling and prefixes. Unknown hub names get plain, stated defaults."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True)
class Backbone:
    """Defaults of one family of encoders."""

    pattern: str
    """Shell pattern over the model name."""
    pooling: str
    """`mean` of the token states, the `cls` state, or `pooler` (cls state through the model's dense + tanh)."""
    query_prefix: str = ""
    passage_prefix: str = ""


BACKBONES = (
    Backbone("packaged:multilingual-e5-small", "mean", "query: ", "passage: "),
    Backbone("intfloat/multilingual-e5-*-instruct", "mean"),
    Backbone("intfloat/multilingual-e5-*", "mean", "query: ", "passage: "),
    Backbone("sentence-transformers/LaBSE", "pooler"),
    Backbone("setu4993/LaBSE", "pooler"),
    Backbone("BAAI/bge-m3*", "cls"),
    # arXiv 2408.10536 puts "Query:" and "Passage:" before the texts of XLM-R as E5 does; its pooling is not stated.
    Backbone("*xlm-roberta*", "mean", "query: ", "passage: "),
    Backbone("*bert-base-multilingual*", "mean", "query: ", "passage: "),
    Backbone("sentence-transformers/paraphrase-multilingual-*", "mean"),
    Backbone("*", "mean"),
)


def backbone_for(name: str) -> Backbone:
    """The first entry whose pattern matches the model name, or the last part of both (a local copy in a directory)."""
    short = name.rstrip("/").rsplit("/", 1)[-1]
    matches = (
        b
        for b in BACKBONES
        if fnmatch.fnmatchcase(name, b.pattern) or fnmatch.fnmatchcase(short, b.pattern.rsplit("/", 1)[-1])
    )
    return next(matches)
