"""The texts of a step: example by example, with hard negatives in the wanted language, alike for every cut over ranks."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import LANGUAGES
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.batch import EMPTY, Batch, read_batch
from hybrid_core.config import PlanConfig
from hybrid_core.data.corpus import Corpus, Negative, Pair
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.plan import BatchPlan, StepPlan

quick = settings(max_examples=40)
BATCH, MEANINGS = 12, 20
configs = st.builds(
    PlanConfig,
    policy=st.sampled_from(["mono", "cross", "hybrid", "x_x", "multi_positive"]),
    translations=st.integers(1, 3),
    hard_negatives=st.integers(0, 4),
    negative_language=st.sampled_from(["passage", "query", "any"]),
)
few_steps = st.integers(0, 50)


def negatives_of(meaning: int, language: str) -> tuple[Negative, ...]:
    """Three texts of each language and the next meaning's passage; German rows name French ones only; two meanings none."""
    if meaning < 2:
        return ()
    spoken = LANGUAGES if language != "de" else ("fr",)
    made_up = [
        Negative(f"wrong {i} in {other} for {meaning} in {language}", other, i / 8 if i else None)
        for other in spoken
        for i in range(3)
    ]
    return (*made_up, Negative(f"passage {(meaning + 1) % MEANINGS} in {language}", language, 0.75))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    directory = tmp_path_factory.mktemp("corpus") / "mined"
    pairs = [
        Pair(
            f"m{m:02d}", language, f"query {m} in {language}", f"passage {m} in {language}",
            negatives=negatives_of(m, language), score=None if m % 5 == 0 else 0.5 + m / 64,
        )
        for m in range(MEANINGS) for language in LANGUAGES if (m, language) != (7, "fr")
    ]  # fmt: skip
    write_corpus(directory, pairs, licence="", sources=[])
    return Corpus.open(str(directory))


def planned(corpus: Corpus, config: PlanConfig, step: int, seed: int = 0) -> StepPlan:
    return BatchPlan({"corpus": corpus}, config, seed=seed, global_batch=BATCH).step(step)


def whole(corpus: Corpus, step: StepPlan, config: PlanConfig, seed: int = 0) -> Batch:
    return read_batch(corpus, step, config, slice(0, BATCH), seed=seed)


def by_example(values: list[str], batch: Batch) -> list[list[str]]:
    return [values[i : i + batch.slots] for i in range(0, len(values), batch.slots)]


def meaning_of(corpus: Corpus, row: int) -> int:
    return int(corpus.column("meaning_id", np.array([row]))[0][1:])


@quick
@given(config=configs, step=few_steps)
def test_every_example_brings_its_own_passage_then_translations_then_hard_negatives(
    corpus: Corpus, config: PlanConfig, step: int
) -> None:
    plan = planned(corpus, config, step)
    batch = whole(corpus, plan, config)
    width = 1 + (config.translations if config.policy == "multi_positive" else 0)
    assert batch.slots == width + config.hard_negatives
    assert len(batch.queries) == BATCH and len(batch.passages) == len(batch.languages) == BATCH * batch.slots
    assert batch.queries == corpus.column("query", plan.query_rows)
    texts, spoken = by_example(batch.passages, batch), by_example(batch.languages, batch)
    for i in range(BATCH):
        further = plan.translation_rows[i].tolist() if width > 1 else []
        rows = np.array([plan.passage_rows[i] if row < 0 else row for row in [plan.passage_rows[i], *further]])
        assert texts[i][:width] == corpus.column("passage", rows)
        assert spoken[i][:width] == corpus.column("language", rows)
        assert batch.positive[i].tolist() == [True, *(row >= 0 for row in further)] + [False] * config.hard_negatives


@quick
@given(config=configs, step=few_steps)
def test_hard_negatives_are_in_the_wanted_language_and_as_many_as_the_rows_name(
    corpus: Corpus, config: PlanConfig, step: int
) -> None:
    plan = planned(corpus, config, step)
    batch = whole(corpus, plan, config)
    width = batch.slots - config.hard_negatives
    rows = zip(plan.query_rows.tolist(), plan.passage_rows.tolist(), strict=True)
    for i, (asked, answered) in enumerate(rows):
        query_language, passage_language = corpus.column("language", np.array([asked, answered]))
        wanted = {"query": [query_language], "passage": [passage_language], "any": LANGUAGES}[config.negative_language]
        meaning = meaning_of(corpus, asked)
        named = [n.text for n in negatives_of(meaning, query_language) if n.language in wanted]
        others = [n.text for n in negatives_of(meaning, passage_language) if n.language in wanted]
        fitting = named or others
        count = min(config.hard_negatives, len(fitting))
        chosen = slice(i * batch.slots + width, i * batch.slots + width + count)
        assert len(set(batch.passages[chosen])) == count
        assert set(batch.passages[chosen]) <= set(fitting)
        assert set(batch.languages[chosen]) <= set(wanted)


@quick
@given(config=configs, step=few_steps)
def test_empty_slots_repeat_the_own_passage_and_are_neither_positive_nor_negative(
    corpus: Corpus, config: PlanConfig, step: int
) -> None:
    batch = whole(corpus, planned(corpus, config, step), config)
    texts, spoken = by_example(batch.passages, batch), by_example(batch.languages, batch)
    for i in range(BATCH):
        empty = np.flatnonzero(batch.passage_groups[i] == EMPTY)
        assert {(texts[i][s], spoken[i][s]) for s in empty} <= {(texts[i][0], spoken[i][0])}
        assert not batch.positive[i, empty].any()
        assert np.isnan(batch.teacher[i, empty]).all()
        full = [texts[i][s] for s in range(batch.slots) if s not in empty]
        assert len(set(full)) == len(full), "every other slot has a text of its own"


def test_slots_stay_empty_where_translations_or_negatives_are_missing(corpus: Corpus) -> None:
    config = PlanConfig(policy="multi_positive", translations=2, hard_negatives=2)
    first, _ = corpus.rows_of("en")
    rows = np.array([first + 7, first + 1, first + 3])  # without French; without negatives; with everything
    further = np.array([corpus.translations(rows, "en", x) for x in ("de", "fr")]).T
    batch = read_batch(corpus, StepPlan(0, "multi_positive", rows, rows, further), config, slice(0, 3), seed=0)
    assert (batch.passage_groups == EMPTY).tolist() == [
        [False, False, True, False, False],
        [False, False, False, True, True],
        [False, False, False, False, False],
    ]
    assert batch.passages[2] == batch.passages[0] == "passage 7 in en"


@quick
@given(config=configs, step=few_steps, ranks=st.integers(1, 15))
def test_the_texts_of_a_slice_are_that_part_of_the_whole_batch(
    corpus: Corpus, config: PlanConfig, step: int, ranks: int
) -> None:
    plan = planned(corpus, config, step)
    batch = whole(corpus, plan, config)
    for rank in range(ranks):
        mine = plan.slice_for(rank, ranks)  # empty for some when there are more ranks than examples
        part = read_batch(corpus, plan, config, mine, seed=0)
        passages = slice(mine.start * batch.slots, mine.stop * batch.slots)
        assert part.queries == batch.queries[mine]
        assert (part.passages, part.languages) == (batch.passages[passages], batch.languages[passages])
        np.testing.assert_array_equal(part.teacher, batch.teacher[mine])
        for name in ("query_groups", "passage_groups", "positive"):  # every rank knows these of the whole step
            np.testing.assert_array_equal(getattr(part, name), getattr(batch, name))


@quick
@given(config=configs, step=few_steps)
def test_groups_tell_which_passages_answer_which_queries(corpus: Corpus, config: PlanConfig, step: int) -> None:
    plan = planned(corpus, config, step)
    batch = whole(corpus, plan, config)
    every_passage = corpus.column("passage", np.arange(corpus.manifest["rows"]))
    group_of = dict(zip(every_passage, corpus.column("group", np.arange(len(every_passage))), strict=True))
    assert batch.query_groups.tolist() == corpus.column("group", plan.query_rows)
    texts = by_example(batch.passages, batch)
    for i in range(BATCH):
        assert (batch.passage_groups[i][batch.positive[i]] == batch.query_groups[i]).all()
        for text, group in zip(texts[i], batch.passage_groups[i], strict=True):
            assert group in (EMPTY, group_of[text]) if text in group_of else group not in (EMPTY, *group_of.values())


def test_a_negative_that_is_the_passage_of_another_query_is_none_of_that_query(corpus: Corpus) -> None:
    first, _ = corpus.rows_of("en")
    rows = np.array([first + 8, first + 9])  # the negatives of the first name the passage of the second
    config = PlanConfig(hard_negatives=4)
    batch = read_batch(corpus, StepPlan(0, "mono", rows, rows), config, slice(0, 2), seed=0)
    (slot,) = (s for s in range(1, 5) if batch.passages[s] == "passage 9 in en")
    assert batch.passage_groups[0, slot] == batch.query_groups[1] != batch.query_groups[0]


@quick
@given(config=configs, step=few_steps)
def test_the_teacher_scores_the_own_passage_and_the_negatives_named_for_the_query(
    corpus: Corpus, config: PlanConfig, step: int
) -> None:
    plan = planned(corpus, config, step)
    batch = whole(corpus, plan, config)
    width = batch.slots - config.hard_negatives
    own = np.array([np.nan if s is None else s for s in corpus.column("score", plan.query_rows)], dtype=np.float32)
    np.testing.assert_array_equal(batch.teacher[:, 0], own)
    assert np.isnan(batch.teacher[:, 1:width]).all()
    for i, row in enumerate(plan.query_rows.tolist()):
        (language,) = corpus.column("language", np.array([row]))
        scores = {n.text: n.score for n in negatives_of(meaning_of(corpus, row), language)}  # not of the passage's row
        for slot in range(width, batch.slots):
            score = scores.get(batch.passages[i * batch.slots + slot])
            found = batch.teacher[i, slot]
            assert np.isnan(found) if score is None else found == score


def test_negatives_of_the_passages_row_stand_in_where_the_querys_row_names_none_in_the_language(corpus: Corpus) -> None:
    config = PlanConfig(hard_negatives=2, negative_language="passage")
    asked, answered = corpus.rows_of("de")[0] + 5, corpus.rows_of("en")[0] + 5  # German rows name no English texts
    plan = StepPlan(0, "cross", np.array([asked]), np.array([answered]))
    batch = read_batch(corpus, plan, config, slice(0, 1), seed=0)
    assert set(batch.passages[1:]) <= {n.text for n in negatives_of(5, "en")}
    assert batch.languages == ["en"] * 3
    assert np.isnan(batch.teacher[0, 1:]).all()  # scored for the question in another language


def test_which_negatives_are_chosen_depends_on_seed_and_step_and_reaches_all(corpus: Corpus) -> None:
    config = PlanConfig(hard_negatives=1, negative_language="any")
    rows = np.array([corpus.rows_of("en")[0] + 4])

    def chosen(step: int, seed: int = 0) -> str:
        return read_batch(corpus, StepPlan(step, "mono", rows, rows), config, slice(0, 1), seed=seed).passages[1]

    over_steps = [chosen(step) for step in range(80)]
    assert over_steps == [chosen(step) for step in range(80)]
    assert set(over_steps) == {n.text for n in negatives_of(4, "en")}
    assert {chosen(0, seed) for seed in range(80)} == set(over_steps)


def test_without_hard_negatives_none_are_brought(corpus: Corpus) -> None:
    config = PlanConfig(policy="mono")
    batch = whole(corpus, planned(corpus, config, 3), config)
    assert batch.slots == 1 and batch.positive.all()
    assert not any("wrong" in text for text in batch.passages)
    assert [p.replace("passage", "query") for p in batch.passages] == batch.queries
