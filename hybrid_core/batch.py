"""The texts of a step: what the plan names by rows, read from the corpus, with hard negatives.

Every example brings `slots` passages: its own, its further positives, its hard negatives. They lie example by example,
so the passages of all ranks, joined in rank order, lie in the order of the global batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_core.config import PlanConfig
from hybrid_core.data.corpus import NO_GROUP, Corpus
from hybrid_core.permutation import derive_key, mix
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
    present = positives >= 0
    rows = np.where(present, positives, planned.passage_rows[:, None])
    negatives, scored = _choose_negatives(corpus, planned, config, seed)
    query_groups = np.array(corpus.column("group", planned.query_rows))
    groups = np.where(present, query_groups[:, None], EMPTY)
    texts, languages = _slots(corpus, rows[mine], negatives[mine])
    return Batch(
        queries=corpus.column("query", planned.query_rows[mine]),
        passages=texts,
        languages=languages,
        teacher=_teacher(corpus, planned.query_rows[mine], rows.shape[1], negatives[mine], scored[mine]),
        query_groups=query_groups,
        passage_groups=np.concatenate([groups, _negative_groups(corpus, negatives)], axis=1),
        positive=np.concatenate([present, np.zeros(negatives.shape, dtype=bool)], axis=1),
    )


def _choose_negatives(
    corpus: Corpus, planned: StepPlan, config: PlanConfig, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hard negatives of every example by number [B, hard_negatives], -1 where there are no more; whether a teacher's score holds.

    They are those of the query's row in the wanted language, in a keyed order. Where it has none, those of the passage's
    row serve: found for the same meaning, but scored for the question in another language.
    """
    size, count = len(planned.query_rows), config.hard_negatives
    chosen = np.full((2 * size, count), -1)
    if not count:
        return chosen[:size], np.zeros(size, dtype=bool)
    place, numbers = corpus.negatives_of(np.concatenate([planned.query_rows, planned.passage_rows]))
    if config.negative_language != "any":
        rows = planned.passage_rows if config.negative_language == "passage" else planned.query_rows
        wanted = np.array(corpus.column("language", rows))[place % size]
        fits = pc.equal(corpus.negative_column("language", numbers), pa.array(wanted, pa.string())).to_numpy(
            zero_copy_only=False
        )
        place, numbers = place[fits], numbers[fits]
    elif corpus.chosen:
        known = pc.is_in(corpus.negative_column("language", numbers), pa.array(corpus.chosen)).to_numpy(
            zero_copy_only=False
        )
        place, numbers = place[known], numbers[known]
    key = derive_key(seed, "negatives", planned.step)
    order = np.lexsort((mix(np.uint64(key) + mix(place) + numbers.astype(np.uint64)), place))
    place, numbers = place[order], numbers[order]
    nth = np.arange(len(place)) - np.searchsorted(place, place)
    taken = nth < count
    chosen[place[taken], nth[taken]] = numbers[taken]
    scored = chosen[:size, 0] >= 0
    return np.where(scored[:, None], chosen[:size], chosen[size:]), scored


def _negative_groups(corpus: Corpus, negatives: np.ndarray) -> np.ndarray:
    """Group of every hard negative [B, hard_negatives]; a text that is no passage of the corpus has one of its own."""
    groups = np.full(negatives.shape, EMPTY)
    there = negatives >= 0
    if there.any():
        found = corpus.negative_column("group", negatives[there]).to_numpy()
        groups[there] = np.where(found == NO_GROUP, -2 - negatives[there], found)
    return groups


def _slots(corpus: Corpus, rows: np.ndarray, negatives: np.ndarray) -> tuple[list[str], list[str]]:
    """Texts and languages of all slots, example by example; empty slots repeat the example's first passage."""
    columns = []
    for own, other in (("passage", "text"), ("language", "language")):
        values = np.empty((len(rows), rows.shape[1] + negatives.shape[1]), dtype=object)
        values[:, : rows.shape[1]] = np.array(corpus.column(own, rows.reshape(-1)), dtype=object).reshape(rows.shape)
        values[:, rows.shape[1] :] = values[:, :1]
        there = np.argwhere(negatives >= 0)
        found = corpus.negative_column(other, negatives[negatives >= 0]).to_pylist() if len(there) else []
        for (example, slot), value in zip(there, found, strict=True):
            values[example, rows.shape[1] + slot] = value
        columns.append(values.reshape(-1).tolist())
    return columns[0], columns[1]


def _teacher(
    corpus: Corpus, query_rows: np.ndarray, positives: int, negatives: np.ndarray, scored: np.ndarray
) -> np.ndarray:
    """Teacher scores of all slots. The teacher scored a query with its own-language passage; a translation is worth the same."""
    teacher = np.full((len(query_rows), positives + negatives.shape[1]), np.nan, dtype=np.float32)
    own = corpus.table.column("score").take(pa.array(query_rows))
    teacher[:, 0] = own.to_numpy()  # nulls come as NaN
    there = (negatives >= 0) & scored[:, None]
    if there.any():
        teacher[:, positives:][there] = corpus.negative_column("score", negatives[there]).to_numpy(zero_copy_only=False)
    return teacher
