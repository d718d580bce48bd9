"""What a test collection is: queries, passages in several languages, and which passages are relevant.

A relevant passage is relevant in every language: settings (mono, cross, multi) choose the pool, not the judgements.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybrid_core.errors import RequestError

SETTINGS = ("mono", "cross", "multi")
VARIANT = "~"
"""Stands between the name of a suite and that of its variant, so that no suite may have it in its own name."""
_WITHIN = {"mono": "in its own language", "cross": "in another language", "multi": "in any language"}
_HASHED_AT_ONCE = 10_000


@dataclass
class Texts:
    """Parallel columns of queries or passages."""

    ids: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    meaning_ids: list[str] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    """The text without context or title where a suite adds some; what overlap with training data is checked on."""

    def add(
        self, id: str, language: str, text: str, meaning_id: str = "", domain: str = "", sentence: str | None = None
    ) -> int:
        """Append one text and return its row."""
        values = (id, language, text, meaning_id, domain, text if sentence is None else sentence)
        columns = (self.ids, self.languages, self.texts, self.meaning_ids, self.domains, self.sentences)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        return len(self.ids) - 1

    def extend(
        self,
        ids: Sequence[str],
        language: str | Sequence[str],
        texts: Sequence[str],
        *,
        meaning_ids: Sequence[str] | None = None,
        domains: Sequence[str] | None = None,
        sentences: Sequence[str] | None = None,
    ) -> None:
        """Append whole columns: one language for all rows or one each; without meaning ids the ids serve."""
        self.ids.extend(ids)
        self.languages.extend([language] * len(ids) if isinstance(language, str) else language)
        self.texts.extend(texts)
        self.meaning_ids.extend(ids if meaning_ids is None else meaning_ids)
        self.domains.extend([""] * len(ids) if domains is None else domains)
        self.sentences.extend(texts if sentences is None else sentences)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Suite:
    """One test collection. `relevant[i]` are the rows of the passages relevant to query i, in any language."""

    name: str
    queries: Texts
    passages: Texts
    relevant: list[np.ndarray]
    settings: tuple[str, ...]
    licence: str
    source: str
    candidate_text: str = "passage"

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the passages, sorted."""
        return tuple(sorted(set(self.passages.languages)))

    @property
    def fingerprint(self) -> str:
        """Hash of all texts, ids and judgements; read in pieces, so that a million passages need no second copy."""
        found = hashlib.blake2b(digest_size=8)
        for texts in (self.queries, self.passages):
            for column in (texts.ids, texts.languages, texts.texts, texts.meaning_ids):
                _hash_column(found, column)
        _hash_column(found, (rows.tolist() for rows in self.relevant))
        return found.hexdigest()


def _hash_column(found: hashlib.blake2b, column: Iterable[object]) -> None:
    for piece in _pieces(column):
        found.update(json.dumps(piece, ensure_ascii=False, separators=(",", ":")).encode())
    found.update(b"\n")


def _pieces(column: Iterable[object]) -> Iterator[list[object]]:
    piece: list[object] = []
    for value in column:
        piece.append(value)
        if len(piece) == _HASHED_AT_ONCE:
            yield piece
            piece = []
    yield piece


def relevant_by_meaning(queries: Texts, passages: Texts) -> list[np.ndarray]:
    """Relevant = the same meaning id, in every language."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, meaning in enumerate(passages.meaning_ids):
        rows[meaning].append(row)
    return [np.array(rows[meaning], dtype=np.int64) for meaning in queries.meaning_ids]


def applicable_settings(queries: Texts, passages: Texts, relevant: Sequence[np.ndarray]) -> tuple[str, ...]:
    """The settings in which at least one query has a relevant passage; multi needs passages in several languages."""
    known = {lang: i for i, lang in enumerate(sorted({*queries.languages, *passages.languages}))}
    asked = np.array([known[lang] for lang in queries.languages], dtype=np.int64)
    answered = np.array([known[lang] for lang in passages.languages], dtype=np.int64)
    judged = np.concatenate([*relevant, np.empty(0, dtype=np.int64)])
    same = np.repeat(asked, [len(rows) for rows in relevant]) == answered[judged]
    present = {"mono": bool(same.any()), "cross": bool((~same).any()), "multi": len(set(answered[judged].tolist())) > 1}
    return tuple(setting for setting in SETTINGS if present[setting])


def check_settings(suite: Suite, where: str) -> Suite:
    """Return the suite, or refuse it when one of its settings would score nothing.

    Raises:
        RequestError: names the place, the setting and the remedy.
    """
    possible = applicable_settings(suite.queries, suite.passages, suite.relevant)
    for setting in suite.settings:
        # one language is a legal, if dull, mixed pool; what is refused is a setting without any relevant pair
        if setting not in possible and not (setting == "multi" and possible):
            raise RequestError(
                f"{where}: suite {suite.name!r} declares the setting {setting!r}, but no query has a relevant passage "
                f"{_WITHIN[setting]}; leave {setting!r} out of its settings or add judgements"
            )
    return suite


def check_counts(suite: Suite, expected: dict[str, int], where: str) -> None:
    """Refuse a collection of another size than the published one. Keys: queries, passages, relevant (pairs).

    Raises:
        RequestError: names the place, what was found and what was expected.
    """
    found = {
        "queries": len(suite.queries), "passages": len(suite.passages), "relevant": sum(len(r) for r in suite.relevant)
    }  # fmt: skip
    for what, number in expected.items():
        if found[what] != number:
            unit = "relevant pairs" if what == "relevant" else what
            raise RequestError(
                f"{where}: {found[what]} {unit}, {suite.name} has {number}; the files are not the published ones"
            )
