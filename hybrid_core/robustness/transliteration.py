"""Latin letters for the letters of other scripts, as people type when their keyboard has no other (Chari et al. 2025).

Per character by the table of anyascii (ISC licence), with rules where characters alone are not enough:

- Indic scripts: the vowel that is spoken after a bare consonant is written (भारत -> bharat), except at the end of a word
  in Devanagari, Bengali, Gurmukhi and Gujarati. Silent vowels inside words are not recognised.
- Thai and Lao: vowels written before their consonant are moved behind it (ไทย -> thaiy). Words stay unspaced.
- Han: one pinyin syllable per character, without tones, separated by spaces; the most frequent reading is taken.
- Arabic and Hebrew scripts: vowels that are not written are missing (مدرسة -> mdrsh); alef is a, and ayn is 3 in Arabic
  (Arabizi) and a in other languages.
- Signs that nobody types (for the Russian soft sign, the Indic nukta) are left out.
- Japanese is left as it is: Chinese readings of its characters would be no transliteration, Japanese ones need a dictionary.

Latin letters with all their accents and signs stay; digits and punctuation of other scripts become ASCII.
"""

from __future__ import annotations

import re
import unicodedata

_PREPOSED_VOWEL = re.compile("([\u0e40-\u0e44\u0ec0-\u0ec4])([\u0e01-\u0e2e\u0e81-\u0eae])")
_INDIC_BLOCKS = range(0x0900, 0x0D80)
_SILENT_LAST_VOWEL = range(0x0900, 0x0B00)  # Devanagari, Bengali, Gurmukhi, Gujarati
_NUKTA, _VIRAMA = 0x3C, 0x4D
_VOWEL_SIGNS = frozenset([*range(0x3E, 0x4D), 0x55, 0x56, 0x57, 0x62, 0x63])
_CONSONANTS = frozenset([*range(0x15, 0x3A), *range(0x58, 0x60)])
_NASALS, _LABIALS = (0x01, 0x02), range(0x2A, 0x2F)
_PALATALS = {0x1A: "ch", 0x1B: "chh"}  # anyascii: c and ch, which is how scholars write them
_ARABIC = {"ا": "a", "أ": "a", "آ": "a", "ٱ": "a", "إ": "i", "ع": "a"}


def to_latin(text: str, language: str) -> str:
    """Write the letters of other scripts in Latin ones; a text without any is returned as it is.

    Args:
        text: any text.
        language: ISO 639-1 code.
    """
    if language == "ja" or not any(_is_foreign_letter(c) for c in text):
        return text
    text = _PREPOSED_VOWEL.sub(r"\2\1", unicodedata.normalize("NFC", text))
    written = "".join(_latin(text, i, language) for i in range(len(text)))
    return _single_spaces(written) if any(map(_is_han, text)) else written


def _latin(text: str, place: int, language: str) -> str:
    """What is written for one character of a text."""
    from anyascii import anyascii

    character = text[place]
    if not (_is_foreign_letter(character) or _is_foreign_sign(character)):
        return character
    if language == "ar" and character == "ع":
        return "3"
    if character in _ARABIC:
        return _ARABIC[character]
    if ord(character) in _INDIC_BLOCKS:
        return (_indic(text, place) or anyascii(character)).lower().replace("'", "") + _inherent_vowel(text, place)
    latin = anyascii(character)
    if not _is_foreign_letter(character):
        return latin
    if _is_han(character):
        return f" {latin.lower()} "
    return (latin if character.isupper() else latin.lower()).replace("'", "").replace("`", "")


def _is_foreign_letter(character: str) -> bool:
    """A letter or mark of a script other than Latin. Accents of no script in particular stay with their letter."""
    if character < "\u0250" or unicodedata.category(character)[0] not in "LM":
        return False
    return not unicodedata.name(character, "LATIN").startswith(("LATIN", "COMBINING", "MODIFIER", "FULLWIDTH LATIN"))


def _is_foreign_sign(character: str) -> bool:
    """A digit or punctuation that belongs to a script, unlike the dashes and quotation marks that all share."""
    shared = character < "\u0370" or "\u2000" <= character <= "\u206f"
    return not shared and unicodedata.category(character)[0] in "NP"


def _is_han(character: str) -> bool:
    return unicodedata.name(character, "").startswith("CJK ")


def _single_spaces(text: str) -> str:
    """Spaces between syllables; none inside brackets, before punctuation that closes, or at the ends."""
    text = re.sub(r"(?<=[(\[{“‘])\s+", "", re.sub(r"\s+", " ", text))
    return re.sub(r"\s+(?=[^\w\s(\[{“‘])", "", text).strip()


def _indic(text: str, place: int) -> str:
    """Nasals and palatals of Indic scripts as they are typed; empty for all other letters."""
    code = ord(text[place])
    if code % 0x80 in _NASALS and code in _SILENT_LAST_VOWEL:
        following = ord(text[place + 1 : place + 2] or " ")
        return "m" if following in _INDIC_BLOCKS and following % 0x80 in _LABIALS else "n"
    return _PALATALS.get(code % 0x80, "")


def _inherent_vowel(text: str, place: int) -> str:
    """The "a" after an Indic consonant that has no vowel sign and no virama (and, where it is silent, is not the last)."""
    code = ord(text[place])
    if code not in _INDIC_BLOCKS or code % 0x80 not in _CONSONANTS:
        return ""
    rest = text[place + 1 : place + 3]
    if rest and ord(rest[0]) in _INDIC_BLOCKS and ord(rest[0]) % 0x80 == _NUKTA:
        rest = rest[1:]
    following = ord(rest[0]) if rest else 0
    in_word = following in _INDIC_BLOCKS and unicodedata.category(chr(following))[0] in "LM"
    if in_word and (following % 0x80 in _VOWEL_SIGNS or following % 0x80 == _VIRAMA):
        return ""
    return "a" if in_word or code not in _SILENT_LAST_VOWEL else ""
