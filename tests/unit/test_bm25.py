"""BM25: tokens in every script, scores against the formula and bm25s's own, ranks against a plain sort."""

from __future__ import annotations

import math
from dataclasses import replace

import bm25s
import numpy as np
import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_core import bm25
from hybrid_core.bm25 import K1, B, bm25_scores, rank_bm25, tokenize
from hybrid_core.data.suites import SETTINGS, Suite, Texts, load_suites
from hybrid_core.metrics import ranking

needs_data = pytest.mark.skipif(not (SHARED / "xquad_r").exists(), reason="the shared evaluation data is not here")


def suite_of(
    queries: list[tuple[str, str, str]], passages: list[tuple[str, str, str]], relevant: list[list[int]]
) -> Suite:
    """A suite from (id, language, text) and, per query, rows of passages."""
    q, p = Texts(), Texts()
    for texts, rows in ((q, queries), (p, passages)):
        for row in rows:
            texts.add(*row)
    return Suite("made_up", q, p, [np.array(rows, dtype=np.int64) for rows in relevant], SETTINGS, "none", "a test")


def random_suite(seed: int, *, words: int = 12) -> Suite:
    """Short texts of few words in two languages, so that many scores are equal; ids in no order."""
    rng = np.random.default_rng(seed)

    def texts(count: int, prefix: str) -> list[tuple[str, str, str]]:
        numbers = rng.permutation(count)
        return [
            (f"{prefix}{n:03d}", str(rng.choice(["de", "en"])), " ".join(f"w{w}" for w in rng.integers(0, words, 3)))
            for n in numbers
        ]

    passages = texts(40, "p")
    queries = texts(15, "q")
    relevant = [sorted(rng.choice(40, size=rng.integers(0, 5), replace=False).tolist()) for _ in queries]
    return suite_of(queries, passages, relevant)


# --- tokens


@pytest.mark.parametrize(
    ("language", "text", "tokens"),
    [
        ("en", "Don't STOP: 3 cats, re-read!", ["don", "t", "stop", "3", "cats", "re", "read"]),
        ("de", "Straße im Ｗ１", ["straße", "im", "w1"]),  # full-width forms fold
        ("fr", "L’été", ["l", "été"]),
        ("hi", "हिन्दी में।", ["हिन्दी", "में"]),  # vowel signs and viramas are marks inside words
        ("ar", "ما هِيَ؟", ["ما", "هِيَ"]),
        ("fa", "می‌خواهم", ["میخواهم"]),  # a zero-width non-joiner is inside a word
        ("tr", "IŞIK İzmir", ["ışık", "izmir"]),
        ("en", "IZMIR", ["izmir"]),
        ("zh", "北京大学。猫", ["北京", "京大", "大学", "猫"]),
        ("ja", "東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("ja", "ﾀﾜｰ", ["タワ", "ワー"]),  # half-width katakana
        ("th", "แมว ดำ", ["แม", "มว", "ด\u0e4d", "\u0e4dา"]),  # NFKC takes am apart
        ("ko", "나라의 물", ["나라", "라의", "물"]),
        ("zh", "在GPU上运行2次", ["在", "gpu", "上运", "运行", "2", "次"]),
        ("my", "မြန်မာ", ["မြ", "ြန", "န်", "်မ", "မာ"]),
        ("en", "☺️ 1️⃣ co\u00adop", ["1", "coop"]),
        ("km", "ក\u200bខ", ["ក", "ខ"]),  # a zero-width space ends a word
        ("en", " ?!\n", []),
    ],
)  # fmt: skip
def test_texts_are_cut_as_their_script_needs(language: str, text: str, tokens: list[str]) -> None:
    assert tokenize([text], language) == [tokens]


@given(st.lists(st.text(max_size=30), max_size=5))
def test_tokens_are_never_empty_and_hold_no_space_and_one_text_does_not_touch_another(texts: list[str]) -> None:
    tokens = tokenize(texts, "en")
    assert tokens == [tokenize([text], "en")[0] for text in texts]
    assert all(token and not any(c.isspace() for c in token) for row in tokens for token in row)


@given(st.text(alphabet="北京大学猫狗", min_size=1, max_size=12))
def test_a_run_of_n_characters_gives_n_minus_1_pairs_that_rebuild_it(text: str) -> None:
    (pairs,) = tokenize([text], "zh")
    assert len(pairs) == max(1, len(text) - 1)
    assert pairs[0][0] + "".join(pair[1:] for pair in pairs) == text


# --- scores


def test_scores_of_three_passages_are_the_ones_worked_out_by_hand() -> None:
    # Lengths 3, 2 and 4, mean 3. "cat" is in 2 of 3 passages, "sat" in 1, "bird" in none.
    passages = [("a", "en", "the cat sat"), ("b", "en", "a dog"), ("c", "en", "Cat, cat and mouse")]
    suite = suite_of([("q", "en", "Sat the cat? bird!"), ("r", "en", "cat cat")], passages, [[0], [2]])
    ((language, asked, pool, scores),) = bm25_scores(suite, k1=0.9, b=0.4)
    cat, sat = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    cat_a, cat_c = cat * 1 / (1 + 0.9), cat * 2 / (2 + 0.9 * (0.6 + 0.4 * 4 / 3))
    expected = [[cat_a + 2 * sat / 1.9, 0, cat_c], [2 * cat_a, 0, 2 * cat_c]]
    assert (language, asked.tolist(), pool.tolist(), scores.dtype) == ("en", [0, 1], [0, 1, 2], np.float32)
    assert scores == pytest.approx(np.array(expected), rel=1e-6)
    assert scores[0, 0] == pytest.approx(1.2798, abs=1e-4) and scores[0, 2] == pytest.approx(0.3113, abs=1e-4)


def test_scores_are_those_of_the_library_asked_query_by_query() -> None:
    suite = random_suite(1)
    for language, asked, pool, scores in bm25_scores(suite):
        index = bm25s.BM25(method="lucene", k1=K1, b=B)
        index.index(tokenize([suite.passages.texts[row] for row in pool], language), show_progress=False)
        theirs = [index.get_scores(tokens) for tokens in tokenize([suite.queries.texts[q] for q in asked], language)]
        assert scores == pytest.approx(np.stack(theirs), rel=1e-5)


def test_words_that_no_query_asks_for_count_for_lengths_alone() -> None:
    passages = [("a", "en", "cat"), ("b", "en", "cat one two three four"), ("c", "en", "dog")]
    suite = suite_of([("q", "en", "cat"), ("r", "en", "none of these"), ("s", "en", "?")], passages, [[0], [1], [2]])
    weights, counts = bm25._matrices([text for _, _, text in passages], suite.queries.texts, "en", K1, B)
    assert weights.shape[0] == counts.shape[1] == len({"cat", "none", "of", "these"}) + 1
    ((_, _, _, scores),) = bm25_scores(suite)
    assert scores[0, 0] > scores[0, 1] > scores[0, 2] == 0 and not scores[1:].any()


@pytest.mark.parametrize("text", ["", "?!"])
def test_a_language_whose_passages_hold_no_word_scores_nothing(text: str) -> None:
    suite = suite_of([("q", "en", "cat")], [("a", "en", text), ("b", "en", text)], [[0]])
    assert [scores.tolist() for *_, scores in bm25_scores(suite)] == [[[0.0, 0.0]]]


def test_blocks_of_any_size_hold_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = random_suite(2)
    whole = {
        (lang, q): row for lang, asked, _, scores in bm25_scores(suite) for q, row in zip(asked, scores, strict=True)
    }
    ranks = rank_bm25(suite, 5)
    monkeypatch.setattr(bm25, "_SCORES_AT_ONCE", 50)
    blocks = list(bm25_scores(suite))
    parts = {(lang, q): row for lang, asked, _, scores in blocks for q, row in zip(asked, scores, strict=True)}
    assert len(blocks) > 2 and max(scores.size for *_, scores in blocks) <= 50
    assert parts.keys() == whole.keys() and all((parts[key] == whole[key]).all() for key in whole)
    again = rank_bm25(suite, 5)
    assert (again.ahead == ranks.ahead).all() and (again.top == ranks.top).all()


@pytest.mark.parametrize("text", ["...", "word"])
def test_texts_without_a_common_or_any_token_score_zero(text: str) -> None:
    suite = suite_of([("q", "en", "!?"), ("r", "en", "other")], [("a", "en", text), ("b", "en", "?")], [[1], [0]])
    ((*_, scores),) = bm25_scores(suite)
    assert scores.tolist() == [[0, 0], [0, 0]]
    assert rank_bm25(suite, 1).ahead.tolist() == [[1], [0]]


# --- ranks


def by_plain_sort(suite: Suite) -> dict[int, list[int]]:
    """Passage rows of each query's own language in the order of (score, id)."""
    ids = suite.passages.ids
    return {
        int(query): [
            int(pool[i]) for i in sorted(range(len(pool)), key=lambda i, row=row, pool=pool: (-row[i], ids[pool[i]]))
        ]
        for _, asked, pool, scores in bm25_scores(suite)
        for query, row in zip(asked, scores, strict=True)
    }


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_ranks_are_the_places_in_a_plain_sort_by_score_and_id(seed: int) -> None:
    suite = random_suite(seed)
    ranks, lists = rank_bm25(suite, 6), by_plain_sort(suite)
    entries = [(q, p) for q, rows in enumerate(suite.relevant) for p in rows]
    assert list(zip(ranks.query, ranks.passage, strict=True)) == entries
    expected = np.zeros_like(ranks.ahead)
    for entry, (q, p) in enumerate(entries):
        if suite.queries.languages[q] == suite.passages.languages[p]:
            expected[entry, ranks.languages.index(suite.queries.languages[q])] = lists[q].index(p)
    assert (ranks.ahead == expected).all()
    assert [row.tolist() for row in ranks.top] == [lists[q][:6] for q in range(len(ranks.top))]
    assert ranks.pool_sizes.tolist() == [suite.passages.languages.count(lang) for lang in ranks.languages]


def test_passages_that_share_no_word_are_ranked_by_id() -> None:
    passages = [(id, "en", f"text {id}") for id in ("c", "a", "d", "b")]
    suite = suite_of([("q", "en", "nothing")], passages, [[0, 1, 2, 3]])
    ranks = rank_bm25(suite, 10)
    assert ranks.ahead[:, 0].tolist() == [2, 0, 3, 1]
    assert ranks.top.tolist() == [[1, 3, 0, 2]]


def test_the_order_of_the_corpus_changes_no_rank() -> None:
    suite = random_suite(5, words=30)
    order = np.random.default_rng(0).permutation(len(suite.passages))
    moved = Texts()
    for row in order:
        moved.add(suite.passages.ids[row], suite.passages.languages[row], suite.passages.texts[row])
    place = np.argsort(order)
    other = replace(suite, passages=moved, relevant=[place[rows] for rows in suite.relevant])
    first, second = rank_bm25(suite, 5), rank_bm25(other, 5)
    assert (first.ahead == second.ahead).all()
    assert (place[first.top] == second.top).all()


def test_a_query_language_without_passages_and_a_short_pool_are_marked() -> None:
    queries = [("q", "sw", "maji"), ("r", "en", "water"), ("s", "de", "Wasser")]
    passages = [("a", "en", "cold"), ("b", "en", "warm water"), ("c", "de", "Wasser")]
    ranks = rank_bm25(suite_of(queries, passages, [[1], [1, 2], [2]]), 2)
    assert ranks.languages == ("de", "en")
    assert ranks.top.tolist() == [[-1, -1], [1, 0], [2, -1]]
    assert not ranks.ahead.any()


# --- real data


@needs_data
@pytest.mark.parametrize(
    ("name", "language", "at_least"),
    [("miracl_lite", "en", 0.70), ("miracl_lite", "ko", 0.60), ("xquad_r", "zh", 0.75), ("xquad_r", "th", 0.70)],
)
def test_shared_words_find_much_on_real_texts(name: str, language: str, at_least: float) -> None:
    (suite,) = load_suites([name], str(SHARED), "sentence")
    texts = suite.queries, suite.passages
    (query_rows, passage_rows) = ([i for i, lang in enumerate(t.languages) if lang == language] for t in texts)
    place = {row: i for i, row in enumerate(passage_rows)}
    part = suite_of(
        [(suite.queries.ids[i], language, suite.queries.texts[i]) for i in query_rows],
        [(suite.passages.ids[i], language, suite.passages.texts[i]) for i in passage_rows],
        [[place[row] for row in suite.relevant[i] if row in place] for i in query_rows],
    )
    ranks = rank_bm25(part, 10)
    precision = ranking.average_precision(ranking.sorted_ranks(ranks.query, 1 + ranks.ahead[:, 0], len(part.queries)))
    assert np.nanmean(precision) > at_least
