"""The batch plan beyond its four basic policies: several positives, a pivot, schedules, corpora, and joined draws."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from fractions import Fraction
from itertools import pairwise, permutations
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
FOUR = ("ar", "de", "en", "hi")
POLICIES = ("mono", "cross", "hybrid", "x_x", "multi_positive")


def with_holes(meanings: int, languages: tuple[str, ...]) -> list[Pair]:
    """Every meaning lacks each language with probability 0.4."""
    generator = random.Random(7)
    return [p for p in made_up_pairs(meanings, languages) if generator.random() < 0.6]


def renamed(prefix: str, pairs: list[Pair]) -> list[Pair]:
    """The same number of rows with meanings and texts of their own."""
    return [Pair(prefix + p.meaning_id, p.language, f"{prefix} {p.query}", f"{prefix} {p.passage}") for p in pairs]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Corpus]:
    contents = {
        "equal": made_up_pairs(48, FOUR),
        "holes": with_holes(60, FOUR),
        "three": renamed("x", made_up_pairs(30)),
        "two": renamed("y", made_up_pairs(30, ("de", "en"))),
        "solo": renamed("z", made_up_pairs(30, ("en",))),
    }
    opened = {}
    for name, pairs in contents.items():
        directory = tmp_path_factory.mktemp("corpora") / name
        write_corpus(directory, pairs, licence="Apache-2.0", sources=["tests"])
        opened[name] = Corpus.open(str(directory))
    return opened


def a_plan(corpus: Corpus, *, seed: int = 0, batch: int = 12, steps: int | None = None, **config: object) -> BatchPlan:
    return BatchPlan({"corpus": corpus}, PlanConfig(**config), seed=seed, global_batch=batch, steps=steps)  # type: ignore[arg-type]


def many(corpora: dict[str, Corpus], names: str, *, batch: int = 6, **config: object) -> BatchPlan:
    weights = config.pop("weights", None)
    chosen = {name: corpora[name] for name in names.split()}
    return BatchPlan(chosen, PlanConfig(**config), seed=0, global_batch=batch, weights=weights)  # type: ignore[arg-type]


def languages(corpus: Corpus, rows: np.ndarray) -> list[str]:
    return corpus.column("language", rows)


def ordered_pairs(corpus: Corpus, planned: StepPlan) -> list[tuple[str, str]]:
    return list(zip(languages(corpus, planned.query_rows), languages(corpus, planned.passage_rows), strict=True))


def same(a: StepPlan, b: StepPlan) -> bool:
    rows = [
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("query_rows", "passage_rows", "translation_rows")
    ]
    return (a.step, a.mode, a.corpus, a.digest) == (b.step, b.mode, b.corpus, b.digest) and all(rows)


# --- several positives


@quick
@given(
    shape=st.sampled_from(["equal", "holes", "two"]), seed=seeds, step=steps, translations=st.integers(1, 5),
    exponent=st.sampled_from([0.0, 0.5, 1.0]), batch=st.integers(1, 20),
)  # fmt: skip
def test_further_positives_are_the_translations_of_the_own_passage_as_many_as_there_are(
    corpora: dict[str, Corpus], shape: str, seed: int, step: int, translations: int, exponent: float, batch: int
) -> None:
    corpus = corpora[shape]
    plan = a_plan(
        corpus, seed=seed, batch=batch, policy="multi_positive", translations=translations, language_exponent=exponent
    )
    planned = plan.step(step)
    assert (planned.step, planned.mode, planned.translation_rows.shape) == (
        step,
        "multi_positive",
        (batch, translations),
    )
    assert np.array_equal(planned.query_rows, planned.passage_rows)
    everything = np.arange(corpus.manifest["rows"])
    spoken = Counter(corpus.column("meaning_id", everything))  # in how many languages a meaning is there
    for own, further in zip(planned.query_rows, planned.translation_rows, strict=True):
        present = further[further >= 0]
        assert set(further[: len(present)]) == set(present), "-1 comes last"
        rows = np.array([own, *present])
        assert len(set(languages(corpus, rows))) == len(rows)
        (meaning,) = set(corpus.column("meaning_id", rows))
        assert len(present) == min(translations, spoken[meaning] - 1)
        assert len(present) >= 1


def test_every_language_is_asked_and_translated_into_equally_often(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, policy="multi_positive", translations=2)
    for k in range(20):
        planned = plan.step(k)
        asked = languages(corpus, planned.query_rows)
        for place in range(2):
            found = Counter(zip(asked, languages(corpus, planned.translation_rows[:, place]), strict=True))
            assert found == Counter(permutations(FOUR, 2))


def test_no_query_repeats_for_a_pair_of_languages_before_the_others_were_drawn(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, policy="multi_positive", translations=3)
    drawn: dict[tuple[str, str], list[int]] = {}
    for k in range(100):
        planned = plan.step(k)
        translated = languages(corpus, planned.translation_rows[:, 0])
        for pair, row in zip(
            zip(languages(corpus, planned.query_rows), translated, strict=True),
            planned.query_rows.tolist(),
            strict=True,
        ):
            drawn.setdefault(pair, []).append(row)
    assert len(drawn) == 12
    for rows in drawn.values():
        assert len(set(rows[:48])) == 48 and len(set(rows[48:96])) == 48
        assert rows[:48] != rows[48:96]


def test_further_positives_are_in_the_chosen_languages_only(corpora: dict[str, Corpus]) -> None:
    corpus = Corpus.open(str(corpora["equal"].directory), ["de", "hi", "en"])
    plan = a_plan(corpus, policy="multi_positive", translations=3)
    for k in range(10):
        further = plan.step(k).translation_rows
        assert (further[:, :2] >= 0).all() and (further[:, 2] == -1).all()  # three languages: two translations
        assert set(languages(corpus, further[:, :2].reshape(-1))) == {"de", "en", "hi"}


def test_the_number_of_translations_belongs_to_the_hash(corpora: dict[str, Corpus]) -> None:
    plans = [a_plan(corpora["equal"], policy="multi_positive", translations=n) for n in (1, 2, 3)]
    assert len({plan.hash for plan in plans}) == 3


def test_a_digest_covers_further_positives_and_the_corpus() -> None:
    rows, some, other = np.arange(4), np.arange(4)[:, None], np.arange(4)[::-1, None]
    plans = [StepPlan(1, "multi_positive", rows, rows, t, name) for t in (some, other) for name in ("a", "b")]
    assert len({plan.digest for plan in plans}) == 4


# --- a pivot


@quick
@given(
    shape=st.sampled_from(["equal", "holes"]), seed=seeds, step=steps, policy=st.sampled_from(["cross", "hybrid"]),
    cross_pair=st.sampled_from(["per_example", "per_batch"]),
)  # fmt: skip
def test_every_cross_lingual_pair_contains_the_pivot(
    corpora: dict[str, Corpus], shape: str, seed: int, step: int, policy: str, cross_pair: str
) -> None:
    corpus = corpora[shape]
    planned = a_plan(corpus, seed=seed, policy=policy, pivot="en", cross_pair=cross_pair, batch=10).step(step)
    for pair in ordered_pairs(corpus, planned):
        assert len(set(pair)) == (1 if planned.mode == "mono" else 2)
        assert "en" in pair or planned.mode == "mono"


def test_the_pivot_asks_and_answers_with_every_other_language_equally_often(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, policy="cross", pivot="en", batch=12)
    wanted = {pair: 2 for pair in permutations(FOUR, 2) if "en" in pair}
    assert all(Counter(ordered_pairs(corpus, plan.step(k))) == wanted for k in range(10))


def test_the_first_two_positives_contain_the_pivot(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["holes"]
    planned = a_plan(corpus, policy="multi_positive", pivot="de", translations=2, batch=24).step(0)
    asked, translated = languages(corpus, planned.query_rows), languages(corpus, planned.translation_rows[:, 0])
    assert all("de" in pair for pair in zip(asked, translated, strict=True))


def test_monolingual_batches_of_a_plan_with_pivot_visit_every_language(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plan = a_plan(corpus, policy="hybrid", pivot="en", block=16)
    asked = [
        languages(corpus, p.query_rows)[0] for p in (plan.step(k) for k in range(32)) if p.mode == "mono"
    ]  # sixteen monolingual batches: a block of the languages
    assert Counter(asked) == dict.fromkeys(FOUR, 4)


def test_a_pivot_that_is_no_language_of_the_corpus_is_refused(corpora: dict[str, Corpus]) -> None:
    with pytest.raises(
        RequestError, match=re.escape("plan.pivot='eng' is no language of the corpus; did you mean 'en'")
    ):
        a_plan(corpora["equal"], policy="cross", pivot="eng")


def test_a_language_that_shares_nothing_with_the_pivot_is_as_one_without_pairs(tmp_path: Path) -> None:
    pairs = [*made_up_pairs(20, ("de", "en")), *renamed("x", made_up_pairs(20, ("de", "fr")))]
    write_corpus(tmp_path, pairs, licence="", sources=[])
    corpus = Corpus.open(str(tmp_path))
    for refused in ({"policy": "cross"}, {"policy": "hybrid", "unpaired": "refuse"}):
        with pytest.raises(RequestError, match="language 'fr' shares no meaning"):
            a_plan(corpus, pivot="en", **refused)
    plan = a_plan(corpus, policy="hybrid", pivot="en", block=6)
    drawn = [plan.step(k) for k in range(36)]
    assert {pair for p in drawn if p.mode == "cross" for pair in ordered_pairs(corpus, p)} == {
        ("de", "en"),
        ("en", "de"),
    }
    assert ("fr", "fr") in {pair for p in drawn if p.mode == "mono" for pair in ordered_pairs(corpus, p)}


# --- schedules of alpha

shares = st.integers(0, 20).map(lambda n: n / 20)


def mono_counts(plan: BatchPlan, count: int) -> list[int]:
    """How many of the first 0, 1, 2, ... batches are monolingual."""
    counts = [0]
    for k in range(count):
        counts.append(counts[-1] + (plan.step(k).mode == "mono"))
    return counts


def rounded_integrals(alphas: list[Fraction]) -> list[int]:
    """The area under a line through alpha at 0, 1, 2, ..., rounded, up to each of them."""
    area, rounded = Fraction(0), [0]
    for left, right in pairwise(alphas):
        area += (left + right) / 2
        rounded.append(math.floor(area + Fraction(1, 2)))
    return rounded


def through(points: list[tuple[int, float]], step: int) -> Fraction:
    """Alpha at a step: on the line through the points, constant before the first and after the last."""
    points = [(points[0][0] - 1, points[0][1]), *points, (max(points[-1][0], step) + 1, points[-1][1])]
    for (a, low), (b, high) in pairwise(points):
        if a <= step <= b:
            return Fraction(str(low)) + (Fraction(str(high)) - Fraction(str(low))) * (step - a) / (b - a)
    return Fraction(str(points[0][1]))


@settings(deadline=None, max_examples=20)
@given(start=shares, end=shares, length=st.integers(2, 120), block=st.sampled_from([1, 7, 20]))
def test_a_linear_schedule_counts_the_area_under_its_line(
    corpora: dict[str, Corpus], start: float, end: float, length: int, block: int
) -> None:
    schedule = {"alpha": start, "alpha_schedule": "linear", "alpha_end": end}
    plan = a_plan(corpora["equal"], policy="hybrid", batch=2, block=block, steps=length, **schedule)
    wanted = rounded_integrals([through([(0, start), (length - 1, end)], k) for k in range(141)])
    assert plan.alpha == start
    assert mono_counts(plan, 140)[::block] == wanted[::block]


@settings(deadline=None, max_examples=20)
@given(
    points=st.lists(st.tuples(st.integers(0, 120), shares), min_size=1, max_size=5, unique_by=lambda p: p[0]).map(sorted),
    block=st.sampled_from([1, 7, 20]),
)  # fmt: skip
def test_a_piecewise_schedule_counts_the_area_under_its_lines(
    corpora: dict[str, Corpus], points: list[tuple[int, float]], block: int
) -> None:
    schedule = {"alpha_schedule": "piecewise", "alpha_points": tuple(f"{step}:{alpha}" for step, alpha in points)}
    plan = a_plan(corpora["equal"], policy="hybrid", batch=2, block=block, **schedule)
    wanted = rounded_integrals([through(points, k) for k in range(141)])
    assert mono_counts(plan, 140)[::block] == wanted[::block]


@pytest.mark.parametrize(("start", "end"), [(1.0, 0.0), (0.2, 0.9), (0.5, 0.5)])
@pytest.mark.parametrize("length", [40, 400])
def test_a_cosine_schedule_counts_the_area_under_its_curve(
    corpora: dict[str, Corpus], start: float, end: float, length: int
) -> None:
    schedule = {"alpha": start, "alpha_schedule": "cosine", "alpha_end": end}
    plan = a_plan(corpora["equal"], policy="hybrid", batch=2, block=10, steps=length, **schedule)
    alphas = [start + (end - start) * (1 - math.cos(math.pi * k / (length - 1))) / 2 for k in range(length)]
    area = np.concatenate([[0], np.cumsum((np.array(alphas[1:]) + alphas[:-1]) / 2)])
    counts = np.array(mono_counts(plan, length)[:length])
    assert np.abs(counts - area)[::10].max() <= 0.5 + 2e-4 * length  # 64 straight pieces leave less than that
    assert counts[10] == pytest.approx(10 * start, abs=1)  # flat at both ends
    assert counts[-1] - counts[-11] == pytest.approx(10 * end, abs=2)


def test_schedules_that_differ_have_hashes_that_differ(corpora: dict[str, Corpus]) -> None:
    def plan(length: int = 100, **config: object) -> BatchPlan:
        return a_plan(corpora["equal"], policy="hybrid", steps=length, **config)

    plans = [
        plan(), plan(alpha=1.0), plan(alpha=1.0, alpha_schedule="linear", alpha_end=0.5),
        plan(alpha=1.0, alpha_schedule="linear", alpha_end=0.25), plan(alpha=1.0, alpha_schedule="cosine", alpha_end=0.5),
        plan(200, alpha=1.0, alpha_schedule="linear", alpha_end=0.5),
        plan(alpha_schedule="piecewise", alpha_points=("0:1.0", "50:0.5")),
    ]  # fmt: skip
    assert len({p.hash for p in plans}) == len(plans)


def test_a_constant_schedule_is_the_plain_plan(corpora: dict[str, Corpus]) -> None:
    corpus = corpora["equal"]
    plain = a_plan(corpus, policy="hybrid", alpha=0.3)
    one_point = {"alpha_schedule": "piecewise", "alpha_points": ("0:0.3",)}
    for other in (
        a_plan(corpus, policy="hybrid", alpha=0.3, alpha_schedule="constant"),
        a_plan(corpus, policy="hybrid", alpha=0.3, steps=77),
        a_plan(corpus, policy="hybrid", **one_point),
    ):
        assert other.hash == plain.hash
        assert all(same(other.step(k), plain.step(k)) for k in range(30))
    level = a_plan(corpus, policy="hybrid", alpha=0.3, alpha_schedule="linear", alpha_end=0.3, steps=77)
    assert level.hash == plain.hash
    assert all(same(level.step(k), plain.step(k)) for k in range(120))
    assert a_plan(corpus, policy="hybrid").hash == a_plan(corpus, policy="hybrid", alpha=0.5).hash


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_schedule_over_a_run_of_unknown_length_is_refused(corpora: dict[str, Corpus], schedule: str) -> None:
    with pytest.raises(RequestError, match="needs the number of steps"):
        a_plan(corpora["equal"], policy="hybrid", alpha_schedule=schedule, alpha_end=0.1)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (("0:1", "x:0"), "'x:0' is not step:alpha"),
        (("0:1", "5"), "'5' is not step:alpha"),
        (("0:1.5",), "'0:1.5' is not step:alpha with alpha in [0, 1], for example 500:0.3"),
        (("0:nan",), "'0:nan' is not step:alpha"),
        (("-1:0.5",), "'-1:0.5' is not step:alpha"),
        (("5:1", "0:0"), "plan.alpha_points=5:1,0:0: steps must rise"),
        (("5:1", "5:0"), "plan.alpha_points=5:1,5:0: steps must rise"),
    ],
)
def test_points_that_make_no_schedule_are_refused(
    corpora: dict[str, Corpus], points: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(RequestError, match=re.escape(expected)):
        a_plan(corpora["equal"], policy="hybrid", alpha_schedule="piecewise", alpha_points=points)


# --- several corpora


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


# --- several draws a step


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


# --- slices


@settings(deadline=None, max_examples=200)
@given(size=st.integers(1, 300), ranks=st.integers(1, 80))
def test_slices_of_any_number_of_ranks_cover_the_batch_and_differ_by_one_at_most(size: int, ranks: int) -> None:
    planned = StepPlan(0, "mono", np.arange(size), np.arange(size))
    slices = [planned.slice_for(rank, ranks) for rank in range(ranks)]
    assert [row for part in slices for row in planned.query_rows[part]] == list(range(size))
    lengths = [part.stop - part.start for part in slices]
    assert max(lengths) - min(lengths) <= 1
