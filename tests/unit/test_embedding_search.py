"""Search over shards: one list, whatever the shards, groups and order; filters; requests that cannot be done."""

from __future__ import annotations

import json
import re
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray
from embedding_helpers import encoded_pairs, exported_encoder, kept_rows, unit_vectors, write_embeddings
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_suites import smooth_vectors, tied_vectors

from hybrid_core.embeddings import searching, shards
from hybrid_core.embeddings.kept_lists import packed, place_of, search_or_read, unpacked
from hybrid_core.embeddings.queries import encode_queries, read_queries
from hybrid_core.embeddings.searching import (
    Asked,
    PassageLists,
    check_languages,
    check_searched,
    group_shards,
    groups_for,
    merge_lists,
    search_shards,
)
from hybrid_core.embeddings.shards import Content, Shard, file_of
from hybrid_core.errors import RequestError
from hybrid_core.scores import exact_form
from hybrid_core.top_lists import TopK
from ray_jobs import search
from ray_jobs._patience import Patience
from ray_jobs._ray.searching import groups_of
from ray_jobs.cli import main

Lists = list[list[tuple[str, str, float]]]
LANGUAGES = ("bn", "de", "sw")


def as_lists(found: PassageLists) -> Lists:
    ids, languages = found.texts(found.ids), found.texts(found.languages)
    lines = zip(ids, languages, found.top.scores, strict=True)
    return [[row for row in zip(*line, strict=True) if row[0] is not None] for line in lines]


def brute_force(rows: tuple[list[str], list[str], np.ndarray], asked: Asked) -> Lists:
    """Every score without rounding, sorted by score, id, language."""
    ids, languages, vectors = rows
    scores = exact_form(asked.vectors) @ exact_form(vectors).T
    lists = []
    for query, line in enumerate(scores):
        pool = [
            (id, code, float(score))
            for id, code, score in zip(ids, languages, line, strict=True)
            if (asked.among is None or code in asked.among)
            and (asked.languages is None or code == asked.languages[query])
        ]
        lists.append(sorted(pool, key=lambda row: (-row[2], row[0], row[1]))[: asked.k])
    return lists


@settings(max_examples=60)
@given(
    data=st.data(), seed=st.integers(0, 2**32 - 1), vectors=st.sampled_from([tied_vectors, smooth_vectors]),
    stored=st.sampled_from(["float32", "float16", "int8"]), k=st.integers(1, 70), groups=st.integers(1, 9),
    block=st.sampled_from([1, 20, 16384]),
)  # fmt: skip
def test_the_lists_are_those_of_one_search_over_everything(
    data: st.DataObject, seed: int, vectors: Callable[[int, int], np.ndarray], stored: str, k: int, groups: int, block: int
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    # ids that several languages share, of unequal lengths and beyond ASCII: their order is that of the texts
    names = np.array(["10", "9", "é", "e", "z", "ab", "a", "語", "😀", "Z"])
    ids = [f"{names[n % 10]}{n // 20}" for n in rng.permutation(60)]
    languages = rng.choice(LANGUAGES, 60).tolist()
    asked = Asked(
        vectors(7, seed + 1), k,
        data.draw(st.none() | st.lists(st.sampled_from(LANGUAGES), min_size=1, unique=True).map(tuple)),
        data.draw(st.none() | st.lists(st.sampled_from(("fr", *LANGUAGES)), min_size=7, max_size=7).map(tuple)),
    )  # fmt: skip
    cuts = data.draw(st.lists(st.integers(0, 60), max_size=6))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "PASSAGE_BLOCK", block)
        found = write_embeddings(Path(folder), ids, languages, vectors(60, seed), cuts=cuts, stored=stored)
        shards = data.draw(st.permutations(found.shards))
        parts = [search_shards(found.uri, group, asked) for group in group_shards(shards, groups)]
        first, rest = parts[: len(parts) // 2], parts[len(parts) // 2 :]
        halves = [merge_lists(half, k) for half in (first, rest) if half]
        expected = brute_force(kept_rows(found), asked)
    assert as_lists(merge_lists(halves, k)) == expected
    assert as_lists(merge_lists(parts[::-1], k)) == expected


def test_groups_are_consecutive_balanced_and_not_empty() -> None:
    shards = [Shard(f"s{n}", {"de": rows}, 0, 0, "", 0.0) for n, rows in enumerate([10, 10, 10, 10, 500, 10, 10, 20])]
    for groups in range(1, 12):
        found = group_shards(shards, groups)
        assert [s for group in found for s in group] == shards and len(found) <= groups and all(found)
    assert [len(group) for group in group_shards(shards[:4] * 6, 4)] == [6, 6, 6, 6]
    assert group_shards([], 3) == []


def test_groups_go_by_the_shards_so_that_kept_lists_serve_on_another_number_of_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shards = [Shard(f"s{n}", {"de": 5000, "sw": n % 2}, 0, 0, f"{n}", 0.0) for n in range(97)]
    for asked in (Asked(unit_vectors(1), 3), Asked(unit_vectors(1), 3, ("sw",))):
        kept = []
        for processors in (8, 4):
            monkeypatch.setattr(ray, "cluster_resources", lambda processors=processors: {"CPU": float(processors)})
            kept.append([place_of("kept", group) for group in groups_of(shards, asked, None)])
        assert kept[0] == kept[1] and len(kept[0]) == (8 if asked.among is None else 4)
    assert len(groups_of(shards, Asked(unit_vectors(1), 3), 30)) == 30
    assert groups_for([Shard("s", {"de": 10**6}, 0, 0, "", 0.0)] * 1000) == 512 and groups_for([]) == 0


def test_shards_without_a_wanted_language_are_not_even_read(tmp_path: Path) -> None:
    ids, languages = [f"p{n}" for n in range(30)], ["de"] * 10 + ["sw"] * 10 + ["bn"] * 10
    found = write_embeddings(tmp_path, ids, languages, unit_vectors(30), cuts=[10, 20])
    Path(file_of(found.uri, "s1")).unlink()
    queries = unit_vectors(2, 1)
    lists = as_lists(search_shards(found.uri, found.shards, Asked(queries, 30, ("de", "bn"))))
    assert [len(line) for line in lists] == [20, 20] and {code for row in lists for _, code, _ in row} == {"de", "bn"}
    own = as_lists(search_shards(found.uri, found.shards, Asked(queries, 30, None, ("bn", "bn"))))
    assert {code for row in own for _, code, _ in row} == {"bn"}
    none = as_lists(search_shards(found.uri, found.shards, Asked(queries, 5, ("de",), ("bn", "bn"))))
    assert none == [[], []]
    with pytest.raises(RequestError, match=r"s1\.arrow cannot be read"):
        search_shards(found.uri, found.shards, Asked(queries, 30))


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    found = write_embeddings(tmp_path, ["a", "b"], ["de", "de"], unit_vectors(2), cuts=[1])
    file = Path(file_of(found.uri, "s1"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(RequestError, match=r"s1\.arrow is not the file that was committed"):
        search_shards(found.uri, found.shards, Asked(unit_vectors(1), 1))


@pytest.mark.parametrize("stored", ["float32", "float16"])
def test_an_embedding_that_is_no_number_is_named(tmp_path: Path, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_check_finite", lambda *args: None)  # the encoding refuses it; other tools may not
    vectors = unit_vectors(9)
    vectors[5, 2] = np.nan
    found = write_embeddings(tmp_path, [f"p{n}" for n in range(9)], ["de"] * 9, vectors, cuts=[4], stored=stored)
    with pytest.raises(RequestError, match="the embedding of passage 'p5' has a component that is not finite"):
        search_shards(found.uri, found.shards, Asked(unit_vectors(1), 3))


def test_memory_is_bounded_by_shard_and_block_and_not_by_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PASSAGE_BLOCK", 1000)
    vectors = unit_vectors(40_000, dimension=64)
    ids = [f"{n:05}" for n in range(40_000)]
    found = write_embeddings(tmp_path, ids, ["de"] * 40_000, vectors, cuts=range(500, 40_000, 500), stored="float16")
    asked = Asked(unit_vectors(16, 1, dimension=64), 10)
    tracemalloc.start()
    try:
        lists = as_lists(search_shards(found.uri, found.shards, asked))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lists == brute_force(kept_rows(found), asked)
    assert peak < 2.5e6, f"{peak:,} bytes; all vectors are 10 MB"


def test_languages_without_passages_are_refused_with_the_nearest() -> None:
    check_languages({"de": 1, "sw": 2}, "here", ("sw",), "search.languages")
    with pytest.raises(RequestError, match=r"search\.languages: 'swa' has no passages in here; did you mean 'sw'"):
        check_languages({"de": 1, "sw": 2}, "here", ("de", "swa"), "search.languages")


def test_the_rows_of_a_short_list_are_nothing() -> None:
    lists = PassageLists(
        TopK(np.array([[1, -1], [-1, -1]]), np.array([[0.5, -np.inf], [-np.inf, -np.inf]])),
        pa.array(["a", "b"]),
        pa.array(["de", "sw"]),
    )
    assert lists.texts(lists.ids).tolist() == [["b", None], [None, None]]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["{"], "line 1: not JSON"),
        (['{"id": "a", "text": "x"}', '{"id": "b"}'], "line 2, field 'text': missing"),
        (['{"id": "a", "text": "x"}', "", '{"id": "a", "text": "y"}'], "line 3, field 'id': 'a' is the id of a line"),
        (['{"id": "a b", "text": "x"}'], "line 1, field 'id': 'a b' holds white space"),
        (
            ['{"id": "a", "text": "x", "language": "swa"}'],
            "line 1, field 'language': 'swa' has a code of two letters, write 'sw'",
        ),
        ([], "holds no queries"),
    ],
)
def test_queries_that_cannot_be_used_are_refused_with_file_and_line(
    tmp_path: Path, lines: list[str], expected: str
) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(RequestError, match=re.escape(expected)) as refused:
        read_queries(str(file))
    assert str(file) in str(refused.value)


def test_queries_need_a_language_only_where_it_decides(tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"id": "a", "text": "x", "language": "sw"}\n{"id": "b", "text": "y"}\n')
    assert read_queries(str(file)).languages == ("sw", "")
    with pytest.raises(RequestError, match="line 2, field 'language': missing"):
        read_queries(str(file), with_languages=True)


@pytest.fixture(scope="module")
def made(encoder_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exported encoder, embeddings of passages, and queries."""
    folder = tmp_path_factory.mktemp("made")
    model = exported_encoder(encoder_directory, folder / "model")
    encoded_pairs(folder / "embeddings", model, 12)
    rows = [{"id": "q1", "language": "de", "text": "x"}, {"id": "q2", "language": "fr", "text": "y"}]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_embeddings(folder / "nameless", ["a"], ["de"], unit_vectors(1))
    write_embeddings(folder / "narrow", ["a"], ["de"], unit_vectors(1), facts={"model": model})
    gone = model | {"uri": str(folder / "gone")}
    write_embeddings(folder / "gone_model", ["a"], ["de"], unit_vectors(1, dimension=32), facts={"model": gone})
    return folder


def flags(folder: Path, *given: str, **settings: object) -> list[str]:
    values = {"search.embeddings": folder / "embeddings", "search.queries": folder / "queries.jsonl"}
    values |= {name.replace("__", "."): value for name, value in settings.items()}
    return [part for k, v in values.items() if v is not None for part in ("--set", f"{k}={v}")] + list(given)


@pytest.mark.parametrize(
    ("settings", "given", "expected"),
    [
        ({"search__embeddings": None}, [], r"set search\.embeddings .* or search\.index"),
        ({"search__index": "/x"}, [], r"set search\.embeddings .* or search\.index .*, not both"),
        ({"search__queries": None}, [], r"set search\.queries .* or --query TEXT$"),
        ({}, ["--query", "x"], r"set search\.queries .* or --query TEXT, not both"),
        ({"search__queries": None}, ["--query", " "], "--query is empty"),
        ({"search__embeddings": "/nowhere"}, [], "/nowhere holds no complete embeddings"),
        ({"search__queries": "/nowhere/q.jsonl"}, [], r"/nowhere/q\.jsonl does not exist"),
        ({"search__languages": "de,swa"}, [], "search.languages: 'swa' has no passages"),
        ({"search__k": 0}, [], r"search\.k=0 is outside"),
        ({"search__probes": 3}, [], r"search\.probes has no meaning without search\.index"),
        ({"search__queries": None, "search__run": "x.run"}, ["--query", "x"], r"search\.run has no meaning with --query"),
        ({"search__queries": None, "search__same_language": True}, ["--query", "x"], "says no language"),
        ({"search__embeddings": "{folder}/nameless"}, [], "does not say which model made it"),
        ({"search__embeddings": "{folder}/narrow"}, [], "has embeddings of 16 components, .*model makes 32"),
        ({"search__embeddings": "{folder}/gone_model"}, [], "gone, the model of .*gone_model, is not there; set model.name"),
        ({"model__name": "{encoder}", "model__layers": 1}, [], r"model\.name='.*tiny' \(fingerprint \w+\) is not the model of .*: 'tiny'"),
        ({"model__query_prefix": "ask: "}, [], r"model\.query_prefix='ask: ', but the model of .* was exported with 'query: '"),
        ({"model__name": "{encoder}", "model__vocabulary": "trimmed"}, [], "model.vocabulary=trimmed"),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_done_exit_with_2_and_say_why(
    settings: dict[str, object], given: list[str], expected: str, made: Path, encoder_directory: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    texts = {k: v.format(folder=made, encoder=encoder_directory) if isinstance(v, str) else v for k, v in settings.items()}  # fmt: skip
    asked = flags(made, *given, **texts, output=tmp_path / "out")
    assert main(search.JOB, [*asked, "--json", str(tmp_path / "summary.json")]) == 2
    assert re.search(expected, capsys.readouterr().err)
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "refused"


def test_a_dry_run_says_what_would_be_searched_and_writes_nothing(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = flags(made, "--dry-run", search__languages="de,fr", output=tmp_path / "out")
    assert main(search.JOB, asked) == 0
    printed = capsys.readouterr().out
    assert "would search 24 passages (de, fr) of " in printed and "exactly for 2 queries and write" in printed
    assert not (tmp_path / "out").exists()


def test_queries_get_the_prefix_the_model_was_exported_with(made: Path) -> None:
    model = str(made / "model")
    plain = encode_queries(model, ["x"], precision="float32")
    again = encode_queries(model, ["query: x"], precision="float32")
    assert plain.dtype == np.float32 and np.linalg.norm(plain) == pytest.approx(1)
    assert not np.allclose(plain, again), "the prefix was not put before the query"


def test_what_was_searched_is_counted_by_language_and_compared(tmp_path: Path) -> None:
    languages = ["de", "sw", "de", "bn", "de", "sw"]
    found = write_embeddings(tmp_path / "e", [f"p{i}" for i in range(6)], languages, unit_vectors(6), cuts=(2, 5))
    for asked, expected in (
        (Asked(unit_vectors(2), 3), {"de": 3, "sw": 2, "bn": 1}),
        (Asked(unit_vectors(2), 3, ("de", "bn")), {"de": 3, "bn": 1}),
        (Asked(unit_vectors(2), 3, None, ("sw", "sw")), {"sw": 2}),
    ):
        groups = group_shards(found.shards, 2)
        lists = merge_lists([search_shards(found.uri, group, asked) for group in groups], asked.k)
        assert dict(lists.searched) == expected
        check_searched(lists, found.shards, asked)
        less = search_shards(found.uri, groups[0], asked)
        with pytest.raises(RuntimeError, match=r"differ by language: {'(bn|de|sw)': \(\d, \d\)"):
            check_searched(less, found.shards, asked)


def test_kept_lists_are_read_instead_of_searching_again(tmp_path: Path) -> None:
    found = write_embeddings(tmp_path / "e", [f"p{i}" for i in range(6)], ["de", "sw"] * 3, unit_vectors(6), cuts=(3,))
    asked, folder = Asked(unit_vectors(2, seed=1), 4), str(tmp_path / "kept")
    first = search_or_read(found.uri, found.shards, asked, folder)
    for shard in found.shards:
        Path(file_of(found.uri, shard.name)).unlink()
    again = search_or_read(found.uri, found.shards, asked, folder)
    for one, other in ((first, again), (first, unpacked(packed(first)))):
        assert np.array_equal(one.top.rows, other.top.rows) and np.array_equal(one.top.scores, other.top.scores)
        assert one.ids.equals(other.ids) and one.languages.equals(other.languages) and one.searched == other.searched
    with pytest.raises(RequestError, match="it is not there"):
        search_or_read(found.uri, found.shards[:1], asked, folder)  # other shards, other lists


def test_shards_are_read_as_the_attempt_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write_embeddings(tmp_path / "e", ["a", "b"], ["de", "de"], unit_vectors(2), cuts=(1,))
    read, failed = searching.read_shard, []

    def fails_once(uri: str, shard: Shard) -> Content:
        if shard.name not in failed:
            failed.append(shard.name)
            raise OSError("timed out")
        return read(uri, shard)

    monkeypatch.setattr(searching, "read_shard", fails_once)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(OSError, match="timed out"):
        search_shards(found.uri, found.shards, Asked(unit_vectors(1), 2))
    failed.clear()
    lists = search_shards(found.uri, found.shards, Asked(unit_vectors(1), 2), Patience(60.0))
    assert lists.searched == {"de": 2} and len(failed) == 2
