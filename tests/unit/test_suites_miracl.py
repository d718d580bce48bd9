"""MIRACL and Mr. TyDi in their published form, generated with the published counts of one small language."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from suite_files import load, refusal

from hybrid_core.data.suites.passages import hugging_face_columns
from hybrid_core.data.suites.published import MIRACL, MR_TYDI, LanguageCounts
from hybrid_core.errors import RequestError

YO, BN = MIRACL.languages["yo"], MR_TYDI.languages["bn"]


def judgements(counts: LanguageCounts) -> list[tuple[int, str, int]]:
    """(topic, document, relevance): judged and relevant ones dealt out in turn, no pair twice."""
    dealt = [(n % counts.topics, f"{n}#{n % 7}") for n in range(counts.judged)]
    return [(q, d, int(n < counts.relevant)) for n, (q, d) in enumerate(dealt)]


def write_gzip(file: Path, records: Iterable[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wt", compresslevel=1, encoding="utf-8") as stream:
        stream.writelines(json.dumps(r) + "\n" for r in records)


def documents(counts: LanguageCounts, number: int) -> list[dict[str, Any]]:
    ids = [d for _, d, _ in judgements(counts)]
    ids += [f"{n}#x" for n in range(number - len(ids))]
    return [{"docid": d, "title": f"Title {d}", "text": f"Text {d}."} for d in ids]


@pytest.fixture(scope="session")
def made_up_miracl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """miracl/ with flat topics and judgements of Yoruba and a corpus of 12 shards, to be read in the order of numbers."""
    folder = tmp_path_factory.mktemp("suites") / "miracl"
    folder.mkdir()
    (folder / "topics.miracl-v1.0-yo-dev.tsv").write_text("".join(f"{q}\tKí ni {q}?\n" for q in range(YO.topics)))
    (folder / "qrels.miracl-v1.0-yo-dev.tsv").write_text("".join(f"{q} Q0 {d} {r}\n" for q, d, r in judgements(YO)))
    passages = documents(YO, YO.passages or 0)
    for shard in range(12):
        write_gzip(folder / f"miracl-corpus-v1.0-yo/docs-{shard}.jsonl.gz", passages[shard * 4200 : (shard + 1) * 4200])
    return folder.parent


@pytest.fixture
def own(made_up_miracl: Path, tmp_path: Path) -> Path:
    """Links to the generated files; replace one to break it."""
    for file in (made_up_miracl / "miracl").rglob("*"):
        if file.is_file():
            link = tmp_path / file.relative_to(made_up_miracl)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    return tmp_path / "miracl"


def edit(file: Path, change: Callable[[str], str]) -> Path:
    text = file.read_text()
    file.unlink()
    file.write_text(change(text))
    return file


def test_miracl_searches_the_whole_corpus_in_one_language(made_up_miracl: Path) -> None:
    suite = load("miracl/yo", made_up_miracl)
    assert (suite.name, suite.settings, suite.licence) == ("miracl_yo", ("mono",), "Apache-2.0")
    assert (len(suite.queries), len(suite.passages), sum(map(len, suite.relevant))) == (119, 49_043, 144)
    assert suite.queries.ids[7] == "yo-7" and suite.queries.texts[7] == "Kí ni 7?"
    assert suite.passages.texts[3] == "Title 3#3 Text 3#3." and suite.passages.sentences[3] == "Text 3#3."
    assert [suite.passages.ids[row] for row in suite.relevant[7]] == ["yo-7#0", "yo-126#0"]
    assert suite.passages.ids[10_000] == f"yo-{10_000 - YO.judged}#x", "shard 2 comes before shard 10"


def test_the_judged_pool_has_a_name_and_a_source_of_its_own(made_up_miracl: Path) -> None:
    suite, whole = load("miracl_judged/yo", made_up_miracl), load("miracl/yo", made_up_miracl)
    assert (suite.name, len(suite.passages)) == ("miracl_judged_yo", 1188)
    assert "scores do not compare with published ones" in suite.source and "compare" not in whole.source
    named = [[[s.passages.ids[row] for row in rows] for rows in s.relevant] for s in (suite, whole)]
    assert named[0] == named[1]


def test_the_published_folder_tree_is_read_like_the_flat_one(own: Path) -> None:
    flat = load("miracl_judged/yo", own.parent).fingerprint
    for kind in ("topics", "qrels"):
        target = own / "miracl-v1.0-yo" / kind
        target.mkdir(parents=True)
        (own / f"{kind}.miracl-v1.0-yo-dev.tsv").rename(target / f"{kind}.miracl-v1.0-yo-dev.tsv")
    assert load("miracl_judged/yo", own.parent).fingerprint == flat


def test_the_passages_may_lie_elsewhere(own: Path, tmp_path: Path) -> None:
    whole = load("miracl_judged/yo", own.parent).fingerprint
    (own / "miracl-corpus-v1.0-yo").rename(tmp_path / "miracl-corpus-v1.0-yo")
    assert load("miracl_judged/yo", own.parent, corpus=str(tmp_path)).fingerprint == whole
    assert load("miracl_judged/yo", own.parent, corpus=tmp_path.as_uri()).fingerprint == whole


def test_absent_passages_say_what_is_missing_and_how_to_get_it(own: Path) -> None:
    (own / "miracl-corpus-v1.0-yo").rename(own / "elsewhere")
    assert refusal("miracl/yo", own.parent) == (
        f"MIRACL v1.0: the passages of language 'yo' are missing, there is no {own}/miracl-corpus-v1.0-yo/docs-*.jsonl.gz; "
        "get them from the Hugging Face dataset miracl/miracl-corpus (Apache-2.0) and put the folder miracl-corpus-v1.0-yo "
        f"into {own}"
    )


def test_absent_topics_say_how_to_get_them(own: Path) -> None:
    message = refusal("miracl/sw", own.parent)
    assert message.startswith(f"{own} holds no topics.miracl-v1.0-sw-dev.tsv and no miracl-v1.0-sw/topics/")
    assert "the Hugging Face dataset miracl/miracl (Apache-2.0)" in message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("miracl/vi", "'miracl' has no language 'vi'; allowed: ar, bn, de"),
        ("miracl/swa", "'miracl/swa': language 'swa' has a code of two letters, write 'sw'"),
        ("miracl/yo+sw,yo", "'miracl/yo+sw,yo' names a language twice"),
        ("tydi/de", "'tydi' has no language 'de'"),
    ],
)
def test_a_wrong_choice_of_languages_is_refused(own: Path, name: str, reason: str) -> None:
    assert refusal(name, own.parent).startswith(f"evaluate.suites: {reason}")


def test_languages_may_share_numbers_of_topics_and_documents(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MIRACL.languages, "sw", YO)  # Swahili of Yoruba's size: a small second language
    for file in list(own.rglob("*yo*")):
        if file.is_file():
            link = own / str(file.relative_to(own)).replace("yo", "sw")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    (own / "miracl-corpus-v1.0-sw").symlink_to(own / "miracl-corpus-v1.0-yo")
    suite = load("miracl_judged/yo+sw", own.parent)
    assert suite.name == "miracl_judged_sw_yo" and len(set(suite.queries.ids)) == len(suite.queries) == 238
    assert len(set(suite.passages.ids)) == len(suite.passages) == 2 * 1188
    for query, rows in enumerate(suite.relevant):
        assert {suite.passages.languages[row] for row in rows} == {suite.queries.languages[query]}
    assert load("miracl_judged/sw,yo", own.parent).fingerprint == suite.fingerprint


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("topics", lambda t: t.partition("\n")[2], ": 118 topics, MIRACL v1.0 has 119 for"),
        ("topics", lambda t: t.replace("3\tKí ni 3?", "3 Kí ni 3?", 1), ", line 4: '3 Kí ni 3?' is not a topic (query id, tab, query)"),
        ("topics", lambda t: t.replace("3\tKí ni 3?", "3\t ", 1), ", line 4: '3\\t ' is not a topic (query id, tab, query)"),
        ("topics", lambda t: t.replace("3\tKí", "2\tKí", 1), ", line 4: query id '2' occurs twice"),
        ("qrels", lambda t: t + "0 Q0 0#0 1\n", ": 1189 judgements, MIRACL v1.0 has 1188 for"),
        ("qrels", lambda t: t.replace(" 0\n", " 1\n", 1), ": 145 relevant judgements, MIRACL v1.0 has 144 for"),
        ("qrels", lambda t: t.replace("5#5", "5#9", 1), ", line 6: unknown passage id '5#9'"),
        ("qrels", lambda t: t.replace("5 Q0", "999 Q0", 1), ", line 6: unknown query id '999'"),
        ("qrels", lambda t: t.replace("5 Q0 ", "5 ", 1), ", line 6: 3 columns instead of 4 (query id, 0, passage id, relevance)"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named_with_what_is_wrong(
    own: Path, kind: str, change: Callable[[str], str], reason: str
) -> None:
    file = edit(own / f"{kind}.miracl-v1.0-yo-dev.tsv", change)
    for name in ("miracl/yo", "miracl_judged/yo"):
        published = " language 'yo'; the file is not the published one" if reason.endswith(" for") else ""
        assert refusal(name, own.parent) == f"{file}{reason}{published}"


def test_a_lost_shard_is_noticed_by_the_count(own: Path) -> None:
    (own / "miracl-corpus-v1.0-yo/docs-11.jsonl.gz").unlink()
    (own / "miracl-corpus-v1.0-yo/docs-9.jsonl.gz").unlink()
    message = refusal("miracl/yo", own.parent)
    assert message.startswith(f"{own}/miracl-corpus-v1.0-yo: 42000 passages in 10 files, MIRACL v1.0 has 49043")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"docid": "a#0", "title": " ", "text": ""}, ", line 4201: passage 'a#0' has neither title nor text, or no id"),
        ({"title": "t", "text": "x"}, ", line 4201, field 'docid': missing"),
        ({"docid": "a#0", "text": 3}, ", line 4201, field 'text': 3 is not text"),
        ({"docid": "0#0", "title": "t", "text": "x"}, ", line 4201, field 'docid': '0#0' occurs twice"),
    ],
)
def test_a_broken_passage_is_named_with_shard_and_line(own: Path, record: dict[str, Any], reason: str) -> None:
    shard = own / "miracl-corpus-v1.0-yo/docs-0.jsonl.gz"
    content = gzip.decompress(shard.read_bytes())
    shard.unlink()
    shard.write_bytes(gzip.compress(content + json.dumps(record).encode(), 1))
    assert refusal("miracl_judged/yo", own.parent) == f"{shard}{reason}"


def test_a_passage_in_two_shards_is_refused(own: Path) -> None:
    write_gzip(own / "miracl-corpus-v1.0-yo/docs-12.jsonl.gz", [{"docid": "0#0", "title": "t", "text": "x"}])
    assert refusal("miracl/yo", own.parent) == f"{own}/miracl-corpus-v1.0-yo: passage id '0#0' occurs in two files"


def test_a_shard_cut_short_is_named(own: Path) -> None:
    shard = own / "miracl-corpus-v1.0-yo/docs-0.jsonl.gz"
    content = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(content[: len(content) // 2])
    assert refusal("miracl/yo", own.parent).startswith(f"{shard}: damaged gzip (")


# --- the datasets library


def test_shards_read_by_the_datasets_library_give_the_same_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    records = [{"docid": f"{n}#0", "title": "T" * (n % 2), "text": f"x{n}"} for n in range(5)]
    write_gzip(tmp_path / "docs-0.jsonl.gz", records[:3])
    write_gzip(tmp_path / "docs-1.jsonl.gz", records[3:])
    columns = hugging_face_columns(str(tmp_path / "docs-*.jsonl.gz"), ("docid", "title", "text"))
    assert [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] == records


def test_a_dataset_that_cannot_be_had_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"docs-\*\.jsonl\.gz cannot be loaded \(.*check network and HF_HUB_OFFLINE"):
        hugging_face_columns(str(tmp_path / "docs-*.jsonl.gz"), ("docid",))


# --- Mr. TyDi


@pytest.fixture(scope="session")
def made_up_tydi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suites") / "tydi"
    place = folder / "mrtydi-v1.1-bengali"
    place.mkdir(parents=True)
    (place / "topic.test.tsv").write_text("".join(f"{q}\tki {q}?\n" for q in range(BN.topics)))
    (place / "qrels.test.txt").write_text("".join(f"{q}\tQ0\t{d}\t{r}\n" for q, d, r in judgements(BN)))
    contents = [{"id": d["docid"], "contents": f"{d['title']}\n\n{d['text']}"} for d in documents(BN, 200)]
    write_gzip(place / "collection" / "docs.jsonl.gz", [*contents, {"id": "bare#0", "contents": "No title."}])
    return folder.parent


def test_mr_tydi_is_read_in_its_published_form(made_up_tydi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MR_TYDI.languages, "bn", replace(BN, passages=201))
    suite = load("tydi/bn", made_up_tydi)
    assert (suite.name, suite.settings, len(suite.queries), len(suite.passages)) == ("tydi_bn", ("mono",), 111, 201)
    assert sum(map(len, suite.relevant)) == BN.relevant == 130
    assert (suite.passages.texts[3], suite.passages.sentences[3]) == ("Title 3#3 Text 3#3.", "Text 3#3.")
    assert (suite.passages.texts[-1], suite.passages.sentences[-1]) == ("No title.", "No title.")


def test_a_cut_collection_of_mr_tydi_is_refused(made_up_tydi: Path) -> None:
    collection = made_up_tydi / "tydi" / "mrtydi-v1.1-bengali" / "collection"
    assert refusal("tydi/bn", made_up_tydi) == (
        f"{collection}: 201 passages in 1 file, Mr. TyDi v1.1 has 304059 for language 'bn'; a shard is missing or cut"
    )


def test_the_counts_of_all_languages_add_up_to_the_published_totals() -> None:
    assert sum(c.topics for c in MIRACL.languages.values()) == 13_495
    assert sum(c.judged for c in MIRACL.languages.values()) == 130_408
    sixteen = [c.passages for lang, c in MIRACL.languages.items() if lang not in ("de", "yo")]
    assert sum(sixteen) == 90_416_887 and len(sixteen) == 16
    assert sum(c.passages for c in MR_TYDI.languages.values()) == 58_043_326
    assert len(MR_TYDI.languages) == 11 and all(c.judged >= c.topics for c in MR_TYDI.languages.values())
