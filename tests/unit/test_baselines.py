"""Free baselines: what each is fitted on, what each takes away, and that this repairs what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core import baselines
from hybrid_core.baselines import METHODS, apply, language_means, languages_without_passages, neighbourhood
from hybrid_core.errors import RequestError

LANGUAGES = ("ar", "de", "en", "zh")


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def planted(
    seed: int, *, offset: float, meanings: int = 60, width: int = 48, noise: float = 0.5
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Queries and passages of the same meanings in all languages, each language moved `offset` along its own direction."""
    rng = np.random.default_rng(seed)
    meaning = unit(rng.standard_normal((meanings, width)))
    direction = unit(rng.standard_normal((len(LANGUAGES), width)))
    moved = np.concatenate([meaning + offset * axis for axis in direction])
    sides = [unit(moved + noise / width**0.5 * rng.standard_normal(moved.shape)) for _ in range(2)]
    return sides[0], sides[1], [language for language in LANGUAGES for _ in range(meanings)]


def pooled_precision(queries: np.ndarray, passages: np.ndarray, meanings: int = 60) -> float:
    """Share of the first 4 passages that have the query's meaning, which 4 of all passages do."""
    top = np.argsort(-(queries @ passages.T), axis=1, kind="stable")[:, : len(LANGUAGES)]
    return float((top % meanings == np.arange(len(queries))[:, None] % meanings).mean())


def occurrences(queries: np.ndarray, passages: np.ndarray, k: int = 10) -> np.ndarray:
    """How many queries have each passage among their first k."""
    top = np.argsort(-(queries @ passages.T), axis=1, kind="stable")[:, :k]
    return np.bincount(top.reshape(-1), minlength=len(passages))


# --- all methods


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_nothing_is_fitted_on_queries(method: str, seed: int) -> None:
    queries, passages, languages = planted(seed, offset=1.0, meanings=8)
    first, fitted = apply(method, queries, passages, languages, languages)
    changed = queries.copy()
    changed[1:] = unit(np.random.default_rng(seed + 1).standard_normal(changed[1:].shape))
    second, again = apply(method, changed, passages, languages, languages)
    alone, still = apply(method, queries[:1], passages, languages[:1], languages)
    assert (fitted == again).all() and (fitted == still).all()
    assert (first[0] == second[0]).all() and np.allclose(first[0], alone[0], atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_shapes_types_and_values_are_stable_and_arguments_untouched(method: str) -> None:
    queries, passages, languages = planted(3, offset=1.0)
    before = queries.copy(), passages.copy()
    results = [apply(method, queries[:7], passages, languages[:7], languages) for _ in range(2)]
    width = passages.shape[1] + (method == "csls")
    assert [side.shape for side in results[0]] == [(7, width), (len(passages), width)]
    assert all(side.dtype == np.float32 for side in results[0])
    assert all((a == b).all() for a, b in zip(*results, strict=True))
    assert (queries == before[0]).all() and (passages == before[1]).all()
    if method != "csls":
        assert all(np.linalg.norm(side, axis=1) == pytest.approx(1, abs=1e-6) for side in results[0])


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_corpus_changes_no_vector(method: str) -> None:
    queries, passages, languages = planted(4, offset=1.0)
    order = np.random.default_rng(0).permutation(len(passages))
    q, p = apply(method, queries, passages, languages, languages)
    moved_q, moved_p = apply(method, queries, passages[order], languages, [languages[i] for i in order])
    assert moved_q == pytest.approx(q, abs=2e-7) and moved_p == pytest.approx(p[order], abs=2e-7)


@pytest.mark.parametrize("method", METHODS)
def test_no_queries_and_a_single_passage_are_no_problem(method: str) -> None:
    passage = unit(np.ones((1, 4)))
    q, p = apply(method, np.empty((0, 4), np.float32), passage, [], ["en"])
    assert len(q) == 0 and len(p) == 1 and np.isfinite(p).all()


def test_an_unknown_method_is_refused_with_the_nearest_name() -> None:
    queries, passages, languages = planted(0, offset=0.0, meanings=2)
    with pytest.raises(RequestError, match=r"'mean_ofset' is unknown; did you mean 'mean_offset'\?"):
        apply("mean_ofset", queries, passages, languages, languages)
    with pytest.raises(RequestError, match="allowed: csls, mean_offset, top_component"):
        apply("zzz", queries, passages, languages, languages)


def test_vectors_that_do_not_match_their_languages_are_refused() -> None:
    queries, passages, languages = planted(0, offset=0.0, meanings=2)
    with pytest.raises(ValueError, match="queries: shape"):
        apply("csls", queries, passages, languages[:-1], languages)
    with pytest.raises(ValueError, match="passages: shape"):
        apply("csls", queries, passages, languages, languages[:-1])
    with pytest.raises(ValueError, match="queries: shape"):
        apply("csls", queries[:, :-1], passages, languages, languages)
    with pytest.raises(ValueError, match="there is none"):
        apply("csls", queries[:0], passages[:0], [], [])


@pytest.mark.parametrize("method", ["mean_offset", "top_component"])
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_language_direction_is_removed_and_retrieval_restored(method: str, seed: int) -> None:
    queries, passages, languages = planted(seed, offset=2.0)
    clean = pooled_precision(*planted(seed, offset=0.0)[:2])
    destroyed = pooled_precision(queries, passages)
    restored = pooled_precision(*apply(method, queries, passages, languages, languages))
    assert clean > 0.95 and destroyed < 0.5 and restored > clean - 0.05


@pytest.mark.parametrize("method", ["mean_offset", "top_component"])
def test_a_query_language_without_passages_takes_what_all_passages_have(method: str) -> None:
    queries, passages, languages = planted(1, offset=1.0)
    q, _ = apply(method, queries[:3], passages, ["sw"] * 3, languages)
    pooled, _ = apply(method, queries[:3], passages, ["en"] * 3, ["en"] * len(passages))
    other, _ = apply(method, queries[:3], passages, ["en"] * 3, languages)
    assert q == pytest.approx(pooled, abs=1e-6)
    assert np.abs(q - other).max() > 0.01
    assert languages_without_passages(["sw", "en", "bn", "sw"], languages) == ("bn", "sw")


# --- mean_offset


def test_after_subtraction_the_passages_of_every_language_have_the_same_mean() -> None:
    _, passages, languages = planted(2, offset=1.5)
    means = language_means(passages, languages)
    named = np.array(languages)
    before = [passages[named == language].mean(0) for language in LANGUAGES]
    after = [(passages[named == language] - means[language]).mean(0) for language in LANGUAGES]
    assert max(np.abs(a - before[0]).max() for a in before) > 0.1
    assert max(np.abs(a).max() for a in after) < 1e-8


def test_offsets_on_two_axes_are_subtracted_as_by_hand() -> None:
    passages = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    q, p = apply("mean_offset", np.array([[0, 1]], np.float32), passages, ["de"], ["de", "de", "en"])
    assert p == pytest.approx(np.array([[0.2, -0.4], [-0.2, 0.4], [0, 0]]) / [[0.2**0.5], [0.2**0.5], [1]], abs=1e-6)
    assert q[0] == pytest.approx(np.array([-0.8, 0.6]), abs=1e-6)  # (0, 1) - (0.8, 0.4), of length 1


def test_the_only_passage_of_a_language_becomes_zero_and_not_noise() -> None:
    passages = unit(np.random.default_rng(0).standard_normal((5, 16)))
    for method in ("mean_offset", "top_component"):
        _, p = apply(method, passages[:1], passages, ["en"], ["en"] * 4 + ["th"])
        assert not p[4].any() and p[:4].any(1).all()


# --- top_component


def test_the_removed_component_is_the_first_singular_vector_of_the_language() -> None:
    queries, passages, languages = planted(5, offset=1.0)
    q, p = apply("top_component", queries, passages, languages, languages)
    for language in LANGUAGES:
        rows = np.array(languages) == language
        axis = np.linalg.svd(passages[rows].astype(np.float64), full_matrices=False)[2][0]
        assert np.abs(passages[rows] @ axis).mean() > 0.4
        for side, plain in ((q, queries), (p, passages)):
            assert np.abs(side[rows] @ axis).max() < 1e-6
            assert side[rows] == pytest.approx(unit(plain[rows] - np.outer(plain[rows] @ axis, axis)), abs=1e-6)


def test_the_component_is_summed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, passages, languages = planted(6, offset=1.0)
    whole = baselines.top_component(queries, passages, languages, languages)
    monkeypatch.setattr(baselines, "_COLUMNS_AT_ONCE", 7)
    for one, other in zip(whole, baselines.top_component(queries, passages, languages, languages), strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_the_number_of_neighbours_reaches_csls() -> None:
    queries, passages, languages = planted(6, offset=1.0)
    found = {
        k: apply("csls", queries, passages, languages, languages, neighbours=k)[1][:, -1] for k in (1, 4)
    }  # fmt: skip
    for k, density in found.items():
        assert density == pytest.approx(neighbourhood(passages, languages, k), abs=1e-6)
    assert (found[1] > found[4]).any()


# --- csls


def by_plain_loops(passages: np.ndarray, languages: list[str], k: int) -> list[float]:
    result = []
    for i in range(len(passages)):
        per_language = []
        for language in sorted(set(languages)):
            cosines = [
                float(passages[i].astype(float) @ passages[j])
                for j in range(len(passages))
                if j != i and languages[j] == language
            ]
            if cosines:
                per_language.append(float(np.mean(sorted(cosines)[-k:])))
        result.append(float(np.mean(per_language)) if per_language else 0.0)
    return result


@pytest.mark.parametrize("k", [1, 3, 100])
def test_the_neighbourhood_agrees_with_plain_loops_in_blocks_of_any_size(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(k)
    passages = unit(rng.standard_normal((30, 8)))
    languages = [*rng.choice(["de", "en", "zh"], 29).tolist(), "th"]  # th has one passage and thus no other
    expected = by_plain_loops(passages, languages, k)
    assert neighbourhood(passages, languages, k) == pytest.approx(np.array(expected), abs=1e-9)
    monkeypatch.setattr(baselines, "_ROWS_AT_ONCE", 4)
    monkeypatch.setattr(baselines, "_COLUMNS_AT_ONCE", 3)
    assert neighbourhood(passages, languages, k) == pytest.approx(np.array(expected), abs=1e-9)


def test_a_sample_stands_for_a_large_language_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    passages = unit(np.random.default_rng(5).standard_normal((300, 8)).astype(np.float32))
    passages[200:] = passages[100:200]  # every one of these twice
    languages = ["en"] * 60 + ["de"] * 240
    whole = neighbourhood(passages, languages, 3)
    monkeypatch.setattr(baselines, "MOST_NEIGHBOURS", 100)
    found = neighbourhood(passages, languages, 3)
    assert np.array_equal(found[100:200], found[200:])
    assert not np.allclose(found, whole) and np.corrcoef(found, whole)[0, 1] > 0.7
    order = np.random.default_rng(6).permutation(300)
    assert np.array_equal(neighbourhood(passages[order], [languages[i] for i in order], 3), found[order])
    monkeypatch.setattr(baselines, "MOST_NEIGHBOURS", 240)
    assert np.array_equal(neighbourhood(passages, languages, 3), whole)


def test_inner_products_are_twice_the_cosine_less_the_neighbourhood() -> None:
    queries, passages, languages = planted(7, offset=1.0, meanings=10)
    q, p = baselines.csls(queries, passages, languages, languages, neighbours=4)
    density = neighbourhood(passages, languages, 4)
    assert q @ p.T == pytest.approx(2 * queries @ passages.T - density[None, :], abs=1e-6)


def test_a_duplicate_passage_is_a_neighbour_and_identical_passages_keep_identical_scores() -> None:
    passages = unit(np.random.default_rng(1).standard_normal((700, 24)))
    passages[650] = passages[3]
    density = neighbourhood(passages, ["en"] * 700, 1)
    assert density[3] == density[650] == pytest.approx(1.0, abs=1e-6)
    assert density[4] < 0.99


@pytest.mark.parametrize("seed", range(3))
def test_csls_takes_planted_hubs_out_of_the_lists_and_loses_no_answers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    common = unit(rng.standard_normal((1, 40)))
    meaning = unit(unit(rng.standard_normal((200, 40))) + 1.5 * common)
    hubs = unit(common + 0.05 * unit(rng.standard_normal((6, 40))))  # near the middle of everything
    queries = unit(meaning + 0.5 * unit(rng.standard_normal(meaning.shape)))
    passages = np.concatenate([meaning, hubs])
    scaled = apply("csls", queries, passages, ["en", "de"] * 100, ["en", "de"] * 103)
    before, after = occurrences(queries, passages), occurrences(*scaled)
    assert before[200:].min() > 100 and after[200:].max() < 20  # in the first 10 of how many of 200 queries
    skew = [float((((n - n.mean()) / n.std()) ** 3).mean()) for n in (before, after)]
    assert skew[0] > 5 and skew[1] < 1
    assert (np.argmax(scaled[0] @ scaled[1].T, axis=1) == np.arange(200)).mean() > 0.98


def test_a_hub_of_the_other_languages_alone_is_lowered_too() -> None:
    rng = np.random.default_rng(9)
    english = unit(rng.standard_normal((80, 40)))
    german = unit(rng.standard_normal((80, 40)) + 2.0 * np.eye(40)[0] * 40**0.5)
    hub = unit(np.eye(40)[:1] + 0.01)  # an English passage in the middle of the German ones, far from the English ones
    density = neighbourhood(np.concatenate([english, german, hub]), ["en"] * 80 + ["de"] * 80 + ["en"], 10)
    assert density[-1] > density[:80].max()
