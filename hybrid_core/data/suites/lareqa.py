"""LAReQA's XQuAD-R and MLQA-R: answer retrieval made from parallel SQuAD-format files, one JSON file per language.

A candidate is every sentence of every paragraph; relevant is the one that holds the answer's start, in every language.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_core.data.suites.collection import SETTINGS, Suite, Texts
from hybrid_core.errors import RequestError


@dataclass(frozen=True)
class _Lareqa:
    """What is known of a LAReQA set: per language the numbers of questions and candidate sentences (its README)."""

    questions: dict[str, int]
    candidates: dict[str, int]
    licence: str
    where: str


_XQUAD_CANDIDATES = dict(
    ar=1222, de=1276, el=1234, en=1180, es=1215, hi=1244, ru=1219, th=852, tr=1167, vi=1209, zh=1196
)
LAREQA = {
    "xquad_r": _Lareqa(dict.fromkeys(_XQUAD_CANDIDATES, 1190), _XQUAD_CANDIDATES, "CC BY-SA 4.0", "xquad-r/"),
    "mlqa_r": _Lareqa(
        dict(ar=517, de=512, en=1148, es=500, hi=507, vi=511, zh=504),
        dict(ar=2545, de=2362, en=6264, es=1787, hi=2426, vi=2828, zh=2322),
        "CC BY-NC 4.0", "mlqa-r/ at commit 354d67d1cd06",
    ),
}  # fmt: skip


def load_lareqa(name: str, folder: Path, candidate_text: str) -> Suite:
    """Read `xquad_r` or `mlqa_r` and check its published counts.

    Args:
        name: a key of LAREQA.
        folder: holds `<language>.json`.
        candidate_text: `sentence` or `sentence_with_context`.

    Raises:
        RequestError: absent files (where to get them), files of another form, an empty text, an id that occurs twice, or
            other counts than the published ones.
    """
    expected = LAREQA[name]
    if not folder.is_dir():
        raise RequestError(
            f"suite {name!r} is not at {folder}; get its <language>.json files from github.com/google-research-datasets/lareqa "
            f"({expected.where}) and set data.suites to the folder that holds {name}/"
        )
    queries, passages = Texts(), Texts()
    answers: dict[str, list[int]] = defaultdict(list)
    for language in sorted(expected.questions):
        before = len(queries), len(passages)
        file = folder / f"{language}.json"
        try:
            _read_lareqa(file, language, candidate_text == "sentence_with_context", queries, passages, answers)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise RequestError(f"{file}: not LAReQA JSON ({type(error).__name__}: {error})") from error
        found = len(queries) - before[0], len(passages) - before[1]
        wanted = expected.questions[language], expected.candidates[language]
        if found != wanted:
            raise RequestError(
                f"{file}: {found[0]} questions and {found[1]} candidates, {name} has {wanted[0]} and {wanted[1]}; "
                "the file is not the published one"
            )
    relevant = [np.array(answers[meaning], dtype=np.int64) for meaning in queries.meaning_ids]
    source = f"github.com/google-research-datasets/lareqa, {expected.where}"
    return Suite(name, queries, passages, relevant, SETTINGS, expected.licence, source, candidate_text)


def _read_lareqa(
    file: Path, language: str, with_context: bool, queries: Texts, passages: Texts, answers: dict[str, list[int]]
) -> None:
    if not file.exists():
        raise RequestError(f"{file} is missing: the suite needs a file for language {language!r}")
    try:
        articles = json.loads(file.read_text(encoding="utf-8"))["data"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise RequestError(f"{file}: not LAReQA JSON ({type(error).__name__}: {error})") from error
    seen = set[str]()
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(article.get("paragraphs", ())):
            _check_paragraph(paragraph, f"{file}, data[{a}].paragraphs[{p}]")
            rows = []
            for s, sentence in enumerate(paragraph["sentences"]):
                text = f"{sentence} {paragraph['context']}".replace("\n", " ") if with_context else sentence
                rows.append(passages.add(f"{language}-{a:02d}-{p:03d}-{s:02d}", language, text, sentence=sentence))
            for qa in paragraph["qas"]:
                _check_question(qa, file, seen)
                queries.add(f"{language}-{qa['id']}", language, qa["question"], qa["id"])
                answers[qa["id"]].append(rows[_sentence_of(paragraph, qa, file)])


def _check_paragraph(paragraph: dict[str, Any], where: str) -> None:
    for key in ("sentences", "sentence_breaks", "context", "qas"):
        if key not in paragraph:
            raise RequestError(f"{where}: {key!r} is missing; this is not LAReQA's form")
    for s, sentence in enumerate(paragraph["sentences"]):
        if not sentence.strip():
            raise RequestError(f"{where}: sentences[{s}] is empty; the file is not the published one")


def _check_question(qa: dict[str, Any], file: Path, seen: set[str]) -> None:
    """Refuse an empty question, and an id that an earlier question of the file has: both would count answers of another."""
    if not qa["question"].strip():
        raise RequestError(f"{file}: question {qa['id']!r} is empty; the file is not the published one")
    if qa["id"] in seen:
        raise RequestError(f"{file}: question id {qa['id']!r} occurs twice; the file is not the published one")
    seen.add(qa["id"])


def _sentence_of(paragraph: dict[str, Any], qa: dict[str, Any], file: Path) -> int:
    start = qa["answers"][0]["answer_start"]
    for number, (first, end) in enumerate(paragraph["sentence_breaks"]):
        if first <= start < end:
            return number
    raise RequestError(f"{file}: question {qa['id']!r}: the answer's start {start} is in no sentence")
