"""Parallel sentences as retrieval: the relevant passage is the same line of the other language.

Tatoeba as in LASER: one suite per language with English, asked in both directions. The English sentences of two
pairs differ, so pairs are never pooled. FLORES: all languages are parallel; queries of one language search the
sentences of the others, per language (cross) and mixed (multi), so that no query finds itself in its pool.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hybrid_core.data.languages import shortest_code
from hybrid_core.data.suites.collection import Suite, Texts, check_settings, relevant_by_meaning
from hybrid_core.data.suites.places import file_names, suite_folder
from hybrid_core.data.suites.qrels import read_lines
from hybrid_core.errors import RequestError, nearest
from hybrid_core.storage import join

_TATOEBA = re.compile(r"tatoeba\.([a-z]{3})-eng\.\1")
_FLORES = re.compile(r"([a-z]{3})_([A-Z][a-z]{3})\.(dev|devtest)")
_FLORES_LINES = {"dev": 997, "devtest": 1012}
_SCRIPT = {"zh": "Hans", "ar": "Arab", "ks": "Arab", "kr": "Latn", "ace": "Latn", "bjn": "Latn", "min": "Latn"}
"""Which of two scripts stands for a language; elsewhere the first by name."""
_TATOEBA_LINES = dict(
    amh=168, ang=134, arq=911, arz=477, ast=127, awa=231, bos=354, ceb=600, cha=137, csb=253, cym=575, dsb=479, fao=262, fry=173,
    gla=829, gsw=117, hsb=483, hye=742, jav=205, kat=746, kaz=575, khm=722, kur=410, mal=687, max=284, mon=440, nov=257, orv=835,
    pms=525, slv=823, swg=112, swh=390, tam=307, tel=234, tha=548, tuk=203, tzl=104, uzb=428, xho=142, yid=848,
)  # fmt: skip
"""Sentences per language in Tatoeba v1 of LASER at commit 74bc6ae7ffb7; all others have 1,000."""
_GET = {
    "tatoeba": "data/tatoeba/v1 of github.com/facebookresearch/LASER (Tatoeba, CC BY 2.0 FR)",
    "flores": "the FLORES-200 archive that github.com/facebookresearch/flores links to, or flores200_dataset (CC BY-SA 4.0)",
}


def is_bitext(uri: str) -> bool:
    """Whether a local or `s3://` folder holds files of one of the two forms."""
    return any(_TATOEBA.fullmatch(name) for name in file_names(uri)) or any(
        _FLORES.fullmatch(name) for split in _FLORES_LINES for name in file_names(join(uri, split))
    )


def load_bitext(folder: str, languages: Sequence[str] = (), name: str = "") -> list[Suite]:
    """Load parallel sentences of either form from a folder; the file names decide which.

    Args:
        folder: local or `s3://` folder.
        languages: their codes. Tatoeba: the languages beside English, empty for all. FLORES: first the language of
            the queries, then those of the passages; none: English queries, passages of all others.
        name: `tatoeba` or `flores` when asked for by that name (published sizes are checked); empty: the folder's name.

    Returns:
        One suite for FLORES, one per language for Tatoeba. With all languages their source names those that were left out.

    Raises:
        RequestError: absent files (where to get them), files of different length, an empty line, an unknown language.
    """
    shown = name or folder.rstrip("/").split("/")[-1]
    with suite_folder(
        folder, lambda file: bool(_TATOEBA.search(file) or _FLORES.search(file) or file.endswith(".eng"))
    ) as local:
        if name != "flores" and _tatoeba_files(local):
            lost = "" if languages else _left_out(_tatoeba_codes(local))
            chosen = _tatoeba_chosen(shown, local, languages)
            return [_pair(shown, local, *pair, lost, check=name == "tatoeba") for pair in chosen]
        if name != "tatoeba":
            for split in ("devtest", "dev"):
                files = _flores_files(local, split)
                if files:
                    suite = _n_way(shown, files, languages, split, check=name == "flores")
                    suite.source += "" if len(languages) > 1 else _left_out(_flores_codes(local, split))
                    return [suite]
    form = _GET[name] if name in _GET else " or ".join(_GET.values())
    raise RequestError(f"no parallel sentences at {folder}; get them from {form} and put the files there")


def _tatoeba_codes(folder: Path) -> list[str]:
    names = sorted(f.name for f in folder.glob("tatoeba.*")) if folder.is_dir() else []
    return [match[1] for match in map(_TATOEBA.fullmatch, names) if match]


def _tatoeba_files(folder: Path) -> dict[str, str]:
    """Code in the names of the files by the language's own code; what is no language (`ber`, a group) is left out."""
    return {own: code for code in _tatoeba_codes(folder) if (own := shortest_code(code))}


def _left_out(codes: Iterable[str]) -> str:
    """Which languages a suite of all languages has not, to stand behind its source; empty if it has all."""
    lost = sorted({code for code in codes if shortest_code(code) is None})
    return f"; left out, being no language of ISO 639: {', '.join(lost)}" if lost else ""


def _tatoeba_chosen(name: str, folder: Path, languages: Sequence[str]) -> list[tuple[str, str]]:
    present = _tatoeba_files(folder)
    for language in languages:
        if language not in present:
            raise RequestError(f"evaluate.suites: {name!r} has no language {language!r}{nearest(language, present)}")
    return [(language, present[language]) for language in languages or sorted(present)]


def _pair(name: str, folder: Path, language: str, code: str, lost: str, *, check: bool) -> Suite:
    files = {language: folder / f"tatoeba.{code}-eng.{code}", "en": folder / f"tatoeba.{code}-eng.eng"}
    sentences = _read_parallel(files)
    expected = _TATOEBA_LINES.get(code, 1000)
    if check and len(sentences[language]) != expected:
        raise RequestError(
            f"{files[language]}: {len(sentences[language])} lines, Tatoeba has {expected} in {code}-eng; the file is not the "
            "published one"
        )
    suite = Suite(
        f"{name}_{language}", Texts(), Texts(), [], ("cross",), "CC BY 2.0 FR",
        f"Tatoeba test set of github.com/facebookresearch/LASER, {code}-eng{lost}",
    )  # fmt: skip
    for lang, lines in sentences.items():
        ids, meanings = _ids(lang, len(lines)), [f"{code}-{n:04d}" for n in range(1, len(lines) + 1)]
        suite.queries.extend(ids, lang, lines, meaning_ids=meanings)
        suite.passages.extend(ids, lang, lines, meaning_ids=meanings)
    half = len(sentences[language])
    other = (np.arange(2 * half) + half) % (2 * half)
    suite.relevant = list(other[:, None])
    return check_settings(suite, str(files[language]))


def _ids(language: str, count: int) -> list[str]:
    return [f"{language}-{n:04d}" for n in range(1, count + 1)]


def _flores_codes(folder: Path, split: str) -> list[str]:
    return [match[1] for match in (_FLORES.fullmatch(f.name) for f in folder.glob(f"{split}/*.{split}")) if match]


def _flores_files(folder: Path, split: str) -> dict[str, Path]:
    """File by language code; one script per language."""
    matches = [(_FLORES.fullmatch(f.name), f) for f in sorted(folder.glob(f"{split}/*.{split}"))]
    found: dict[str, Path] = {}
    for match, file in matches:
        language = shortest_code(match[1]) if match else None
        if match and language and (language not in found or match[2] == _SCRIPT.get(language)):
            found[language] = file
    return found


def _n_way(name: str, files: dict[str, Path], languages: Sequence[str], split: str, *, check: bool) -> Suite:
    asked, *searched = languages or ("en",)
    searched = searched or [language for language in sorted(files) if language != asked]
    for language in (asked, *searched):
        if language not in files:
            raise RequestError(f"evaluate.suites: {name!r} has no language {language!r}{nearest(language, files)}")
    sentences = _read_parallel({language: files[language] for language in (asked, *searched)})
    if check and len(sentences[asked]) != _FLORES_LINES[split]:
        raise RequestError(
            f"{files[asked]}: {len(sentences[asked])} lines, FLORES-200 has {_FLORES_LINES[split]} in {split}; "
            "the file is not the published one"
        )
    suite = Suite(
        name if not languages else "_".join([name, *languages]), Texts(), Texts(), [],
        ("cross", "multi") if len(searched) > 1 else ("cross",), "CC BY-SA 4.0", f"FLORES-200 {split}, queries in {asked}",
    )  # fmt: skip
    for language, lines in sentences.items():
        texts = suite.queries if language == asked else suite.passages
        texts.extend(_ids(language, len(lines)), language, lines, meaning_ids=_ids(split, len(lines)))
    suite.relevant = relevant_by_meaning(suite.queries, suite.passages)
    return check_settings(suite, str(files[asked].parent))


def _read_parallel(files: dict[str, Path]) -> dict[str, list[str]]:
    """Lines of each language, equally many, none of them empty."""
    sentences = {language: _read_sentences(file) for language, file in files.items()}
    (first, lines), *others = sentences.items()
    for language, found in others:
        if len(found) != len(lines):
            raise RequestError(
                f"{files[language]}: {len(found)} lines, {files[first]} has {len(lines)}; parallel files have one sentence a line"
            )
    return sentences


def _read_sentences(file: Path) -> list[str]:
    lines = []
    for number, line in read_lines(file):
        if not line.strip():
            raise RequestError(f"{file}, line {number}: empty")
        lines.append(line)
    if not lines:
        raise RequestError(f"{file} is empty")
    return lines
