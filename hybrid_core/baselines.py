"""Free baselines: what a trained recipe has to beat, because it costs nothing beside a model that is already there.

Each method maps the unit embeddings of one suite to other vectors whose inner product is the new score, so that the
ordinary search ranks them. Methods are fitted on the passages alone, never on queries or judgements: a system in use
has its passages when it builds the index and sees a query only to answer it.

Where a query's language has no passages, the value of all passages together stands in; `languages_without_passages`
names those languages, so that a report can say so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from hybrid_core.errors import RequestError, nearest

Vectors = tuple[np.ndarray, np.ndarray]
"""Vectors of queries and of passages; their inner product is the score."""
Method = Callable[[np.ndarray, np.ndarray, Sequence[str], Sequence[str]], Vectors]
NEIGHBOURS = 10
"""Default of what `csls` calls neighbours."""

_ALL = ""  # key of the value fitted on all passages; no language has this code
_ROWS_AT_ONCE, _COLUMNS_AT_ONCE = 512, 16384  # 64 MiB of float64 scores
MOST_NEIGHBOURS = 10_000
"""Passages of a language among which `csls` looks for neighbours."""
_NOTHING_LEFT = 1e-6  # a unit vector of which less than this remains was the removed part, up to rounding


def apply(
    method: str,
    queries: np.ndarray,
    passages: np.ndarray,
    query_languages: Sequence[str],
    passage_languages: Sequence[str],
    *,
    neighbours: int = NEIGHBOURS,
) -> Vectors:
    """Map the embeddings of one suite so that the inner product is the score of a free baseline.

    Args:
        method: a name of `METHODS`.
        queries: unit vectors [q, d], float32.
        passages: unit vectors [p, d], float32; the only thing that is fitted on.
        query_languages: language of each query [q].
        passage_languages: language of each passage [p].
        neighbours: of `csls`.

    Returns:
        Query vectors [q, e] and passage vectors [p, e], float32; e is d, or d + 1 for csls.

    Raises:
        RequestError: an unknown method.
        ValueError: vectors and languages do not match, or there is no passage.
    """
    if method not in METHODS:
        raise RequestError(f"free baseline {method!r} is unknown{nearest(method, METHODS)}")
    for what, vectors, languages in (
        ("queries", queries, query_languages),
        ("passages", passages, passage_languages),
    ):
        if vectors.ndim != 2 or len(vectors) != len(languages) or vectors.shape[1] != passages.shape[-1]:
            raise ValueError(f"{what}: shape {vectors.shape} with {len(languages)} languages, d = {passages.shape[-1]}")
    if not len(passages):
        raise ValueError("a free baseline is fitted on passages; there is none")
    if method == "csls":
        return csls(queries, passages, query_languages, passage_languages, neighbours=neighbours)
    return METHODS[method](queries, passages, query_languages, passage_languages)


def languages_without_passages(query_languages: Sequence[str], passage_languages: Sequence[str]) -> tuple[str, ...]:
    """Query languages for which a method falls back on all passages together, sorted."""
    return tuple(sorted(set(query_languages) - set(passage_languages)))


def mean_offset(
    queries: np.ndarray, passages: np.ndarray, query_languages: Sequence[str], passage_languages: Sequence[str]
) -> Vectors:
    """Subtract from every vector the mean passage of its language, then renormalise.

    Akin to SHIFT (arXiv 2606.18801), which subtracts an offset between languages from documents only and estimates it on
    translation pairs. Here no pairs are needed: each language is centred on its own passages, on both sides.
    Arguments and result as in `apply`.
    """
    means = language_means(passages, passage_languages)

    def centre(part: np.ndarray, language: str) -> np.ndarray:
        return np.asarray(part - means.get(language, means[_ALL]))

    return _changed(queries, query_languages, centre), _changed(passages, passage_languages, centre)


def language_means(passages: np.ndarray, languages: Sequence[str]) -> dict[str, np.ndarray]:
    """Mean passage [d], float64, of each language and, under "", of all passages."""
    means = {language: passages[rows].mean(0, dtype=np.float64) for language, rows in _rows(languages).items()}
    return means | {_ALL: passages.mean(0, dtype=np.float64)}


def top_component(
    queries: np.ndarray,
    passages: np.ndarray,
    query_languages: Sequence[str],
    passage_languages: Sequence[str],
) -> Vectors:
    """Language information removal (LIR): project each language's first principal component away, then renormalise.

    Yang et al. 2021 (arXiv 2109.04727): the components of a language are the first singular vectors of its texts, not
    centred, so that the first one is close to the direction of their mean. They take Wikipedia sentences for it, here it
    is the passages of the suite. Chosen over the removal of the mean and the components of all languages together
    (all-but-the-top, Mu and Viswanath 2018, arXiv 1702.01417): that one needs about as many components as there are
    languages to take language identity away, and a single one takes whatever direction varies most.

    Args:
        queries: as in `apply`.
        passages: as in `apply`.
        query_languages: as in `apply`.
        passage_languages: as in `apply`.
    """
    axes = language_components(passages, passage_languages)

    def project(part: np.ndarray, language: str) -> np.ndarray:
        removed = axes.get(language, axes[_ALL])
        return np.asarray(part - (part @ removed)[:, None] * removed)

    return _changed(queries, query_languages, project), _changed(passages, passage_languages, project)


def language_components(passages: np.ndarray, languages: Sequence[str]) -> dict[str, np.ndarray]:
    """First right singular vector [d], float64, of each language's passages and, under "", of all.

    Taken from the d x d matrix of inner products, which is summed in blocks: memory does not grow with the passages.
    """
    squares = {language: _square(passages, rows) for language, rows in _rows(languages).items()}
    squares[_ALL] = np.sum(list(squares.values()), axis=0)
    return {language: np.linalg.eigh(square)[1][:, -1] for language, square in squares.items()}


def csls(
    queries: np.ndarray,
    passages: np.ndarray,
    query_languages: Sequence[str],
    passage_languages: Sequence[str],
    *,
    neighbours: int = NEIGHBOURS,
) -> Vectors:
    """Cross-domain similarity local scaling: 2 cos(q, p) - r(p), which lowers passages that are near to everything.

    Conneau et al. 2018 (arXiv 1710.04087) subtract r(q) + r(p), with r(p) over the queries nearest to p. r(q) is the same
    for all passages of a query and cannot change a ranking. r(p) over queries would be fitted on queries, and a query's
    ranking would depend on which others are asked; so passages stand in for queries: see `neighbourhood`.
    The score is the inner product of (2q, -1) and (p, r(p)); these are no unit vectors.

    Args:
        queries: as in `apply`.
        passages: as in `apply`.
        query_languages: not used.
        passage_languages: as in `apply`.
        neighbours: k, per language.
    """
    density = neighbourhood(passages, passage_languages, neighbours)
    asked = np.concatenate([2.0 * queries, np.full((len(queries), 1), -1.0)], axis=1)
    return asked.astype(np.float32), np.concatenate([passages, density[:, None]], axis=1).astype(np.float32)


def neighbourhood(passages: np.ndarray, languages: Sequence[str], neighbours: int) -> np.ndarray:
    """r(p) [p], float64: the mean cosine of p with its k nearest other passages, averaged over languages.

    The neighbours are taken in every language on its own, and languages count equally, because the passages of a language
    stand in for the queries in that language and a query may come in any. Two simpler choices are worse. Among all
    passages pooled, the nearest ones of a well aligned model are a passage's own translations, so that r would punish
    being translated well, and those of a badly aligned one are all of its own language. Within the own language
    alone, a passage that is near to everything in the other languages would not be seen at all.
    A language with fewer than k other passages gives those it has; one with none is left out.

    In bounded memory, and computed in float64: identical passages keep identical scores wherever they stand in the corpus.
    Time grows with the square of the number of passages up to `MOST_NEIGHBOURS` of a language, then with their number: a
    sample that large stands for the language. It is drawn by what the vectors are, so it does not depend on their order.
    """
    order = {language: _sample(passages, rows) for language, rows in _rows(languages).items()}
    total, counted = np.zeros(len(passages)), np.zeros(len(passages))
    for rows in order.values():
        columns = torch.from_numpy(rows)
        for start in range(0, len(passages), _ROWS_AT_ONCE):
            block = torch.arange(start, min(start + _ROWS_AT_ONCE, len(passages)))
            near = _nearest(torch.from_numpy(passages), block, columns, neighbours)
            found = near.isfinite()
            here = slice(start, start + len(block))
            count = found.sum(1)
            total[here] += (torch.where(found, near, 0.0).sum(1) / count.clamp(min=1)).numpy()
            counted[here] += (count > 0).numpy()
    return np.asarray(total / np.maximum(counted, 1))


def _sample(passages: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """About `MOST_NEIGHBOURS` of the rows: those whose vectors have the smallest hashes, equal vectors all or none."""
    if len(rows) <= MOST_NEIGHBOURS:
        return rows
    hashes = (hashlib.blake2b(passages[row].tobytes(), digest_size=8).digest() for row in rows)
    keys = np.array([int.from_bytes(h, "big") for h in hashes], dtype=np.uint64)
    return np.asarray(rows[keys <= np.partition(keys, MOST_NEIGHBOURS - 1)[MOST_NEIGHBOURS - 1]])


METHODS: Mapping[str, Method] = {"mean_offset": mean_offset, "top_component": top_component, "csls": csls}
"""Free baselines by name."""


def _nearest(passages: torch.Tensor, block: torch.Tensor, columns: torch.Tensor, k: int) -> torch.Tensor:
    """Largest cosines of the block's passages with the columns' passages [block, <= k]; -inf where the other is itself."""
    vectors = passages[block].double()
    best = torch.empty((len(block), 0), dtype=torch.float64)
    for part in torch.split(columns, _COLUMNS_AT_ONCE):
        scores = vectors @ passages[part].double().T
        scores.masked_fill_(block[:, None] == part[None, :], -torch.inf)
        best = torch.cat([best, scores], dim=1)
        best = best.topk(min(k, best.shape[1]), dim=1).values
    return best


def _rows(languages: Sequence[str]) -> dict[str, np.ndarray]:
    """Rows of each language, languages sorted."""
    names, codes = np.unique(np.array(languages), return_inverse=True)
    return {str(name): np.flatnonzero(codes == code) for code, name in enumerate(names)}


def _square(passages: np.ndarray, rows: np.ndarray) -> np.ndarray:
    square = np.zeros((passages.shape[1], passages.shape[1]))
    for start in range(0, len(rows), _COLUMNS_AT_ONCE):
        part = passages[rows[start : start + _COLUMNS_AT_ONCE]].astype(np.float64)
        square += part.T @ part
    return square


def _changed(
    vectors: np.ndarray, languages: Sequence[str], change: Callable[[np.ndarray, str], np.ndarray]
) -> np.ndarray:
    """Change the vectors of each language, in float64 and in blocks, and renormalise [n, d], float32."""
    result = np.empty_like(vectors, dtype=np.float32)
    for language, rows in _rows(languages).items():
        for start in range(0, len(rows), _COLUMNS_AT_ONCE):
            block = rows[start : start + _COLUMNS_AT_ONCE]
            result[block] = _unit(change(vectors[block].astype(np.float64), language))
    return result


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1. A row of which nothing is left (the only passage of its language) becomes zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > _NOTHING_LEFT))
