"""The real collections, where they are at hand: counts, and what relevance means in them."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import SHARED
from suite_files import load

from hybrid_core.data.suites import SETTINGS
from hybrid_core.data.suites.published import MIRACL

XQUAD = dict(ar=1222, de=1276, el=1234, en=1180, es=1215, hi=1244, ru=1219, th=852, tr=1167, vi=1209, zh=1196)
MLQA_QUESTIONS = dict(ar=517, de=512, en=1148, es=500, hi=507, vi=511, zh=504)
MLQA_CANDIDATES = dict(ar=2545, de=2362, en=6264, es=1787, hi=2426, vi=2828, zh=2322)
needs_data = pytest.mark.skipif(not (SHARED / "xquad_r").exists(), reason="the shared evaluation data is not here")


@needs_data
def test_xquad_r_has_its_published_counts() -> None:
    suite = load("xquad_r", SHARED)
    assert (len(suite.queries), len(suite.passages)) == (13_090, 13_014)
    assert Counter(suite.queries.languages) == dict.fromkeys(XQUAD, 1190)
    assert Counter(suite.passages.languages) == XQUAD
    for rows in suite.relevant:
        assert [suite.passages.languages[row] for row in rows] == sorted(XQUAD)


@needs_data
def test_mlqa_r_has_its_published_counts() -> None:
    suite = load("mlqa_r", SHARED)
    assert Counter(suite.queries.languages) == MLQA_QUESTIONS
    assert Counter(suite.passages.languages) == MLQA_CANDIDATES
    assert (len(suite.passages), suite.licence) == (20_534, "CC BY-NC 4.0")
    asked_in = Counter(suite.queries.meaning_ids)
    assert [len(rows) for rows in suite.relevant] == [asked_in[m] for m in suite.queries.meaning_ids]


@needs_data
@pytest.mark.parametrize("name", ["xquad_r", "mlqa_r"])
def test_the_relevant_sentence_of_its_language_holds_the_start_of_the_answer(name: str) -> None:
    suite = load(name, SHARED)
    articles = json.loads((SHARED / name / "es.json").read_text(encoding="utf-8"))["data"]
    answers = {q["id"]: q["answers"][0]["text"] for a in articles for p in a["paragraphs"] for q in p["qas"]}
    checked = 0
    for query, rows in enumerate(suite.relevant):
        if suite.queries.languages[query] == "es":
            (own,) = [suite.passages.texts[r] for r in rows if suite.passages.languages[r] == "es"]
            assert answers[suite.queries.meaning_ids[query]].split()[0] in own
            checked += 1
    assert checked == len(answers)


@needs_data
def test_context_does_not_change_the_pool_of_xquad_r() -> None:
    plain, suite = load("xquad_r", SHARED), load("xquad_r", SHARED, "sentence_with_context")
    assert suite.passages.sentences == plain.passages.texts
    assert all(
        text.startswith(sentence.replace("\n", " ") + " ") and len(text) > len(sentence) + 1 and "\n" not in text
        for text, sentence in zip(suite.passages.texts, plain.passages.texts, strict=True)
    )


@needs_data
@pytest.mark.parametrize(
    ("name", "queries", "passages", "relevant", "settings", "domains"),
    [
        ("finance_faq", 792, 1188, 21_384, SETTINGS, {"finance"}),
        ("medical", 4458, 4459, 57_954, SETTINGS, {"medical"}),
        ("legal", 688, 956, 10_097, SETTINGS, {"legal"}),
        ("news", 2800, 5784, 131_520, SETTINGS, {"news"}),
        ("wiki_genres", 4320, 4320, 103_680, SETTINGS, {"wikinews", "wikivoyage", "wikibooks"}),
        ("technical", 3512, 7127, 31_376, SETTINGS, {"technical"}),
        ("religious", 5000, 5000, 25_000, ("cross", "multi"), {"religious"}),
        ("miracl_lite", 821, 5343, 824, ("mono",), {"wikipedia"}),
    ],
)
def test_shared_folders_have_their_known_counts(
    name: str, queries: int, passages: int, relevant: int, settings: tuple[str, ...], domains: set[str]
) -> None:
    suite = load(name, SHARED)
    assert (len(suite.queries), len(suite.passages), sum(map(len, suite.relevant))) == (queries, passages, relevant)
    assert (suite.name, suite.settings, set(suite.queries.domains)) == (name, settings, domains)


@needs_data
@pytest.mark.parametrize("language", MIRACL.languages)
def test_miracl_has_its_published_topics_and_judgements(language: str, tmp_path: Path) -> None:
    (topics, qrels) = (SHARED / "miracl" / f"{kind}.miracl-v1.0-{language}-dev.tsv" for kind in ("topics", "qrels"))
    with qrels.open(encoding="utf-8") as lines:
        judged = {docid: int(grade) for _, _, docid, grade in map(str.split, lines)}
    corpus = tmp_path / f"miracl-corpus-v1.0-{language}" / "docs-0.jsonl.gz"
    corpus.parent.mkdir()
    with gzip.open(corpus, "wt", compresslevel=1) as stream:
        stream.writelines(json.dumps({"docid": d, "title": "t", "text": d}) + "\n" for d in judged)
    suite = load(f"miracl_judged/{language}", SHARED, corpus=str(tmp_path))
    assert (
        len(suite.queries) == len(topics.read_text(encoding="utf-8").splitlines()) == MIRACL.languages[language].topics
    )
    assert sum(map(len, suite.relevant)) == MIRACL.languages[language].relevant
    assert len(suite.passages) == len(judged) and all(len(rows) for rows in suite.relevant)
