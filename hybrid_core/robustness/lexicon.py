"""Word translations, and queries that mix languages by them (code switching).

A lexicon file is JSON lines, one translation each; of several for the same word and target the first counts:

    {"language": "en", "word": "price", "target": "de", "translation": "Preis"}

`build_lexicon` makes a small one from translated questions, by the Dice coefficient of Smadja et al. (Computational
Linguistics 22, 1996): words that occur in the same questions. It finds frequent words of languages that space their words;
inflected forms and phrases are beyond it. A dictionary made by people is better where there is one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_core.data.jsonl import read_jsonl
from hybrid_core.data.languages import check_language
from hybrid_core.data.suites.places import local_file
from hybrid_core.errors import RequestError
from hybrid_core.robustness.characters import UNSPACED_LANGUAGES, is_letter, is_mark

Lexicon = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Language -> word in lower case -> target language -> translation."""
_FIELDS = ("language", "word", "target", "translation")


def read_lexicon(place: Path | str) -> dict[str, dict[str, dict[str, str]]]:
    """Read a lexicon (the form is in this module's docstring) from a path, `file://` or `s3://` address.

    Raises:
        RequestError: the storage cannot be read (its reason); names file, line and field of what is missing, empty or no
            language; a word translated into its own language; a file without lines.
    """
    with local_file(str(place)) as file:
        return _read(file)


def _read(file: Path) -> dict[str, dict[str, dict[str, str]]]:
    lexicon: dict[str, dict[str, dict[str, str]]] = {}
    for number, record in read_jsonl(file, _FIELDS):
        where = f"{file}, line {number}"
        language = check_language(record["language"], f"{where}, field 'language'")
        target = check_language(record["target"], f"{where}, field 'target'")
        if language == target:
            raise RequestError(f"{where}: field 'target' is the word's own language {target!r}; name another one")
        words = lexicon.setdefault(language, {}).setdefault(record["word"].strip().lower(), {})
        words.setdefault(target, record["translation"].strip())
    if not lexicon:
        raise RequestError(f"{file} holds no translation; every line is one JSON object with {', '.join(_FIELDS)}")
    return lexicon


def switch_words(lexicon: Lexicon) -> Callable[[str, str, np.random.Generator, float], str]:
    """The perturbation that replaces words by a translation.

    A word the lexicon knows is replaced with probability `rate`, each by a translation into a language drawn at random;
    if the draw chose none, one word is replaced all the same. Capital first letters are kept. In languages that do not
    space words the longest known words are looked for from left to right.
    """
    longest = {language: max(map(len, words)) for language, words in lexicon.items()}

    def switched(text: str, language: str, generator: np.random.Generator, rate: float) -> str:
        known = lexicon.get(language, {})
        spans = _known_words(text, language, known, longest.get(language, 0))
        if not spans:
            return text
        chosen = generator.random(len(spans)) < rate
        chosen[int(generator.integers(len(spans)))] |= not chosen.any()
        parts, end = [], 0
        for start, stop in (span for span, is_chosen in zip(spans, chosen, strict=True) if is_chosen):
            parts += [text[end:start], _translation(text[start:stop], known, generator)]
            end = stop
        return "".join([*parts, text[end:]])

    return switched


def _translation(word: str, known: Mapping[str, Mapping[str, str]], generator: np.random.Generator) -> str:
    choices = known[word.lower()]
    found = choices[sorted(choices)[int(generator.integers(len(choices)))]]
    return found[:1].upper() + found[1:] if word[:1].isupper() else found


def _known_words(
    text: str, language: str, known: Mapping[str, Mapping[str, str]], longest: int
) -> list[tuple[int, int]]:
    """Start and end of the words of a text that have a translation, from left to right."""
    if language not in UNSPACED_LANGUAGES:
        return [span for span in word_spans(text) if text[slice(*span)].lower() in known]
    spans, start = [], 0
    while start < len(text):
        stops = range(min(len(text), start + longest), start, -1)
        stop = next((s for s in stops if text[start:s].lower() in known), None)
        if stop is not None:
            spans.append((start, stop))
        start = stop or start + 1
    return spans


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of the words: runs of letters and their marks, with apostrophes and hyphens between letters."""
    shape = "".join("w" if is_letter(c) or is_mark(c) else "-" if c in "'’-" else " " for c in text)
    return [match.span() for match in re.finditer(r"w+(?:-w+)*", shape)]


def build_lexicon(
    texts: Mapping[str, Mapping[str, str]], *, minimum_count: int = 3, minimum_dice: float = 0.5
) -> dict[str, dict[str, dict[str, str]]]:
    """A lexicon from translations of whole texts.

    Of every two languages, words x and y translate each other if each is the other's best partner by
    Dice = 2 n(x, y) / (n(x) + n(y)), n the number of texts (both present in the two languages) that hold the word, ties
    to the alphabetically first. Words spelled alike in both are left out: replacing them changes nothing.

    Args:
        texts: language -> meaning id -> text; short texts (questions) work best.
        minimum_count: texts that must hold both words.
        minimum_dice: smallest coefficient.
    """
    lexicon: dict[str, dict[str, dict[str, str]]] = {}
    for a, b in combinations(sorted(set(texts) - UNSPACED_LANGUAGES), 2):
        shared = sorted(texts[a].keys() & texts[b].keys())
        pairs = _mutual_best([texts[a][m] for m in shared], [texts[b][m] for m in shared], minimum_count, minimum_dice)
        for x, y in pairs:
            lexicon.setdefault(a, {}).setdefault(x, {})[b] = y
            lexicon.setdefault(b, {}).setdefault(y, {})[a] = x
    return lexicon


def _mutual_best(a: Sequence[str], b: Sequence[str], minimum_count: int, minimum_dice: float) -> list[tuple[str, str]]:
    if not a:
        return []
    (words_a, in_a), (words_b, in_b) = _occurrences(a, minimum_count), _occurrences(b, minimum_count)
    together = (in_a.T @ in_b).tocoo()
    count_a, count_b = np.asarray(in_a.sum(0)).ravel(), np.asarray(in_b.sum(0)).ravel()
    dice = 2 * together.data / (count_a[together.row] + count_b[together.col])
    best_b, best_a = _best(together.row, together.col, dice), _best(together.col, together.row, dice)
    good = dict(zip(zip(together.row.tolist(), together.col.tolist(), strict=True), dice.tolist(), strict=True))
    enough = set(zip(*(i[together.data >= minimum_count].tolist() for i in (together.row, together.col)), strict=True))
    return [
        (words_a[x], words_b[y])
        for x, y in sorted(best_b.items())
        if best_a[y] == x and good[x, y] >= minimum_dice and (x, y) in enough and words_a[x] != words_b[y]
    ]


def _best(of: np.ndarray, partner: np.ndarray, value: np.ndarray) -> dict[int, int]:
    """The partner with the highest value of each, ties to the lower number (words are numbered alphabetically)."""
    order = np.lexsort((partner, -value, of))
    first = np.unique(of[order], return_index=True)[1]
    return dict(zip(of[order][first].tolist(), partner[order][first].tolist(), strict=True))


def _occurrences(texts: Iterable[str], minimum_count: int) -> tuple[list[str], Any]:
    """Words that occur in enough texts, sorted, and whether each text holds each: sparse [texts, words]."""
    from scipy.sparse import csr_matrix

    held = [{text[slice(*span)].lower() for span in word_spans(text)} for text in texts]
    counts = Counter(word for words in held for word in words)
    vocabulary = sorted(word for word, n in counts.items() if n >= minimum_count)
    number = {word: i for i, word in enumerate(vocabulary)}
    rows, columns = [], []
    for row, words in enumerate(held):
        found = [number[w] for w in sorted(words) if w in number]
        rows += [row] * len(found)
        columns += found
    ones = np.ones(len(rows), dtype=np.int64)
    return vocabulary, csr_matrix((ones, (rows, columns)), shape=(len(held), len(vocabulary)))
