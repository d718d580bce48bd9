"""Exact search over a directory of embeddings: lists of a group of shards, and lists of groups merged into one.

    shards -> groups -> lists of each group (search_shards) -> one list a query (merge_lists)

Lists carry ids and languages, not row numbers, so that parts of a search need to know nothing of each other. Equal scores
are in the order of ids (as text), then of languages; what is equal in all three cannot be told apart. The result therefore
depends neither on the groups nor on the shards nor on their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hybrid_core.embeddings.shards import Content, Shard, read_shard
from hybrid_core.errors import RequestError, nearest
from hybrid_core.storage import Attempt, once
from hybrid_core.top_k import PASSAGE_BLOCK, top_k
from hybrid_core.top_lists import TopK, merge_top_k

_ROWS_OF_GROUP = 4 * PASSAGE_BLOCK
_MOST_GROUPS = 512


@dataclass(frozen=True)
class Asked:
    """What is looked for."""

    vectors: np.ndarray
    """Of the queries [q, d], float32."""
    k: int
    """Length of the lists."""
    among: tuple[str, ...] | None = None
    """Languages of the passages that take part; None: all."""
    languages: tuple[str, ...] | None = None
    """Languages of the queries, each of which sees passages of its own only; None: languages do not matter."""

    @property
    def pool(self) -> frozenset[str] | None:
        """Languages that can be in a list; None: all."""
        wanted = None if self.among is None else frozenset(self.among)
        if self.languages is None:
            return wanted
        return frozenset(self.languages) & (wanted if wanted is not None else frozenset(self.languages))


@dataclass(frozen=True)
class PassageLists:
    """The best passages of each query, best first."""

    top: TopK
    """Rows [q, k] of `ids` and exact scores; -1 and -inf where a list has ended."""
    ids: pa.Array
    """Of the passages that are in some list."""
    languages: pa.Array
    """Of the same passages."""
    searched: Mapping[str, int] = field(default_factory=dict)
    """Passages that were compared with the queries, by language."""

    def texts(self, column: pa.Array) -> np.ndarray:
        """`ids` or `languages` in the places of the lists [q, k]; None where a list has ended."""
        rows = pa.array(self.top.rows.ravel(), mask=self.top.rows.ravel() < 0)
        return np.asarray(column.take(rows).to_numpy(zero_copy_only=False), dtype=object).reshape(self.top.rows.shape)


def check_languages(counts: Mapping[str, int], place: str, languages: Sequence[str], field: str) -> None:
    """Refuse languages that no passage has.

    Args:
        counts: passages by language.
        place: what holds them, for the error.
        languages: that are wanted.
        field: of the config that names them.

    Raises:
        RequestError: names the nearest language that is there.
    """
    for language in languages:
        if language not in counts:
            raise RequestError(f"{field}: {language!r} has no passages in {place}{nearest(language, counts)}")


def shards_of(shards: Sequence[Shard], pool: frozenset[str] | None) -> list[Shard]:
    """Those that, by their markers, have passages of these languages (None: of any)."""
    return [s for s in shards if any(rows and (pool is None or code in pool) for code, rows in s.languages.items())]


def groups_for(shards: Sequence[Shard]) -> int:
    """Groups that these shards are searched in where nothing is set.

    It goes by the shards alone: the lists that a search has kept of each group serve it again on another number of
    processors. Their number is limited, as the lists of all groups are held until they are merged.
    """
    return min(_MOST_GROUPS, -(-sum(s.rows for s in shards) // _ROWS_OF_GROUP))


def group_shards(shards: Sequence[Shard], groups: int) -> list[list[Shard]]:
    """Consecutive shards in at most `groups` groups of about as many rows, none empty."""
    rows = np.array([s.rows for s in shards], dtype=np.float64)
    middles = np.cumsum(rows) - rows / 2
    numbers = np.floor(middles * groups / max(1.0, rows.sum())).astype(np.int64)
    return [[s for s, n in zip(shards, numbers, strict=True) if n == number] for number in np.unique(numbers)]


def check_searched(lists: PassageLists, shards: Sequence[Shard], asked: Asked) -> None:
    """Compare what was searched with what the shards' markers say.

    Args:
        lists: the result over all of these shards.
        shards: with the numbers of their passages by language.
        asked: whose languages take part.

    Raises:
        RuntimeError: names the languages whose numbers differ.
    """
    there = sum((Counter(s.languages) for s in shards), Counter())
    expected = {code: n for code, n in there.items() if n and (asked.pool is None or code in asked.pool)}
    wrong = {
        code: (lists.searched.get(code, 0), expected.get(code, 0))
        for code in sorted({*lists.searched, *expected})
        if lists.searched.get(code, 0) != expected.get(code, 0)
    }
    if wrong:
        raise RuntimeError(f"passages that were searched, and that are there, differ by language: {wrong}")


def search_shards(uri: str, shards: Sequence[Shard], asked: Asked, attempt: Attempt = once) -> PassageLists:
    """The best passages of these shards, in memory bounded by the largest shard, a block and the lists.

    Args:
        uri: the directory.
        shards: of it, in any order.
        asked: what is looked for.
        attempt: how each shard is read.

    Raises:
        RequestError: a shard is missing or damaged, or an embedding is no number.
        OSError: the storage fails.
    """
    lists = _empty(asked)
    for content in _blocks(uri, shards_of(shards, asked.pool), asked.pool, attempt):
        lists = merge_lists([lists, _search(uri, content, asked)], asked.k)
    return lists


def _empty(asked: Asked) -> PassageLists:
    shape = len(asked.vectors), asked.k
    top = TopK(np.full(shape, -1, dtype=np.int64), np.full(shape, -np.inf))
    return PassageLists(top, pa.array([], pa.string()), pa.array([], pa.string()))


def _blocks(uri: str, shards: Sequence[Shard], pool: frozenset[str] | None, attempt: Attempt) -> Iterator[Content]:
    """Rows of the pool's languages; small shards together, as each search has a price of its own."""
    held: list[Content] = []
    for shard in shards:
        content = attempt(partial(read_shard, uri, shard), f"{uri}, shard {shard.name}")
        held.append(_of_languages(content, shard, pool))
        if sum(len(c.ids) for c in held) >= PASSAGE_BLOCK:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _of_languages(content: Content, shard: Shard, pool: frozenset[str] | None) -> Content:
    if pool is None or pool.issuperset(shard.languages):
        return content
    kept = pc.is_in(content.languages, pa.array(sorted(pool), pa.string()))
    vectors = content.vectors[np.asarray(kept.to_numpy(zero_copy_only=False), dtype=bool)]
    return Content(content.ids.filter(kept), content.languages.filter(kept), vectors)


def _joined(parts: list[Content]) -> Content:
    if len(parts) == 1:
        return parts[0]
    ids, languages = (pa.concat_arrays([getattr(c, name) for c in parts]) for name in ("ids", "languages"))
    return Content(ids, languages, np.concatenate([c.vectors for c in parts]))


def _search(uri: str, content: Content, asked: Asked) -> PassageLists:
    place = _places(content.ids, content.languages)
    try:
        top = top_k(asked.vectors, content.vectors, asked.k, place=place, languages=_codes(content, asked))
    except ValueError:
        _refuse_what_is_not_finite(uri, content)
        raise
    counts = {row["values"]: row["counts"] for row in pc.value_counts(content.languages).to_pylist()}
    return compact(PassageLists(top, content.ids, content.languages, counts))


def _codes(content: Content, asked: Asked) -> tuple[np.ndarray, np.ndarray] | None:
    """Numbers of the queries' and the passages' languages."""
    if asked.languages is None:
        return None
    values = pa.array(sorted(set(asked.languages)), pa.string())
    sides = (pc.index_in(side, values) for side in (pa.array(asked.languages, pa.string()), content.languages))
    queries, passages = (np.asarray(pc.fill_null(side, -1)) for side in sides)
    return queries, passages


def _places(ids: pa.Array, languages: pa.Array) -> np.ndarray:
    """Place of each passage in the order of ids, then languages: bytes of UTF-8 are in the order of characters."""
    keys = [("id", "ascending"), ("language", "ascending")]
    order = np.asarray(pc.sort_indices(pa.table({"id": ids, "language": languages}), sort_keys=keys))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place


def _refuse_what_is_not_finite(uri: str, content: Content) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = np.flatnonzero(~np.isfinite(np.einsum("ij,ij->i", *2 * [content.vectors.astype(np.float32)])))
    if len(wrong):
        raise RequestError(
            f"{uri}: the embedding of passage {content.ids[int(wrong[0])].as_py()!r} has a component that is not finite; "
            "encode again with another model, or with encode.precision=float32 and encode.stored=float32"
        )


def compact(lists: PassageLists) -> PassageLists:
    """The same with the ids of its lists only."""
    used, rows = np.unique(lists.top.rows, return_inverse=True)
    missing = int(len(used) > 0 and used[0] < 0)
    kept = pa.array(used[missing:])
    top = TopK(rows.reshape(lists.top.rows.shape).astype(np.int64) - missing, lists.top.scores)
    return PassageLists(top, lists.ids.take(kept), lists.languages.take(kept), lists.searched)


def merge_lists(parts: Sequence[PassageLists], k: int) -> PassageLists:
    """The lists over all parts.

    Args:
        parts: lists of the same queries over different passages, each searched for k.
        k: length of the merged lists.
    """
    ids, languages = (pa.concat_arrays([getattr(p, name) for p in parts]) for name in ("ids", "languages"))
    tops, first = [], 0
    for part in parts:
        tops.append(TopK(np.where(part.top.rows >= 0, part.top.rows + first, -1), part.top.scores))
        first += len(part.ids)
    searched = sum((Counter(p.searched) for p in parts), Counter())
    return compact(PassageLists(merge_top_k(tops, k, place=_places(ids, languages)), ids, languages, searched))
