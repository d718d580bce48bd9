"""Evaluation suites: the built-in sample, BEIR-shaped folders, LAReQA files, and what each of them refuses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED

from hybrid_core.data import sample
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.prepare import normalised, prepare
from hybrid_core.data.suites import SAMPLE_SUITES, SETTINGS, Suite, load_beir, load_suites
from hybrid_core.errors import RequestError
from hybrid_core.storage import verify_complete

SAMPLE_LANGUAGES = ("ar", "en", "es", "hi", "ru", "zh")
XQUAD = dict(ar=1222, de=1276, el=1234, en=1180, es=1215, hi=1244, ru=1219, th=852, tr=1167, vi=1209, zh=1196)
MLQA_QUESTIONS = dict(ar=517, de=512, en=1148, es=500, hi=507, vi=511, zh=504)
MLQA_CANDIDATES = dict(ar=2545, de=2362, en=6264, es=1787, hi=2426, vi=2828, zh=2322)
needs_data = pytest.mark.skipif(not (SHARED / "xquad_r").exists(), reason="the shared evaluation data is not here")


def load(name: str, folder: Path | str | None = None, candidate_text: str = "sentence") -> Suite:
    (suite,) = load_suites([name], None if folder is None else str(folder), candidate_text)
    return suite


def refusal(name: str, folder: Path | None = None) -> str:
    with pytest.raises(RequestError) as error:
        load(name, folder)
    return str(error.value)


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


# --- BEIR-shaped folders

QUERIES = [
    {"id": "q1", "language": "en", "text": "Who?", "meaning_id": "a", "domain": "news"},
    {"id": "q2", "language": "zh", "text": "谁？", "meaning_id": "a"},
    {"id": "q3", "language": "en", "text": "When?"},
]
PASSAGES = [
    {"id": "p1", "language": "en", "text": "Me.", "meaning_id": "a"},
    {"id": "p2", "language": "zh", "text": "我。", "meaning_id": "a"},
    {"id": "p3", "language": "en", "text": "Now."},
]
QRELS = ["q1\t0\tp1\t1", "q1\t0\tp2\t1", "q2\t0\tp2\t1", "q2\t0\tp1\t1", "q3\t0\tp3\t1", "q3\t0\tp1\t0"]


def lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)


def beir(folder: Path, about: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "queries.jsonl").write_text(lines(QUERIES), encoding="utf-8")
    (folder / "passages.jsonl").write_text(lines(PASSAGES), encoding="utf-8")
    (folder / "qrels.tsv").write_text("".join(f"{line}\n" for line in QRELS), encoding="utf-8")
    if about is not None:
        (folder / "suite.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def export(suite: Suite, folder: Path) -> None:
    """Write a suite in the BEIR shape."""
    folder.mkdir()
    for name, t in (("queries", suite.queries), ("passages", suite.passages)):
        columns = zip(t.ids, t.languages, t.texts, t.meaning_ids, t.domains, strict=True)
        records = [dict(zip(("id", "language", "text", "meaning_id", "domain"), row, strict=True)) for row in columns]
        (folder / f"{name}.jsonl").write_text(lines(records), encoding="utf-8")
    judgements = [
        f"{suite.queries.ids[q]}\t0\t{suite.passages.ids[row]}\t1\n"
        for q, rows in enumerate(suite.relevant)
        for row in rows
    ]
    (folder / "qrels.tsv").write_text("".join(judgements), encoding="utf-8")
    about = {"name": suite.name, "settings": suite.settings, "licence": suite.licence, "source": suite.source}
    (folder / "suite.json").write_text(json.dumps(about | {"languages": suite.languages}), encoding="utf-8")


def test_a_folder_is_read_as_it_is(tmp_path: Path) -> None:
    suite = load_beir(beir(tmp_path / "mine"))
    assert (suite.name, suite.languages, suite.settings, suite.licence) == ("mine", ("en", "zh"), SETTINGS, "unknown")
    assert suite.queries.ids == ["q1", "q2", "q3"]
    assert suite.queries.texts == ["Who?", "谁？", "When?"]
    assert suite.queries.meaning_ids == ["a", "a", "q3"]
    assert suite.queries.domains == ["news", "", ""]
    assert suite.passages.sentences == ["Me.", "我。", "Now."]
    assert [rows.tolist() for rows in suite.relevant] == [[0, 1], [0, 1], [2]]


def test_a_suite_survives_the_way_through_a_folder(tmp_path: Path) -> None:
    suite = load("sample_law")
    export(suite, tmp_path / "sample_law")
    again = load_beir(tmp_path / "sample_law")
    assert (again.queries, again.passages) == (suite.queries, suite.passages)
    assert [r.tolist() for r in again.relevant] == [r.tolist() for r in suite.relevant]
    assert (again.name, again.settings, again.licence, again.source) == (
        suite.name, suite.settings, suite.licence, suite.source
    )  # fmt: skip
    assert again.fingerprint == suite.fingerprint


def test_suite_json_names_the_suite_and_limits_its_settings(tmp_path: Path) -> None:
    about = {
        "name": "exam",
        "settings": ["cross", "multi"],
        "licence": "CC0",
        "source": "me",
        "languages": ["en", "zh"],
    }
    suite = load_beir(beir(tmp_path / "mine", about))
    assert (suite.name, suite.settings, suite.licence, suite.source) == ("exam", ("cross", "multi"), "CC0", "me")


@pytest.mark.parametrize("place", ["mine", "shift/mine"])
def test_a_folder_is_found_below_the_folder_of_suites(tmp_path: Path, place: str) -> None:
    beir(tmp_path / place)
    assert load("mine", tmp_path).name == "mine"


def test_a_folder_is_found_by_its_own_path(tmp_path: Path) -> None:
    assert load(str(beir(tmp_path / "mine"))).name == "mine"


def test_the_folder_of_suites_may_be_a_file_uri(tmp_path: Path) -> None:
    beir(tmp_path / "mine")
    assert load("mine", tmp_path.as_uri()).name == "mine"


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f("passages.jsonl", lambda t: t.replace("Now", "Later")),
        lambda f: f("queries.jsonl", lambda t: t.replace("Who", "Whom")),
        lambda f: f("queries.jsonl", lambda t: t.replace('"meaning_id": "a"', '"meaning_id": "b"', 1)),
        lambda f: f("qrels.tsv", lambda t: t.replace("p1\t0", "p1\t1")),
    ],
    ids=["passage", "query", "meaning", "judgement"],
)
def test_the_fingerprint_covers(
    tmp_path: Path, change: Callable[[Callable[[str, Callable[[str], str]], None]], None]
) -> None:
    folder = beir(tmp_path / "mine")
    before = load_beir(folder).fingerprint
    assert load_beir(folder).fingerprint == before

    def rewrite(name: str, edit: Callable[[str], str]) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(edit(text), encoding="utf-8")

    change(rewrite)
    assert load_beir(folder).fingerprint != before


@pytest.mark.parametrize("name", ["queries.jsonl", "passages.jsonl"])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "new", "language": "en"}', ", line 4, field 'text': missing"),
        ('{"language": "en", "text": "x"}', ", line 4, field 'id': missing"),
        ('{"id": "new", "text": "x"}', ", line 4, field 'language': missing"),
        ('{"id": "new", "language": "en", "text": "  "}', ", line 4, field 'text': empty"),
        ('{"id": "new", "language": "en", "text": 3}', ", line 4, field 'text': 3 is not text"),
        ('{"id": 7, "language": "en", "text": "x"}', ", line 4, field 'id': 7 is not text"),
        ('{"id": "new", "language": "english", "text": "x"}', ", line 4, field 'language': language 'english' is not an ISO 639-1 code"),
        ("not json", ", line 4: not JSON (Expecting value at character 0)"),
        ('["list"]', ", line 4: a list instead of a JSON object"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_file_and_line(tmp_path: Path, name: str, line: str, reason: str) -> None:
    file = beir(tmp_path / "mine") / name
    file.write_text(f"{file.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
    assert refusal("mine", tmp_path).startswith(f"{file}{reason}")


@pytest.mark.parametrize(("name", "id"), [("queries.jsonl", "q2"), ("passages.jsonl", "p2")])
def test_an_id_that_occurs_twice_is_named_with_its_second_line(tmp_path: Path, name: str, id: str) -> None:
    file = beir(tmp_path / "mine") / name
    again = json.dumps({"id": id, "language": "en", "text": "again"})
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{again}\n", encoding="utf-8")
    assert refusal("mine", tmp_path) == f"{file}, line 5, field 'id': {id!r} occurs twice"


@pytest.mark.parametrize("name", ["queries.jsonl", "passages.jsonl"])
def test_a_line_that_is_not_utf_8_is_named(tmp_path: Path, name: str) -> None:
    file = beir(tmp_path / "mine") / name
    file.write_bytes(b'{"id": "\xff"}\n')
    assert refusal("mine", tmp_path) == f"{file}, line 1: byte 8 is not UTF-8; save the file as UTF-8"


@pytest.mark.parametrize("name", ["queries.jsonl", "passages.jsonl"])
def test_a_file_without_texts_is_refused(tmp_path: Path, name: str) -> None:
    file = beir(tmp_path / "mine") / name
    file.write_text("\n")
    assert refusal("mine", tmp_path) == f"{file} is empty"


@pytest.mark.parametrize("name", ["passages.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    file = beir(tmp_path / "mine") / name
    file.unlink()
    assert refusal("mine", tmp_path) == f"{file} does not exist"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q9\t0\tp1\t1", "unknown query id 'q9'"),
        ("q1\t0\tp9\t1", "unknown passage id 'p9'"),
        ("p1\t0\tq1\t1", "unknown query id 'p1'"),
        ("q1\tp1\t1", "3 tab-separated columns instead of 4 (query id, 0, passage id, relevance)"),
        ("q1 0 p1 1", "1 tab-separated columns instead of 4 (query id, 0, passage id, relevance)"),
        ("q1\t0\tp1\t2", "relevance '2'; this suite form is binary (0 or 1)"),
        ("q1\t0\tp1\tyes", "relevance 'yes'; this suite form is binary (0 or 1)"),
    ],
)
def test_a_broken_judgement_is_named_with_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    file = beir(tmp_path / "mine") / "qrels.tsv"
    file.write_text("\n".join([*QRELS[:2], line, *QRELS[2:]]), encoding="utf-8")
    assert refusal("mine", tmp_path) == f"{file}, line 3: {reason}"


def test_judgements_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    file = beir(tmp_path / "mine") / "qrels.tsv"
    file.write_bytes(b"q1\t0\tp\xff\t1\n")
    assert str(file) in refusal("mine", tmp_path)


@pytest.mark.parametrize("content", ["", "q1\t0\tp1\t0\n"], ids=["empty", "nothing relevant"])
def test_judgements_without_a_relevant_passage_are_refused(tmp_path: Path, content: str) -> None:
    file = beir(tmp_path / "mine") / "qrels.tsv"
    file.write_text(content)
    assert str(file) in refusal("mine", tmp_path)


def test_a_language_that_suite_json_lists_must_have_passages(tmp_path: Path) -> None:
    folder = beir(tmp_path / "mine", {"languages": ["en", "de"]})
    expected = f"{folder / 'passages.jsonl'}: no passage in language 'de', which suite.json lists"
    assert refusal("mine", tmp_path) == expected


def test_an_unknown_setting_gets_the_nearest_one(tmp_path: Path) -> None:
    folder = beir(tmp_path / "mine", {"settings": ["mono", "multy"]})
    assert refusal("mine", tmp_path) == f"{folder / 'suite.json'}: setting 'multy'; did you mean 'multi'?"


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"name": "caf\xe9"}'], ids=["cut", "list", "latin-1"])
def test_a_suite_json_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    folder = beir(tmp_path / "mine")
    (folder / "suite.json").write_bytes(content)
    assert str(folder / "suite.json") in refusal("mine", tmp_path)


# --- LAReQA, generated: as many questions and candidates as the published files have


def lareqa(language: str, candidates: int) -> dict[str, Any]:
    """XQuAD-R in small: one paragraph of all sentences; question i is answered somewhere in sentence i (modulo their number)."""
    texts = [f"{language} sentence {i:04d}.\n" for i in range(candidates)]
    size = len(texts[0])
    qas = [
        {"id": f"id{i}", "question": f"{language} {i}?", "answers": [{"text": "s", "answer_start": i % candidates * size + i % size}]}
        for i in range(1190)
    ]  # fmt: skip
    breaks = [[i * size, (i + 1) * size] for i in range(candidates)]
    paragraph = {"context": "".join(texts), "sentences": texts, "sentence_breaks": breaks, "qas": qas}
    return {"data": [{"title": "t", "paragraphs": [paragraph | {"context": "All of it\nin short."}]}]}


@pytest.fixture(scope="session")
def made_up_xquad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suites") / "xquad_r"
    folder.mkdir()
    for language, candidates in XQUAD.items():
        (folder / f"{language}.json").write_text(json.dumps(lareqa(language, candidates)))
    return folder.parent


@pytest.fixture
def own_xquad(made_up_xquad: Path, tmp_path: Path) -> Path:
    """Links to the generated files; replace one to break it."""
    folder = tmp_path / "xquad_r"
    folder.mkdir()
    for file in (made_up_xquad / "xquad_r").iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def replace(file: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    data = json.loads(file.read_text())
    edit(data)
    file.unlink()
    file.write_text(json.dumps(data))
    return file


def test_a_candidate_is_a_sentence_and_relevant_is_the_one_of_the_answer(made_up_xquad: Path) -> None:
    suite = load("xquad_r", made_up_xquad)
    assert (suite.candidate_text, suite.settings, suite.licence) == ("sentence", SETTINGS, "CC BY-SA 4.0")
    assert suite.passages.texts == suite.passages.sentences
    query = suite.queries.ids.index("th-id900")  # th has 852 candidates
    found = [suite.passages.texts[row] for row in suite.relevant[query]]
    assert found == [f"{lang} sentence {900 % n:04d}.\n" for lang, n in sorted(XQUAD.items())]


def test_context_is_put_after_the_sentence_when_asked(made_up_xquad: Path) -> None:
    plain, suite = load("xquad_r", made_up_xquad), load("xquad_r", made_up_xquad, "sentence_with_context")
    assert suite.candidate_text == "sentence_with_context"
    assert suite.passages.texts[0] == "ar sentence 0000.  All of it in short."
    assert suite.passages.sentences == plain.passages.texts
    assert [r.tolist() for r in suite.relevant] == [r.tolist() for r in plain.relevant]
    assert suite.fingerprint != plain.fingerprint


def test_absent_data_says_where_to_get_it(tmp_path: Path) -> None:
    message = refusal("xquad_r", tmp_path)
    assert f"suite 'xquad_r' is not at {tmp_path / 'xquad_r'}" in message
    assert "github.com/google-research-datasets/lareqa (xquad-r/)" in message and "data.suites" in message


def test_a_missing_language_file_is_refused(own_xquad: Path) -> None:
    (own_xquad / "el.json").unlink()
    expected = f"{own_xquad / 'el.json'} is missing: the suite needs a file for language 'el'"
    assert refusal("xquad_r", own_xquad.parent) == expected


def test_a_file_with_fewer_questions_is_refused_with_both_counts(own_xquad: Path) -> None:
    file = replace(own_xquad / "ar.json", lambda d: d["data"][0]["paragraphs"][0]["qas"].pop())
    expected = (
        f"{file}: 1189 questions and 1222 candidates, xquad_r has 1190 and 1222; the file is not the published one"
    )
    assert refusal("xquad_r", own_xquad.parent) == expected


def test_a_file_with_fewer_candidates_is_refused_with_both_counts(own_xquad: Path) -> None:
    file = replace(own_xquad / "ar.json", lambda d: d["data"][0]["paragraphs"][0]["sentences"].pop())
    assert f"{file}: 1190 questions and 1221 candidates" in refusal("xquad_r", own_xquad.parent)


def test_a_file_of_another_language_under_this_name_is_refused(own_xquad: Path) -> None:
    (own_xquad / "ar.json").unlink()
    (own_xquad / "ar.json").symlink_to(own_xquad / "de.json")
    assert "1276 candidates, xquad_r has 1190 and 1222" in refusal("xquad_r", own_xquad.parent)


@pytest.mark.parametrize("content", [b'{"data": [', b"[]", b'{"dat": []}', b'{"data": "caf\xe9"}'])
def test_a_file_that_is_not_lareqa_is_named(own_xquad: Path, content: bytes) -> None:
    (own_xquad / "ar.json").unlink()
    (own_xquad / "ar.json").write_bytes(content)
    assert refusal("xquad_r", own_xquad.parent).startswith(f"{own_xquad / 'ar.json'}: not LAReQA JSON (")


@pytest.mark.parametrize("start", [-1, 10**6])
def test_an_answer_in_no_sentence_is_named_with_its_question(own_xquad: Path, start: int) -> None:
    def move(data: dict[str, Any]) -> None:
        data["data"][0]["paragraphs"][0]["qas"][5]["answers"][0]["answer_start"] = start

    file = replace(own_xquad / "ar.json", move)
    assert (
        refusal("xquad_r", own_xquad.parent) == f"{file}: question 'id5': the answer's start {start} is in no sentence"
    )


@pytest.mark.parametrize("lost", ["sentences", "sentence_breaks", "qas"])
def test_plain_squad_under_the_name_of_lareqa_is_refused(own_xquad: Path, lost: str) -> None:
    file = replace(own_xquad / "ar.json", lambda d: d["data"][0]["paragraphs"][0].pop(lost))
    message = refusal("xquad_r", own_xquad.parent)
    assert str(file) in message and lost in message


@pytest.mark.parametrize("data", [3, {"a": 1}, [3]], ids=json.dumps)
def test_lareqa_data_of_the_wrong_shape_names_the_file(own_xquad: Path, data: object) -> None:
    file = replace(own_xquad / "ar.json", lambda d: d.update(data=data))
    assert str(file) in refusal("xquad_r", own_xquad.parent)


# --- LAReQA and the shifted suites, real


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
    ("name", "queries", "passages", "relevant", "settings"),
    [
        ("finance_faq", 792, 1188, 21_384, SETTINGS),
        ("legal", 688, 956, 10_097, SETTINGS),
        ("religious", 5000, 5000, 25_000, ("cross", "multi")),
        ("miracl_lite", 821, 5343, 824, ("mono",)),
    ],
)
def test_shared_folders_have_their_known_counts(
    name: str, queries: int, passages: int, relevant: int, settings: tuple[str, ...]
) -> None:
    suite = load(name, SHARED)
    assert (len(suite.queries), len(suite.passages), sum(map(len, suite.relevant))) == (queries, passages, relevant)
    assert (suite.name, suite.settings) == (name, settings)
