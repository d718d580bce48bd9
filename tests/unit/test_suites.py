"""Evaluation suites by name: the built-in sample, and which names are understood."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from suite_files import beir, load, refusal

from hybrid_core.data import sample
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.prepare import normalised, prepare
from hybrid_core.data.suites import SAMPLE_SUITES, SETTINGS, load_suites
from hybrid_core.errors import RequestError
from hybrid_core.storage import verify_complete

SAMPLE_LANGUAGES = ("ar", "en", "es", "hi", "ru", "zh")

# --- the built-in sample


@pytest.mark.parametrize("name", SAMPLE_SUITES)
def test_a_sample_suite_has_32_meanings_in_six_languages(name: str) -> None:
    suite = load(name)
    assert (suite.name, suite.languages, suite.settings) == (name, SAMPLE_LANGUAGES, SETTINGS)
    for texts in (suite.queries, suite.passages):
        assert Counter(texts.languages) == dict.fromkeys(SAMPLE_LANGUAGES, 32)
        assert Counter(Counter(texts.meaning_ids).values()) == {6: 32}
        assert len(set(texts.ids)) == len(set(texts.texts)) == len(texts) == 192
        assert set(texts.domains) == {name.removeprefix("sample_")}


@pytest.mark.parametrize("name", SAMPLE_SUITES)
def test_in_a_sample_suite_the_same_meaning_is_relevant_in_all_languages(name: str) -> None:
    suite = load(name)
    for query, rows in enumerate(suite.relevant):
        assert {suite.passages.meaning_ids[row] for row in rows} == {suite.queries.meaning_ids[query]}
        assert sorted(suite.passages.languages[row] for row in rows) == list(SAMPLE_LANGUAGES)


def test_sample_stands_for_five_domains_of_their_own_meanings() -> None:
    suites = load_suites(["sample"], None, "sentence")
    assert [s.name for s in suites] == [f"sample_{d}" for d in sample.DOMAINS] and len(suites) == 5
    assert len({m for s in suites for m in s.queries.meaning_ids}) == 5 * 32


def test_training_and_held_out_meanings_share_no_id_and_no_text() -> None:
    training = list(sample.pairs(sample.TRAINING_DOMAIN, "train"))
    assert len({p.meaning_id for p in training}) == 64 and len(training) == 64 * 6
    prepared = prepare(training, load_suites(["sample"], None, "sentence"))
    assert prepared.report["leaked_meanings"] == {} and prepared.report["dropped"] == {}
    trained_on = {(p.language, normalised(t)) for p in training for t in (p.query, p.passage)}
    held_out = [p for d in sample.DOMAINS for p in sample.pairs(d, "heldout")]
    assert not trained_on & {(p.language, normalised(t)) for p in held_out for t in (p.query, p.passage)}


def test_only_the_training_domain_has_meanings_to_train_on() -> None:
    splits = {d: Counter(m["split"] for m in sample.meanings(d)) for d in sample.DOMAINS}
    assert splits.pop(sample.TRAINING_DOMAIN) == {"train": 64, "heldout": 32}
    assert all(counts == {"heldout": 32} for counts in splits.values())


def test_the_sample_corpus_is_written_once_and_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    first = Path(sample.sample_corpus())
    written = (first / "rows.arrow").stat().st_mtime_ns
    assert sample.sample_corpus() == str(first) and (first / "rows.arrow").stat().st_mtime_ns == written
    assert list((tmp_path / "cache").iterdir()) == [first]
    assert verify_complete(first)["kind"] == "corpus"
    corpus = Corpus.open(str(first))
    assert corpus.languages == SAMPLE_LANGUAGES
    assert [corpus.rows_of(lang)[1] - corpus.rows_of(lang)[0] for lang in SAMPLE_LANGUAGES] == [64] * 6
    first_pair, end = corpus.manifest["pairs"]["en-zh"]
    assert (corpus.manifest["licence"], end - first_pair) == ("Apache-2.0", 64)
    assert corpus.manifest["pairs"].keys() == {f"{a}-{b}" for a in SAMPLE_LANGUAGES for b in SAMPLE_LANGUAGES if a < b}


# --- names


def test_an_unknown_name_gets_the_nearest_one() -> None:
    expected = "evaluate.suites: 'sample_medcine' is no built-in suite and no folder with queries.jsonl; did you mean 'sample_medicine'?"
    assert refusal("sample_medcine") == expected


def test_a_name_near_to_nothing_gets_the_list(tmp_path: Path) -> None:
    message = refusal("qqq", tmp_path)
    assert "evaluate.suites: 'qqq'" in message
    assert all(name in message for name in (*SAMPLE_SUITES, "sample", "xquad_r", "mlqa_r"))


def test_no_suite_at_all_is_refused() -> None:
    with pytest.raises(RequestError, match=r"evaluate\.suites is empty; name at least one suite"):
        load_suites([], None, "sentence")


def test_the_order_of_the_names_is_kept() -> None:
    assert [s.name for s in load_suites(["sample_law", "sample_finance"], None, "sentence")] == [
        "sample_law", "sample_finance"
    ]  # fmt: skip


@pytest.mark.parametrize("names", [["sample", "sample_law"], ["sample_law", "sample_law"]])
def test_a_suite_named_twice_is_refused(names: list[str]) -> None:
    with pytest.raises(RequestError) as error:
        load_suites(names, None, "sentence")
    assert "evaluate.suites: two suites are named 'sample_law'; name each once" in str(error.value)


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    folders = [str(beir(tmp_path / place, {"name": "exam"})) for place in ("one", "two")]
    with pytest.raises(RequestError, match=r"two suites are named 'exam'; .* \(suite\.json, field 'name'\)"):
        load_suites(folders, None, "sentence")
