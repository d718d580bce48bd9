"""The texts of a step: what the plan names by rows, read from the corpus, with hard negatives.

Every example brings `slots` passages: its own, its further positives, its hard negatives. They lie example by example,
so the passages of all ranks, joined in rank order, lie in the order of the global batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_core.config import PlanConfig
from hybrid_core.data.corpus import NO_GROUP, Corpus
from hybrid_core.permutation import derive_key, permute
from hybrid_core.plan import StepPlan

EMPTY = -1
"""Group of an empty slot; groups of a corpus are 0 or more, those of texts outside it -2 or less."""


@dataclass(frozen=True)
class Batch:
    """Texts of some examples of a step (a rank's slice, or all), and what the loss must know of the whole step."""

    queries: list[str]
    passages: list[str]
    """len(queries) * slots texts. An empty slot repeats the example's own passage and is neither positive nor negative."""
    languages: list[str]
    """Language of each passage."""
    teacher: np.ndarray
    """Teacher scores [len(queries), slots]; NaN where there is none."""
    query_groups: np.ndarray
    """Group of each query of the step [B]."""
    passage_groups: np.ndarray
    """Group of each passage of the step [B, slots]; a passage of a query's own group is never its negative, an EMPTY one nobody's."""
    positive: np.ndarray
    """Which slots answer their example's query [B, slots]."""

    @property
    def slots(self) -> int:
        """Passages an example brings."""
        return int(self.passage_groups.shape[1])


def read_batch(corpus: Corpus, planned: StepPlan, config: PlanConfig, mine: slice, *, seed: int) -> Batch:
    """Read the texts of the examples `mine` of a planned step."""
    positives = np.column_stack([planned.passage_rows, planned.translation_rows.reshape(len(planned.query_rows), -1)])
    own = np.repeat(planned.passage_rows[:, None], positives.shape[1], axis=1)
    present = positives >= 0
    rows = np.where(present, positives, own)
    query_groups = np.array(corpus.column("group", planned.query_rows))
    negatives = _negatives(corpus, planned, config, seed)
    groups = np.full((len(rows), rows.shape[1] + config.hard_negatives), EMPTY)
    groups[:, : rows.shape[1]] = np.where(present, query_groups[:, None], EMPTY)
    for example, chosen in enumerate(negatives):
        for slot, negative in enumerate(chosen):
            # a text that is no passage of the corpus belongs to no group
            groups[example, rows.shape[1] + slot] = negative["group"] if negative["group"] != NO_GROUP else -2 - example
    passages, languages, teacher = _slots(corpus, rows[mine], negatives[mine], config.hard_negatives)
    # The teacher scored the query with its own-language passage; a translation of that passage should be worth the same.
    teacher[:, 0] = [float("nan") if s is None else s for s in corpus.column("score", planned.query_rows[mine])]
    return Batch(
        queries=corpus.column("query", planned.query_rows[mine]),
        passages=passages,
        languages=languages,
        teacher=teacher,
        query_groups=query_groups,
        passage_groups=groups,
        positive=np.concatenate([present, np.zeros((len(rows), config.hard_negatives), dtype=bool)], axis=1),
    )


def _slots(
    corpus: Corpus, rows: np.ndarray, negatives: Sequence[Sequence[Mapping[str, Any]]], hard_negatives: int
) -> tuple[list[str], list[str], np.ndarray]:
    """Texts, languages and teacher scores of all slots, example by example."""
    texts = corpus.column("passage", rows.reshape(-1))
    languages = corpus.column("language", rows.reshape(-1))
    width = rows.shape[1]
    teacher = np.full((len(rows), width + hard_negatives), np.nan, dtype=np.float32)
    passages, spoken = [], []
    for example, chosen in enumerate(negatives):
        own = slice(example * width, (example + 1) * width)
        filling = hard_negatives - len(chosen)
        passages += [*texts[own], *(n["text"] for n in chosen), *[texts[own.start]] * filling]
        spoken += [*languages[own], *(n["language"] for n in chosen), *[languages[own.start]] * filling]
        for slot, negative in enumerate(chosen):
            if negative["score"] is not None:
                teacher[example, width + slot] = negative["score"]
    return passages, spoken, teacher


def _negatives(corpus: Corpus, planned: StepPlan, config: PlanConfig, seed: int) -> list[list[dict[str, Any]]]:
    """Hard negatives of every example, chosen by a keyed order among those in the wanted language."""
    if not config.hard_negatives:
        return [[] for _ in planned.query_rows]
    wanted: list[str | None] = [None] * len(planned.query_rows)
    if config.negative_language != "any":
        rows = planned.passage_rows if config.negative_language == "passage" else planned.query_rows
        wanted = corpus.column("language", rows)
    chosen = []
    of_passages = corpus.column("negatives", planned.passage_rows)
    for example, named in enumerate(corpus.column("negatives", planned.query_rows)):
        fitting = [n for n in named if wanted[example] in (None, n["language"])]
        if not fitting:  # those of the passage's row were found for the same meaning, asked in another language
            fitting = [n | {"score": None} for n in of_passages[example] if wanted[example] in (None, n["language"])]
        order = permute(
            np.arange(len(fitting)), max(1, len(fitting)), derive_key(seed, "negatives", planned.step, example)
        )
        chosen.append([fitting[i] for i in order[: config.hard_negatives]])
    return chosen
