"""The shape of an embedding space: how languages lie in it. Diagnostics, never targets.

They help to explain a score and do not replace one: alignment of languages predicts transfer poorly (arXiv 2603.18863),
and each of them can be made perfect by a useless encoder (alignment by a constant one, uniformity by a random one). So
nothing may be selected or tuned on them. "Within" compares texts of one language, "across" texts of different ones.

All are estimated on samples that depend on the suite and the seed only, so encoders are compared on the same texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from hybrid_core.data.suites import Suite
from hybrid_core.metrics.meanings import meaning_groups
from hybrid_core.permutation import derive_key

ALIGNMENT_WITHIN, ALIGNMENT_ACROSS = "alignment_within", "alignment_across"
"""Mean squared distance of relevant query-passage pairs. Lower is better; equal values: relevance ignores language."""
UNIFORMITY_WITHIN, UNIFORMITY_ACROSS = "uniformity_within", "uniformity_across"
"""Spread of unrelated passages on the sphere. Lower is better (0: all in one point); equal values: languages are mixed."""
RANDOM_COSINE_WITHIN, RANDOM_COSINE_ACROSS = "random_cosine_within", "random_cosine_across"
"""Mean cosine of unrelated passages. Near 0 is isotropic; within far above across: each language has its own region."""
PROBE_ACCURACY, PROBE_CHANCE = "language_probe_accuracy", "language_probe_chance"
"""How well a linear probe names the language of a passage, and its chance level. Nearer to chance: less language identity."""
HUBNESS = "hubness"
"""Skewness of how often a passage is among the 10 nearest of a query. Near 0 is good; large: few passages crowd the lists."""
RECIPROCITY = "reciprocity"
"""Share of passages that are the nearest neighbour, back in their language, of their own nearest one in another. 1 is best."""
TOP_COMPONENT_SHARE = "top_component_share"
"""Share of the variance along the first principal component. Low is isotropic; over all languages high: language dominates."""

PROBE_TEXTS = 500
"""Most passages per language for the probe and for reciprocity, which cost more than the others."""
PROBE_FOLDS = 5
HUBNESS_K = 10
Row = dict[str, str | float]


def geometry(
    suite: Suite, queries: np.ndarray, passages: np.ndarray, *, seed: int, sample: int = 2000, pairs: int = 20_000
) -> list[Row]:
    """All diagnostics of one encoder on one suite. Never a target, see the module.

    Args:
        suite: languages and judgements.
        queries: unit vectors [queries, d], float32.
        passages: unit vectors [passages, d], float32.
        seed: of the samples.
        sample: most passages per language, and most queries in all.
        pairs: most pairs of each kind, shared equally among the languages.

    Returns:
        Rows {"diagnostic": one of the names above, "language": its code or "" for all, "value"}. A diagnostic that is not
        defined (one language only, no relevant pair within a language, ten passages or fewer) has no row.
    """
    group = meaning_groups(suite)
    place = np.random.default_rng(derive_key(seed, "geometry", "meanings")).permutation(int(group.max()) + 1)[group]
    language = np.array(suite.passages.languages)
    rows = first_per_language(language, place, sample)
    drawn = _Sample(passages[rows], language[rows], place[rows])
    judged = np.unique(np.concatenate(suite.relevant)) if suite.relevant else np.empty(0, np.int64)
    rows = judged[first_per_language(language[judged], place[judged], PROBE_TEXTS)]
    parallel = _Sample(passages[rows], language[rows], place[rows])
    asked = np.random.default_rng(derive_key(seed, "geometry", "queries")).permutation(len(queries))[:sample]
    found = [
        *_alignments(suite, queries, passages, pairs, seed),
        *_spreads(drawn, pairs, seed),
        *_probe(parallel),
        (HUBNESS, "", hubness(queries[asked], drawn.vectors)),
        *_reciprocities(parallel),
        *_top_components(drawn),
    ]
    return [{"diagnostic": name, "language": code, "value": v} for name, code, v in found if not np.isnan(v)]


def alignment(left: np.ndarray, right: np.ndarray) -> float:
    """E ||x - y||^2 over pairs of rows (Wang & Isola, ICML 2020, with alpha = 2); 0 to 4, NaN without pairs."""
    return float(((left - right) ** 2).sum(1).mean(dtype=np.float64)) if len(left) else float("nan")


def uniformity(left: np.ndarray, right: np.ndarray) -> float:
    """log E exp(-2 ||x - y||^2) over pairs of rows (Wang & Isola, ICML 2020, with t = 2); -8 to 0, NaN without pairs."""
    squared = ((left - right) ** 2).sum(1).astype(np.float64)
    return float(np.log(np.exp(-2.0 * squared).mean())) if len(left) else float("nan")


def mean_cosine(left: np.ndarray, right: np.ndarray) -> float:
    """E <x, y> over pairs of rows, the anisotropy of Ethayarajh (EMNLP 2019); NaN without pairs."""
    return float((left * right).sum(1).mean(dtype=np.float64)) if len(left) else float("nan")


def hubness(queries: np.ndarray, passages: np.ndarray, k: int = HUBNESS_K) -> float:
    """Skewness E[(N - mean)^3] / std^3 of the k-occurrence N of passages over queries (Radovanovic et al., JMLR 2010).

    NaN if all passages occur equally often, as they must where there are no more than k.
    """
    occurrences = np.zeros(len(passages))
    if len(queries) == 0 or len(passages) <= k:
        return float("nan")
    columns = torch.from_numpy(passages).T
    for start in range(0, len(queries), 512):
        nearest = (torch.from_numpy(queries[start : start + 512]) @ columns).topk(k, dim=1).indices
        occurrences += np.bincount(nearest.reshape(-1).numpy(), minlength=len(passages))
    centred = occurrences - occurrences.mean()
    spread = centred.std()
    return float((centred**3).mean() / spread**3) if spread > 0 else float("nan")


def mutual_neighbours(left: np.ndarray, right: np.ndarray) -> int:
    """Number of pairs (row of left, row of right) that are each other's nearest by cosine."""
    scores = left @ right.T
    forth, back = scores.argmax(1), scores.argmax(0)
    return int((back[forth] == np.arange(len(left))).sum())


def top_component_share(vectors: np.ndarray) -> float:
    """Largest eigenvalue of the covariance over its trace (Mu & Viswanath, ICLR 2018); NaN if nothing varies."""
    from scipy.linalg import eigh

    centred = vectors - vectors.mean(0, dtype=np.float64).astype(vectors.dtype)
    square = (centred.T @ centred if len(centred) > centred.shape[1] else centred @ centred.T).astype(np.float64)
    total = float(np.trace(square))
    if total <= 1e-12 * len(vectors):
        return float("nan")
    last = len(square) - 1
    return float(eigh(square, eigvals_only=True, subset_by_index=[last, last])[0] / total)


def language_probe(vectors: np.ndarray, language: np.ndarray, group: np.ndarray) -> dict[str, float]:
    """Cross-validated recall of each language by a linear probe; the mean over languages is its balanced accuracy.

    Multinomial logistic regression on standardised dimensions, classes weighted equally, so that chance is 1/languages.
    Folds are by group: translations of one text never stand on both sides, or the probe would be tested on known content.

    Args:
        vectors: embeddings [n, d].
        language: code of each [n].
        group: what each is a translation of [n]; groups are dealt to the folds in turn, in the order of their numbers.

    Returns:
        Language -> recall; empty if there are fewer than two languages or a fold would have to train on fewer than two.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _, place = np.unique(group, return_inverse=True)
    fold, right = place % PROBE_FOLDS, np.zeros(len(vectors), dtype=bool)
    for held_out in (fold == number for number in np.unique(fold)):
        if len(np.unique(language[~held_out])) < 2:
            return {}
        probe = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000, tol=1e-2)
        )
        probe.fit(vectors[~held_out], language[~held_out])
        right[held_out] = probe.predict(vectors[held_out]) == language[held_out]
    return {str(code): float(right[language == code].mean()) for code in np.unique(language)}


def first_per_language(language: np.ndarray, place: np.ndarray, most: int) -> np.ndarray:
    """Rows of the `most` first texts of each language in the order of `place`, by language.

    Translations share their place, so languages are sampled on the same meanings as far as they have them.
    """
    order = np.lexsort((place, language))
    _, counts = np.unique(language, return_counts=True)
    within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(order[within < most])


@dataclass(frozen=True)
class _Sample:
    vectors: np.ndarray
    language: np.ndarray
    group: np.ndarray
    """Place of the meaning in a random order; translations share it."""


_Found = Iterator[tuple[str, str, float]]


def _alignments(suite: Suite, queries: np.ndarray, passages: np.ndarray, pairs: int, seed: int) -> _Found:
    query = np.repeat(np.arange(len(suite.relevant)), [len(rows) for rows in suite.relevant])
    passage = np.concatenate([np.empty(0, np.int64), *suite.relevant])
    order = np.random.default_rng(derive_key(seed, "geometry", "relevant pairs")).permutation(len(query))
    asked, answered = np.array(suite.queries.languages)[query], np.array(suite.passages.languages)[passage]
    for name, kind in ((ALIGNMENT_WITHIN, asked == answered), (ALIGNMENT_ACROSS, asked != answered)):
        rows = np.flatnonzero(kind)
        each = max(1, pairs // max(1, len(np.unique(asked[rows]))))
        rows = rows[first_per_language(asked[rows], order[rows], each)]
        left, right, code = queries[query[rows]], passages[passage[rows]], asked[rows]
        yield name, "", alignment(left, right)
        for lang in np.unique(code):
            yield name, str(lang), alignment(left[code == lang], right[code == lang])


def _spreads(drawn: _Sample, pairs: int, seed: int) -> _Found:
    """Uniformity and mean cosine of random pairs of passages of different meaning."""
    languages = np.unique(drawn.language)
    names = ((UNIFORMITY_WITHIN, RANDOM_COSINE_WITHIN), (UNIFORMITY_ACROSS, RANDOM_COSINE_ACROSS))
    for across, (uniform_name, cosine_name) in enumerate(names):
        generator = np.random.default_rng(derive_key(seed, "geometry", "random pairs", across))
        each = max(1, pairs // len(languages))
        parts = [_random_pairs(drawn, str(lang), bool(across), each, generator) for lang in languages]
        for code, (left, right) in [("", np.concatenate(parts, 1)), *zip(languages, parts, strict=True)]:
            yield uniform_name, str(code), uniformity(drawn.vectors[left], drawn.vectors[right])
            yield cosine_name, str(code), mean_cosine(drawn.vectors[left], drawn.vectors[right])


def _random_pairs(drawn: _Sample, lang: str, across: bool, count: int, generator: np.random.Generator) -> np.ndarray:
    """Rows [2, at most count]; the left one in the language, the right one in it or in any other."""
    here = np.flatnonzero(drawn.language == lang)
    there = np.flatnonzero(drawn.language != lang) if across else here
    if len(there) == 0:
        return np.empty((2, 0), dtype=np.int64)
    drawn_rows = np.stack([generator.choice(here, count), generator.choice(there, count)])
    return drawn_rows[:, drawn.group[drawn_rows[0]] != drawn.group[drawn_rows[1]]]


def _probe(parallel: _Sample) -> _Found:
    recalls = language_probe(parallel.vectors, parallel.language, parallel.group)
    if recalls:
        yield PROBE_ACCURACY, "", float(np.mean(list(recalls.values())))
        yield PROBE_CHANCE, "", 1.0 / len(recalls)
        for code, recall in recalls.items():
            yield PROBE_ACCURACY, code, recall


def _reciprocities(parallel: _Sample) -> _Found:
    parts = {str(code): parallel.vectors[parallel.language == code] for code in np.unique(parallel.language)}
    if len(parts) < 2:
        return
    shares: dict[str, list[float]] = {code: [] for code in parts}
    codes = list(parts)
    for i, a in enumerate(codes):
        for b in codes[:i]:
            mutual = mutual_neighbours(parts[a], parts[b])
            shares[a].append(mutual / len(parts[a]))
            shares[b].append(mutual / len(parts[b]))
    yield RECIPROCITY, "", float(np.mean([share for values in shares.values() for share in values]))
    for code, values in shares.items():
        yield RECIPROCITY, code, float(np.mean(values))


def _top_components(drawn: _Sample) -> _Found:
    yield TOP_COMPONENT_SHARE, "", top_component_share(drawn.vectors)
    for code in np.unique(drawn.language):
        yield TOP_COMPONENT_SHARE, str(code), top_component_share(drawn.vectors[drawn.language == code])
