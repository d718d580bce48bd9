"""Folders that have a name of their own: their expected counts, and where their texts come from."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_core.data.suites.beir import is_beir, load_beir
from hybrid_core.data.suites.collection import Suite
from hybrid_core.errors import RequestError
from hybrid_core.storage import join


@dataclass(frozen=True)
class Known:
    """A folder of a known size made from a public source."""

    queries: int
    passages: int
    relevant: int
    licence: str
    source: str

    @property
    def counts(self) -> dict[str, int]:
        """Expected numbers of queries, passages and relevant pairs."""
        return {"queries": self.queries, "passages": self.passages, "relevant": self.relevant}


KNOWN = {
    "finance_faq": Known(792, 1188, 21_384, "MIT", "_translations/*.yml (key faq) of github.com/bitcoin-dot-org/bitcoin.org"),
    "medical": Known(4458, 4459, 57_954, "CC0 1.0", "data/TM (TICO-19) of github.com/tico-19/tico-19.github.io"),
    "legal": Known(688, 956, 10_097, "CC0 1.0", "docroot/legalcode/by*_4.0*.html of github.com/creativecommons/creativecommons.org"),
    "news": Known(2800, 5784, 131_520, "CC BY-SA 4.0", "NTREX-128 of github.com/MicrosoftTranslator/NTREX"),
    "wiki_genres": Known(4320, 4320, 103_680, "CC BY-SA 4.0", "flores/flores200_dataset of github.com/facebookresearch/LASER"),
    "technical": Known(3512, 7127, 31_376, "CC BY 4.0", "pages*/*/*.md of github.com/tldr-pages/tldr"),
    "religious": Known(5000, 5000, 25_000, "CC BY-SA 4.0", "dist/quran_*.json of github.com/risan/quran-json"),
    "miracl_lite": Known(
        821, 5343, 824, "Apache-2.0, texts CC BY-SA 3.0",
        "MIRACL dev topics of github.com/castorini/anserini-tools and TyDi QA GoldP paragraphs of "
        "github.com/google-research-datasets/tydiqa",
    ),
}  # fmt: skip


def load_known(name: str, folder: str) -> Suite:
    """Load `<folder>/<name>` or `<folder>/shift/<name>` and check its counts.

    Raises:
        RequestError: the folder is absent (where its texts come from) or holds something else.
    """
    known, places = KNOWN[name], [join(folder, name), join(folder, "shift", name)]
    for place in places:
        if is_beir(place):
            return load_beir(place, known.counts)
    raise RequestError(
        f"suite {name!r} is neither at {places[0]} nor at {places[1]}; it is made from {known.source} ({known.licence}): put "
        f"queries.jsonl, passages.jsonl, qrels.tsv and suite.json there and set data.suites to the folder that holds {name}/"
    )
