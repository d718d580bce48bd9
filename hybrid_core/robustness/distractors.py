"""Larger pools: passages that are relevant to no query, added language by language.

How many passages compete decides how high a score can be. A suite with 1,000 and the same suite with 10,000 distractors
are nested (the smaller pool is a part of the larger), so what changes between them is their number and not the draw.
The suite's own passages keep their rows and the distractors follow them in the order in which they are drawn: vectors
of a large pool, cut, are the vectors of a small one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybrid_core.data.prepare import normalised
from hybrid_core.data.readers import sentences
from hybrid_core.data.suites import Suite, Texts
from hybrid_core.data.suites.collection import VARIANT
from hybrid_core.errors import RequestError
from hybrid_core.permutation import derive_key, mix

DISTRACTORS = "distractors_"
"""Begins the name of the variant; the number of distractors follows."""
PREFIX = "~d-"
"""Ids of distractors begin with this; they continue with language and a hash of the text, so that they are stable."""
_SHORTEST_SENTENCE = 30  # characters; shorter sentences are shared by chance


@dataclass(frozen=True)
class _Candidate:
    id: str
    key: int
    row: int


class NormalForms(dict[str, tuple[str, ...]]):
    """Of each text its normal form and those of its longer sentences; made once, whichever suites ask."""

    def __missing__(self, text: str) -> tuple[str, ...]:
        parts = (normalised(text[start:end]) for start, end in sentences(text))
        self[text] = (normalised(text), *(part for part in parts if len(part) >= _SHORTEST_SENTENCE))
        return self[text]


def with_distractors(
    suite: Suite, extra: Texts, *, counts: Sequence[int], seed: int, forms: NormalForms | None = None
) -> list[Suite]:
    """The suite with more passages, none of which is relevant to a query; one suite for each count.

    Left out of `extra`: texts that equal a passage of the suite in their language or hold one of its sentences of 30
    characters or more (letters and digits compared, case folded); texts with the meaning id of such a text (their
    translations) or of a query or passage of the suite; and repetitions. A language with fewer usable texts than are
    asked for gets all of them (`added_passages` says how many).
    What is in the pool depends on the seed and the texts, not on the order of `extra`.

    Args:
        suite: the clean suite; its queries and judgements are kept.
        extra: where distractors come from: `passages_of` the request's suites.
        counts: distractors per language.
        seed: which ones are drawn.
        forms: shared between suites that draw from the same texts.

    Raises:
        RequestError: no usable text in any language of the suite.
    """
    candidates = _candidates(suite, extra, seed, NormalForms() if forms is None else forms)
    if not any(candidates.values()):
        raise RequestError(
            f"evaluate.distractors: suite {suite.name!r}: nothing to draw distractors from in {', '.join(candidates)}; add a "
            "suite in these languages to evaluate.suites (texts and meaning ids that the suite has itself are left out)"
        )
    larger = []
    for count in counts:
        drawn = [(n, lang, c) for lang, found in candidates.items() for n, c in enumerate(found[:count])]
        passages = _appended(suite.passages, extra, [c for _, _, c in sorted(drawn, key=lambda d: d[:2])])
        larger.append(replace(suite, name=f"{suite.name}{VARIANT}{DISTRACTORS}{count}", passages=passages))
    return larger


def added_passages(suite: Suite, larger: Suite) -> dict[str, int]:
    """How many distractors each language of a suite has got."""
    before, after = Counter(suite.passages.languages), Counter(larger.passages.languages)
    return {language: after[language] - before[language] for language in suite.languages}


def passages_of(suites: Iterable[Suite]) -> Texts:
    """The passages of several suites as one source of distractors."""
    found = Texts()
    for suite in suites:
        p = suite.passages
        for row in range(len(p)):
            meaning = f"{suite.name}/{p.meaning_ids[row]}" if p.meaning_ids[row] else ""
            found.add(f"{suite.name}/{p.ids[row]}", p.languages[row], p.texts[row], meaning)
    return found


def _candidates(suite: Suite, extra: Texts, seed: int, forms: NormalForms) -> dict[str, list[_Candidate]]:
    """Usable texts of each language of the suite, in the order in which they are drawn."""
    spoken = set(suite.languages)
    held = _held(suite, forms)
    normal = [forms[text][0] for text in extra.texts]
    overlaps = [
        any((lang, part) in held for part in forms[text])
        for lang, text in zip(extra.languages, extra.texts, strict=True)
    ]
    # Translations of what the suite has are relevant as well, and only their meaning id tells.
    barred = {m for m, is_held in zip(extra.meaning_ids, overlaps, strict=True) if is_held}
    barred = (barred | {*suite.queries.meaning_ids, *suite.passages.meaning_ids}) - {""}
    rows: dict[tuple[str, str], int] = {}
    for row in range(len(extra)):
        usable = normal[row] and not overlaps[row] and extra.meaning_ids[row] not in barred
        if usable and extra.languages[row] in spoken:
            text = extra.languages[row], normal[row]
            if text not in rows or extra.texts[row] < extra.texts[rows[text]]:  # of equal ones the same in any order
                rows[text] = row
    found: dict[str, list[_Candidate]] = {lang: [] for lang in suite.languages}
    for (lang, whole), row in rows.items():
        key = derive_key("distractor", lang, whole)
        found[lang].append(_Candidate(f"{PREFIX}{lang}-{key:016x}", key, row))
    return {lang: _in_drawing_order(candidates, seed) for lang, candidates in found.items()}


def _held(suite: Suite, forms: NormalForms) -> set[tuple[str, str]]:
    """(language, normalised text) of the suite's passages and of their longer sentences."""
    p = suite.passages
    pairs = [(lang, text) for texts in (p.texts, p.sentences) for lang, text in zip(p.languages, texts, strict=True)]
    return {(lang, part) for lang, text in pairs for part in forms[text]}


def _in_drawing_order(candidates: list[_Candidate], seed: int) -> list[_Candidate]:
    salt = np.uint64(derive_key(seed, "distractors"))
    keys = mix(np.array([c.key for c in candidates], dtype=np.uint64) ^ salt)
    return [candidates[i] for i in np.argsort(keys, kind="stable")]


def _appended(passages: Texts, extra: Texts, drawn: Sequence[_Candidate]) -> Texts:
    """The passages followed by distractors. Every distractor has a meaning of its own: none is a translation of another."""
    columns = (
        passages.ids,
        passages.languages,
        passages.texts,
        passages.meaning_ids,
        passages.domains,
        passages.sentences,
    )
    together = Texts(*(list(column) for column in columns))
    for c in drawn:
        together.add(c.id, extra.languages[c.row], extra.texts[c.row], c.id)
    return together
