"""The training corpora of a request by name, each with its share of the batches and the way its batches are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hybrid_core.config import Config, CorpusConfig, PlanConfig, refuse_unread
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.sample import corpus_location
from hybrid_core.errors import RequestError, nearest
from hybrid_core.plan import BatchPlan

ONLY = "corpus"
"""Name of the corpus of a request that has one."""


@dataclass(frozen=True)
class Source:
    """A corpus and how its batches are used."""

    corpus: Corpus
    config: CorpusConfig

    def plan(self, config: PlanConfig) -> PlanConfig:
        """The plan's config with the hard negatives of this corpus."""
        own = {name: getattr(self.config, name) for name in ("hard_negatives", "negative_language")}
        return replace(config, **{name: value for name, value in own.items() if value is not None})


Sources = Mapping[str, Source]


def open_sources(config: Config, *, verify: bool = False) -> Sources:
    """Open the corpora of data.corpora, or the one of data.corpus.

    Raises:
        RequestError: a corpus that is not complete, or none of whose languages is wanted.
    """
    data = config.data
    named = data.corpora or {ONLY: CorpusConfig(corpus=data.corpus)}
    if data.corpora and data.languages:
        spoken = {x for settings in named.values() for x in Corpus.open(corpus_location(settings.corpus)).languages}
        for language in data.languages:
            if language not in spoken:
                raise RequestError(f"data.languages: no corpus has {language!r}{nearest(language, spoken)}")
    sources = {}
    for name, settings in named.items():
        location = corpus_location(settings.corpus)
        languages = data.languages
        if data.corpora and languages:
            languages = tuple(x for x in languages if x in Corpus.open(location).languages)
            if not languages:
                raise RequestError(
                    f"data.corpora.{name} has none of data.languages={','.join(data.languages)}; leave it out"
                )
        sources[name] = Source(Corpus.open(location, languages, verify=verify), settings)
    return sources


def plan_for(config: Config, sources: Sources) -> BatchPlan:
    """The batch plan of a request.

    Raises:
        RequestError: a corpus cannot give the batches or the loss that are asked for, or a setting would not be read.
    """
    refuse_unread(config)
    for name, source in sources.items():
        loss = source.config.loss or config.train.loss
        if loss != "info_nce" and not source.corpus.manifest["scores"]:
            raise RequestError(
                f"loss {loss!r}: corpus {name!r} has no teacher scores; write some with python -m ray_jobs.mine, or name them in the source"
            )
        if (loss != "info_nce" or (source.config.negatives or config.train.negatives) == "own") and not source.plan(
            config.plan
        ).hard_negatives:
            raise RequestError(
                f"corpus {name!r}: its loss compares a query's own passages, so plan.hard_negatives (or its own) must be at least 1"
            )
    return BatchPlan(
        {name: source.corpus for name, source in sources.items()},
        config.plan,
        seed=config.seed,
        global_batch=config.train.global_batch,
        weights={name: source.config.weight for name, source in sources.items()},
        negatives={name: source.plan(config.plan) for name, source in sources.items()},
        steps=config.train.steps,
    )
