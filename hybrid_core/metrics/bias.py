"""Language bias in a mixed pool: does the ranking depend on the language a passage is written in?

No single number answers that. Rank distance rewards being uniformly bad (read it beside `max_rank`); the language
preference rate says which language leads, not how far the others follow; PEER tests equal expected ranks and is blind to
languages that were not retrieved at all (read it beside `language_shares`).
"""

from __future__ import annotations

import numpy as np


def rank_distance(ranks: np.ndarray) -> np.ndarray:
    """Worst minus best rank among a query's relevant passages (arXiv 2408.10536, section 4; from KD-SPD). Lower is fairer.

    Not comparable across pools: divide by the pool size for that. NaN where a query has no relevant passage.
    """
    return _or_nan(ranks.max(1) - ranks[:, 0], ranks)


def max_rank(ranks: np.ndarray) -> np.ndarray:
    """Max@R (arXiv 2604.05684): the rank by which all relevant passages have been found.

    Rank distance alone rewards being uniformly bad.
    """
    return _or_nan(ranks.max(1), ranks)


def language_shares(top: np.ndarray, passage_language: np.ndarray, languages: int) -> np.ndarray:
    """Share of each passage language in the top k of each query [queries, languages]."""
    found = passage_language[top]
    return np.stack([(found == language).mean(1) for language in range(languages)], axis=1)


def language_preference(
    query: np.ndarray, rank: np.ndarray, relevant_language: np.ndarray, query_language: np.ndarray
) -> np.ndarray:
    """Whether the best-ranked relevant passage is in the query's language; the mean is the language preference rate (LPR).

    After arXiv 2605.07249 (MLAIRE). 1/languages is what a ranker without preference has on fully parallel data; 1.0 says
    that the version in the query's language always leads, which users may want: a description, not a score to maximise.

    Args:
        query: row of the query of each relevant passage [n].
        rank: 1-based rank of each relevant passage in the pooled list [n].
        relevant_language: language index of each relevant passage [n].
        query_language: language index of each query, -1 for a language that the pool lacks [queries].

    Returns:
        1.0 or 0.0 for each query [queries]; NaN unless it has relevant passages both in its own and in another language.
    """
    own = relevant_language == query_language[query]
    best = np.full((2, len(query_language)), np.inf)
    np.minimum.at(best[0], query[own], rank[own])
    np.minimum.at(best[1], query[~own], rank[~own])
    return np.where(np.isfinite(best).all(0), best[0] < best[1], np.nan)


def list_overlap(top: np.ndarray, meaning: np.ndarray) -> np.ndarray:
    """Share of a query's top k that is also in the top k of the same question asked in another language, averaged over them.

    A mean pairwise overlap@k: 1.0 says that the pooled list does not depend on the language of the question. (MRC@k of
    arXiv 2509.06195 correlates ranks of the same pairs of lists; overlap needs no convention for unretrieved passages.)

    Args:
        top: passage rows of the best k of each query [queries, k], distinct within a row.
        meaning: index of the question that each query is a version of [queries].

    Returns:
        One share per query [queries]; NaN for a question that is asked only once.
    """
    entries = meaning[:, None] * (1 + int(top.max(initial=0))) + top
    _, entry, holders = np.unique(entries.reshape(-1), return_inverse=True, return_counts=True)
    found_by_others = (holders[entry] - 1).reshape(top.shape).mean(1)
    _, question, versions = np.unique(meaning, return_inverse=True, return_counts=True)
    others = versions[question] - 1
    return np.asarray(np.divide(found_by_others, others, out=np.full(len(top), np.nan), where=others > 0))


def relevant_in_top(query: np.ndarray, passage: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Which entries of the top k are relevant [queries, k]; `query` and `passage` are the rows of the relevant pairs [n]."""
    width = 1 + max(int(passage.max(initial=0)), int(top.max(initial=0)))
    return np.isin(np.arange(len(top))[:, None] * width + top, query * width + passage)


def peer_relevant(
    query: np.ndarray, rank: np.ndarray, relevant_language: np.ndarray, *, queries: int, k: int
) -> np.ndarray:
    """PEER@k of the relevant level: the p-value of "relevant passages of all languages have equal expected rank".

    After Yang et al. (SIGIR 2024), whose PEER@k is a weighted mean of this level and the non-relevant one.

    TRAP: with exactly one relevant passage per language (parallel data such as XQuAD-R) every group has one member. The
    statistic is then N - 1 on N - 1 degrees of freedom and the published value a CONSTANT, whatever the ranking (0.440 for
    11 languages). Such queries have no value here: use `peer_nonrelevant`.
    The u passages beyond k of a query's N relevant ones share the rank N + (u + 1) / 2, as in the authors' peer_measure 0.0.1:
    AHEAD of retrieved passages where these rank deeper than that.

    Args:
        query: row of the query of each relevant passage [n].
        rank: 1-based rank of each relevant passage in the pooled list [n].
        relevant_language: language index of each relevant passage [n].
        queries: number of queries.
        k: cut-off.

    Returns:
        1.0 = no sign of a difference [queries]; also 1.0 where one language holds all, or where none was retrieved; NaN
        for a query without relevant passages, and where the trap makes the value a constant.
    """
    order = np.lexsort((rank, query))  # sums in the order of ranks, whatever the order of the corpus
    query, rank, relevant_language = query[order], rank[order], relevant_language[order]
    beyond = rank > k
    count = np.bincount(query, minlength=queries)
    tail = count + (np.bincount(query[beyond], minlength=queries) + 1) / 2
    value = _equal_rank_probability(query, np.where(beyond, tail[query], rank), relevant_language, queries)
    return np.where(_has_a_group(query, relevant_language, queries), value, np.nan)


def _has_a_group(query: np.ndarray, language: np.ndarray, queries: int) -> np.ndarray:
    """Which queries have several relevant passages in a language, so that ranks vary within it [queries]."""
    groups = int(language.max(initial=0)) + 1
    size = np.bincount(query * groups + language, minlength=queries * groups).reshape(queries, groups)
    return np.asarray((size > 1).any(1))


def peer_nonrelevant(top_language: np.ndarray, top_relevant: np.ndarray, *, k: int) -> np.ndarray:
    """PEER@k of the NON-relevant level: do the wrong passages in the top k come in an order that depends on language?

    The level that stays informative on parallel data. Two limits: a list of wrong passages in one language only counts as
    1.0 by definition (the published rule), so read it beside `language_shares`; and with about as many languages as wrong
    passages it meets the trap of `peer_relevant`, so choose k many times the number of languages (100 rather than 10).

    Args:
        top_language: language index of each entry of the pooled list, best first [queries, at least k or the pool].
        top_relevant: which entries are relevant, see `relevant_in_top`; same shape.
        k: cut-off.
    """
    query, place = np.nonzero(~top_relevant[:, :k])
    return _equal_rank_probability(query, place + 1.0, top_language[query, place], len(top_language))


def _equal_rank_probability(test: np.ndarray, value: np.ndarray, group: np.ndarray, tests: int) -> np.ndarray:
    """Kruskal-Wallis p-values of many small tests at once [tests]; 1.0 where fewer than two groups or values differ.

    H = (N - 1) * (spread of the group means) / (total spread), against chi-squared with groups - 1 degrees of freedom.
    As PEER defines it, values are positions in the list as they stand, not ranked again among the members of the test.
    """
    from scipy.stats import chi2

    groups = int(group.max(initial=0)) + 1
    cell = test * groups + group
    size = np.bincount(cell, minlength=tests * groups).reshape(tests, groups)
    total = np.bincount(cell, weights=value, minlength=tests * groups).reshape(tests, groups)
    n = np.maximum(size.sum(1), 1)
    mean = total.sum(1) / n
    deviation = total / np.maximum(size, 1) - mean[:, None]
    between = (size * deviation**2).sum(1)
    spread = np.bincount(test, weights=(value - mean[test]) ** 2, minlength=tests)
    used = (size > 0).sum(1)
    tested = (used > 1) & (spread > 0)
    result = np.ones(tests)
    result[tested] = chi2.sf((n[tested] - 1) * between[tested] / spread[tested], used[tested] - 1)
    return result


def _or_nan(value: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    return np.where((ranks > 0).any(1), value, np.nan)
