"""The batch plan over several corpora, with several draws a step, and cut into slices for the ranks."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial

import numpy as np
import pytest
from conftest import made_up_pairs
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_helpers import (
    FOUR,
    languages,
    opened,
    ordered_pairs,
    plan_of,
    renamed,
    same,
    with_holes,
)

from hybrid_core.config import PlanConfig
from hybrid_core.data.corpus import Corpus
from hybrid_core.errors import RequestError
from hybrid_core.plan import BatchPlan, StepPlan

a_plan = partial(plan_of, batch=12)
POLICIES = ("mono", "cross", "hybrid", "x_x", "multi_positive")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    contents = {
        "equal": made_up_pairs(48, FOUR),
        "holes": with_holes(60, FOUR),
        "three": renamed("x", made_up_pairs(30)),
        "two": renamed("y", made_up_pairs(30, ("de", "en"))),
        "solo": renamed("z", made_up_pairs(30, ("en",))),
    }
    return opened(tmp_path_factory.mktemp("corpora"), contents)


def many(corpora: dict[str, Corpus], names: str, *, batch: int = 6, **config: object) -> BatchPlan:
    weights = config.pop("weights", None)
    chosen = {name: corpora[name] for name in names.split()}
    return BatchPlan(chosen, PlanConfig(**config), seed=0, global_batch=batch, weights=weights)  # type: ignore[arg-type]


def test_every_batch_is_of_one_corpus_in_exact_shares_and_alpha_stays_exact(corpora: dict[str, Corpus]) -> None:
    weights = {"three": 2.0, "two": 1.0, "solo": 1.0}
    plan = many(corpora, "three two solo", policy="hybrid", alpha=0.25, block=24, weights=weights)
    seen: Counter[tuple[str, str]] = Counter()
    for k in range(4 * 24 * 2):
        planned = plan.step(k)
        corpus = corpora[planned.corpus]
        pairs = ordered_pairs(corpus, planned)  # rows are of that corpus, or these would not fit
        assert all((a == b) == (planned.mode == "mono") for a, b in pairs)
        assert planned.mode == "cross" or len(set(pairs)) == 1
        assert corpus.column("meaning_id", planned.query_rows) == corpus.column("meaning_id", planned.passage_rows)
        seen[planned.mode, planned.corpus] += 1
        if (k + 1) % 24 == 0:
            assert sum(n for (mode, _), n in seen.items() if mode == "mono") == (k + 1) // 4
    assert seen == {
        ("mono", "three"): 24, ("mono", "two"): 12, ("mono", "solo"): 12,
        ("cross", "three"): 96, ("cross", "two"): 48,  # 2 : 1, without the one that has no pairs
    }  # fmt: skip


@pytest.mark.parametrize(("exponent", "counts"), [(0.0, (20, 20, 20)), (1.0, (30, 20, 10))])
def test_corpora_without_weights_are_drawn_by_size_to_the_exponent(
    corpora: dict[str, Corpus], exponent: float, counts: tuple[int, ...]
) -> None:
    plan = many(corpora, "three two solo", policy="mono", corpus_exponent=exponent, block=30)  # 90, 60 and 30 rows
    assert Counter(plan.step(k).corpus for k in range(60)) == dict(zip(("three", "two", "solo"), counts, strict=True))


def test_a_corpus_of_weight_0_is_never_drawn_and_weights_belong_to_the_hash(corpora: dict[str, Corpus]) -> None:
    plans = [
        many(corpora, "three two solo", policy="mono", weights={"three": 1.0, "two": weight, "solo": None})
        for weight in (0.0, 1.0, 2.0)
    ]
    assert {plans[0].step(k).corpus for k in range(200)} == {"three", "solo"}
    assert len({plan.hash for plan in plans}) == 3


def test_no_row_of_a_corpus_repeats_before_its_language_is_exhausted(corpora: dict[str, Corpus]) -> None:
    plan = many(corpora, "three two solo", policy="mono", batch=4)
    drawn: dict[tuple[str, str], list[int]] = {}
    for k in range(150):
        planned = plan.step(k)
        language = languages(corpora[planned.corpus], planned.query_rows)[0]
        drawn.setdefault((planned.corpus, language), []).extend(planned.query_rows.tolist())
    assert len(drawn) == 6
    for rows in drawn.values():
        assert len(rows) > 30
        assert len(set(rows[:30])) == 30


def test_the_order_in_which_corpora_are_named_changes_nothing(corpora: dict[str, Corpus]) -> None:
    one, other = (many(corpora, names, policy="hybrid") for names in ("three two solo", "solo two three"))
    assert one.hash == other.hash
    assert all(same(one.step(k), other.step(k)) for k in range(40))


def test_the_same_corpus_under_two_names_is_drawn_in_two_orders(corpora: dict[str, Corpus]) -> None:
    twins = {"a": corpora["solo"], "b": corpora["solo"]}
    plan = BatchPlan(twins, PlanConfig(policy="mono"), seed=0, global_batch=6)
    drawn: dict[str, list[int]] = {"a": [], "b": []}
    for k in range(20):
        drawn[plan.step(k).corpus] += plan.step(k).query_rows.tolist()
    assert drawn["a"][:30] != drawn["b"][:30]


def test_a_step_of_several_corpora_does_not_depend_on_those_before_it(corpora: dict[str, Corpus]) -> None:
    plan = many(corpora, "three two solo", policy="hybrid")
    in_order = [plan.step(k) for k in range(40)]
    assert all(same(many(corpora, "three two solo", policy="hybrid").step(k), in_order[k]) for k in reversed(range(40)))


@pytest.mark.parametrize(
    ("names", "config", "expected"),
    [
        ("three solo", {"policy": "cross"}, "needs at least two languages, the corpus has en"),
        ("three solo", {"policy": "multi_positive"}, "needs at least two languages, the corpus has en"),
        ("three solo", {"policy": "hybrid", "unpaired": "refuse"}, "needs at least two languages, the corpus has en"),
        ("solo", {"policy": "hybrid"}, "needs at least two languages, the corpus has en"),
        ("three two", {"policy": "mono", "draws_per_step": 2}, "plan.draws_per_step above 1 is a control for one corpus"),
        ("three two", {"hard_negatives": 1}, "hard_negatives=1: corpus 'three' names none"),
    ],
)  # fmt: skip
def test_corpora_that_cannot_give_the_batches_are_refused(
    corpora: dict[str, Corpus], names: str, config: dict[str, object], expected: str
) -> None:
    with pytest.raises(RequestError, match=re.escape(expected)):
        many(corpora, names, **config)


def test_corpora_none_of_which_has_pairs_are_refused(corpora: dict[str, Corpus]) -> None:
    twins = {"a": corpora["solo"], "b": corpora["solo"]}
    with pytest.raises(RequestError, match=re.escape("no corpus has meanings in two languages; use plan.policy=mono")):
        BatchPlan(twins, PlanConfig(policy="hybrid"), seed=0, global_batch=6)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("draws", [2, 3])
def test_a_step_of_several_draws_joins_the_batches_of_a_smaller_plan(
    corpora: dict[str, Corpus], policy: str, draws: int
) -> None:
    corpus, block = corpora["holes"], 10
    joined = a_plan(corpus, policy=policy, draws_per_step=draws, batch=12, block=block, translations=2)
    small = a_plan(corpus, policy=policy, batch=12 // draws, block=block, translations=2)
    modes = set()
    for k in range(20):
        parts, step = [small.step(k * draws + part) for part in range(draws)], joined.step(k)
        for name in ("query_rows", "passage_rows", "translation_rows"):
            assert np.array_equal(getattr(step, name), np.concatenate([getattr(part, name) for part in parts]))
        drawn = {part.mode for part in parts}
        assert step.step == k
        assert step.mode == (parts[0].mode if len(drawn) == 1 else "several")
        modes.add(step.mode)
    assert ("several" in modes) == (policy == "hybrid")
    assert joined.hash != small.hash


def test_a_schedule_counts_steps_and_not_draws(corpora: dict[str, Corpus]) -> None:
    def plan(batch: int, draws: int, *points: str) -> BatchPlan:
        schedule = {"alpha_schedule": "piecewise", "alpha_points": points, "draws_per_step": draws}
        return a_plan(corpora["equal"], policy="hybrid", batch=batch, block=6, **schedule)

    joined, small = plan(12, 3, "0:1.0", "20:0.0"), plan(4, 1, "0:1.0", "60:0.0")
    for k in range(24):
        assert np.array_equal(
            joined.step(k).query_rows, np.concatenate([small.step(3 * k + i).query_rows for i in range(3)])
        )


@settings(max_examples=200)
@given(size=st.integers(1, 300), ranks=st.integers(1, 80))
def test_slices_of_any_number_of_ranks_cover_the_batch_and_differ_by_one_at_most(size: int, ranks: int) -> None:
    planned = StepPlan(0, "mono", np.arange(size), np.arange(size))
    slices = [planned.slice_for(rank, ranks) for rank in range(ranks)]
    assert [row for part in slices for row in planned.query_rows[part]] == list(range(size))
    lengths = [part.stop - part.start for part in slices]
    assert max(lengths) - min(lengths) <= 1
