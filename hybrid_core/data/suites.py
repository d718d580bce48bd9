"""Evaluation suites: queries, passages in several languages, and which passages are relevant. Loaders and a registry.

A relevant passage is relevant in every language: settings (mono, cross, multi) choose the pool, not the judgements.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_core.data import sample
from hybrid_core.data.jsonl import check_text, read_jsonl
from hybrid_core.data.languages import check_language
from hybrid_core.errors import RequestError, nearest
from hybrid_core.settings import digest
from hybrid_core.storage import absolute

SETTINGS = ("mono", "cross", "multi")
SAMPLE_SUITES = tuple(f"sample_{domain}" for domain in sample.DOMAINS)


@dataclass
class Texts:
    """Parallel columns of queries or passages."""

    ids: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    meaning_ids: list[str] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    """The text without context where a suite adds some; what overlap with training data is checked on."""

    def add(
        self, id: str, language: str, text: str, meaning_id: str = "", domain: str = "", sentence: str | None = None
    ) -> int:
        """Append one text and return its row."""
        values = (id, language, text, meaning_id, domain, text if sentence is None else sentence)
        columns = (self.ids, self.languages, self.texts, self.meaning_ids, self.domains, self.sentences)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        return len(self.ids) - 1

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
        """Hash of all texts, ids and judgements."""
        rows = [[t.ids, t.languages, t.texts, t.meaning_ids] for t in (self.queries, self.passages)]
        return digest([rows, [r.tolist() for r in self.relevant]])


def load_suites(names: Sequence[str], folder: str | None, candidate_text: str) -> list[Suite]:
    """Load suites by name or folder; `sample` stands for the five built-in ones.

    Raises:
        RequestError: an unknown name (nearest named), absent data (how to get it), or data that cannot be trusted.
    """
    folder = absolute(folder) if folder else None
    expanded = [n for name in names for n in (SAMPLE_SUITES if name == "sample" else (name,))]
    if not expanded:
        raise RequestError("evaluate.suites is empty; name at least one suite")
    suites = [_load(name, folder, candidate_text) for name in expanded]
    names = [s.name for s in suites]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(
                f"evaluate.suites: two suites are named {name!r}; name each once (suite.json, field 'name')"
            )
    return suites


def _load(name: str, folder: str | None, candidate_text: str) -> Suite:
    if name in SAMPLE_SUITES:
        return _sample_suite(name.removeprefix("sample_"))
    if name in _LAREQA:
        return _load_lareqa(name, _data_folder(name, folder), candidate_text)
    candidates = [Path(name)] + ([Path(folder) / name, Path(folder) / "shift" / name] if folder else [])
    for path in candidates:
        if (path / "queries.jsonl").exists():
            return load_beir(path)
    known = [*SAMPLE_SUITES, "sample", *_LAREQA]
    raise RequestError(
        f"evaluate.suites: {name!r} is no built-in suite and no folder with queries.jsonl{nearest(name, known)}"
    )


def _data_folder(name: str, folder: str | None) -> Path:
    path = Path(folder or ".") / name
    if not path.is_dir():
        raise RequestError(
            f"suite {name!r} is not at {path}; get its <language>.json files from github.com/google-research-datasets/lareqa "
            f"({_LAREQA[name].where}) and set data.suites to the folder that holds {name}/"
        )
    return path


def _sample_suite(domain: str) -> Suite:
    """Held-out meanings of the training domain, or all meanings of a shifted one; relevant = same meaning."""
    queries, passages = Texts(), Texts()
    for p in sample.pairs(domain, "heldout"):
        queries.add(f"{p.language}-{p.meaning_id}", p.language, p.query, p.meaning_id, domain)
        passages.add(f"{p.language}-{p.meaning_id}", p.language, p.passage, p.meaning_id, domain)
    return Suite(
        f"sample_{domain}",
        queries,
        passages,
        _by_meaning(queries, passages),
        SETTINGS,
        sample.LICENCE,
        "hybrid_core/data/sample",
    )


def _by_meaning(queries: Texts, passages: Texts) -> list[np.ndarray]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, meaning in enumerate(passages.meaning_ids):
        rows[meaning].append(row)
    return [np.array(rows[meaning], dtype=np.int64) for meaning in queries.meaning_ids]


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
_LAREQA = {
    "xquad_r": _Lareqa(dict.fromkeys(_XQUAD_CANDIDATES, 1190), _XQUAD_CANDIDATES, "CC BY-SA 4.0", "xquad-r/"),
    "mlqa_r": _Lareqa(
        dict(ar=517, de=512, en=1148, es=500, hi=507, vi=511, zh=504),
        dict(ar=2545, de=2362, en=6264, es=1787, hi=2426, vi=2828, zh=2322),
        "CC BY-NC 4.0", "mlqa-r/ at commit 354d67d1cd06",
    ),
}  # fmt: skip


def _load_lareqa(name: str, folder: Path, candidate_text: str) -> Suite:
    """LAReQA JSON: a candidate is every sentence of every paragraph; relevant is the one that holds the answer's start."""
    expected = _LAREQA[name]
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
                f"{folder / f'{language}.json'}: {found[0]} questions and {found[1]} candidates, {name} has {wanted[0]} and {wanted[1]}; "
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
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(article.get("paragraphs", ())):
            for key in ("sentences", "sentence_breaks", "context", "qas"):
                if key not in paragraph:
                    raise RequestError(
                        f"{file}, data[{a}].paragraphs[{p}]: {key!r} is missing; this is not LAReQA's form"
                    )
            rows = []
            for s, sentence in enumerate(paragraph["sentences"]):
                text = f"{sentence} {paragraph['context']}".replace("\n", " ") if with_context else sentence
                rows.append(passages.add(f"{language}-{a:02d}-{p:03d}-{s:02d}", language, text, sentence=sentence))
            for qa in paragraph["qas"]:
                queries.add(f"{language}-{qa['id']}", language, qa["question"], qa["id"])
                answers[qa["id"]].append(rows[_sentence_of(paragraph, qa, file)])


def _sentence_of(paragraph: dict[str, Any], qa: dict[str, Any], file: Path) -> int:
    start = qa["answers"][0]["answer_start"]
    for number, (first, end) in enumerate(paragraph["sentence_breaks"]):
        if first <= start < end:
            return number
    raise RequestError(f"{file}: question {qa['id']!r}: the answer's start {start} is in no sentence")


def load_beir(folder: Path) -> Suite:
    """A BEIR-shaped folder: queries.jsonl, passages.jsonl (id, language, text[, meaning_id, domain]), qrels.tsv[, suite.json].

    Raises:
        RequestError: names file and line of an unknown id, a duplicate, an empty text, a wrong language, a broken judgement.
    """
    about = _read_about(folder / "suite.json")
    queries, passages = _read_texts(folder / "queries.jsonl"), _read_texts(folder / "passages.jsonl")
    relevant = _read_qrels(folder / "qrels.tsv", queries, passages)
    for language in about.get("languages", ()):
        if language not in passages.languages:
            raise RequestError(
                f"{folder / 'passages.jsonl'}: no passage in language {language!r}, which suite.json lists"
            )
    settings = tuple(about.get("settings", SETTINGS))
    for setting in settings:
        if setting not in SETTINGS:
            raise RequestError(f"{folder / 'suite.json'}: setting {setting!r}{nearest(setting, SETTINGS)}")
    return Suite(
        name=about.get("name", folder.name),
        queries=queries,
        passages=passages,
        relevant=relevant,
        settings=settings,
        licence=about.get("licence", "unknown"),
        source=about.get("source", folder.name),
    )


def _read_about(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RequestError(f"{file} is not JSON: {error}") from error
    if not isinstance(about, dict):
        raise RequestError(f"{file} must hold one JSON object")
    return about


def _read_texts(file: Path) -> Texts:
    texts, seen = Texts(), set[str]()
    for number, record in read_jsonl(file, ("id", "language", "text")):
        where = f"{file}, line {number}"
        if record["id"] in seen:
            raise RequestError(f"{where}, field 'id': {record['id']!r} occurs twice")
        seen.add(record["id"])
        language = check_language(record["language"], f"{where}, field 'language'")
        texts.add(
            record["id"],
            language,
            record["text"],
            str(record.get("meaning_id") or record["id"]),
            str(record.get("domain") or ""),
        )
    if not len(texts):
        raise RequestError(f"{file} is empty")
    return texts


def _read_qrels(file: Path, queries: Texts, passages: Texts) -> list[np.ndarray]:
    if not file.exists():
        raise RequestError(f"{file} does not exist")
    query_row = {id: row for row, id in enumerate(queries.ids)}
    passage_row = {id: row for row, id in enumerate(passages.ids)}
    relevant: list[list[int]] = [[] for _ in queries.ids]
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise RequestError(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    for number, line in enumerate(lines, start=1):
        where = f"{file}, line {number}"
        parts = line.split("\t")
        if len(parts) != 4:
            raise RequestError(
                f"{where}: {len(parts)} tab-separated columns instead of 4 (query id, 0, passage id, relevance)"
            )
        for id, known, what in ((parts[0], query_row, "query"), (parts[2], passage_row, "passage")):
            if id not in known:
                raise RequestError(f"{where}: unknown {what} id {check_text(id, where)!r}")
        if parts[3] not in ("0", "1"):
            raise RequestError(f"{where}: relevance {parts[3]!r}; this suite form is binary (0 or 1)")
        if parts[3] == "1":
            relevant[query_row[parts[0]]].append(passage_row[parts[2]])
    if not any(relevant):
        raise RequestError(f"{file} judges no passage relevant (no line ends in 1)")
    return [np.array(sorted(set(rows)), dtype=np.int64) for rows in relevant]
