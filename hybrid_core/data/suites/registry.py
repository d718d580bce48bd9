"""Suites by name, folder or address. A name may choose languages: `miracl/sw`, `miracl/sw+bn`, `flores/en+de+fr`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hybrid_core.data.languages import check_language
from hybrid_core.data.suites.beir import is_beir, load_beir
from hybrid_core.data.suites.bitext import is_bitext, load_bitext
from hybrid_core.data.suites.collection import VARIANT, Suite
from hybrid_core.data.suites.known import KNOWN, load_known
from hybrid_core.data.suites.lareqa import LAREQA, load_lareqa
from hybrid_core.data.suites.miracl import PUBLISHED, load_published
from hybrid_core.data.suites.places import suite_folder
from hybrid_core.data.suites.sample_suites import SAMPLE_SUITES, load_sample
from hybrid_core.errors import RequestError, nearest
from hybrid_core.storage import absolute, is_remote, join

_BITEXT = ("tatoeba", "flores")
SUITE_NAMES = ("sample", *SAMPLE_SUITES, *LAREQA, *PUBLISHED, *_BITEXT, *KNOWN)
"""Every name that needs no folder of the user's own."""


def load_suites(
    names: Sequence[str], folder: str | None, candidate_text: str, *, corpus: str | None = None
) -> list[Suite]:
    """Load suites by name or folder; `sample` stands for the five built-in ones, `tatoeba` for one per language.

    Args:
        names: names, local folders or `s3://` addresses; `name/xx+yy` chooses languages where a suite allows it.
        folder: local or `s3://` folder that holds a folder per suite; None: the working directory.
        candidate_text: `sentence` or `sentence_with_context`, for LAReQA.
        corpus: where the passages of MIRACL or Mr. TyDi lie when they are not with their topics: a local or `s3://`
            folder, or `hf://datasets/miracl/miracl-corpus`.

    Raises:
        RequestError: an unknown name (nearest named), absent data (how to get it), or data that cannot be trusted.
    """
    if not names:
        raise RequestError("evaluate.suites is empty; name at least one suite")
    folder = absolute(folder) if folder else None
    suites = [suite for name in names for suite in _load(name, folder, candidate_text, corpus)]
    found = [suite.name for suite in suites]
    for name in found:
        if VARIANT in name:
            raise RequestError(
                f"evaluate.suites: suite {name!r}: {VARIANT!r} parts a suite from its perturbed variants; rename its folder, "
                "or name the suite in its suite.json (field 'name')"
            )
        if found.count(name) > 1:
            raise RequestError(
                f"evaluate.suites: two suites are named {name!r}; name each once (suite.json, field 'name')"
            )
    return suites


def _load(name: str, folder: str | None, candidate_text: str, corpus: str | None) -> list[Suite]:
    if name == "sample":
        return [load_sample(each) for each in SAMPLE_SUITES]
    if name in SAMPLE_SUITES:
        return [load_sample(name)]
    place = folder or absolute(".")
    if name in LAREQA:
        with suite_folder(join(place, name), lambda file: file.endswith(".json")) as local:
            return [load_lareqa(name, local, candidate_text)]
    if name in KNOWN:
        return [load_known(name, place)]
    base, _, chosen = name.partition("/")
    if base in PUBLISHED:
        # the judged documents come out of the same files as the whole corpus
        data = join(place, "miracl" if base == "miracl_judged" else base)
        return [load_published(base, _languages(name, chosen), data, corpus)]
    if base in _BITEXT:
        return load_bitext(join(place, base), _languages(name, chosen), base)
    return _load_folder(name, folder)


def _languages(name: str, chosen: str) -> list[str]:
    """Languages after the slash of a name, parted by + or comma (a comma parts suites on the command line)."""
    languages = [code for code in re.split(r"[+,]", chosen) if code]
    for code in languages:
        check_language(code, f"evaluate.suites: {name!r}")
    if len(set(languages)) != len(languages):
        raise RequestError(f"evaluate.suites: {name!r} names a language twice")
    return languages


def _load_folder(name: str, folder: str | None) -> list[Suite]:
    places = [name] if is_remote(name) else [absolute(name)]
    if folder and not is_remote(name) and not Path(name).is_absolute():
        places += [join(folder, name), join(folder, "shift", name)]
    for place in places:
        if is_beir(place):
            return [load_beir(place)]
    for place in places:
        if is_bitext(place):
            return load_bitext(place)
    raise RequestError(
        f"evaluate.suites: {name!r} is no built-in suite and no folder with queries.jsonl{nearest(name, SUITE_NAMES)}"
    )
