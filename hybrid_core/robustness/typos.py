"""Typing errors: a neighbouring key, a missing letter, two letters swapped. Which ones are possible is a matter of script.

Scripts typed letter by letter have a keyboard (Latin, Cyrillic, Greek, Arabic, Persian, Hebrew, Thai, Indic scripts on
InScript, Hangul with its jamo); a language without one here, and Chinese and Japanese, which are typed by sound, have
missing and swapped characters only. One missing character is a larger loss in Chinese than in English; the wrong choice
of a homophone, the usual Chinese error, needs a dictionary and is not made.

Digits and signs are never touched: another year is another question.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from hybrid_core.robustness.characters import clusters, is_letter

Board = tuple[str, ...]
"""Rows of keys from top to bottom; a space is a key without a letter. Each row is half a key to the right of the one above."""

QWERTY: Board = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NORDIC: Board = ("qwertyuiopå", "asdfghjklöä", "zxcvbnm")
_DANISH: Board = ("qwertyuiopå", "asdfghjklæø", "zxcvbnm")
_INSCRIPT: Board = ("ौैाीूबहगदजड़", "ोे्िुपरकतचट", " ंमनवलस  य")
_INSCRIPT_OFFSETS = {"hi": 0, "mr": 0, "ne": 0, "bn": 0x80, "as": 0x80, "pa": 0x100, "gu": 0x180, "or": 0x200,
                     "ta": 0x280, "te": 0x300, "kn": 0x380, "ml": 0x400}  # fmt: skip


def _inscript(offset: int) -> Board:
    """The Indic blocks of Unicode name the same sounds at the same places, and so does InScript on the keyboard."""

    def key(devanagari: str) -> str:
        letter = chr(ord(devanagari) + offset) if devanagari != " " else " "
        return letter if unicodedata.name(letter, "") else " "  # Tamil and Bengali lack some

    return tuple("".join(map(key, row)) for row in _INSCRIPT)


BOARDS: Mapping[str, Board] = MappingProxyType({
    "de": ("qwertzuiopü", "asdfghjklöä", "yxcvbnm"), "fr": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
    "es": ("qwertyuiop", "asdfghjklñ", "zxcvbnm"), "tr": ("qwertyuıopğü", "asdfghjklşi", "zxcvbnmöç"),
    "sv": _NORDIC, "fi": _NORDIC, "da": _DANISH, "nb": ("qwertyuiopå", "asdfghjkløæ", "zxcvbnm"),
    "ru": ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"), "uk": ("йцукенгшщзхї", "фівапролджє", "ячсмитьбю"),
    "el": (" ςερτυθιοπ", "ασδφγηξκλ", "ζχψωβνμ"), "he": ("  קראטוןםפ", "שדגכעיחלךף", "זסבהנמצתץ"),
    "ar": ("ضصثقفغعهخحجد", "شسيبلاتنمكط", "ئءؤر ىةوزظ"), "fa": ("ضصثقفغعهخحجچ", "شسیبلاتنمکگ", "ظطزرذدپو"),
    "th": ("ๆไำพะัีรนยบล", "ฟหกดเ้่าสวง", "ผปแอิืทมใฝ"),
    "ko": ("ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ", "ㅁㄴㅇㄹㅎㅗㅓㅏㅣ", "ㅋㅌㅊㅍㅠㅜㅡ"),
} | {language: _inscript(offset) for language, offset in _INSCRIPT_OFFSETS.items()})  # fmt: skip
"""Usual keyboards by language. Latin letters inside any text are on QWERTY; Norwegian is also `no` and `nn`."""
_SAME_BOARD = {"no": "nb", "nn": "nb"}

_LEADS = (
    "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"  # Hangul syllables are numbered lead by lead, vowel by vowel, tail by tail
)
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_HANGUL, _TAILS = 0xAC00, 28


def neighbours(character: str, board: Board) -> str:
    """Letters on the keys that touch the key of a lower-case letter, in the order of rows; empty if it is on none."""
    for r, row in enumerate(board):
        if character != " " and (k := row.find(character)) >= 0:
            places = [(r - 1, k), (r - 1, k + 1), (r, k - 1), (r, k + 1), (r + 1, k - 1), (r + 1, k)]
            near = (board[i][j] for i, j in places if 0 <= i < len(board) and 0 <= j < len(board[i]))
            return "".join(c for c in near if c != " " and is_letter(c) == is_letter(character))
    return ""


Edit = Callable[[list[str], int, tuple[Board, ...], np.random.Generator], bool]
"""Change the text, cut into clusters, at a place; False where this edit is not possible there."""


def mistype(text: str, language: str, generator: np.random.Generator, rate: float) -> str:
    """Make typing errors at random letters: `rate` times the number of letters, rounded, at least one where one is possible.

    No two errors touch each other, so no later one undoes an earlier one.
    """
    units = clusters(unicodedata.normalize("NFC", text))
    letters = [i for i, unit in enumerate(units) if is_letter(unit[0])]
    own = BOARDS.get(_SAME_BOARD.get(language, language))
    boards = (own, QWERTY) if own else (QWERTY,)
    wanted, used = max(1, round(len(letters) * rate)), set[int]()
    for place in generator.permutation(letters).tolist():
        if len(used) == wanted:
            break
        if not used & {place - 2, place - 1, place, place + 1, place + 2} and _edit(units, place, boards, generator):
            used.add(place)
    return "".join(units) if used else text


def _edit(units: list[str], place: int, boards: tuple[Board, ...], generator: np.random.Generator) -> bool:
    """The first possible one of the three edits, tried in random order."""
    edits: tuple[Edit, ...] = (_hit_neighbour, _omit, _swap)
    return any(edits[i](units, place, boards, generator) for i in generator.permutation(len(edits)))


def _hit_neighbour(units: list[str], place: int, boards: tuple[Board, ...], generator: np.random.Generator) -> bool:
    unit = units[place]
    if _HANGUL <= ord(unit[0]) < _HANGUL + len(_LEADS) * len(_VOWELS) * _TAILS:
        units[place] = _other_syllable(unit[0], generator) + unit[1:]
        return True
    for board in boards:
        if near := neighbours(unit[0].lower(), board):
            letter = near[int(generator.integers(len(near)))]
            units[place] = (letter.upper() if unit[0].isupper() else letter) + unit[1:]
            return True
    return False


def _other_syllable(syllable: str, generator: np.random.Generator) -> str:
    """A Hangul syllable with the key beside its vowel, or beside its first consonant."""
    lead, rest = divmod(ord(syllable) - _HANGUL, len(_VOWELS) * _TAILS)
    vowel, tail = divmod(rest, _TAILS)
    vowels = [v for v in neighbours(_VOWELS[vowel], BOARDS["ko"]) if v in _VOWELS]
    leads = [c for c in neighbours(_LEADS[lead], BOARDS["ko"]) if c in _LEADS]
    if vowels and (not leads or generator.random() < 0.5):
        vowel = _VOWELS.index(vowels[int(generator.integers(len(vowels)))])
    elif leads:
        lead = _LEADS.index(leads[int(generator.integers(len(leads)))])
    return chr(_HANGUL + (lead * len(_VOWELS) + vowel) * _TAILS + tail)


def _omit(units: list[str], place: int, boards: tuple[Board, ...], generator: np.random.Generator) -> bool:
    """Leave out the last key stroke of a cluster: its last mark, or the letter if it has none and is not the whole word."""
    if len(units[place]) == 1 and not (_letter_at(units, place - 1) or _letter_at(units, place + 1)):
        return False
    units[place] = units[place][:-1]
    return True


def _swap(units: list[str], place: int, boards: tuple[Board, ...], generator: np.random.Generator) -> bool:
    """Exchange a cluster with the next one of the same word, if they differ."""
    if not _letter_at(units, place + 1) or units[place] == units[place + 1]:
        return False
    units[place], units[place + 1] = units[place + 1], units[place]
    return True


def _letter_at(units: list[str], place: int) -> bool:
    return 0 <= place < len(units) and is_letter(units[place][:1] or " ")
