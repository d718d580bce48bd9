"""Characters as people see them: a base with its combining marks, and which scripts leave no spaces between words."""

from __future__ import annotations

import unicodedata

UNSPACED_LANGUAGES = frozenset({"bo", "dz", "ja", "km", "lo", "my", "th", "zh"})
"""Languages written without spaces between words: their unit of cutting is the character."""
_JOINERS = "\u200c\u200d"  # zero width non-joiner and joiner: inside Persian and Indic words


def is_mark(character: str) -> bool:
    """A combining mark or a joiner, which belongs to the character before it (Thai vowels above, Indic vowel signs)."""
    return unicodedata.category(character)[0] == "M" or character in _JOINERS


def is_letter(character: str) -> bool:
    """A letter of any script; digits and signs are none."""
    return unicodedata.category(character)[0] == "L"


def clusters(text: str) -> list[str]:
    """Cut a text into bases with the marks that follow them; joined together again they are the text."""
    found: list[str] = []
    for character in text:
        if found and is_mark(character):
            found[-1] += character
        else:
            found.append(character)
    return found
