"""Tokenizer fertility: into how many tokens a tokenizer cuts the words of each language.

A language that is cut finer costs more per text, reaches the length limit earlier and is usually modelled worse (Rust et
al., ACL 2021, "How Good is Your Tokenizer?"). Averages are over tokens, not over texts: all tokens / all words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_core.data.suites import Suite

UNSPACED_LANGUAGES = frozenset(["bo", "dz", "ja", "km", "lo", "my", "th", "zh"])
"""Languages written without white space between words: a "word" there is one character, so compare them per character."""


@dataclass(frozen=True)
class Fertility:
    """Counts of one language, summed over its texts."""

    texts: int
    tokens: int
    """Special tokens not counted."""
    characters: int
    """Code points other than white space."""
    words: int
    """Runs of characters between white space; in `UNSPACED_LANGUAGES` the number of characters."""
    word_is_character: bool
    """Whether the language is one of `UNSPACED_LANGUAGES`."""
    unknown: int | None
    """Tokens that stand for text the vocabulary lacks; None if not counted."""

    @property
    def tokens_per_character(self) -> float:
        """Comparable across all languages of one script; NaN without text."""
        return _share(self.tokens, self.characters)

    @property
    def tokens_per_word(self) -> float:
        """Fertility; 1.0 = every word is one token. Per character where `word_is_character`. NaN without text."""
        return _share(self.tokens, self.words)

    @property
    def unknown_share(self) -> float:
        """Share of the tokens that are unknown; anything but 0 says that text is lost. NaN if not counted."""
        return float("nan") if self.unknown is None else _share(self.unknown, self.tokens)


def fertility(
    token_counts: np.ndarray, texts: Sequence[str], languages: Sequence[str], unknown_counts: np.ndarray | None = None
) -> dict[str, Fertility]:
    """Fertility of each language, by language code.

    Args:
        token_counts: tokens of each text without special tokens and without truncation [n].
        texts: the texts [n].
        languages: language code of each text [n].
        unknown_counts: unknown tokens of each text [n], if counted.

    Raises:
        ValueError: the columns differ in length.
    """
    columns = (token_counts, texts, languages) + (() if unknown_counts is None else (unknown_counts,))
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"columns of different lengths: {[len(column) for column in columns]}")
    words = [text.split() for text in texts]
    word_counts = np.array([len(w) for w in words], dtype=np.int64)
    characters = np.array([sum(map(len, w)) for w in words], dtype=np.int64)
    language = np.array(languages, dtype=str)
    result = {}
    for code in sorted(set(languages)):
        here, unspaced = language == code, code in UNSPACED_LANGUAGES
        result[code] = Fertility(
            texts=int(here.sum()),
            tokens=int(np.asarray(token_counts)[here].sum()),
            characters=int(characters[here].sum()),
            words=int((characters if unspaced else word_counts)[here].sum()),
            word_is_character=unspaced,
            unknown=None if unknown_counts is None else int(np.asarray(unknown_counts)[here].sum()),
        )
    return result


def fertility_rows(tokenizer: Any, suite: Suite, *, sample: int = 500) -> list[dict[str, Any]]:
    """Fertility of the passages of a suite, in the form of `geometry`: rows {"diagnostic", "language", "value"}.

    Args:
        tokenizer: of the encoder (a Hugging Face tokenizer).
        suite: texts and languages.
        sample: the first passages of each language that are counted.
    """
    rows: dict[str, list[int]] = {}
    for row, language in enumerate(suite.passages.languages):
        rows.setdefault(language, []).append(row)
    chosen = [row for of_language in rows.values() for row in of_language[:sample]]
    texts = [suite.passages.sentences[row] for row in chosen]
    tokens = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    unknown = [sum(token == tokenizer.unk_token_id for token in ids) for ids in tokens]
    found = fertility(
        np.array([len(ids) for ids in tokens]),
        texts,
        [suite.passages.languages[row] for row in chosen],
        np.array(unknown),
    )
    return [
        {"diagnostic": name, "language": language, "value": getattr(f, name)}
        for name in ("tokens_per_word", "tokens_per_character", "unknown_share")
        for language, f in found.items()
        if not np.isnan(getattr(f, name))
    ]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
