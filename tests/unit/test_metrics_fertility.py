"""Tokenizer fertility: counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_core.metrics.fertility import fertility


def test_fertility_of_hand_counted_texts() -> None:
    texts = ["a cat sat", " the  mat\n", "Katze", "猫 坐在", ""]
    found = fertility(np.array([4, 3, 3, 5, 0]), texts, ["en", "en", "de", "zh", "zh"], np.array([0, 1, 0, 2, 0]))
    assert list(found) == ["de", "en", "zh"]
    english, chinese = found["en"], found["zh"]
    assert (english.texts, english.tokens, english.words, english.characters) == (2, 7, 5, 13)
    assert english.tokens_per_word == 7 / 5
    assert english.tokens_per_character == 7 / 13
    assert english.unknown_share == 1 / 7
    assert not english.word_is_character
    assert chinese.word_is_character and chinese.tokens_per_word == chinese.tokens_per_character == 5 / 3
    assert found["de"].unknown_share == 0.0


def test_what_was_not_counted_or_has_no_text_is_nan() -> None:
    found = fertility(np.array([2, 0]), ["two words", " "], ["en", "th"])
    assert found["en"].tokens_per_word == 1.0 and np.isnan(found["en"].unknown_share)
    assert np.isnan(found["th"].tokens_per_word) and np.isnan(found["th"].tokens_per_character)


def test_long_texts_count_by_their_length() -> None:
    """All tokens over all words, not the mean of ratios."""
    found = fertility(np.array([9, 2]), ["one two three", "word"], ["en", "en"])
    assert found["en"].tokens_per_word == 11 / 4


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[1, 2, 2\]"):
        fertility(np.array([1]), ["a", "b"], ["en", "en"])
