"""Invariance certificate of a result: what it depends on, and a check that it does not depend on what it must not.

Recorded are the code, the libraries, and the hashes of weights, plan and data: every suite and every variant of it that was
scored, and the lexicon. Checked for every result on a sample: the ranks do not change when the corpus and the queries come in
another order; the embeddings do not change, beyond the arithmetic's precision, when texts are encoded one by one, and the
scores of queries are the same with them. The tests check the same equalities at length.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_core.data.suites import Suite, Texts
from hybrid_core.data.suites.collection import VARIANT
from hybrid_core.encode import encode
from hybrid_core.evaluate import evaluate
from hybrid_core.model import Encoder, Kind
from hybrid_core.permutation import derive_key
from hybrid_core.search import rank_relevant

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "bm25s",
    "anyascii",
    "ray",
)
_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("hybrid_core", "ray_jobs")
COSINE_TOLERANCE: Mapping[str, float] = {"float32": 1e-5, "bfloat16": 2e-3}
"""Largest distance 1 - cosine between an embedding computed in a batch and alone."""
SCORE_TOLERANCE: Mapping[str, float] = {"float32": 1e-3, "bfloat16": 0.05}
"""Largest change of a query's score (average precision, 0 to 1): near-ties change places when embeddings are rounded otherwise."""
_TEXTS_ENCODED = 16


def identities(suites: Sequence[Suite], *, weights: Mapping[str, str], plans: Mapping[str, str]) -> dict[str, Any]:
    """What a result depends on: code, versions, and the hashes of data (suites and variants), weights and plans (by training)."""
    return {
        "commit": code_version(),
        "code": code_hash(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "data": {suite.name: suite.fingerprint for suite in suites},
        "weights": dict(weights),
        "plans": {name: plan for name, plan in plans.items() if plan},
    }


def check_invariance(
    encoder: Encoder,
    suites: Sequence[Suite],
    vectors: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    precision: str,
    seed: int,
) -> dict[str, Any]:
    """Check one encoder's results on a sample: the order on every suite and variant, one-by-one encoding on every suite."""
    order = {suite.name: ranking_is_invariant(suite, *vectors[suite.name], seed=seed) for suite in suites}
    clean = [suite for suite in suites if VARIANT not in suite.name] or list(suites)
    sample = max(2, _TEXTS_ENCODED // (2 * len(clean)))
    found = [
        encoding_deviation(encoder, s, *vectors[s.name], precision=precision, seed=seed, sample=sample) for s in clean
    ]
    return {
        "order": order,
        "encoding": max(cosine for cosine, _ in found), "tolerance": COSINE_TOLERANCE[precision],
        "scores": max(score for _, score in found), "score_tolerance": SCORE_TOLERANCE[precision],
    }  # fmt: skip


def summary_of_checks(checks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The checks of all models in words."""
    failed = sorted({name for found in checks for name, same in found["order"].items() if not same})
    return {
        "order of passages and queries": f"NOT the same ranks on {', '.join(failed)}"
        if failed
        else "same ranks (sample)",
        "batch size of encoding": _within(checks, "encoding", "tolerance", "embeddings: 1 - cosine at most"),
        "batch size of encoding, scores": _within(
            checks, "scores", "score_tolerance", "scores: average precision of a query moves by at most"
        ),
        "ties": "the smaller passage id goes first",
        "number of actors": "same scores with 1 and 3 (tested, not checked in this run)",
    }


def _within(checks: Sequence[Mapping[str, Any]], what: str, tolerance: str, name: str) -> str:
    """The worst of a check over all models, against the widest of their tolerances."""
    worst, allowed = (max(found[key] for found in checks) for key in (what, tolerance))
    return f"{'same' if worst <= allowed else 'NOT the same'} {name} {worst:.1e} one by one, {allowed:.0e} allowed (sample)"


def code_version() -> str:
    """Commit of a checkout (`+` after it: with changes), else the version of the installed package."""
    if not (_ROOT / ".git").exists():
        return _version("hybrid-batches")
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(_ROOT), *command], capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):  # no git, or a checkout of another user
        return _version("hybrid-batches")
    return f"{commit}+" if changes else commit


def code_hash(root: Path = _ROOT) -> str:
    """Hash of our own source files: a job that was submitted, or an installed package, has no commit."""
    hasher = hashlib.sha256()
    for file in sorted(file for package in _PACKAGES for file in (root / package).rglob("*.py")):
        content = file.read_bytes()
        hasher.update(f"{file.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return hasher.hexdigest()[:16]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def ranking_is_invariant(
    suite: Suite, queries: np.ndarray, passages: np.ndarray, *, seed: int, sample: int = 64, top_k: int = 10
) -> bool:
    """Whether a sample of queries gets the same ranks and top k from a shuffled corpus, asked in another order.

    Args:
        suite: the test collection.
        queries: unit vectors [queries, d].
        passages: unit vectors [passages, d].
        seed: of the sample and the shuffle.
        sample: number of queries.
        top_k: depth of the lists compared.
    """
    generator = np.random.default_rng(derive_key(seed, "invariance", suite.name))
    rows = generator.permutation(len(queries))[:sample]
    order = generator.permutation(len(passages))
    place = np.argsort(order)
    straight = _part(suite, np.sort(rows), np.arange(len(passages)), np.arange(len(passages)))
    shuffled = _part(suite, rows, order, place)
    one = rank_relevant(straight, queries[np.sort(rows)], passages, top_k=top_k)
    two = rank_relevant(shuffled, queries[rows], passages[order], top_k=top_k)
    asked = np.argsort(rows)  # row of `two` for each row of `one`
    found = _ranks(np.argsort(asked)[two.query], order[two.passage], two.ahead)
    same_ranks = np.array_equal(_ranks(one.query, one.passage, one.ahead), found)
    return same_ranks and np.array_equal(one.top, order[two.top[asked]])


def _ranks(query: np.ndarray, passage: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    return np.column_stack([query, passage, ahead])[np.lexsort((passage, query))]


def _part(suite: Suite, queries: np.ndarray, passages: np.ndarray, place: np.ndarray) -> Suite:
    """The suite with these queries, and its passages in this order (`place` is the inverse)."""
    relevant = [place[suite.relevant[row]] for row in queries]
    return replace(
        suite, queries=_take(suite.queries, queries), passages=_take(suite.passages, passages), relevant=relevant
    )


def _take(texts: Texts, rows: np.ndarray) -> Texts:
    return Texts(**{name: [values[row] for row in rows] for name, values in vars(texts).items()})


def encoding_deviation(
    encoder: Encoder,
    suite: Suite,
    queries: np.ndarray,
    passages: np.ndarray,
    *,
    precision: str,
    seed: int,
    sample: int = 8,
) -> tuple[float, float]:
    """How far stored embeddings, and the scores made of them, are from those of texts that are encoded one by one.

    Encoded again are a sample of queries and, of each, one relevant passage.

    Returns:
        Largest 1 - cosine, and the largest change of a sampled query's average precision in any setting and pool when both
        sides' embeddings are replaced.
    """
    generator = np.random.default_rng(derive_key(seed, "encoding", suite.name))
    judged = [row for row in generator.permutation(len(queries)).tolist() if len(suite.relevant[row])]
    asked = np.sort(judged[:sample])
    answers = np.unique([generator.choice(suite.relevant[row]) for row in asked])
    worst = 0.0
    alone: list[np.ndarray] = []
    sides: list[tuple[Kind, Texts, np.ndarray, np.ndarray]] = [
        ("query", suite.queries, queries, asked),
        ("passage", suite.passages, passages, answers),
    ]
    for kind, texts, vectors, rows in sides:
        found = np.stack([encode(encoder, [texts.texts[row]], kind, precision=precision)[0] for row in rows])
        alone.append(found)
        worst = max(worst, float((1.0 - (found * vectors[rows]).sum(1)).max()))
    replaced = np.array(passages)
    again = {suite.passages.texts[row]: vector for row, vector in zip(answers, alone[1], strict=True)}
    for row, text in enumerate(suite.passages.texts):  # equal texts tie before and must tie after
        if text in again:
            replaced[row] = again[text]
    part = replace(suite, queries=_take(suite.queries, asked), relevant=[suite.relevant[row] for row in asked.tolist()])
    before, after = (
        evaluate(part, q, p).per_query["mAP"] for q, p in ((queries[asked], passages), (alone[0], replaced))
    )
    return worst, float(np.abs(before.to_numpy() - after.to_numpy()).max())
