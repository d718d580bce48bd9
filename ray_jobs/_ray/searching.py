"""Exact search as a distributed map over groups of shards and a tree of merges. What is computed is in hybrid_core."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayTaskError

from hybrid_core import storage
from hybrid_core.embeddings.kept_lists import place_of, search_or_read
from hybrid_core.embeddings.searching import (
    Asked,
    PassageLists,
    check_searched,
    group_shards,
    groups_for,
    merge_lists,
    search_shards,
    shards_of,
)
from hybrid_core.embeddings.shards import Shard
from hybrid_core.errors import RequestError
from ray_jobs._patience import Patience

_FAN_IN = 4
"""Lists that a task merges: their memory is that of five results."""
_SECONDS = 10.0


def search_distributed(
    uri: str, shards: Sequence[Shard], asked: Asked, tasks: int | None = None,
    *, kept: str | None = None, patience: float = 0.0,
) -> PassageLists:  # fmt: skip
    """The best passages of these shards; the same for every number of tasks.

    Args:
        uri: the directory, which all nodes can read.
        shards: of it.
        asked: what is looked for.
        tasks: that share the shards, each one processor; None: as many as fit the shards (`groups_for`).
        kept: folder where the lists of each group of shards are kept, for this request alone; those that are there are not
            searched again. None: nothing is kept.
        patience: seconds to go on trying while storage fails.

    Raises:
        RequestError: a shard is missing or damaged, or an embedding is no number.
        OSError: the storage fails for longer than that.
        RuntimeError: other passages were searched than there are.
    """
    groups = groups_of(shards, asked, tasks)
    if not groups:
        return search_shards(uri, [], asked)
    attempt = Patience(patience)
    if kept and (there := sum(attempt(partial(storage.exists, place_of(kept, g)), kept) for g in groups)):
        print(f"  {there} of {len(groups)} groups of shards were searched before")
    shared = ray.put(asked)
    search = ray.remote(num_cpus=1)(search_or_read)
    parts = [search.remote(uri, group, shared, kept, attempt) for group in groups]
    lists = _result(_merged(parts, asked.k), parts)
    check_searched(lists, shards, asked)
    return lists


def groups_of(shards: Sequence[Shard], asked: Asked, tasks: int | None) -> list[list[Shard]]:
    """Groups of the shards that can answer, each searched by a task. Arguments as in `search_distributed`."""
    searched = shards_of(shards, asked.pool)
    return group_shards(searched, tasks or groups_for(searched))


def _merged(lists: list[Any], k: int) -> Any:
    """A reference to the lists over all parts."""
    merge = ray.remote(num_cpus=1)(_merge)
    while len(lists) > 1:
        lists = [merge.remote(k, *lists[first : first + _FAN_IN]) for first in range(0, len(lists), _FAN_IN)]
    return lists[0]


def _merge(k: int, *parts: PassageLists) -> PassageLists:
    return merge_lists(parts, k)


def _result(whole: Any, parts: list[Any]) -> PassageLists:
    """Wait for it, and say how far the search is."""
    while not ray.wait([whole], timeout=_SECONDS)[0]:
        done, _ = ray.wait(parts, num_returns=len(parts), timeout=0)
        print(f"  searched {len(done)} of {len(parts)} groups of shards")
    try:
        lists: PassageLists = ray.get(whole)
        return lists
    except RayTaskError as error:
        cause: BaseException = error
        while isinstance(cause, RayTaskError):  # a merge passes on what a search raised
            cause = cause.cause
        if isinstance(cause, (RequestError, OSError)):
            raise cause from None
        raise
