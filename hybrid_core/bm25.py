"""BM25: how far shared words alone lead, where queries and passages have a language in common.

The index is bm25s's. Its scores per (token, passage) are summed over the tokens of many queries by one sparse matrix
product. Only the mono setting is defined: words of different languages meet by accident.

A baseline must not be weak for a reason that is not its idea, so texts are cut in a way that works in every script: no
stemmer and no stop list, which exist for some languages only, but pairs of characters where words are not spaced.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hybrid_core.data.suites import Suite
from hybrid_core.search import RelevantRanks

K1, B = 0.9, 0.4
"""Anserini's defaults, with which MIRACL's BM25 baseline was run; Lucene's own are 1.2 and 0.75."""

_SCORES_AT_ONCE = 2**24  # 64 MiB of float32
_TEXTS_AT_ONCE = 10_000
_HAN_AND_KANA = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HANGUL = "\u1100-\u11ff\uac00-\ud7af"
_THAI_LAO_MYANMAR_KHMER = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_IN_PAIRS = re.compile(f"([{_HAN_AND_KANA}{_HANGUL}{_THAI_LAO_MYANMAR_KHMER}]+)")
_ZERO_WIDTH_SPACE = 0x200B
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)


def tokenize(texts: Sequence[str], language: str) -> list[list[str]]:
    """Cut texts into tokens: words, or overlapping pairs of characters in scripts that do not space words.

    A word is a run of letters, combining marks and digits (NFKC, lower case; Turkish and Azerbaijani keep dotted and
    dotless i apart). Runs of Han, kana, Hangul, Thai, Lao, Burmese and Khmer become pairs of characters, a single
    character stays one token: the rule of Lucene's CJKAnalyzer, which takes Hangul as well because particles are
    written on to nouns. The script decides, not the language: an English name inside a Chinese text is a word.

    Args:
        texts: one or more texts of one language.
        language: its code.
    """
    table = _Separators()
    return [_tokens(text, language, table) for text in texts]


class _Separators(dict[int, str | None]):
    """For str.translate: what each character becomes inside a text, looked up when it is first met."""

    def __missing__(self, code: int) -> str | None:
        category = unicodedata.category(chr(code))
        joins = category == "Cf" and code != _ZERO_WIDTH_SPACE  # joiners, soft hyphens, directions: inside words
        decorates = category == "Me" or code in _VARIATION_SELECTORS  # the look of a keycap or an emoji
        belongs = category[0] in "LMN"  # marks as well: vowels of Indic scripts are marks
        self[code] = None if joins or decorates else chr(code) if belongs else " "
        return self[code]


def _tokens(text: str, language: str, table: _Separators) -> list[str]:
    text = unicodedata.normalize("NFKC", text)
    if language in ("tr", "az"):
        text = text.replace("İ", "i").replace("I", "ı")
    tokens = []
    for word in text.lower().translate(table).split():
        for number, run in enumerate(_IN_PAIRS.split(word)):
            if number % 2 and len(run) > 1:  # split() puts what the pattern matched at odd places
                tokens += [run[i : i + 2] for i in range(len(run) - 1)]
            elif run:
                tokens.append(run)
    return tokens


def bm25_scores(
    suite: Suite, *, k1: float = K1, b: float = B
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Scores of each language's queries on that language's passages, in blocks of bounded size.

    The score is the one of Lucene 8 and later with exact lengths: sum over the query's tokens t (repeated ones count
    repeatedly) of idf(t) tf / (tf + k1 (1 - b + b length / mean length)), idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5)).
    N, df and the mean length are those of the language's passages. Never negative; 0 where no token is shared.

    Args:
        suite: texts and languages; judgements are not looked at.
        k1: how slowly repetitions of a token stop counting.
        b: how much long passages are held back, 0 to 1.

    Yields:
        Language, rows of its queries [q], rows of all its passages in the order of their ids [p], scores [q, p] float32.
    """
    for language in suite.languages:
        asked = np.flatnonzero(np.array(suite.queries.languages) == language)
        if not len(asked):
            continue
        pool = sorted(
            (row for row, lang in enumerate(suite.passages.languages) if lang == language),
            key=suite.passages.ids.__getitem__,
        )
        weights, counts = _matrices(
            [suite.passages.texts[row] for row in pool], [suite.queries.texts[row] for row in asked], language, k1, b
        )  # fmt: skip
        at_once = max(1, _SCORES_AT_ONCE // len(pool))
        for start in range(0, len(asked), at_once):
            scores = (counts[start : start + at_once] @ weights).toarray()
            yield language, asked[start : start + at_once], np.array(pool, dtype=np.int64), scores


class _Documents:
    """Token ids of all passages in one flat array; the library reads each passage's as a list, three times over."""

    def __init__(self, texts: Sequence[str], language: str, vocabulary: Mapping[str, int], other: int) -> None:
        self.ids, self.ends = array("i"), array("q")
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            for tokens in tokenize(texts[start : start + _TEXTS_AT_ONCE], language):
                self.ids.extend(vocabulary.get(token, other) for token in tokens)
                self.ends.append(len(self.ids))

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[list[int]]:
        start = 0
        for end in self.ends:
            yield self.ids[start:end].tolist()
            start = end


def _matrices(passages: Sequence[str], queries: Sequence[str], language: str, k1: float, b: float) -> tuple[Any, Any]:
    """Sparse matrices: BM25 weights [tokens, passages] and how often each query has each token [queries, tokens].

    Tokens that no query has are one token, for lengths alone: an index of every word of a large pool would not fit.
    """
    import bm25s
    from scipy.sparse import csr_matrix

    asked = tokenize(queries, language)
    # In alphabetic order, a query's weights are added up in the same order whatever the order of the corpus.
    vocabulary = {token: i for i, token in enumerate(sorted({t for tokens in asked for t in tokens}))}
    documents = _Documents(passages, language, vocabulary, len(vocabulary))
    shape = len(vocabulary) + 1, len(passages)
    places = np.array([vocabulary[token] for tokens in asked for token in tokens], dtype=np.int64)
    rows = np.repeat(np.arange(len(queries)), [len(tokens) for tokens in asked])
    counts = csr_matrix((np.ones(len(places), np.float32), (rows, places)), shape=(len(queries), shape[0]))
    counts.sum_duplicates()
    if not len(documents.ids):
        return csr_matrix(shape, dtype=np.float32), counts
    index = bm25s.BM25(method="lucene", k1=k1, b=b)
    found = index.build_index_from_ids(range(shape[0]), documents, show_progress=False)
    # A matrix by columns (passages x tokens), as bm25s keeps it, is its transpose by rows.
    weights = csr_matrix((found["data"], found["indices"], found["indptr"]), shape=shape)
    return weights, counts


def rank_bm25(suite: Suite, top_k: int, *, k1: float = K1, b: float = B) -> RelevantRanks:
    """Rank every relevant passage by BM25 in the pool of its query's language; ties go to the smaller passage id.

    Many passages share no token with a query and tie at 0, so the rule for ties matters more than with vectors.

    Args:
        suite: texts, languages and judgements.
        top_k: depth of the list that is kept.
        k1: as in `bm25_scores`.
        b: as in `bm25_scores`.

    Returns:
        One entry per (query, relevant passage) as from `rank_relevant`, for the mono setting only: `ahead` is 0 except
        where query, passage and column have one language. `top` [queries, k] lists passages of the query's language;
        -1 where its pool is shorter or there is none.
    """
    languages = suite.languages
    lengths = [len(rows) for rows in suite.relevant]
    query = np.repeat(np.arange(len(lengths)), lengths)
    passage = np.concatenate(suite.relevant) if sum(lengths) else np.empty(0, np.int64)
    ahead = np.zeros((len(query), len(languages)), dtype=np.int64)
    top = np.full((len(suite.queries), min(top_k, len(suite.passages))), -1, dtype=np.int64)
    for language, asked, pool, scores in bm25_scores(suite, k1=k1, b=b):
        column = np.full(len(suite.passages), -1, dtype=np.int64)
        column[pool] = np.arange(len(pool))
        row = np.full(len(suite.queries), -1, dtype=np.int64)
        row[asked] = np.arange(len(asked))
        keys = _keys(torch.from_numpy(scores))
        entries = np.flatnonzero((row[query] >= 0) & (column[passage] >= 0))
        places = torch.from_numpy(row[query[entries]]), torch.from_numpy(column[passage[entries]])
        ahead[entries, languages.index(language)] = _count_ahead(keys, *places).numpy()
        best = keys.topk(min(top.shape[1], len(pool)), dim=1).indices.numpy()
        top[asked, : best.shape[1]] = pool[best]
    sizes = np.bincount([languages.index(lang) for lang in suite.passages.languages], minlength=len(languages))
    return RelevantRanks(query, passage, ahead, top, sizes, languages)


def _keys(scores: torch.Tensor) -> torch.Tensor:
    """Integers in the order of the ranking, all different: larger score first, then the smaller column.

    The bits of non-negative floats, read as integers, are in the order of the floats.
    """
    columns = torch.arange(scores.shape[1] - 1, -1, -1)
    return (scores.view(torch.int32).long() << 32) | columns


def _count_ahead(keys: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Columns that rank before each (row, column) [n]."""
    own = keys[rows, columns]
    at_once = max(1, _SCORES_AT_ONCE // max(1, keys.shape[1]))
    parts = [
        (keys[r] > key[:, None]).sum(1)
        for r, key in zip(torch.split(rows, at_once), torch.split(own, at_once), strict=True)
    ]
    return torch.cat(parts) if parts else own
