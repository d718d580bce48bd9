"""From sources to a training corpus: drop duplicates, remove what overlaps the evaluation suites, count what is left."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybrid_core.data.corpus import Pair
from hybrid_core.data.readers import sentences
from hybrid_core.data.suites import Suite
from hybrid_core.errors import RequestError

_SHORTEST_OVERLAP = 30  # characters; shorter sentences are shared by chance


@dataclass(frozen=True)
class Prepared:
    """The pairs that stay, and what was counted on the way."""

    pairs: list[Pair]
    report: dict[str, Any]


def normalised(text: str) -> str:
    """Letters and digits only, case folded: equal for texts that differ in spacing, case or punctuation."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_BLANKS).split())


class _Blanks(dict[int, str]):
    """For str.translate: what each character becomes, looked up when it is first met (ten times faster than a loop)."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = character if character.isalnum() or unicodedata.category(character)[0] == "M" else " "
        return self[code]


_BLANKS = _Blanks()


def prepare(pairs: Iterable[Pair], suites: Sequence[Suite], *, minimum_characters: int = 1) -> Prepared:
    """Clean pairs for training.

    A meaning is removed in all languages when in any language its id, its question or a sentence of its passage is in a suite.

    Raises:
        RequestError: nothing is left.
    """
    read = list(pairs)
    leaks = _leaking_meanings(read, suites)
    read, leaking_negatives = _without_leaking_negatives(read, suites)
    clean, dropped = _without_duplicates([p for p in read if p.meaning_id not in leaks], minimum_characters)
    if not clean:
        raise RequestError(
            f"no pair is left of {len(read)} read ({len(leaks)} meanings overlap the evaluation suites); check prepare.source"
        )
    excluded = {suite.name: suite.fingerprint for suite in suites}
    report = _report(read, clean, dropped, leaks) | {"leaked_negatives": leaking_negatives, "excluded_suites": excluded}
    return Prepared(clean, report)


def _without_duplicates(pairs: Sequence[Pair], minimum: int) -> tuple[list[Pair], Counter[str]]:
    seen_ids: set[tuple[str, str]] = set()
    seen_texts: set[tuple[str, str, str]] = set()
    kept, dropped = [], Counter[str]()
    for p in pairs:
        text = (p.language, normalised(p.query), normalised(p.passage))
        if min(len(p.query), len(p.passage)) < minimum:
            dropped["too short"] += 1
        elif (p.language, p.meaning_id) in seen_ids:
            dropped["same id in the same language"] += 1
        elif text in seen_texts:
            dropped["same question and passage"] += 1
        else:
            kept.append(p)
            seen_ids.add((p.language, p.meaning_id))
            seen_texts.add(text)
    return kept, dropped


def _leaking_meanings(pairs: Sequence[Pair], suites: Sequence[Suite]) -> dict[str, str]:
    """Meaning id -> first reason it overlaps a suite ("id", "question" or "passage", and the suite's name)."""
    leaks: dict[str, str] = {}
    for suite in suites:
        ids = set(suite.queries.meaning_ids)
        questions = {
            (lang, normalised(text)) for lang, text in zip(suite.queries.languages, suite.queries.texts, strict=True)
        }
        passages = {
            (lang, sentence)
            for lang, text in zip(suite.passages.languages, suite.passages.sentences, strict=True)
            for sentence in _long_sentences(text)
        }
        for p in pairs:
            if p.meaning_id in leaks:
                continue
            if p.meaning_id in ids:
                leaks[p.meaning_id] = f"id in {suite.name}"
            elif (p.language, normalised(p.query)) in questions:
                leaks[p.meaning_id] = f"question in {suite.name}"
            elif any((p.language, s) in passages for s in _long_sentences(p.passage)):
                leaks[p.meaning_id] = f"passage in {suite.name}"
    return leaks


def _without_leaking_negatives(pairs: Sequence[Pair], suites: Sequence[Suite]) -> tuple[list[Pair], int]:
    """Pairs without the hard negatives that are passages of a suite, and how many those were."""
    if not any(p.negatives for p in pairs):
        return list(pairs), 0
    held = {
        (language, sentence)
        for suite in suites
        for language, text in zip(suite.passages.languages, suite.passages.sentences, strict=True)
        for sentence in _long_sentences(text)
    }
    kept = [
        replace(
            p,
            negatives=tuple(
                n for n in p.negatives if not any((n.language, s) in held for s in _long_sentences(n.text))
            ),
        )
        for p in pairs
    ]
    return kept, sum(len(p.negatives) - len(k.negatives) for p, k in zip(pairs, kept, strict=True))


def _long_sentences(passage: str) -> list[str]:
    parts = [passage, *(passage[start:end] for start, end in sentences(passage))]
    return [s for s in map(normalised, parts) if len(s) >= _SHORTEST_OVERLAP]


def _report(
    read: Sequence[Pair], clean: Sequence[Pair], dropped: Counter[str], leaks: dict[str, str]
) -> dict[str, Any]:
    languages: dict[str, set[str]] = defaultdict(set)
    for p in clean:
        languages[p.meaning_id].add(p.language)
    ordered_pairs = Counter((a, b) for found in languages.values() for a in found for b in found if a != b)
    removed = Counter(p.language for p in read if p.meaning_id in leaks)
    return {
        "rows_read": len(read),
        "rows_kept": len(clean),
        "meanings": len(languages),
        "kept_per_language": dict(sorted(Counter(p.language for p in clean).items())),
        "cross_language_pairs": sum(ordered_pairs.values()),
        "per_pair": {f"{a}-{b}": n for (a, b), n in sorted(ordered_pairs.items()) if a < b},
        "meanings_per_language_count": dict(sorted(Counter(len(found) for found in languages.values()).items())),
        "dropped": dict(dropped),
        "leaked_meanings": dict(Counter(leaks.values())),
        "leaked_rows_per_language": dict(sorted(removed.items())),
    }
