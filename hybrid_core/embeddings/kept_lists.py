"""Lists of a part of a search, kept until the whole search is done: one that was cut short goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hybrid_core import storage
from hybrid_core.embeddings.searching import Asked, PassageLists, search_shards
from hybrid_core.embeddings.shards import Shard
from hybrid_core.settings import digest
from hybrid_core.storage import Attempt, join, once
from hybrid_core.top_lists import TopK

_SEARCHED = b"searched"


def place_of(folder: str, shards: Sequence[Shard]) -> str:
    """Where the lists of these shards are kept. What else decides them must be in the name of the folder."""
    return join(folder, f"{digest([[s.name, s.sha256] for s in shards])}.lists")


def search_or_read(
    uri: str, shards: Sequence[Shard], asked: Asked, folder: str | None, attempt: Attempt = once
) -> PassageLists:
    """The lists that are kept of these shards, else those of a search, which are kept then.

    Args:
        uri: directory of the shards.
        shards: of it.
        asked: what is looked for.
        folder: of kept lists, for this request alone; None: nothing is kept.
        attempt: how storage is accessed.
    """
    if folder is None:
        return search_shards(uri, shards, asked, attempt)
    place = place_of(folder, shards)
    if attempt(lambda: storage.exists(place), place):
        return unpacked(attempt(lambda: storage.read_bytes(place), place))
    lists = search_shards(uri, shards, asked, attempt)
    attempt(lambda: storage.write_bytes(place, packed(lists)), place)
    return lists


def packed(lists: PassageLists) -> bytes:
    """As two tables of Arrow, one after the other: the lists, and the passages in them."""
    top = pa.table({"row": lists.top.rows.ravel(), "score": lists.top.scores.ravel()})
    facts = {"shape": lists.top.rows.shape, "searched": dict(lists.searched)}
    top = top.replace_schema_metadata({_SEARCHED: json.dumps(facts)})
    sink = pa.BufferOutputStream()
    for table in (top, pa.table({"id": lists.ids, "language": lists.languages})):
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return bytes(sink.getvalue())


def unpacked(content: bytes) -> PassageLists:
    """What `packed` has packed."""
    source = pa.BufferReader(content)
    top, passages = (pa.ipc.open_stream(source).read_all().combine_chunks() for _ in range(2))
    facts = json.loads(top.schema.metadata[_SEARCHED])
    rows, scores = (np.array(top[name]).reshape(facts["shape"]) for name in ("row", "score"))
    ids, languages = (passages[name].combine_chunks() for name in ("id", "language"))
    return PassageLists(TopK(rows, scores), ids, languages, facts["searched"])
