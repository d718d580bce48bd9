"""`python -m ray_jobs.prepare`: turn sources into a fingerprinted training corpus without duplicates or evaluation data."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.data.corpus import Corpus
from hybrid_core.data.corpus_writer import write_corpus
from hybrid_core.data.prepare import Prepared, prepare
from hybrid_core.data.readers import read_pairs
from hybrid_core.data.suites import load_suites
from hybrid_core.storage import absolute, join
from ray_jobs.cli import Job, Outcome, main
from ray_jobs.steps import check_output


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Read, clean, count, write `<output>/corpus`."""
    check_output(config)
    prepared = _prepare(config)
    target = join(absolute(config.output), "corpus")
    with tempfile.TemporaryDirectory() as scratch:
        write_corpus(
            Path(scratch),
            prepared.pairs,
            licence=config.prepare.licence,
            sources=[str(config.prepare.source)],
            report=prepared.report,
        )
        storage.upload_directory(Path(scratch), target)
    print(_table(prepared))
    corpus = Corpus.open(target)
    print(f"corpus: {target}\nfingerprint: {corpus.fingerprint}")
    counts = {f"rows/{language}": float(n) for language, n in prepared.report["kept_per_language"].items()}
    return Outcome({"corpus": target}, {"rows": float(prepared.report["rows_kept"]), **counts})


def _prepare(config: Config) -> Prepared:
    suites = (
        load_suites(
            config.prepare.exclude,
            config.data.suites,
            config.evaluate.candidate_text,
            corpus=config.data.suite_passages,
        )
        if config.prepare.exclude
        else []
    )
    return prepare(read_pairs(config.prepare), suites, minimum_characters=config.prepare.minimum_characters)


def _table(prepared: Prepared) -> str:
    r = prepared.report
    lines = [
        f"read {r['rows_read']:,} rows, kept {r['rows_kept']:,}: {r['meanings']:,} meanings, "
        f"{r['cross_language_pairs']:,} ordered cross-language pairs",
        f"dropped as duplicates or too short: {json.dumps(r['dropped'])}",
        f"removed because the evaluation suites hold them (meanings): {json.dumps(r['leaked_meanings'])}",
        "",
        f"{'language':10} {'kept':>8} {'leaked':>8}",
    ]
    lines += [
        f"{lang:10} {n:8,} {r['leaked_rows_per_language'].get(lang, 0):8,}"
        for lang, n in r["kept_per_language"].items()
    ]
    lines += ["", f"{'pair':10} {'shared':>8}"]
    lines += [f"{pair:10} {n:8,}" for pair, n in r["per_pair"].items()]
    return "\n".join(lines) + "\n"


def describe(config: Config, args: argparse.Namespace) -> str:
    """The counts of a run, without writing."""
    return f"would write to {join(absolute(config.output), 'corpus')}:\n{_table(_prepare(config))}"


JOB = Job("prepare", __doc__ or "", run, describe)

if __name__ == "__main__":
    sys.exit(main(JOB))
