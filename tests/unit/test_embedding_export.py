"""Exports: the vectors row for row, indexes whose recall is what was measured, searches with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pyarrow as pa
import pytest
from embedding_helpers import encoded_pairs, exported_encoder, kept_rows, unit_vectors, write_embeddings

from hybrid_core import storage
from hybrid_core.config import ExportConfig
from hybrid_core.embeddings import searching
from hybrid_core.embeddings.exporting import build_index, export, measure_recall, sample
from hybrid_core.embeddings.indexes import new_index, open_index, parameters_of, read_ids
from hybrid_core.embeddings.searching import Asked, search_shards
from hybrid_core.embeddings.shards import EmbeddingSet, file_of
from hybrid_core.errors import RequestError
from ray_jobs import export as export_job
from ray_jobs import search as search_job
from ray_jobs.cli import main

LANGUAGES = ("bn", "de", "sw")


def clusters(rows: int, seed: int, dimension: int = 32) -> np.ndarray:
    """Vectors near a few directions, as embeddings are."""
    vectors = unit_vectors(40, seed, dimension)[np.random.default_rng(seed).integers(0, 40, rows)]
    vectors = vectors + 0.5 * unit_vectors(rows, seed + 1, dimension)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingSet:
    """1,500 passages in five shards, a third of them copies of others."""
    vectors = clusters(1500, 3)
    vectors[1000:] = vectors[:500]
    languages = [LANGUAGES[n % 3] for n in range(1500)]
    folder = tmp_path_factory.mktemp("embeddings")
    ids = [f"p{n:04}" for n in np.random.default_rng(0).permutation(1500)]
    facts = {"model": {"name": "m", "uri": "u", "fingerprint": "f"}}
    return write_embeddings(folder, ids, languages, vectors, cuts=[1, 400, 800, 1300], facts=facts)


def made(found: EmbeddingSet, folder: Path, *, queries: np.ndarray | None = None, **fields: Any) -> dict[str, Any]:
    """Export into a folder and seal it."""
    folder.mkdir()
    about = export(found, ExportConfig(**fields), folder, seed=5, queries=queries)
    storage.mark_complete(folder, kind="export")
    return about


@pytest.mark.parametrize("stored", ["float32", "float16", "int8"])
def test_numpy_vectors_and_ids_are_those_of_the_shards(tmp_path: Path, stored: str) -> None:
    ids, languages = [f"é {n}\t" for n in range(50)], [LANGUAGES[n % 3] for n in range(50)]
    found = write_embeddings(tmp_path / "e", ids, languages, unit_vectors(50), cuts=[7, 30], stored=stored)
    about = made(found, tmp_path / "x")
    vectors = np.load(tmp_path / "x" / "vectors.npy", mmap_mode="r")
    assert vectors.dtype == np.float32 and np.array_equal(vectors, kept_rows(found)[2])
    written = [json.loads(line) for line in (tmp_path / "x" / "ids.jsonl").read_text().splitlines()]
    assert written == [{"id": id, "language": code} for id, code in zip(ids, languages, strict=True)]
    assert read_ids(tmp_path / "x" / "ids.jsonl")["id"].to_pylist() == ids
    assert about["rows"] == 50 and about["languages"] == {"bn": 17, "de": 17, "sw": 16} and "recall" not in about
    assert about["bytes"]["vectors.npy"] == (tmp_path / "x" / "vectors.npy").stat().st_size


FORMS: dict[str, dict[str, Any]] = {
    "flat": {"form": "flat"},
    "hnsw": {"form": "hnsw", "links": 16, "ef": 400},
    "narrow_hnsw": {"form": "hnsw", "links": 2, "ef_construction": 4, "ef": 4},
    "ivf_pq": {"form": "ivf_pq", "lists": 20, "probes": 20, "code_bytes": 32},
    "coarse_ivf_pq": {"form": "ivf_pq", "lists": 20, "probes": 1, "code_bytes": 2},
}


def test_the_flat_index_finds_everything_and_finer_ones_more_than_coarse_ones(
    found: EmbeddingSet, tmp_path: Path
) -> None:
    queries = clusters(60, 9)
    at_10, at_100 = (
        {name: made(found, tmp_path / f"{name}{k}", queries=queries, **fields)["recall"][k] for name, fields in FORMS.items()}
        for k in ("recall@10", "recall@100")
    )  # fmt: skip
    assert at_10["flat"] == at_100["flat"] == 1.0, "copies of a passage are as good"
    assert min(at_10["hnsw"], at_100["hnsw"]) > 0.97 and at_10["ivf_pq"] > 0.9
    assert at_10["coarse_ivf_pq"] < at_10["ivf_pq"] - 0.2 and at_100["narrow_hnsw"] < at_100["hnsw"] - 0.02


@pytest.mark.parametrize("name", FORMS)
def test_recall_is_the_share_of_ids_where_no_scores_are_equal(tmp_path: Path, name: str) -> None:
    queries = clusters(30, 9)
    ids = [f"p{n}" for n in range(900)]
    distinct = write_embeddings(tmp_path / "e", ids, ["de"] * 900, clusters(900, 4), cuts=[300])
    measured = made(distinct, tmp_path / "x", queries=queries, **FORMS[name])["recall"]
    index = open_index(str(tmp_path / "x"))
    for k in (10, 100):
        hits = index.search(Asked(queries, k), index.about["parameters"])
        exact = search_shards(distinct.uri, distinct.shards, Asked(queries, k))
        pairs = zip(hits.texts(hits.ids), exact.texts(exact.ids), strict=True)
        shares = [len({*mine} & {*theirs}) / k for mine, theirs in pairs]
        assert measured[f"recall@{k}"] == pytest.approx(np.mean(shares), abs=1e-9)


def test_recall_is_of_an_index_that_holds_other_rows_low(found: EmbeddingSet) -> None:
    index = new_index("flat", found.dimension, {}, 0)
    index.add(kept_rows(found)[2][::-1].copy())
    wrong = measure_recall(found, index, {}, clusters(40, 9))
    assert wrong["recall@10"] < 0.3 and wrong["recall@100"] < 0.5


def test_recall_by_stored_passages_says_so_and_of_few_passages_has_lists_as_long_as_they(tmp_path: Path) -> None:
    few = write_embeddings(tmp_path / "e", ["a", "b", "c"], ["de"] * 3, unit_vectors(3))
    about = made(few, tmp_path / "x", form="flat")
    assert about["recall"]["measured_by"].startswith("3 stored passages drawn by seed 5; each finds itself")
    assert (about["recall"]["recall@10"], about["recall"]["recall@100"], about["recall"]["queries"]) == (1.0, 1.0, 3)


def test_samples_are_seeded_bounded_and_of_the_right_rows(found: EmbeddingSet) -> None:
    vectors = kept_rows(found)[2]
    rows, drawn = sample(found, 200, 1)
    assert len(np.unique(rows)) == 200 and np.array_equal(drawn, vectors[rows])
    assert np.array_equal(sample(found, 200, 1)[0], rows) and not np.array_equal(sample(found, 200, 2)[0], rows)
    assert np.array_equal(sample(found, 10**6, 1)[0], np.arange(1500))


def test_an_index_is_fitted_to_the_sample_alone(found: EmbeddingSet, tmp_path: Path) -> None:
    parameters = parameters_of(ExportConfig(form="ivf_pq", training=300), 1500, 32)
    assert parameters == {"lists": 7, "probes": 32, "code_bytes": 8, "training": 300}
    one, two = (build_index(found, "ivf_pq", parameters, tmp_path, seed) for seed in (1, 1))
    other = build_index(found, "ivf_pq", parameters, tmp_path, 2)
    cells = [index.quantizer.reconstruct_n(0, 7) for index in (one, two, other)]
    assert np.array_equal(cells[0], cells[1]) and not np.array_equal(cells[0], cells[2]) and one.ntotal == 1500


@pytest.mark.parametrize(
    ("fields", "rows", "expected"),
    [
        ({"form": "ivf_pq"}, 255, "export.form=ivf_pq needs at least 256 passages to fit, there are 255; use flat or hnsw"),
        ({"form": "ivf_pq", "code_bytes": 5}, 999, "export.code_bytes=5 does not divide the dimension 32; allowed: 1, 2, 4, 8, 16, 32"),
        ({"form": "ivf_pq", "lists": 1000}, 999, "export.lists=1000 is more than the 999 passages they are fitted to"),
    ],
)  # fmt: skip
def test_parameters_that_do_not_fit_are_refused(fields: dict[str, Any], rows: int, expected: str) -> None:
    with pytest.raises(RequestError, match=re.escape(expected)):
        parameters_of(ExportConfig(**fields), rows, 32)


@pytest.mark.parametrize("form", ["flat", "ivf_pq", "hnsw"])
def test_an_index_keeps_to_the_languages_that_are_wanted(found: EmbeddingSet, tmp_path: Path, form: str) -> None:
    made(found, tmp_path / "x", form=form, probes=38, ef=600, code_bytes=32)
    index = open_index(str(tmp_path / "x"))
    queries = clusters(12, 11)
    own = tuple(LANGUAGES[n % 2] for n in range(12))
    for asked in (Asked(queries, 20, ("de", "sw")), Asked(queries, 20, None, own), Asked(queries, 20, ("de",), own)):
        hits, exact = index.search(asked, index.about["parameters"]), search_shards(found.uri, found.shards, asked)
        codes = hits.texts(hits.languages)
        for query, line in enumerate(codes):
            allowed = {own[query]} if asked.languages else set(asked.among or ())
            assert {c for c in line if c} <= allowed & set(asked.among or LANGUAGES)
        same = np.isclose(hits.top.scores, exact.top.scores, atol=1e-5) | (hits.top.rows == exact.top.rows)
        assert same.all() if form == "flat" else (hits.top.rows >= 0).sum() >= 0.9 * (exact.top.rows >= 0).sum()


def test_equal_scores_of_an_index_are_in_the_order_of_ids(tmp_path: Path) -> None:
    vectors = np.repeat(unit_vectors(2), 4, axis=0)
    few = write_embeddings(tmp_path / "e", ["d", "a", "c", "b", "h", "e", "g", "f"], ["de"] * 8, vectors, cuts=[3])
    made(few, tmp_path / "x", form="flat")
    hits = open_index(str(tmp_path / "x")).search(Asked(vectors[:1], 8), {})
    assert hits.texts(hits.ids).tolist() == [list("abcdefgh")]


def test_an_index_orders_the_ids_it_found_and_no_others(
    found: EmbeddingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(found, tmp_path / "x", form="flat")
    index, sorted_ids, places = open_index(str(tmp_path / "x")), [], searching._places

    def counted(ids: pa.Array, languages: pa.Array) -> np.ndarray:
        sorted_ids.append(len(ids))
        return places(ids, languages)

    monkeypatch.setattr(searching, "_places", counted)
    index.search(Asked(clusters(4, 9), 5), {})
    assert sorted_ids and max(sorted_ids) <= 4 * 5 < len(index.ids)


def test_damaged_exports_and_shards_are_refused(found: EmbeddingSet, tmp_path: Path) -> None:
    made(found, tmp_path / "x", form="flat")
    file = tmp_path / "x" / "index.faiss"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RequestError, match=r"index\.faiss is not the file named in complete\.json"):
        open_index(str(tmp_path / "x"))
    made(found, tmp_path / "npy", form="npy")
    with pytest.raises(RequestError, match=r"holds no index; make one with ray_jobs\.export"):
        open_index(str(tmp_path / "npy"))
    few = write_embeddings(tmp_path / "e", ["a", "b"], ["de"] * 2, unit_vectors(2), cuts=[1])
    shard = Path(file_of(few.uri, "s1"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(RequestError, match=r"s1\.arrow is not the file that was committed"):
        made(few, tmp_path / "y")


@pytest.fixture(scope="module")
def encoded(encoder_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoded")
    found = encoded_pairs(folder / "embeddings", exported_encoder(encoder_directory, folder / "model"), 30)
    rows = [{"id": f"q{n}", "language": code, "text": f"x {n}"} for n, code in enumerate(["de", "fr", "en"] * 4)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert found.languages == {"de": 30, "en": 30, "fr": 30}
    return folder


def flags(settings: dict[str, object]) -> list[str]:
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(autouse=True)
def local_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_the_jobs_export_once_and_search_with_the_index(
    encoded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "index"
    asked = {"export.embeddings": encoded / "embeddings", "export.target": target, "export.form": "hnsw"}
    asked |= {"export.queries": encoded / "queries.jsonl", "export.ef": 100}
    assert main(export_job.JOB, [*flags(asked), "--dry-run"]) == 0
    assert "would write 90 passages" in capsys.readouterr().out and not target.exists()
    assert main(export_job.JOB, [*flags(asked), "--json", "export.json"]) == 0
    summary = json.loads(Path("export.json").read_text())
    assert summary["metrics"]["export/recall@10"] > 0.95 and summary["outputs"] == {"export": str(target)}
    assert sorted(f.name for f in target.iterdir()) == ["about.json", "complete.json", "ids.jsonl", "index.faiss"]
    assert [f.name for f in tmp_path.iterdir() if f.name.endswith(".part")] == []
    before = (target / "complete.json").stat().st_mtime_ns
    assert main(export_job.JOB, flags(asked)) == 0 and "is there already" in capsys.readouterr().out
    assert (target / "complete.json").stat().st_mtime_ns == before
    assert main(export_job.JOB, flags(asked | {"export.links": 8})) == 2
    assert "holds another export" in capsys.readouterr().err

    wanted = {"search.index": target, "search.queries": encoded / "queries.jsonl", "search.k": 20, "output": "out"}
    wanted |= {"search.same_language": "true", "search.ef": 300, "search.run": "here.run"}
    assert main(search_job.JOB, [*flags(wanted), "--json", "search.json"]) == 0
    assert "with the index hnsw (approximately: recall@10 " in capsys.readouterr().out
    run = list(ir_measures.read_trec_run("here.run"))
    assert len(run) == 12 * 20 and {s.doc_id[:2] for s in run if s.query_id in ("q0", "q3")} == {"de"}
    facts = json.loads(Path("search.json").read_text())["search"]
    assert (facts["exact"], facts["queries"], facts["short_lists"]) == (False, 12, 0)
    assert "approximate-" in Path("here.run").read_text()
    assert main(search_job.JOB, flags(wanted | {"search.probes": 3})) == 2
    assert "search.probes has no meaning for an index of the form hnsw" in capsys.readouterr().err
    assert main(search_job.JOB, flags(wanted | {"search.tasks": 3})) == 2


def test_a_query_on_the_command_line_prints_the_best(
    encoded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"export.embeddings": encoded / "embeddings", "export.target": "flat", "export.form": "flat"}
    assert main(export_job.JOB, flags(asked)) == 0
    wanted = {"search.index": "flat", "search.languages": "en", "search.k": 3, "search.qualified_ids": "true"}
    assert main(search_job.JOB, [*flags(wanted), "--query", "x 1", "--query", "x 4", "--json", "s.json"]) == 0
    printed = capsys.readouterr().out
    results = json.loads(Path("s.json").read_text())["results"]
    assert [r["query"] for r in results] == ["x 1", "x 4"] and len(results[0]["passages"]) == 3
    best = results[1]["passages"][0]
    assert best["id"].startswith("en/en-") and best["language"] == "en"
    assert (
        f"1 {best['score']:8.4f}  en  {best['id']}" in printed
        and "searched 30 passages (en) with the index flat" in printed
    )
    assert not (tmp_path / "runs").exists()


def test_ids_that_languages_share_are_refused_in_a_run_unless_qualified(
    encoded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = json.loads((encoded / "embeddings" / "complete.json").read_text())["facts"]["model"]
    write_embeddings(tmp_path / "e", ["1", "1"], ["de", "sw"], unit_vectors(2, dimension=32), facts={"model": model})
    assert main(export_job.JOB, flags({"export.embeddings": "e", "export.target": "x", "export.form": "flat"})) == 0
    wanted = {"search.index": "x", "search.queries": encoded / "queries.jsonl", "search.run": "a.run", "output": "out"}
    assert main(search_job.JOB, flags(wanted)) == 2
    assert "'1' is the id of several passages in its list; set search.qualified_ids=true" in capsys.readouterr().err
    assert main(search_job.JOB, flags(wanted | {"search.qualified_ids": "true"})) == 0
    assert {s.doc_id for s in ir_measures.read_trec_run("a.run")} == {"de/1", "sw/1"}
    assert "12 lists are shorter than search.k=100" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "export.embeddings is not set"),
        ({"export.embeddings": "/nowhere"}, "export.target is not set"),
        ({"export.embeddings": "/nowhere", "export.target": "x"}, "/nowhere holds no complete embeddings"),
        ({"export.form": "faiss", "export.target": "x"}, "export.form='faiss'"),
        ({"export.embeddings": "{e}", "export.target": "x", "export.queries": "q"}, "export.queries has no meaning for export.form=npy"),
        ({"export.embeddings": "{e}", "export.target": "x", "export.form": "ivf_pq"}, "needs at least 256 passages"),
        ({"export.embeddings": "{e}", "export.target": "x", "export.form": "hnsw", "export.probes": "3"}, "export.probes has no meaning"),
        ({"export.embeddings": "{e}", "export.target": "{e}"}, "holds another export, or none"),
        ({"export.embeddings": "{e}", "export.target": "{e}/shards"}, "holds files (s0.arrow); choose an empty folder"),
    ],
)  # fmt: skip
def test_exports_that_cannot_be_made_exit_with_2(
    encoded: Path, settings: dict[str, str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {key: value.format(e=encoded / "embeddings") for key, value in settings.items()}
    assert main(export_job.JOB, [*flags(asked), "--json", "summary.json"]) == 2
    assert expected in capsys.readouterr().err
    assert json.loads(Path("summary.json").read_text())["status"] == "refused"


def test_an_opened_index_has_ids_and_languages_in_the_order_of_its_rows(found: EmbeddingSet, tmp_path: Path) -> None:
    made(found, tmp_path / "x", form="flat")
    index = open_index(str(tmp_path / "x"))
    ids, languages, _ = kept_rows(found)
    assert (index.ids.to_pylist(), index.languages.to_pylist(), index.index.ntotal) == (ids, languages, 1500)
