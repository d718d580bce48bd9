"""The batch plan: what every policy promises of its batches, and that a step is a pure function of its number."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_helpers import (
    SHAPES,
    blocks,
    check_cross,
    check_mono,
    cross_pairs,
    equal_missing_unequal,
    exponents,
    languages,
    opened,
    plan_of,
    quick,
    same,
    seeds,
    steps,
)

from hybrid_core.data.corpus import Corpus

a_plan = partial(plan_of, batch=16)
shapes = st.sampled_from(SHAPES)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    return opened(tmp_path_factory.mktemp("corpora"), equal_missing_unequal())


@quick
@given(shape=shapes, seed=seeds, step=steps, exponent=exponents, block=blocks, batch=st.integers(2, 16))
def test_a_monolingual_batch_has_one_language(
    corpora: dict[str, Corpus], shape: str, seed: int, step: int, exponent: float, block: int, batch: int
) -> None:
    corpus = corpora[shape]
    planned = a_plan(corpus, seed=seed, batch=batch, policy="mono", language_exponent=exponent, block=block).step(step)
    assert (planned.step, planned.mode, len(planned.query_rows)) == (step, "mono", batch)
    check_mono(corpus, planned)


@quick
@given(shape=shapes, seed=seeds, step=steps, exponent=exponents, block=blocks, cross_pair=cross_pairs)
def test_a_cross_lingual_batch_joins_translations(
    corpora: dict[str, Corpus], shape: str, seed: int, step: int, exponent: float, block: int, cross_pair: str
) -> None:
    corpus = corpora[shape]
    plan = a_plan(corpus, seed=seed, policy="cross", cross_pair=cross_pair, language_exponent=exponent, block=block)
    planned = plan.step(step)
    assert (planned.step, planned.mode, len(planned.query_rows)) == (step, "cross", 16)
    check_cross(corpus, planned, cross_pair)


@quick
@given(shape=shapes, seed=seeds, step=steps, exponent=exponents, block=blocks)
def test_an_x_x_batch_mixes_monolingual_pairs(
    corpora: dict[str, Corpus], shape: str, seed: int, step: int, exponent: float, block: int
) -> None:
    corpus = corpora[shape]
    plan = a_plan(corpus, seed=seed, batch=20, policy="x_x", language_exponent=exponent, block=block)
    planned = plan.step(step)
    assert planned.mode == "x_x"
    assert np.array_equal(planned.query_rows, planned.passage_rows)
    assert len(set(languages(corpus, planned.query_rows))) > 1


@quick
@given(seed=seeds, alpha=st.floats(0.0, 1.0), step=steps, cross_pair=cross_pairs)
def test_a_hybrid_batch_is_wholly_of_one_mode(
    corpora: dict[str, Corpus], seed: int, alpha: float, step: int, cross_pair: str
) -> None:
    corpus = corpora["equal"]
    planned = a_plan(corpus, seed=seed, policy="hybrid", alpha=alpha, cross_pair=cross_pair).step(step)
    if planned.mode == "mono":
        check_mono(corpus, planned)
    else:
        assert planned.mode == "cross"
        check_cross(corpus, planned, cross_pair)


def test_a_cross_lingual_batch_per_example_has_many_ordered_pairs(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    planned = a_plan(corpus, batch=48, policy="cross").step(0)
    asked, answered = languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows)
    assert len(set(zip(asked, answered, strict=True))) == 6


@pytest.mark.parametrize(
    ("alpha", "count", "mono"), [(0.3, 1000, 300), (0.125, 400, 50), (0.0, 100, 0), (1.0, 100, 100), (None, 200, 100)]
)
def test_alpha_is_the_exact_share_of_monolingual_batches(
    corpora: dict[str, Corpus], alpha: float | None, count: int, mono: int
) -> None:
    plan = a_plan(corpora["equal"], policy="hybrid", alpha=alpha, batch=2, cross_pair="per_batch")
    modes = [plan.step(k).mode for k in range(count)]
    assert Counter(modes) == Counter({"mono": mono, "cross": count - mono})
    share = mono / count
    for start in range(0, count, 100):
        assert abs(modes[start : start + 100].count("mono") - 100 * share) < 1


def test_hybrid_modes_are_shuffled(corpora: dict[str, Corpus]) -> None:
    plan = a_plan(corpora["equal"], policy="hybrid", alpha=0.5, batch=2, cross_pair="per_batch")
    modes = [plan.step(k).mode for k in range(200)]
    changes = sum(a != b for a, b in pairwise(modes))
    assert 75 < changes < 125


@pytest.mark.parametrize("policy", ["mono", "cross", "hybrid", "x_x"])
@pytest.mark.parametrize("cross_pair", ["per_example", "per_batch"])
def test_a_step_does_not_depend_on_the_steps_before_it(
    corpora: dict[str, Corpus], policy: str, cross_pair: str
) -> None:
    corpus = corpora["missing"]
    settings_ = {"seed": 5, "batch": 8, "policy": policy, "cross_pair": cross_pair}
    plan = a_plan(corpus, **settings_)
    in_order = [plan.step(k) for k in range(30)]
    backwards = {k: plan.step(k) for k in reversed(range(30))}
    for k, planned in enumerate(in_order):
        assert same(planned, backwards[k])
        assert same(planned, a_plan(corpus, **settings_).step(k))


@quick
@given(shape=shapes, policy=st.sampled_from(["mono", "cross", "hybrid", "x_x"]), step=steps)
def test_slices_of_the_ranks_join_to_the_global_batch(
    corpora: dict[str, Corpus], shape: str, policy: str, step: int
) -> None:
    planned = a_plan(corpora[shape], policy=policy).step(step)
    for ranks in (1, 2, 4):
        parts = [planned.slice_for(rank, ranks) for rank in range(ranks)]
        assert {len(planned.query_rows[part]) for part in parts} == {16 // ranks}
        assert np.array_equal(np.concatenate([planned.query_rows[part] for part in parts]), planned.query_rows)
        assert np.array_equal(np.concatenate([planned.passage_rows[part] for part in parts]), planned.passage_rows)
