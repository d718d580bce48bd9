"""The batch plan: what every policy promises of its batches, and that a step is a pure function of its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import made_up_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core.config import PlanConfig
from hybrid_core.data.corpus import Corpus, Pair
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.errors import RequestError
from hybrid_core.plan import BatchPlan, StepPlan

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31 - 1)
steps = st.one_of(st.integers(0, 300), st.integers(10**6, 10**9))
exponents = st.sampled_from([0.0, 0.3, 1.0])
blocks = st.sampled_from([1, 7, 10, 100])
cross_pairs = st.sampled_from(["per_example", "per_batch"])
SHAPES = ("equal", "missing", "unequal")
shapes = st.sampled_from(SHAPES)


def unequal_pairs() -> list[Pair]:
    """de has 20 meanings, en 40, fr 80: the smaller languages hold the first meanings of the larger ones."""
    sizes = {"de": 20, "en": 40, "fr": 80}
    return [p for p in made_up_pairs(80) if int(p.meaning_id[1:]) < sizes[p.language]]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    contents = {
        "equal": made_up_pairs(48),
        "missing": made_up_pairs(45, ("ar", "de", "en", "hi"), missing=3),
        "unequal": unequal_pairs(),
    }
    opened = {}
    for name, pairs in contents.items():
        directory = tmp_path_factory.mktemp("corpora") / name
        write_corpus(directory, pairs, licence="Apache-2.0", sources=["tests"])
        opened[name] = Corpus.open(str(directory))
    return opened


def a_corpus(directory: Path, pairs: list[Pair]) -> Corpus:
    write_corpus(directory, pairs, licence="Apache-2.0", sources=["tests"])
    return Corpus.open(str(directory))


def a_plan(corpus: Corpus, *, seed: int = 0, batch: int = 16, **config: object) -> BatchPlan:
    return BatchPlan({"corpus": corpus}, PlanConfig(**config), seed=seed, global_batch=batch)


def languages(corpus: Corpus, rows: np.ndarray) -> list[str]:
    return corpus.column("language", rows)


def same(a: StepPlan, b: StepPlan) -> bool:
    rows_agree = np.array_equal(a.query_rows, b.query_rows) and np.array_equal(a.passage_rows, b.passage_rows)
    return (a.step, a.mode, a.digest) == (b.step, b.mode, b.digest) and rows_agree


def check_mono(corpus: Corpus, planned: StepPlan) -> None:
    assert np.array_equal(planned.query_rows, planned.passage_rows)
    assert len(set(languages(corpus, planned.query_rows))) == 1


def check_cross(corpus: Corpus, planned: StepPlan, cross_pair: str) -> None:
    asked, answered = languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows)
    assert all(q != p for q, p in zip(asked, answered, strict=True))
    meanings = corpus.column("meaning_id", planned.query_rows), corpus.column("meaning_id", planned.passage_rows)
    assert meanings[0] == meanings[1]
    if cross_pair == "per_batch":
        assert len(set(zip(asked, answered, strict=True))) == 1


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


def rows_by_language(corpus: Corpus, plan: BatchPlan, count: int) -> dict[str, list[int]]:
    """Query rows in the order in which training sees them."""
    seen: dict[str, list[int]] = {language: [] for language in corpus.languages}
    for k in range(count):
        rows = plan.step(k).query_rows
        for language, row in zip(languages(corpus, rows), rows.tolist(), strict=True):
            seen[language].append(row)
    return seen


def epochs(rows: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@pytest.mark.parametrize("policy", ["mono", "x_x"])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_row_repeats_before_its_language_is_exhausted(corpora: dict[str, Corpus], policy: str, shape: str) -> None:
    corpus = corpora[shape]
    for language, rows in rows_by_language(corpus, a_plan(corpus, batch=5, policy=policy), 90).items():
        first, end = corpus.rows_of(language)
        assert len(rows) > end - first
        for epoch in epochs(rows, end - first):
            assert len(set(epoch)) == len(epoch), f"{language}: a row is drawn again before the others were drawn once"


def test_no_row_repeats_before_the_only_language_is_exhausted(corpus_directory: Path) -> None:
    corpus = Corpus.open(str(corpus_directory), ["en"])
    rows = rows_by_language(corpus, a_plan(corpus, batch=5, policy="mono"), 90)["en"]
    orders = list(epochs(rows, 48))
    assert all(len(set(epoch)) == len(epoch) for epoch in orders)
    assert sorted(orders[0]) == list(range(*corpus.rows_of("en")))
    assert orders[0] != orders[1]


def test_a_row_is_drawn_equally_often_over_whole_blocks(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, batch=16, policy="mono", block=9)
    counts = Counter(row for k in range(81) for row in plan.step(k).query_rows.tolist())
    assert set(counts) == set(range(144))
    assert set(counts.values()) == {9}


@pytest.mark.parametrize("policy", ["cross", "hybrid"])
@pytest.mark.parametrize("cross_pair", ["per_example", "per_batch"])
def test_no_pair_repeats_before_its_languages_are_exhausted(
    corpora: dict[str, Corpus], policy: str, cross_pair: str
) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, batch=12, policy=policy, cross_pair=cross_pair)
    drawn: dict[tuple[str, str], list[int]] = {}
    for k in range(60 if policy == "cross" else 120):
        planned = plan.step(k)
        pairs = zip(languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows), strict=True)
        for pair, row in zip(pairs, planned.query_rows.tolist(), strict=True):
            drawn.setdefault(pair, []).append(row)
    assert len(drawn) == (6 if policy == "cross" else 9)
    for pair, rows in drawn.items():
        assert len(rows) > 48
        for epoch in epochs(rows, 48):
            assert len(set(epoch)) == len(epoch), f"{pair}: a row is drawn again before the others were drawn once"


@pytest.mark.parametrize("policy", ["mono", "cross", "x_x"])
def test_languages_are_not_visited_in_step_with_each_other(corpora: dict[str, Corpus], policy: str) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, batch=8, policy=policy)
    orders: dict[tuple[str, str], list[str]] = {}
    for k in range(36):
        planned = plan.step(k)
        pairs = zip(languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows), strict=True)
        for pair, meaning in zip(pairs, corpus.column("meaning_id", planned.query_rows), strict=True):
            orders.setdefault(pair, []).append(meaning)
    first_meanings = {tuple(sorted(order[:24])) for order in orders.values()}
    assert len(first_meanings) == len(orders) == (6 if policy == "cross" else 3)


def language_counts(corpus: Corpus, plan: BatchPlan, count: int) -> dict[str, int]:
    return {language: len(rows) for language, rows in rows_by_language(corpus, plan, count).items()}


def test_languages_are_uniform_under_exponent_zero(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["unequal"]
    plan = a_plan(corpus, batch=4, policy="mono", language_exponent=0.0, block=30)
    counts = language_counts(corpus, plan, 270)
    assert counts == dict.fromkeys(("de", "en", "fr"), 90 * 4)


def test_languages_are_proportional_under_exponent_one(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["unequal"]
    plan = a_plan(corpus, batch=4, policy="mono", language_exponent=1.0, block=35)
    assert language_counts(corpus, plan, 245) == {"de": 35 * 4, "en": 70 * 4, "fr": 140 * 4}


def test_languages_of_an_x_x_batch_follow_the_exponent(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["unequal"]
    uniform = a_plan(corpus, batch=15, policy="x_x", language_exponent=0.0, block=30)
    proportional = a_plan(corpus, batch=14, policy="x_x", language_exponent=1.0, block=35)
    assert language_counts(corpus, uniform, 18) == {"de": 90, "en": 90, "fr": 90}
    assert language_counts(corpus, proportional, 17 + 18) == {"de": 70, "en": 140, "fr": 280}


@pytest.mark.parametrize(
    ("exponent", "share"),
    [(0.0, [1 / 6] * 6), (1.0, [20 / 160, 20 / 160, 20 / 160, 40 / 160, 20 / 160, 40 / 160])],
)
@pytest.mark.parametrize("cross_pair", ["per_example", "per_batch"])
def test_ordered_pairs_follow_the_exponent(
    corpora: dict[str, Corpus], exponent: float, share: list[float], cross_pair: str
) -> None:
    corpus = corpora["unequal"]
    plan = a_plan(corpus, batch=20, policy="cross", language_exponent=exponent, cross_pair=cross_pair, block=24)
    counts: Counter[tuple[str, str]] = Counter()
    steps_ = 96
    for k in range(steps_):
        planned = plan.step(k)
        pairs = list(zip(languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows), strict=True))
        counts.update(pairs[:1] if cross_pair == "per_batch" else pairs)
    draws = counts.total()
    assert draws == (steps_ if cross_pair == "per_batch" else 20 * steps_)
    found = np.array([counts[pair] for pair in sorted(counts)])  # de-en, de-fr, en-de, en-fr, fr-de, fr-en
    assert np.abs(found - draws * np.array(share)).max() <= 12


def test_pairs_without_a_common_meaning_are_never_drawn(tmp_path: Path) -> None:
    pairs = made_up_pairs(20, ("de", "en"))
    pairs += [Pair(f"x{p.meaning_id}", p.language, p.query, p.passage) for p in made_up_pairs(20, ("en", "fr"))]
    corpus = a_corpus(tmp_path / "corpus", pairs)
    assert corpus.pairs_of("de", "fr") == (0, 0)
    plan = a_plan(corpus, batch=10, policy="cross")
    found = set()
    for k in range(40):
        planned = plan.step(k)
        asked, answered = languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows)
        found |= set(zip(asked, answered, strict=True))
    assert found == {("de", "en"), ("en", "de"), ("en", "fr"), ("fr", "en")}


def test_only_the_chosen_languages_are_drawn(corpus_directory: Path) -> None:
    corpus = Corpus.open(str(corpus_directory), ["fr", "de"])
    plan = a_plan(corpus, policy="hybrid")
    rows = [row for k in range(40) for row in (*plan.step(k).query_rows, *plan.step(k).passage_rows)]
    assert set(languages(corpus, np.array(rows))) == {"de", "fr"}


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


def test_an_x_x_batch_takes_from_each_language_what_its_share_is(corpora: dict[str, Corpus]) -> None:
    assert a_plan(corpora["unequal"], batch=60, policy="x_x").step(0).mode == "x_x"
    with pytest.raises(RequestError, match="de has 20 meanings and would be drawn 21 times in a batch") as error:
        a_plan(corpora["unequal"], batch=63, policy="x_x")
    assert "plan.language_exponent" in str(error.value) and "data.languages" in str(error.value)


@pytest.mark.parametrize("policy", ["cross", "multi_positive"])
def test_a_pair_that_would_fill_a_batch_with_copies_is_refused(tmp_path: Path, policy: str) -> None:
    pairs = [
        Pair(f"{lang}{p.meaning_id}", p.language, p.query, p.passage)
        for lang in ("de", "en", "fr")
        for p in made_up_pairs(30, (lang,))
    ]
    pairs += [Pair("shared", lang, f"{lang}?", f"{lang}.") for lang in ("de", "en")]
    pairs += [Pair(f"s{i}", lang, f"{lang}{i}?", f"{lang}{i}.") for lang in ("en", "fr") for i in range(20)]
    corpus = a_corpus(tmp_path / "corpus", pairs)
    with pytest.raises(RequestError, match="de-en has 1 meanings and would be drawn 4 times"):
        a_plan(corpus, batch=16, policy=policy)
    assert a_plan(corpus, batch=16, policy=policy, language_exponent=1.0).step(0).mode == policy


@pytest.mark.parametrize("policy", ["mono", "hybrid"])
def test_a_language_smaller_than_a_batch_is_refused(corpora: dict[str, Corpus], policy: str) -> None:
    with pytest.raises(RequestError, match="global_batch") as error:
        a_plan(corpora["unequal"], batch=21, policy=policy)
    message = str(error.value)
    assert "language 'de' has 20 query-passage pairs" in message
    assert "train.global_batch=21" in message
    assert "lower the batch" in message and "data.languages" in message


def test_a_language_that_just_fills_a_batch_is_accepted(corpora: dict[str, Corpus]) -> None:
    planned = a_plan(corpora["unequal"], batch=20, policy="mono").step(0)
    assert len(set(planned.query_rows.tolist())) == 20


def test_cross_takes_pairs_from_languages_smaller_than_a_batch(corpora: dict[str, Corpus]) -> None:
    check_cross(corpora["unequal"], a_plan(corpora["unequal"], batch=64, policy="cross").step(2), "per_example")


@pytest.mark.parametrize("policy", ["cross", "hybrid"])
def test_one_language_has_no_cross_lingual_batches(corpus_directory: Path, policy: str) -> None:
    corpus = Corpus.open(str(corpus_directory), ["en"])
    with pytest.raises(RequestError, match="at least two languages") as error:
        a_plan(corpus, policy=policy)
    message = str(error.value)
    assert f"plan.policy={policy!r}" in message
    assert "the corpus has en" in message
    assert "plan.policy=mono" in message and "data.corpus" in message


@pytest.mark.parametrize("policy", ["mono", "x_x"])
def test_one_language_is_enough_without_cross_lingual_batches(corpus_directory: Path, policy: str) -> None:
    corpus = Corpus.open(str(corpus_directory), ["en"])
    assert set(languages(corpus, a_plan(corpus, policy=policy).step(0).query_rows)) == {"en"}


def test_hybrid_with_alpha_one_needs_no_pairs(corpus_directory: Path) -> None:
    corpus = Corpus.open(str(corpus_directory), ["en"])
    assert a_plan(corpus, policy="hybrid", alpha=1.0).step(0).mode == "mono"


def with_french_apart(directory: Path) -> Corpus:
    """de and en share their meanings, fr has meanings of its own."""
    pairs = made_up_pairs(20, ("de", "en"))
    pairs += [Pair(f"x{p.meaning_id}", p.language, p.query, p.passage) for p in made_up_pairs(20, ("fr",))]
    return a_corpus(directory, pairs)


@pytest.mark.parametrize(
    ("policy", "unpaired"),
    [("cross", "mono_only"), ("cross", "refuse"), ("multi_positive", "mono_only"), ("hybrid", "refuse")],
)
def test_a_language_that_shares_no_meaning_is_refused(tmp_path: Path, policy: str, unpaired: str) -> None:
    with pytest.raises(RequestError, match="shares no meaning") as error:
        a_plan(with_french_apart(tmp_path / "corpus"), policy=policy, unpaired=unpaired)
    message = str(error.value)
    assert "language 'fr'" in message
    assert "data.languages" in message and "plan.policy=mono" in message and "plan.unpaired=mono_only" in message


def test_by_default_a_language_that_shares_no_meaning_feeds_monolingual_batches(tmp_path: Path) -> None:
    corpus = with_french_apart(tmp_path / "corpus")
    plan = a_plan(corpus, policy="hybrid", alpha=0.5, block=12)
    seen: dict[str, Counter[str]] = {"mono": Counter(), "cross": Counter()}
    for k in range(24):
        planned = plan.step(k)
        seen[planned.mode].update(set(languages(corpus, planned.query_rows)))
        if planned.mode == "cross":
            check_cross(corpus, planned, "per_example")
    assert seen["mono"] == {"de": 4, "en": 4, "fr": 4}
    assert seen["cross"].keys() == {"de", "en"}


def test_a_language_pair_smaller_than_a_batch_is_refused_per_batch(tmp_path: Path) -> None:
    pairs = [p for p in made_up_pairs(30) if p.language != "fr" or p.meaning_id < "m0009"]
    pairs += [Pair(f"x{p.meaning_id}", p.language, p.query, p.passage) for p in made_up_pairs(20, ("fr",))]
    corpus = a_corpus(tmp_path / "corpus", pairs)
    with pytest.raises(RequestError, match="per_batch") as error:
        a_plan(corpus, batch=10, policy="cross", cross_pair="per_batch")
    message = str(error.value)
    assert "plan.cross_pair=per_batch" in message
    assert "9 pairs" in message and "train.global_batch=10" in message
    assert "lower the batch" in message and "per_example" in message
    assert a_plan(corpus, batch=10, policy="cross").step(0).mode == "cross"


def test_digests_differ_where_only_the_texts_differ(corpora: dict[str, Corpus], tmp_path: Path) -> None:
    pairs = made_up_pairs(48)
    pairs[7] = Pair(pairs[7].meaning_id, pairs[7].language, pairs[7].query + " ", pairs[7].passage, pairs[7].dataset)
    ours, other = a_plan(corpora["equal"]).step(3), a_plan(a_corpus(tmp_path / "changed", pairs)).step(3)
    assert np.array_equal(ours.query_rows, other.query_rows)
    assert ours.digest != other.digest
