"""`python -m ray_jobs.search`: the best passages for queries, exactly over all embeddings or with an exported index."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.data.suites.trec import write_run
from hybrid_core.embeddings.indexes import open_index, read_about
from hybrid_core.embeddings.queries import Queries, encode_queries, read_queries
from hybrid_core.embeddings.searching import Asked, PassageLists, check_languages
from hybrid_core.embeddings.shards import open_embeddings
from hybrid_core.errors import RequestError
from hybrid_core.settings import digest
from hybrid_core.storage import absolute, join
from ray_jobs._queries import query_encoder, recorded_model
from ray_jobs._ray.cluster import connect, disconnect
from ray_jobs.cli import Job, Outcome, main
from ray_jobs.steps import check_output

_SHOWN = 10


@dataclass(frozen=True)
class _Searched:
    """What is searched, and how."""

    place: str
    facts: Mapping[str, Any]
    dimension: int
    passages: dict[str, int]  # by language
    identity: list[Any]
    how: str
    search: Callable[[Asked, str | None], PassageLists]
    """Gets what is looked for, and a folder where parts of the answer may be kept until it is whole."""


def run(config: Config, args: argparse.Namespace) -> Outcome:
    """Encode the queries, search, write the run or print the best."""
    c = config.search
    searched, queries = _request(config, args)
    target = None if args.query else _target(config, searched, queries)
    if target:
        check_output(config)
        storage.check_writable(target.rpartition("/")[0], "search.run")
    model = query_encoder(config, args, searched.facts, searched.dimension, searched.place)
    started = time.perf_counter()
    vectors = encode_queries(model, queries.texts, precision=config.encode.precision)
    before = time.perf_counter()
    asked = Asked(vectors, c.k, c.languages or None, queries.languages if c.same_language else None)
    kept = f"{target}.parts" if target else None
    lists = searched.search(asked, kept and join(kept, _request_hash(config, searched, queries)))
    seconds = {"encoding": before - started, "search": time.perf_counter() - before}
    ids = _shown_ids(lists, qualified=c.qualified_ids)
    _check_ids(ids, queries)
    facts = _facts(config, searched, queries, lists, seconds)
    outputs: dict[str, str] = {}
    details: dict[str, Any] = {"search": facts}
    if target:
        write_run(target, queries.ids, ids, lists.top.scores, _tag(config, searched))
        storage.delete_folder(f"{target}.parts")
        outputs["run"] = target
    else:
        details["results"] = _print_best(queries, ids, lists)
    _print_summary(facts, outputs)
    metrics = {f"search/{name}": float(facts[name]) for name in ("queries", "passages", "short_lists")}
    return Outcome(outputs, metrics | {f"search/seconds/{n}": s for n, s in seconds.items()}, details=details)


def _request(config: Config, args: argparse.Namespace) -> tuple[_Searched, Queries]:
    """What is searched for what, as far as that is known before anything is loaded."""
    _check_fields(config, args)
    searched = _index(config) if config.search.index else _embeddings(config)
    check_languages(searched.passages, searched.place, config.search.languages, "search.languages")
    recorded_model(searched.facts, searched.place)
    if args.query:
        return searched, Queries.of_texts(args.query)
    return searched, read_queries(str(config.search.queries), with_languages=config.search.same_language)


def _check_fields(config: Config, args: argparse.Namespace) -> None:
    """Fields that are missing, and fields that would be ignored."""
    c = config.search
    for one, other, names in (
        (c.embeddings, c.index, ("search.embeddings (a folder of ray_jobs.encode)", "search.index (one of ray_jobs.export)")),
        (c.queries, args.query, ("search.queries (a file)", "--query TEXT")),
    ):  # fmt: skip
        if bool(one) == bool(other):
            raise RequestError(f"set {names[0]} or {names[1]}{', not both' if one else ''}")
    unused = {
        "search.tasks": c.tasks and c.index and "with search.index, which one process searches",
        "search.probes": c.probes and not c.index and "without search.index",
        "search.ef": c.ef and not c.index and "without search.index",
        "search.run": c.run and args.query and "with --query, which prints",
        "search.same_language": c.same_language and args.query and "with --query, which says no language; set search.languages",
    }  # fmt: skip
    for field, reason in unused.items():
        if reason:
            raise RequestError(f"{field} has no meaning {reason}")


def _embeddings(config: Config) -> _Searched:
    found = open_embeddings(absolute(str(config.search.embeddings)))

    def search(asked: Asked, kept: str | None) -> PassageLists:
        from ray_jobs._ray.searching import search_distributed

        connect(1)
        try:
            return search_distributed(
                found.uri, found.shards, asked, config.search.tasks, kept=kept, patience=config.encode.patience
            )
        finally:
            disconnect()

    identity = [[s.name, s.sha256] for s in found.shards]
    return _Searched(found.uri, found.facts, found.dimension, found.languages, identity, "exactly", search)


def _index(config: Config) -> _Searched:
    place = absolute(str(config.search.index))
    about = read_about(place)
    parameters = dict(about["parameters"])
    for name in ("probes", "ef"):
        if (value := getattr(config.search, name)) is not None:
            if name not in parameters:
                raise RequestError(f"search.{name} has no meaning for an index of the form {about['form']}; remove it")
            parameters[name] = value
    how = f"with the index {about['form']}"
    if about["form"] != "flat":
        measured = ", ".join(f"{k} {v:.3f}" for k, v in about["recall"].items() if k.startswith("recall@"))
        how += f" (approximately: {measured} when it was made, by {about['recall']['measured_by']})"
    return _Searched(
        place, about["facts"], about["dimension"], about["languages"],
        [storage.read_json(join(place, storage.MARKER))["files"], parameters], how,
        lambda asked, kept: open_index(place).search(asked, parameters),
    )  # fmt: skip


def _target(config: Config, searched: _Searched, queries: Queries) -> str:
    if config.search.run:
        return absolute(config.search.run)
    return join(absolute(config.output), "search", f"{_request_hash(config, searched, queries)}.run")


def _request_hash(config: Config, searched: _Searched, queries: Queries) -> str:
    """Names everything that decides the answer."""
    c = config.search
    decides = [searched.identity, recorded_model(searched.facts, searched.place)["fingerprint"], queries.hash(), c.k]
    return digest([*decides, sorted(c.languages), c.same_language, c.qualified_ids, config.encode.precision])


def _tag(config: Config, searched: _Searched) -> str:
    """Name of the system in a run: model, and whether it was searched exactly."""
    fingerprint = recorded_model(searched.facts, searched.place)["fingerprint"]
    return f"{'approximate' if config.search.index else 'exact'}-{fingerprint}"


def _shown_ids(lists: PassageLists, *, qualified: bool) -> np.ndarray:
    ids = lists.texts(lists.ids)
    if not qualified:
        return ids
    languages = lists.texts(lists.languages)
    there = lists.top.rows >= 0
    ids[there] = languages[there] + "/" + ids[there]
    return ids


def _check_ids(ids: np.ndarray, queries: Queries) -> None:
    """Refuse a list that names two passages alike: tools would count one of them twice."""
    for query, line in zip(queries.ids, ids, strict=True):
        named = [id for id in line if id is not None]
        if len(set(named)) < len(named):
            twice = next(id for id in named if named.count(id) > 1)
            raise RequestError(
                f"query {query!r}: {twice!r} is the id of several passages in its list; set search.qualified_ids=true where "
                "languages share ids, else give passages ids of their own and encode again"
            )


def _facts(
    config: Config, searched: _Searched, queries: Queries, lists: PassageLists, seconds: dict[str, float]
) -> dict[str, Any]:
    c = config.search
    pool = {code: n for code, n in searched.passages.items() if not c.languages or code in c.languages}
    return {
        "how": searched.how, "exact": c.index is None, "place": searched.place, "k": c.k,
        "model": dict(recorded_model(searched.facts, searched.place)), "queries": len(queries.ids),
        "passages": sum(pool.values()), "languages": pool, "same_language": c.same_language,
        "short_lists": int((lists.top.rows[:, -1] < 0).sum()), "seconds": seconds,
    }  # fmt: skip


def _print_best(queries: Queries, ids: np.ndarray, lists: PassageLists) -> list[dict[str, Any]]:
    languages, results = lists.texts(lists.languages), []
    for row, text in enumerate(queries.texts):
        print(text)
        best = [
            {"id": id, "language": language, "score": float(score)}
            for id, language, score in zip(ids[row], languages[row], lists.top.scores[row], strict=True)
            if id is not None
        ]
        for rank, passage in enumerate(best[:_SHOWN], start=1):
            print(f"  {rank:3} {passage['score']:8.4f}  {passage['language']:3} {passage['id']}")
        results.append({"query": text, "passages": best})
    return results


def _print_summary(facts: dict[str, Any], outputs: dict[str, str]) -> None:
    print(
        f"searched {facts['passages']:,} passages ({', '.join(facts['languages'])}) {facts['how']} for {facts['queries']:,} "
        f"queries in {facts['seconds']['search']:.1f} s, encoded in {facts['seconds']['encoding']:.1f} s"
    )
    if facts["exact"]:
        print("passages searched = passages there, in every language")
    if facts["short_lists"]:
        print(f"{facts['short_lists']:,} lists are shorter than search.k={facts['k']}")
    for name, uri in outputs.items():
        print(f"{name}: {uri}")


def describe(config: Config, args: argparse.Namespace) -> str:
    """What a run would do."""
    searched, queries = _request(config, args)
    among = config.search.languages or tuple(searched.passages)
    where = "print the best" if args.query else f"write {_target(config, searched, queries)}"
    return (
        f"would search {sum(searched.passages[code] for code in among):,} passages ({', '.join(among)}) of {searched.place} "
        f"{searched.how} for {len(queries.ids):,} queries and {where}"
    )


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--query", action="append", default=[], metavar="TEXT", help="print the best passages for a text; repeatable"
    )


JOB = Job("search", __doc__ or "", run, describe, _add_flags)

if __name__ == "__main__":
    sys.exit(main(JOB))
