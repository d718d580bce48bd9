"""Parallel sentences: Tatoeba pairs as LASER names them, FLORES splits, and the codes their names carry."""

from __future__ import annotations

from pathlib import Path

import pytest
from suite_files import load, refusal

from hybrid_core.data.languages import is_language, shortest_code
from hybrid_core.data.suites import load_suites


def tatoeba(folder: Path, **lines: int) -> Path:
    folder.mkdir(parents=True)
    for code, count in lines.items():
        (folder / f"tatoeba.{code}-eng.{code}").write_text("".join(f"{code} {n}\n" for n in range(count)))
        (folder / f"tatoeba.{code}-eng.eng").write_text("".join(f"english of {code} {n}\n" for n in range(count)))
    return folder


def flores(folder: Path, *names: str, split: str = "devtest", lines: int = 1012) -> Path:
    (folder / split).mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / split / f"{name}.{split}").write_text("".join(f"{name} {n}\n" for n in range(lines)))
    return folder


def test_a_pair_is_asked_in_both_directions_and_the_same_line_is_relevant(tmp_path: Path) -> None:
    tatoeba(tmp_path / "pairs", deu=3)
    suite = load("pairs", tmp_path)
    assert (suite.name, suite.settings, suite.languages) == ("pairs_de", ("cross",), ("de", "en"))
    found = {
        suite.queries.texts[q]: [suite.passages.texts[row] for row in rows] for q, rows in enumerate(suite.relevant)
    }
    assert found == {f"deu {n}": [f"english of deu {n}"] for n in range(3)} | {
        f"english of deu {n}": [f"deu {n}"] for n in range(3)
    }
    assert len(set(suite.queries.ids)) == 6


def test_every_language_is_a_suite_and_english_is_never_pooled_over_pairs(tmp_path: Path) -> None:
    tatoeba(tmp_path / "tatoeba", deu=1000, cmn=1000, ang=134, ber=1000, kzj=1000)
    suites = load_suites(["tatoeba"], str(tmp_path), "sentence")
    assert [s.name for s in suites] == ["tatoeba_ang", "tatoeba_de", "tatoeba_zh"], "Old English has no two letters"
    assert [s.passages.languages.count("en") for s in suites] == [134, 1000, 1000]
    assert all(s.source.endswith("; left out, being no language of ISO 639: ber, kzj") for s in suites)
    assert "left out" not in load("tatoeba/de", tmp_path).source, "those who choose know"
    assert [s.name for s in load_suites(["tatoeba/zh+de"], str(tmp_path), "sentence")] == ["tatoeba_zh", "tatoeba_de"]


@pytest.mark.parametrize(("code", "lines", "expected"), [("deu", 2, 1000), ("tel", 1000, 234)])
def test_pairs_of_another_size_are_not_the_published_ones(tmp_path: Path, code: str, lines: int, expected: int) -> None:
    folder = tatoeba(tmp_path / "tatoeba", **{code: lines})
    assert refusal("tatoeba", tmp_path) == (
        f"{folder / f'tatoeba.{code}-eng.{code}'}: {lines} lines, Tatoeba has {expected} in {code}-eng; the file is not the "
        "published one"
    )


def test_a_tatoeba_language_that_is_absent_is_refused(tmp_path: Path) -> None:
    tatoeba(tmp_path / "tatoeba", deu=3)
    assert refusal("tatoeba/fr", tmp_path) == "evaluate.suites: 'tatoeba' has no language 'fr'; allowed: de"


def test_flores_asks_in_english_and_searches_the_others(tmp_path: Path) -> None:
    flores(tmp_path / "flores", "eng_Latn", "deu_Latn", "zho_Hans", "zho_Hant", "arb_Latn", "arb_Arab", "acm_Arab")
    suite = load("flores", tmp_path)
    assert (suite.name, suite.settings, suite.languages) == ("flores", ("cross", "multi"), ("acm", "ar", "de", "zh"))
    assert (set(suite.queries.languages), len(suite.queries), len(suite.passages)) == ({"en"}, 1012, 4 * 1012)
    found = [suite.passages.texts[row] for row in suite.relevant[41]]
    assert found == ["acm_Arab 41", "arb_Arab 41", "deu_Latn 41", "zho_Hans 41"]
    assert "devtest" in suite.source and suite.source.endswith("queries in en")


def test_flores_languages_are_chosen_queries_first(tmp_path: Path) -> None:
    flores(tmp_path / "flores", "eng_Latn", "deu_Latn", "fra_Latn", "swh_Latn")
    suite = load("flores/de+sw+fr", tmp_path)
    assert (suite.name, set(suite.queries.languages), suite.languages) == ("flores_de_sw_fr", {"de"}, ("fr", "sw"))
    pair = load("flores/de+sw", tmp_path)
    assert pair.settings == ("cross",), "one language of passages is no mixed pool"
    assert (
        refusal("flores/de+it", tmp_path) == "evaluate.suites: 'flores' has no language 'it'; allowed: de, en, fr, sw"
    )


def test_flores_falls_back_to_dev_and_checks_its_size(tmp_path: Path) -> None:
    flores(tmp_path / "flores", "eng_Latn", "deu_Latn", split="dev", lines=997)
    assert len(load("flores", tmp_path).queries) == 997
    flores(tmp_path / "flores", "eng_Latn", "deu_Latn", lines=1011)
    message = refusal("flores", tmp_path)
    assert "eng_Latn.devtest: 1011 lines, FLORES-200 has 1012 in devtest; the file is not the published one" in message


def test_a_folder_of_parallel_sentences_is_recognised_by_its_file_names(tmp_path: Path) -> None:
    assert load("mine", flores(tmp_path / "a" / "mine", "eng_Latn", "deu_Latn", lines=4).parent).name == "mine"
    assert load("pairs", tatoeba(tmp_path / "b" / "pairs", deu=4).parent).name == "pairs_de"


@pytest.mark.parametrize("name", ["tatoeba", "flores"])
def test_absent_sentences_say_where_to_get_them(tmp_path: Path, name: str) -> None:
    message = refusal(name, tmp_path)
    assert (
        message.startswith(f"no parallel sentences at {tmp_path / name}; get them from ") and "github.com/" in message
    )


def test_files_of_different_length_are_refused(tmp_path: Path) -> None:
    folder = tatoeba(tmp_path / "tatoeba", deu=3)
    (folder / "tatoeba.deu-eng.eng").write_text("a\nb\n")
    assert refusal("tatoeba", tmp_path) == (
        f"{folder / 'tatoeba.deu-eng.eng'}: 2 lines, {folder / 'tatoeba.deu-eng.deu'} has 3; parallel files have one "
        "sentence a line"
    )


def test_an_empty_line_is_named(tmp_path: Path) -> None:
    folder = tatoeba(tmp_path / "tatoeba", deu=3)
    (folder / "tatoeba.deu-eng.deu").write_text("a\n \nc\n")
    assert refusal("tatoeba", tmp_path) == f"{folder / 'tatoeba.deu-eng.deu'}, line 2: empty"


def test_a_line_separator_inside_a_sentence_does_not_end_it(tmp_path: Path) -> None:
    folder = tatoeba(tmp_path / "pairs", deu=2)
    (folder / "tatoeba.deu-eng.deu").write_text("a\u2028b\nc\x85d\n", encoding="utf-8")
    assert load("pairs", tmp_path).queries.texts[:2] == ["a\u2028b", "c\x85d"]


def test_three_letter_codes_lead_to_the_shortest_ones() -> None:
    known = {
        "deu": "de",
        "zho": "zh",
        "cmn": "zh",
        "pes": "fa",
        "swh": "sw",
        "arz": "arz",
        "ber": None,
        "de": None,
        "xxx": None,
    }
    assert {code: shortest_code(code) for code in known} == known
    assert all(is_language(own) for own in map(shortest_code, known) if own)
