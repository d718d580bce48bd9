"""The built-in corpus: 224 meanings in six languages and five domains, written for this repository (DATASHEET.md).

The encyclopaedic domain is split by meaning into `train` and `heldout`; finance, medicine, law and software are
evaluation only. One JSON line per meaning in `sample/<domain>.jsonl`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from hybrid_core.data.corpus import Pair
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.settings import digest
from hybrid_core.storage import MARKER, absolute, cache_directory

TRAINING_DOMAIN = "encyclopaedic"
DOMAINS = (TRAINING_DOMAIN, "finance", "medicine", "law", "software")
LICENCE = "Apache-2.0"


def meanings(domain: str) -> list[dict[str, Any]]:
    """The meanings of a domain: meaning_id, topic, split, texts {language: {query, passage}}."""
    text = (files("hybrid_core.data") / "sample" / f"{domain}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def pairs(domain: str, split: str) -> Iterator[Pair]:
    """All query-passage pairs of one split of a domain."""
    for meaning in meanings(domain):
        if meaning["split"] == split:
            for language, text in meaning["texts"].items():
                yield Pair(
                    meaning["meaning_id"], language, text["query"], text["passage"], dataset="sample", domain=domain
                )


def sample_corpus() -> str:
    """Directory of the training split as a corpus, written to this machine's cache on first use."""
    training = list(pairs(TRAINING_DOMAIN, "train"))
    name = digest([[p.meaning_id, p.language, p.query, p.passage] for p in training])
    target = cache_directory() / f"sample-corpus-{name}"
    if (target / MARKER).exists():
        return str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        write_corpus(scratch, training, licence=LICENCE, sources=["hybrid_core/data/sample"])
        scratch.rename(target)
    except OSError:
        if not (target / MARKER).exists():  # else another process was first
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return str(target)


def corpus_location(name: str) -> str:
    """Where a corpus lies for this machine: the built-in one in its own cache (on every node), others at their URI."""
    return sample_corpus() if name == "sample" else absolute(name)
