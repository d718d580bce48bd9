"""The plan's hash and the digests of its steps: equal for equal requests, different for all others."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import made_up_pairs
from plan_helpers import (
    a_corpus,
    equal_missing_unequal,
    opened,
    plan_of,
    same,
)

from hybrid_core.data.corpus import Corpus, Pair
from hybrid_core.plan import StepPlan

a_plan = partial(plan_of, batch=16)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    return opened(tmp_path_factory.mktemp("corpora"), equal_missing_unequal())


def test_the_hash_is_the_same_for_the_same_request(corpora: dict[str, Corpus], tmp_path: Path) -> None:
    elsewhere = a_corpus(tmp_path / "elsewhere", list(reversed(made_up_pairs(48))))
    assert a_plan(corpora["equal"], seed=3).hash == a_plan(elsewhere, seed=3).hash
    assert same(a_plan(corpora["equal"], seed=3).step(9), a_plan(elsewhere, seed=3).step(9))
    plan = a_plan(elsewhere, seed=3)
    before = plan.hash
    plan.step(4)
    assert plan.hash == before


def test_the_hash_changes_with_corpus_languages_seed_batch_and_plan(
    corpora: dict[str, Corpus], corpus_directory: Path
) -> None:
    corpus = corpora["equal"]
    plans = [
        a_plan(corpus),
        a_plan(corpora["missing"]),
        a_plan(Corpus.open(str(corpus_directory), ["de", "en"])),
        a_plan(corpus, seed=1),
        a_plan(corpus, batch=8),
        a_plan(corpus, policy="mono"),
        a_plan(corpus, policy="cross"),
        a_plan(corpus, policy="x_x"),
        a_plan(corpus, alpha=0.25),
        a_plan(corpus, cross_pair="per_batch"),
        a_plan(corpus, language_exponent=0.5),
        a_plan(corpus, block=50),
    ]
    assert len({plan.hash for plan in plans}) == len(plans)


UNREAD = {
    "mono": {"cross_pair": "per_batch", "pivot": "en", "unpaired": "refuse", "translations": 3, "corpus_exponent": 1.0,
             "negative_language": "any"},
    "cross": {"block": 7, "unpaired": "refuse", "translations": 3, "corpus_exponent": 1.0, "negative_language": "any"},
    "hybrid": {"unpaired": "refuse", "translations": 3, "corpus_exponent": 1.0, "negative_language": "query"},
    "x_x": {"block": 7, "cross_pair": "per_batch", "pivot": "en", "unpaired": "refuse", "translations": 3},
    "multi_positive": {"block": 7, "cross_pair": "per_batch", "unpaired": "refuse", "corpus_exponent": 1.0},
}  # fmt: skip


@pytest.mark.parametrize(("policy", "field"), [(policy, field) for policy in UNREAD for field in UNREAD[policy]])
def test_what_no_batch_depends_on_changes_neither_hash_nor_rows(
    corpora: dict[str, Corpus], policy: str, field: str
) -> None:
    plain = a_plan(corpora["equal"], policy=policy)
    other = a_plan(corpora["equal"], policy=policy, **{field: UNREAD[policy][field]})
    assert other.hash == plain.hash
    assert all(same(plain.step(k), other.step(k)) for k in range(40))


READ = {
    "mono": {"block": 7, "language_exponent": 0.5, "draws_per_step": 2},
    "cross": {"cross_pair": "per_batch", "pivot": "en", "language_exponent": 0.5, "draws_per_step": 2},
    "hybrid": {"cross_pair": "per_batch", "pivot": "en", "block": 7, "alpha": 0.25},
    "x_x": {"language_exponent": 0.5, "draws_per_step": 2},
    "multi_positive": {"pivot": "en", "translations": 2, "language_exponent": 0.5},
}


@pytest.mark.parametrize(("policy", "field"), [(policy, field) for policy in READ for field in READ[policy]])
def test_what_batches_depend_on_changes_hash_and_rows(corpora: dict[str, Corpus], policy: str, field: str) -> None:
    plain = a_plan(corpora["unequal"], policy=policy)
    other = a_plan(corpora["unequal"], policy=policy, **{field: READ[policy][field]})
    assert other.hash != plain.hash
    assert not all(np.array_equal(plain.step(k).query_rows, other.step(k).query_rows) for k in range(40)) or any(
        not np.array_equal(plain.step(k).translation_rows, other.step(k).translation_rows) for k in range(40)
    )


def test_the_block_of_pairs_drawn_per_batch_is_part_of_the_hash(corpora: dict[str, Corpus]) -> None:
    plans = [a_plan(corpora["equal"], policy="cross", cross_pair="per_batch", block=block) for block in (7, 100)]
    assert plans[0].hash != plans[1].hash


@pytest.mark.parametrize(("alpha", "policy"), [(1.0, "mono"), (0.0, "cross")])
def test_hybrid_of_one_mode_is_the_plan_of_that_mode(corpora: dict[str, Corpus], alpha: float, policy: str) -> None:
    hybrid = a_plan(corpora["equal"], policy="hybrid", alpha=alpha)
    alone = a_plan(corpora["equal"], policy=policy)
    assert hybrid.hash == alone.hash
    assert all(same(hybrid.step(k), alone.step(k)) for k in range(40))


def test_one_changed_text_changes_the_hash(corpora: dict[str, Corpus], tmp_path: Path) -> None:
    pairs = made_up_pairs(48)
    pairs[7] = Pair(pairs[7].meaning_id, pairs[7].language, pairs[7].query + " ", pairs[7].passage, pairs[7].dataset)
    assert a_plan(a_corpus(tmp_path / "changed", pairs)).hash != a_plan(corpora["equal"]).hash


def test_another_seed_gives_another_sequence(corpora: dict[str, Corpus]) -> None:
    sequences = [
        tuple(row for k in range(8) for row in a_plan(corpora["equal"], seed=seed).step(k).query_rows.tolist())
        for seed in range(20)
    ]
    assert len(set(sequences)) == 20


@pytest.mark.parametrize("policy", ["mono", "cross", "hybrid", "x_x"])
def test_digests_name_the_steps(corpora: dict[str, Corpus], policy: str) -> None:
    plan = a_plan(corpora["equal"], policy=policy)
    digests = [plan.step(k).digest for k in range(60)]
    assert len(set(digests)) == 60
    assert all(0 <= digest < 2**63 for digest in digests)


def test_a_digest_covers_step_mode_and_both_columns() -> None:
    rows, other = np.arange(6), np.arange(6)[::-1]
    contents = [(1, "mono", rows, rows), (2, "mono", rows, rows), (1, "x_x", rows, rows), (1, "mono", other, rows),
                (1, "mono", rows, other), (1, "mono", other, other)]  # fmt: skip
    assert len({StepPlan(*content).digest for content in contents}) == len(contents)
    assert StepPlan(1, "mono", rows, rows).digest == StepPlan(1, "mono", rows.astype(np.int32), rows.copy()).digest


def test_digests_differ_where_only_the_texts_differ(corpora: dict[str, Corpus], tmp_path: Path) -> None:
    pairs = made_up_pairs(48)
    pairs[7] = Pair(pairs[7].meaning_id, pairs[7].language, pairs[7].query + " ", pairs[7].passage, pairs[7].dataset)
    ours, other = a_plan(corpora["equal"]).step(3), a_plan(a_corpus(tmp_path / "changed", pairs)).step(3)
    assert np.array_equal(ours.query_rows, other.query_rows)
    assert ours.digest != other.digest
