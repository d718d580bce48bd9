"""Search on a real local Ray: the run another tool reads is that of all scores sorted, and damage ends it with a reason."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pytest
from conftest import made_up_pairs

from hybrid_core import storage
from hybrid_core.config import ModelConfig
from hybrid_core.embeddings.shards import file_of, seal, write_shard
from hybrid_core.encode import encode
from hybrid_core.model import exported_model, load_encoder
from hybrid_core.recipes import load_config
from hybrid_core.scores import exact_form
from hybrid_core.settings import digest
from ray_jobs.steps import prepare_base

from .conftest import Jobs, end_group, processes_below, wait_for
from .nodes import start_head

PAIRS = made_up_pairs(40)
IDS = [f"{p.language}-{p.meaning_id}" for p in PAIRS]
K = 15


def write_embeddings(jobs: Jobs) -> tuple[Path, np.ndarray, np.ndarray]:
    """Seven shards of the passages; their folder, and vectors of queries and passages."""
    config = load_config("default", None, jobs.settings[1::2])
    model = prepare_base(config, [], with_corpus=False)
    encoder = load_encoder(exported_model(ModelConfig(), model))
    queries = encode(encoder, [p.query for p in PAIRS], "query")
    passages = encode(encoder, [p.passage for p in PAIRS], "passage")
    passages[60:75] = passages[:15]  # equal scores, in other shards
    folder, languages = jobs.home / "embeddings", [p.language for p in PAIRS]
    seal_shards(folder, passages, IDS, languages, 7, model)
    return folder, queries, passages


def seal_shards(
    folder: Path, passages: np.ndarray, ids: Sequence[str], languages: Sequence[str], count: int, model: str
) -> None:
    """A complete directory of `count` shards."""
    shards = [
        write_shard(
            str(folder), f"s{n}", [ids[r] for r in rows], [languages[r] for r in rows], passages[rows],
            stored="float32", tokens=len(rows),
        )
        for n, rows in enumerate(np.array_split(np.arange(len(ids)), count))
    ]  # fmt: skip
    fingerprint = digest(storage.read_json(f"{model}/{storage.MARKER}")["files"])
    facts = {"model": {"name": str(model), "uri": model, "fingerprint": fingerprint}}
    seal(str(folder), shards, dimension=32, stored="float32", facts=facts)


def expected_run(queries: np.ndarray, passages: np.ndarray) -> list[tuple[str, str, float]]:
    """Passages of the query's own language by score, then id."""
    scores = exact_form(queries) @ exact_form(passages).T
    run = []
    for q, line in enumerate(scores):
        own = [r for r, p in enumerate(PAIRS) if p.language == PAIRS[q].language]
        own.sort(key=lambda r: (-line[r], IDS[r]))
        run += [(f"q-{IDS[q]}", IDS[r], float(line[r])) for r in own[:K]]
    return run


def test_a_distributed_search_is_one_list_that_other_tools_read(jobs: Jobs) -> None:
    folder, queries, passages = write_embeddings(jobs)
    rows = [{"id": f"q-{id}", "language": p.language, "text": p.query} for id, p in zip(IDS, PAIRS, strict=True)]
    (jobs.home / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"embeddings": folder, "queries": jobs.home / "queries.jsonl", "k": K, "same_language": "true"}
    flags = [part for key, value in settings.items() for part in ("--set", f"search.{key}={value}")]

    done = jobs.run("search", *flags, "--set", "search.tasks=6")  # two levels of merges
    assert done.status == 0, done.output
    file = Path(done.summary["outputs"]["run"])
    assert file.parent == jobs.home / "out" / "search" and "exactly for 120 queries" in done.output
    run = list(ir_measures.read_trec_run(str(file)))
    expected = expected_run(queries, passages)
    assert [(s.query_id, s.doc_id) for s in run] == [(q, p) for q, p, _ in expected]
    assert np.abs(np.array([s.score for s in run]) - [score for *_, score in expected]).max() < 1e-6
    assert len({round(score, 12) for *_, score in expected}) < len(expected), "there are no ties to order"

    qrels = [ir_measures.Qrel(f"q-{id}", id, 1) for id in IDS]
    theirs = ir_measures.calc_aggregate([ir_measures.R @ K], qrels, run)[ir_measures.R @ K]
    assert theirs == pytest.approx(sum(q == f"q-{p}" for q, p, _ in expected) / len(IDS)) and 0 < theirs < 1

    before = file.read_bytes()
    Path(file_of(str(folder), "s3")).write_bytes(b"nothing")
    damaged = jobs.run("search", *flags, "--set", "search.tasks=6")
    assert damaged.status == 2 and file.read_bytes() == before, damaged.output
    assert "error: " in damaged.output and "s3.arrow is not the file that was committed" in damaged.summary["error"]
    assert "Traceback" not in damaged.output


GROUPS = 30


def write_many(jobs: Jobs) -> Callable[[str], list[str]]:
    """Enough passages that a search can be killed, and queries; gives the flags of a search with a run of this name."""
    config = load_config("default", None, jobs.settings[1::2])
    model = prepare_base(config, [], with_corpus=False)
    rows = 240_000
    vectors = np.random.default_rng(0).standard_normal((rows, 32)).astype(np.float32)
    languages = ["de" if row % 3 else "sw" for row in range(rows)]
    seal_shards(jobs.home / "many", vectors, [f"p{row}" for row in range(rows)], languages, GROUPS, model)
    lines = [{"id": f"q{i}", "text": p.query} for i, p in enumerate(PAIRS)]
    (jobs.home / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {"embeddings": jobs.home / "many", "queries": jobs.home / "queries.jsonl", "k": 300, "tasks": GROUPS}

    def flags(name: str) -> list[str]:
        named = settings | {"run": jobs.home / f"{name}.run"}
        return [part for key, value in named.items() for part in ("--set", f"search.{key}={value}")]

    return flags


def kept_lists(jobs: Jobs, name: str) -> int:
    return len(list(jobs.home.glob(f"{name}.run.parts/*/*.lists")))


def test_a_search_that_loses_its_node_gives_the_same_answer(jobs: Jobs, background: Callable[..., Any]) -> None:
    flags = write_many(jobs)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as short:
        head = start_head(jobs, background, Path(short), cpus=1)
        node = head.add_node(cpus=2)
        jobs.env = head.env | {"RAY_ADDRESS": head.address}
        process = jobs.start("search", *flags("lost"))
        wait_for(lambda: kept_lists(jobs, "lost") >= 2, "the first lists")
        wait_for(lambda: any("search_or_read" in t for t in processes_below(node.pid).values()), "a search to lose")
        before = kept_lists(jobs, "lost")
        end_group(node, signals=(signal.SIGKILL,))
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0 and before < GROUPS, output
        calm = jobs.run("search", *flags("calm"))  # with the one processor that is left
        assert calm.status == 0, calm.output
    assert (jobs.home / "lost.run").read_bytes() == (jobs.home / "calm.run").read_bytes()


def test_a_search_that_is_killed_goes_on_where_it_ended(jobs: Jobs) -> None:
    flags = write_many(jobs)
    calm = jobs.run("search", *flags("calm"))
    assert calm.status == 0 and "passages searched = passages there, in every language" in calm.output, calm.output
    assert not list(jobs.home.glob("calm.run.parts"))

    def kept() -> int:
        return kept_lists(jobs, "killed")

    process = jobs.start("search", *flags("killed"))
    wait_for(lambda: kept() >= 2, "the first lists")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert kept() < GROUPS and not (jobs.home / "killed.run").exists(), "it was killed too late to show anything"
    process = jobs.start("search", *flags("killed"))
    before = kept()
    wait_for(lambda: kept() > before, "further lists")
    titles = wait_for(
        lambda: {p: t for p, t in processes_below(process.pid).items() if "search_or_read" in t},
        "a process that searches",
    )
    os.kill(min(titles), signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    found = re.search(rf"(\d+) of {GROUPS} groups of shards were searched before", output)
    assert found and 2 <= int(found[1]) < GROUPS, output
    assert (jobs.home / "killed.run").read_bytes() == (jobs.home / "calm.run").read_bytes()
    assert not list(jobs.home.glob("killed.run.parts"))
