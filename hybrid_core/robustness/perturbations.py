"""Queries written in another way; passages and judgements stay. What a score loses is what the writing cost.

| name            | what changes                          | left as it is                  | rate (default)                       |
|-----------------|---------------------------------------|--------------------------------|--------------------------------------|
| case            | whole query in lower or in upper case | scripts without case; Georgian | probability of upper case (0.5)      |
| punctuation     | punctuation removed                   | nothing                        | none                                 |
| diacritics      | accents and vowel points missing      | Indic, Thai, Han, kana, Hangul | none                                 |
| typos           | wrong, missing and swapped letters    | nothing; see `typos`           | edits per letter (0.05), one or more |
| transliteration | Latin letters for other scripts       | Latin, Japanese                | none                                 |
| code_switching  | words replaced by translations        | words the lexicon lacks        | probability per known word (0.5)     |
| truncation      | the end of the query missing          | nothing                        | share that is removed (1/3)          |

All but truncation keep what is asked for. Truncation does not: where the question word or the verb comes last (Hindi,
Japanese, Korean, Turkish) another part is lost than in English. It measures how scores decline with missing
information, and languages are not to be compared by it. Missing diacritics can make one word look like another
(Spanish "ano", Vietnamese tones); people read such queries all the same, so they stay among those that keep the meaning.

Sources of the ideas: case, punctuation and typos as variations of queries: Penha, Câmara, Hauff, "Evaluating the
Robustness of Retrieval Pipelines with Query Variation Generators" (ECIR 2022); typos in dense retrieval: Zhuang, Zuccon,
"Dealing with Typos for BERT-based Passage Retrieval and Ranking" (EMNLP 2021); Latin letters for other scripts: Chari,
Ounis, MacAvaney, "Lost in Transliteration" (SIGIR 2025); code switching from a lexicon: Qin et al., "CoSDA-ML" (IJCAI 2020).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybrid_core.data.suites import Suite
from hybrid_core.data.suites.collection import VARIANT
from hybrid_core.errors import RequestError, nearest
from hybrid_core.permutation import derive_key
from hybrid_core.robustness.characters import UNSPACED_LANGUAGES, clusters, is_mark
from hybrid_core.robustness.lexicon import Lexicon, switch_words
from hybrid_core.robustness.transliteration import to_latin
from hybrid_core.robustness.typos import mistype

_AT = "@"
Change = Callable[[str, str, np.random.Generator, float], str]
"""(text, language, generator, rate) -> text."""


@dataclass(frozen=True)
class Perturbation:
    """One way of writing queries differently."""

    change: Change
    rate: float | None
    """Default of what the table above calls rate; None where there is nothing to set."""
    keeps_meaning: bool = True


def change_case(text: str, language: str, generator: np.random.Generator, rate: float) -> str:
    """The whole text in upper case with probability `rate`, else in lower case.

    Turkish and Azerbaijani keep dotted and dotless i apart. Georgian stays: its capitals are not used in running text.
    """
    upper = generator.random() < rate
    if language == "ka":
        return text
    if language in ("tr", "az"):
        text = text.replace("i", "İ") if upper else text.replace("İ", "i").replace("I", "ı")
    return text.upper() if upper else text.lower()


_JOINING = "'’ʼ`´·‧・׳״"  # inside a word they vanish: what's -> whats; elsewhere punctuation leaves a space
_SPOKEN = "%‰&@#§་"  # they stand for a word; the Tibetan tsheg stands between all syllables


def without_punctuation(text: str, language: str, generator: np.random.Generator, rate: float) -> str:
    """Remove punctuation (Unicode category P) and leave single spaces.

    Marks inside a number stay (3.5, 10:30, 2010-12), and so do signs that are read as a word (%, &, @, #).
    """
    kept = []
    for i, character in enumerate(text):
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        is_punctuation = unicodedata.category(character)[0] == "P" or character in "`´"
        in_number = before.isdecimal() and after.isdecimal()
        if not is_punctuation or character in _SPOKEN or in_number:
            kept.append(character)
        elif not (character in _JOINING and before.isalpha() and after.isalpha()):
            kept.append(" ")
    return " ".join("".join(kept).split())


_LATIN_WITHOUT = str.maketrans("đĐøØłŁıħĦ", "dDoOlLihH")  # accented letters that Unicode does not take apart
_ARABIC_POINTS = "\u064b-\u0652\u0670"  # short vowels, doubling, superscript alef
_HEBREW_POINTS = "\u05b0-\u05bd\u05bf\u05c1\u05c2\u05c7"
_ACCENTS = re.compile(
    "(?<=[A-Za-z\u00c0-\u024f\u0370-\u03ff])[\u0300-\u036f]+"  # on Latin and Greek
    "|(?<=[Ее])\u0308"  # Cyrillic: ё is commonly written е; й is not и
    f"|(?<=ا)[{_ARABIC_POINTS}\u0653-\u0655]+"  # Arabic: alef without its hamza or madda
    f"|[{_ARABIC_POINTS}{_HEBREW_POINTS}]+"
)


def without_diacritics(text: str, language: str, generator: np.random.Generator, rate: float) -> str:
    """Remove the marks that people leave out when they type.

    Latin and Greek lose all accents (é -> e, ş -> s, đ -> d), Cyrillic ё becomes е, Arabic and Hebrew lose vowel points
    and alef its hamza. Nothing else is touched, though Unicode calls it a combining mark as well: Indic vowel signs and
    Thai vowels and tones are part of the spelling (without them किताब is कतब, which nobody writes), the Japanese voicing
    mark makes another syllable (ば, は), and Cyrillic й and ї are letters of their own.
    """
    parts = unicodedata.normalize("NFD", text)
    stripped = _ACCENTS.sub("", parts).translate(_LATIN_WITHOUT)
    return text if stripped == parts else unicodedata.normalize("NFC", stripped)


def truncated(text: str, language: str, generator: np.random.Generator, rate: float) -> str:
    """Cut off the share `rate` at the end: words, or characters where words are not spaced or are fewer than three."""
    words = text.split()
    if language in UNSPACED_LANGUAGES or len(words) < 3:
        units, glue = clusters(text.strip()), ""
    else:
        units, glue = words, " "
    return glue.join(units[: max(1, len(units) - round(len(units) * rate))]).rstrip()


def _transliterated(text: str, language: str, generator: np.random.Generator, rate: float) -> str:
    return to_latin(text, language)


def _needs_a_lexicon(text: str, language: str, generator: np.random.Generator, rate: float) -> str:
    raise RequestError("perturbation 'code_switching' needs a lexicon; name a file of one (JSON lines) or leave it out")


PERTURBATIONS = {
    "case": Perturbation(change_case, 0.5),
    "punctuation": Perturbation(without_punctuation, None),
    "diacritics": Perturbation(without_diacritics, None),
    "typos": Perturbation(mistype, 0.05),
    "transliteration": Perturbation(_transliterated, None),
    "code_switching": Perturbation(_needs_a_lexicon, 0.5),
    "truncation": Perturbation(truncated, 1 / 3, keeps_meaning=False),
}


def perturbed(
    suite: Suite, name: str, *, seed: int, rate: float | None = None, lexicon: Lexicon | None = None
) -> Suite:
    """The suite with its queries written differently; passages, judgements, ids and meaning ids are the same objects.

    What happens to a query depends on (seed, name, query id) alone, not on the other queries or their order. A query of
    which nothing would be left stays as it is.

    Args:
        suite: the clean suite.
        name: one of PERTURBATIONS.
        seed: of the random edits.
        rate: how much is changed, in (0, 1] (for `case` [0, 1]); None: the default of the table in this module. The name of
            the variant says a rate that is given.
        lexicon: translations, for `code_switching` only.

    Raises:
        RequestError: unknown name, a rate that is out of range or has no meaning there, no lexicon.
    """
    given = rate
    perturbation, rate = _checked(name, rate)
    change = switch_words(lexicon) if name == "code_switching" and lexicon is not None else perturbation.change
    q = suite.queries
    texts = [
        _changed(change, id, language, text, rate, seed, name)
        for id, language, text in zip(q.ids, q.languages, q.texts, strict=True)
    ]
    variant = name if given is None else f"{name}{_AT}{given:g}"
    return replace(
        suite, name=f"{suite.name}{VARIANT}{variant}", queries=replace(q, texts=texts, sentences=list(texts))
    )


def perturbation_of(variant: str) -> str | None:
    """The perturbation that a variant is named by (`typos`, `typos@0.1`); None for a variant that changes no query."""
    name = variant.partition(_AT)[0]
    return name if name in PERTURBATIONS else None


def rates_of(stated: Sequence[str], perturbations: Sequence[str]) -> dict[str, float]:
    """Perturbation -> rate, from texts like `typos=0.1`.

    Args:
        stated: of the request.
        perturbations: those of the request.

    Raises:
        RequestError: another form, a perturbation that is not asked for or named twice. Ranges are checked by `perturbed`.
    """
    found: dict[str, float] = {}
    for text in stated:
        name, _, rate = text.partition("=")
        if name not in perturbations or name in found:
            what = (
                "is named twice"
                if name in found
                else f"is not among evaluate.perturbations{nearest(name, perturbations)}"
            )
            raise RequestError(f"evaluate.perturbation_rates={text!r}: {name!r} {what}")
        try:
            found[name] = float(rate)
        except ValueError:
            raise RequestError(
                f"evaluate.perturbation_rates={text!r}: write a name and a number, as in typos=0.1"
            ) from None
    return found


def _checked(name: str, rate: float | None) -> tuple[Perturbation, float]:
    if name not in PERTURBATIONS:
        raise RequestError(f"perturbation {name!r} does not exist{nearest(name, PERTURBATIONS)}")
    perturbation = PERTURBATIONS[name]
    if rate is None:
        return perturbation, perturbation.rate or 0.0
    if perturbation.rate is None:
        raise RequestError(f"perturbation {name!r} has no rate, {rate} was given; leave it out")
    if not (0 < rate <= 1 or (name == "case" and rate == 0)):
        raise RequestError(f"perturbation {name!r}: rate {rate} is not in (0, 1]")
    return perturbation, rate


def _changed(change: Change, id: str, language: str, text: str, rate: float, seed: int, name: str) -> str:
    generator = np.random.default_rng(derive_key(seed, "perturbation", name, id))
    result = change(text, language, generator, rate)
    return result if any(not is_mark(c) and not c.isspace() for c in result) else text


def changed_share(clean: Suite, variant: Suite) -> dict[str, float]:
    """Share of the queries of each language whose text differs: 0 where a perturbation does not apply (case in Hindi).

    A difference between languages says nothing where these shares differ.
    """
    _check_same_queries(clean.queries.ids, variant.queries.ids)
    all_of = Counter(clean.queries.languages)
    pairs = zip(clean.queries.languages, clean.queries.texts, variant.queries.texts, strict=True)
    changed = Counter(language for language, before, after in pairs if before != after)
    return {language: changed[language] / all_of[language] for language in sorted(all_of)}


def _check_same_queries(clean: Sequence[str], variant: Sequence[str]) -> None:
    if list(clean) != list(variant):
        raise ValueError("the two suites do not have the same queries in the same order")
