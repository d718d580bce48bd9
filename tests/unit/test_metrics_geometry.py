"""Geometry diagnostics: spaces made by hand, whose shape is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_suites import smooth_vectors

from hybrid_core.data.suites import SETTINGS, Suite, Texts
from hybrid_core.metrics import geometry as g
from hybrid_core.metrics.meanings import meaning_groups

quick = settings(max_examples=30)
random_seeds = st.integers(0, 2**32 - 1)
LANGUAGES = ("de", "en", "fr")


def parallel_suite(meanings: int, languages: tuple[str, ...] = LANGUAGES) -> Suite:
    """Every meaning once in every language; only the judgements say which passages are translations."""
    queries, passages = Texts(), Texts()
    for m in range(meanings):
        for language in languages:
            queries.add(f"{language}-{m}", language, "query", f"m{m}")
            passages.add(f"{language}-{m}", language, "passage")
    count = len(languages)
    relevant = [np.arange(m * count, (m + 1) * count) for m in range(meanings) for _ in languages]
    return Suite("parallel", queries, passages, relevant, SETTINGS, "", "")


def space(meanings: int, *, language_weight: float, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the suite above: meaning + weight * language (+ noise), queries and passages."""
    meaning, language = smooth_vectors(meanings, 1, 32), smooth_vectors(len(LANGUAGES), 2, 32)
    centre = np.repeat(meaning, len(LANGUAGES), axis=0) + language_weight * np.tile(language, (meanings, 1))
    sides = [centre + noise * smooth_vectors(len(centre), seed, 32) for seed in (3, 4)]
    left, right = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    return left.astype(np.float32), right.astype(np.float32)


def values(suite: Suite, queries: np.ndarray, passages: np.ndarray, **options: int) -> dict[tuple[str, str], float]:
    rows = g.geometry(suite, queries, passages, **({"seed": 1} | options))
    found = {(str(row["diagnostic"]), str(row["language"])): float(row["value"]) for row in rows}
    assert len(found) == len(rows) and not any(math.isnan(value) for value in found.values())
    return found


def test_pairs_on_a_circle_have_the_values_of_the_formulas() -> None:
    left, right = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [-1.0, 0.0]])
    assert g.alignment(left, right) == 3.0
    assert g.mean_cosine(left, right) == -0.5
    assert g.uniformity(left, right) == pytest.approx(math.log((math.exp(-4) + math.exp(-8)) / 2))


@quick
@given(seed=random_seeds)
def test_identical_pairs_are_aligned_and_not_spread_at_all(seed: int) -> None:
    vectors = smooth_vectors(9, seed)
    assert g.alignment(vectors, vectors) == 0.0
    assert g.uniformity(vectors, vectors) == 0.0
    assert g.mean_cosine(vectors, vectors) == pytest.approx(1.0, abs=1e-6)


@quick
@given(seed=random_seeds)
def test_distance_and_cosine_of_unit_vectors_agree_and_rotations_change_nothing(seed: int) -> None:
    left, right = smooth_vectors(9, seed), smooth_vectors(9, seed + 1)
    assert g.alignment(left, right) == pytest.approx(2 - 2 * g.mean_cosine(left, right), abs=1e-5)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((24, 24)))[0].astype(np.float32)
    for measure in (g.alignment, g.uniformity, g.mean_cosine):
        assert measure(left @ rotation, right @ rotation) == pytest.approx(measure(left, right), abs=1e-5)
    assert g.top_component_share(left @ rotation) == pytest.approx(g.top_component_share(left), abs=1e-5)
    assert -8 <= g.uniformity(left, right) <= 0 <= g.alignment(left, right) <= 4


def test_measures_of_no_pairs_are_nan() -> None:
    nothing = np.empty((0, 3), dtype=np.float32)
    assert all(math.isnan(measure(nothing, nothing)) for measure in (g.alignment, g.uniformity, g.mean_cosine))


def test_hubness_is_the_skewness_of_hand_counted_occurrences() -> None:
    queries = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], dtype=np.float32)
    passages = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], dtype=np.float32)
    counts = np.array([2.0, 1.0, 0.0, 0.0])  # nearest one of the three queries
    wanted = ((counts - 0.75) ** 3).mean() / counts.std() ** 3
    assert g.hubness(queries, passages, k=1) == pytest.approx(wanted)
    assert math.isnan(g.hubness(queries, passages, k=4)) and math.isnan(g.hubness(queries[:0], passages, k=1))
    assert math.isnan(g.hubness(passages, passages, k=1))  # every passage once


def test_a_passage_in_the_middle_of_all_queries_is_a_hub() -> None:
    queries = smooth_vectors(700, 1) + 0.2
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    passages = smooth_vectors(300, 2)
    before = g.hubness(queries, passages)
    passages[0] = 1 / math.sqrt(24)
    assert g.hubness(queries, passages) > before + 1


def test_mutual_neighbours_of_hand_made_points() -> None:
    left = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], dtype=np.float32)
    right = np.array([[0.96, -0.28], [-0.28, 0.96]], dtype=np.float32)
    assert g.mutual_neighbours(left, right) == g.mutual_neighbours(right, left) == 2
    assert g.mutual_neighbours(left, left) == 3


@pytest.mark.parametrize("points", [3, 50])
def test_the_top_component_holds_the_variance_it_was_given(points: int) -> None:
    """Both ways of computing it: fewer points than dimensions, and more."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((points, 10)).astype(np.float32)
    eigenvalues = np.linalg.eigvalsh(np.cov(vectors.astype(np.float64), rowvar=False))
    assert g.top_component_share(vectors) == pytest.approx(eigenvalues[-1] / eigenvalues.sum(), abs=1e-5)
    assert g.top_component_share(np.outer(np.arange(5.0), np.ones(4)).astype(np.float32)) == pytest.approx(1.0)
    assert math.isnan(g.top_component_share(np.ones((5, 4), dtype=np.float32)))


def test_the_probe_is_right_where_languages_lie_apart_and_at_chance_where_nothing_tells_them() -> None:
    language = np.array(LANGUAGES * 100)
    group = np.repeat(np.random.default_rng(0).permutation(100), 3)
    apart = space(100, language_weight=2.0, noise=0.3)[0]
    assert g.language_probe(apart, language, group) == dict.fromkeys(LANGUAGES, 1.0)
    meaningless = g.language_probe(smooth_vectors(300, 5), language, group)
    assert np.mean(list(meaningless.values())) == pytest.approx(1 / 3, abs=0.12)


def test_the_probe_never_meets_a_translation_of_a_text_it_was_trained_on() -> None:
    """Copies in all languages: had a probe seen two of three, it would name the third; by meaning it can only guess.

    Vectors are one-hot by meaning plus a language mark that is another one for every meaning, so what is learnt about
    one meaning says nothing about others.
    """
    meanings = 60
    vectors = np.zeros((meanings * 3, meanings * 3), dtype=np.float32)
    vectors[np.arange(meanings * 3), np.arange(meanings * 3)] = 1
    vectors = np.repeat(vectors, 2, axis=0)  # every text twice, in one group
    language, group = np.repeat(np.array(LANGUAGES * meanings), 2), np.repeat(np.arange(meanings), 6)
    by_meaning = g.language_probe(vectors, language, group)
    torn_apart = g.language_probe(vectors, language, np.arange(len(vectors)))
    assert np.mean(list(by_meaning.values())) < 0.5 and np.mean(list(torn_apart.values())) > 0.9


def test_the_probe_of_one_language_is_undefined() -> None:
    assert g.language_probe(smooth_vectors(10, 1), np.full(10, "de"), np.arange(10)) == {}
    assert g.language_probe(smooth_vectors(2, 1), np.array(["de", "en"]), np.array([0, 0])) == {}


def test_meanings_are_joined_by_judgements_and_by_ids() -> None:
    queries, passages = Texts(), Texts()
    queries.add("q1", "de", "q", "a")
    queries.add("q2", "en", "q", "a")
    queries.add("q3", "en", "q")
    queries.add("q4", "en", "q")
    for meaning in ("", "", "x", "x", "a", "", ""):
        passages.add(f"p{len(passages)}", "de", "p", meaning)
    relevant = [np.array([0]), np.array([1, 2]), np.array([5]), np.empty(0, np.int64)]
    found = meaning_groups(Suite("s", queries, passages, relevant, SETTINGS, "", "")).tolist()
    assert found[0] == found[1] == found[2] == found[3]  # by the question "a" and by the passages' own id "x"
    assert len({found[0], found[4], found[5], found[6]}) == 4  # a passage's "a" is not the question's


def test_texts_of_one_language_are_the_first_by_place_and_translations_are_drawn_together() -> None:
    language = np.array(["en", "de", "en", "de", "en", "fr"])
    place = np.array([3, 3, 1, 1, 2, 9])
    assert g.first_per_language(language, place, 2).tolist() == [3, 1, 2, 4, 5]


def test_a_space_without_languages_is_the_same_within_and_across_them() -> None:
    suite = parallel_suite(120)
    found = values(suite, *space(120, language_weight=0.0))
    assert found[g.ALIGNMENT_WITHIN, ""] == found[g.ALIGNMENT_ACROSS, ""] == pytest.approx(0.0, abs=1e-6)
    for within, across in (
        (g.UNIFORMITY_WITHIN, g.UNIFORMITY_ACROSS), (g.RANDOM_COSINE_WITHIN, g.RANDOM_COSINE_ACROSS)
    ):  # fmt: skip
        assert found[within, ""] == pytest.approx(found[across, ""], abs=0.05)
    assert found[g.RANDOM_COSINE_WITHIN, ""] == pytest.approx(0.0, abs=0.05)
    assert found[g.RECIPROCITY, ""] == found[g.RECIPROCITY, "de"] == 1.0
    assert found[g.PROBE_CHANCE, ""] == pytest.approx(1 / 3)


def test_a_space_of_languages_shows_in_every_diagnostic_that_looks_across_them() -> None:
    suite = parallel_suite(120)
    mixed, apart = (values(suite, *space(120, language_weight=weight, noise=0.2)) for weight in (0.0, 1.5))
    for language in ("", *LANGUAGES):
        assert apart[g.ALIGNMENT_ACROSS, language] > mixed[g.ALIGNMENT_ACROSS, language] + 0.2
        assert apart[g.ALIGNMENT_ACROSS, language] > apart[g.ALIGNMENT_WITHIN, language] + 0.2
        assert apart[g.RANDOM_COSINE_WITHIN, language] > apart[g.RANDOM_COSINE_ACROSS, language] + 0.2
        assert apart[g.UNIFORMITY_WITHIN, language] > apart[g.UNIFORMITY_ACROSS, language] + 0.2
        assert apart[g.PROBE_ACCURACY, language] > 0.99
    assert apart[g.TOP_COMPONENT_SHARE, ""] > 2 * mixed[g.TOP_COMPONENT_SHARE, ""]
    assert mixed[g.PROBE_ACCURACY, ""] < 0.6


def test_random_pairs_never_pair_a_text_with_its_translation() -> None:
    """Two meanings at opposite poles: pairs of different meaning have cosine -1, any other pair +1."""
    suite = parallel_suite(2)
    poles = np.repeat(np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float32), 3, axis=0)
    found = values(suite, poles, poles)
    assert found[g.RANDOM_COSINE_ACROSS, ""] == found[g.RANDOM_COSINE_WITHIN, ""] == -1.0


def test_diagnostics_repeat_and_depend_on_the_seed_of_the_sample_only() -> None:
    suite, (queries, passages) = parallel_suite(150), space(150, language_weight=0.5, noise=0.5)
    first = values(suite, queries, passages, sample=40, pairs=60)
    assert first == values(suite, queries, passages, sample=40, pairs=60)
    assert first != values(suite, queries, passages, sample=40, pairs=60, seed=2)


def test_samples_estimate_what_the_whole_suite_has() -> None:
    suite, (queries, passages) = parallel_suite(400), space(400, language_weight=0.5, noise=0.5)
    whole, part = (values(suite, queries, passages, sample=n, pairs=p) for n, p in ((400, 40_000), (150, 6000)))
    assert whole.keys() == part.keys()
    for name, language in whole:
        if name not in (g.HUBNESS, g.RECIPROCITY, g.PROBE_ACCURACY, g.TOP_COMPONENT_SHARE):
            assert part[name, language] == pytest.approx(whole[name, language], abs=0.1)


def test_a_suite_of_one_language_has_no_diagnostics_across_languages() -> None:
    suite = parallel_suite(30, ("de",))
    found = values(suite, smooth_vectors(30, 1), smooth_vectors(30, 2))
    assert {name for name, _ in found} == {
        g.ALIGNMENT_WITHIN, g.UNIFORMITY_WITHIN, g.RANDOM_COSINE_WITHIN, g.HUBNESS, g.TOP_COMPONENT_SHARE,
    }  # fmt: skip


def test_a_suite_without_judgements_has_the_diagnostics_of_its_passages() -> None:
    suite = parallel_suite(30)
    suite.relevant = [np.empty(0, np.int64)] * 90
    found = values(suite, smooth_vectors(90, 1), smooth_vectors(90, 2))
    assert {name for name, _ in found} == {
        g.UNIFORMITY_WITHIN, g.UNIFORMITY_ACROSS, g.RANDOM_COSINE_WITHIN, g.RANDOM_COSINE_ACROSS, g.HUBNESS,
        g.TOP_COMPONENT_SHARE,
    }  # fmt: skip
