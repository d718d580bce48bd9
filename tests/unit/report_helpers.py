"""Comparisons for the tests of the report: real ones of generated embeddings, and the optional keys from random numbers."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser

import numpy as np

from hybrid_core.comparison import Json, compare, find
from hybrid_core.config import EvaluateConfig
from hybrid_core.data.suites import SETTINGS, Suite, Texts
from hybrid_core.evaluate import Evaluation, evaluate
from hybrid_core.report.lookup import languages_of, settings_in
from hybrid_core.report.tables import COLUMNS

LANGUAGES = ("ar", "en", "zh")
ELEVEN = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
ARMS = {"base": (1.5, 0.8), "mono": (1.0, 0.6), "cross": (0.4, 0.9), "hybrid": (0.4, 0.6)}
"""Arm -> weight of the language, weight of the noise in made-up embeddings."""
RUN = {
    "title": "Study of tests", "date": "2026-01-01", "command": "python -m ray_jobs.study", "config_hash": "0123abcd",
    "model": "packaged:multilingual-e5-small", "steps": 24, "global_batch": 16, "workers": 2, "seed": 7,
    "corpus": {"name": "sample", "rows": 96, "meanings": 32, "languages": {"ar": 32}, "licence": "Apache-2.0", "fingerprint": "f00d"},
    "versions": {"ray": "2.60.0"}, "seconds": {"mono": 80.2501, "total": 301}, "plans": {"base": "", "mono": "aaaa"},
    "tracking": "sqlite:///runs/mlflow.db", "curves": {"mono": [[4, 2.0], [8, 1.5]]},
    "suites": {"sample_home": {"licence": "CC BY 4.0", "source": "https://example.org/suite"}},
}  # fmt: skip


def a_suite(name: str, languages: Iterable[str] = LANGUAGES, settings: tuple[str, ...] = SETTINGS) -> Suite:
    queries, passages = Texts(), Texts()
    meanings = [f"{name}-{m}" for m in range(12)]
    for language in languages:
        for meaning in meanings:
            queries.add(f"{language}-{meaning}", language, f"q {meaning}", meaning, name)
            passages.add(f"{language}-{meaning}", language, f"p {meaning}", meaning, name)
    rows = [np.flatnonzero(np.array(passages.meaning_ids) == meaning) for meaning in queries.meaning_ids]
    return Suite(name, queries, passages, rows, settings, "Apache-2.0", "generated")


def an_evaluation(suite: Suite, language_weight: float, noise: float) -> Evaluation:
    """Embeddings = meaning + language + noise; the same meanings, languages and noise for every arm."""
    generator = np.random.default_rng(3)
    meanings = {m: generator.standard_normal(16) for m in sorted(set(suite.queries.meaning_ids))}
    languages = {lang: generator.standard_normal(16) for lang in suite.languages}

    def vectors(texts: Texts) -> np.ndarray:
        rows = [
            meanings[m] + language_weight * languages[lang]
            for m, lang in zip(texts.meaning_ids, texts.languages, strict=True)
        ]
        found = np.stack(rows) + noise * generator.standard_normal((len(texts), 16))
        unit: np.ndarray = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
        return unit

    return evaluate(suite, vectors(suite.queries), vectors(suite.passages))


def a_comparison(
    suites: list[Suite], arms: Mapping[str, tuple[float, float]] = ARMS, *, known_domain: bool = True
) -> Json:
    evaluations = {arm: {s.name: an_evaluation(s, *weights) for s in suites} for arm, weights in arms.items()}
    inside = suites[0].name if known_domain else None
    return compare(evaluations, EvaluateConfig(bootstrap_samples=200), in_domain=inside, seed=0)


@functools.cache
def _study() -> Json:
    suites = [a_suite("sample_home"), a_suite("sample_away"), a_suite("odd", settings=("mono", "multi"))]
    return a_comparison(suites, ARMS | {"twin": ARMS["base"]}) | {"run": RUN}


def a_study() -> Json:
    """Four arms and one that equals base; a training domain, two shifted suites, one of them without cross."""
    return copy.deepcopy(_study())


class Loads(HTMLParser):
    """Collects everything a browser would fetch, and every id."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "action", "background") or (
                name.endswith("href") and tag != "a"
            ):
                self.loads.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def expected_row(comparison: Json, suite: str, arm: str) -> list[tuple[str, str]]:
    """(Value, interval) as text of every column of the main table."""
    cells = []
    for setting, metric in COLUMNS:
        try:
            row = find(comparison["levels"], suite=suite, setting=setting, metric=metric, arm=arm)
        except KeyError:
            cells.append(("–", ""))
        else:
            cells.append((f"{100 * row['value']:.1f}", f"{100 * row['low']:.1f}–{100 * row['high']:.1f}"))
    return cells


def rows_of(section: str, html: str) -> str:
    """The HTML of a section, named by the id of its heading; empty where there is none."""
    start = html.find(f'id="{section}"')
    return "" if start < 0 else html[start : html.index("</section>", start)]


METHODS = ("mean_offset", "csls")


def with_free_baselines(comparison: Json) -> Json:
    """Free baselines beside every model: each level moved a little, contrasts of every model with those of the first."""
    found, models, generator = copy.deepcopy(comparison), list(comparison["arms"]), np.random.default_rng(5)
    free = {f"{m}+{method}": {"of": m, "method": method} for m in models for method in METHODS}
    free |= {"bm25": {"of": "", "method": "bm25"}}
    for row in comparison["levels"]:
        for arm, what in free.items():
            if what["of"] == row["arm"] or (arm == "bm25" and row["arm"] == models[0] and row["setting"] == "mono"):
                found["levels"].append(moved(row, generator.normal(0, 0.05)) | {"arm": arm})
    values = {(r["suite"], r["setting"], r["metric"], r["arm"]): r["value"] for r in found["levels"]}
    references = [arm for arm, what in free.items() if what["of"] in (models[0], "")]
    for *place, arm in values:
        for reference in references if arm in models[1:] else ():
            if (*place, reference) in values:
                value = values[*place, arm] - values[*place, reference]
                labels = dict(zip(("suite", "setting", "metric"), place, strict=True))
                found["differences"].append(labels | {"arm": arm, "reference": reference} | around(value, 0.04))
    return found | {"arms": [*models, *free], "free": free}


def moved(row: Json, by: float) -> Json:
    return row | {key: row[key] + by for key in ("value", "low", "high")}


def around(value: float, half: float) -> Json:
    return {"value": float(value), "low": float(value - half), "high": float(value + half)}


def with_sections(comparison: Json) -> Json:
    """The optional keys, all of them filled: rows of random numbers for every model."""
    generator, models, inside = np.random.default_rng(6), list(comparison["arms"]), comparison["in_domain"]
    places = [(s, t, a) for s in comparison["suites"] for t in settings_in(comparison, [s]) for a in models]
    labels = [{"suite": s, "setting": t, "metric": "mAP", "arm": a} for s, t, a in places]

    def level() -> Json:
        return around(generator.uniform(0.3, 0.9), 0.03)

    def changed() -> Json:
        change = around(generator.normal(-0.02, 0.03), 0.02)
        return level() | {
            "difference": change["value"],
            "difference_low": change["low"],
            "difference_high": change["high"],
        }

    parts = [(language, domain) for domain in ("", "law & order") for language in ("", *LANGUAGES)]
    return comparison | {
        "languages": [
            row | {"metric": metric, "language": x} | level()
            for metric in ("mAP", "R_1") for row in labels for x in languages_of(comparison, row["suite"])
        ],
        "domains": [row | {"domain": x} | level() for row in labels for x in ("law & order", "news") if row["suite"] == inside],
        "worst": [
            *(row | {"statistic": "worst_language", "name": "zh"} | level() for row in labels),
            *(row | {"statistic": "cvar_25", "name": ""} | level() for row in labels),
            *(row | {"suite": "*", "statistic": "worst_suite", "name": "odd"} | level() for row in labels if row["suite"] == inside),
        ],
        "rank_distances": [
            {"suite": inside, "arm": arm, "quantiles": {"0.05": 0.0, "0.25": 2.0, "0.5": 9.0, "0.75": 30.0, "0.95": 200.0}}
            for arm in models
        ],
        "geometry": [
            {"suite": inside, "arm": arm, "diagnostic": "hubness", "language": language, "value": 1.2345}
            for arm in models for language in ("", *LANGUAGES)
        ],
        "perturbations": [
            row | {"perturbation": name, "language": language, "domain": domain} | changed() | ({} if domain else {"changed": 0.284})
            for row in labels for name in ("typos", "lower_case") for language, domain in parts if row["suite"] == inside
        ],
        "perturbation_contrasts": [
            row | {"perturbation": name, "reference": reference, "language": language, "domain": ""} | level() | {"p_holm": 0.0123}
            for row in labels for name in ("typos", "lower_case") for language in ("", *LANGUAGES)
            for reference in models[: models.index(row["arm"])] if row["suite"] == inside
        ],
        "unseen": [
            row | {"group": group, "reference": reference, "p_holm": 0.0004 if reference else None} | level()
            for row in labels if row["suite"] == inside and row["setting"] == "mono"
            for group in ("seen", "unseen", "gap") for reference in ("", *models[: models.index(row["arm"])])
        ],
        "certificate": {"commit": "0123456789ab", "versions": {"torch": "9.8.7"}, "checks": {"ranking": True, "deviation": 3.2e-07}},
    }  # fmt: skip
