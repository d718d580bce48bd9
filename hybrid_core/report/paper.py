"""The reproduction matrix as Markdown, as one self-contained HTML page, and as JSON: published numbers, ours, verdicts.

Numbers are points (100 x the metric), rank distances are ranks. Reasons are numbered, so that a cell stays short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from hybrid_core import claims
from hybrid_core.claims import Claim, Effect, Finding, published_effects
from hybrid_core.report.style import points, signed, signed_points, suite_title
from hybrid_core.reproduction import IN_RANKS, QUALIFIED, VERDICTS, Cell, paper
from hybrid_core.summary import label

TITLE = "Reproduction of arXiv 2408.10536"
_AGREES = {"OK": "agrees", "near": "near", "off": "off"}
_Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Shown:
    """A cell as text: the published number, ours with its interval, the verdict, the numbers of the reasons."""

    published: str
    ours: str
    verdict: str
    reasons: tuple[int, ...]
    kind: str
    """The verdict in a word that a style sheet can name."""


@dataclass(frozen=True)
class Line:
    """One metric of a suite and model (or of one language of it): a cell for each arm."""

    title: str
    cells: tuple[Shown, ...]


@dataclass(frozen=True)
class Group:
    """A suite and model: its averages, and for each of them the single languages."""

    suite: str
    model: str
    averages: tuple[Line, ...]
    languages: tuple[tuple[str, str, tuple[Line, ...]], ...]
    """(Metric, counts of verdicts, lines)."""


class _Reasons:
    """Numbers for reasons, in the order in which they occur."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts) + 1)


def as_json(cells: Sequence[Cell], findings: Sequence[Finding]) -> dict[str, Any]:
    """Everything as one JSON-able mapping: `summary`, `claims`, `cells`, and the notes of the data file."""
    about = paper()
    return {
        "paper": about["paper"], "version": about["version"], "summary": _summary(cells),
        "claims": [asdict(f) | {"published": published_effects(f.claim, f.suite)} for f in findings],
        "cells": [asdict(cell) for cell in cells],
        "notes": about["notes"], "discrepancies": about["discrepancies"],
    }  # fmt: skip


def markdown(cells: Sequence[Cell], findings: Sequence[Finding]) -> str:
    """Claims, averages, counts of the single languages, reasons, and what the paper leaves open."""
    content = _content(cells, findings)
    arms = content["arms"]
    lines = [f"# {TITLE}", "", *(f"- {sentence}" for sentence in content["summary"]), ""]
    lines += ["## Claims about batches", "", *_claims_tables(content), ""]
    lines += ["## Published averages", "", "Published | ours (interval) | verdict.", ""]
    lines += ["| suite | model | metric | " + " | ".join(arms) + " |", "|---" * (3 + len(arms)) + "|"]
    for group in content["groups"]:
        lines += [_row(group.suite, group.model, line.title, *map(_cell_text, line.cells)) for line in group.averages]
    lines += ["", "## Single languages", "", "| suite | model | metric | verdicts |", "|---|---|---|---|"]
    for group in content["groups"]:
        lines += [_row(group.suite, group.model, metric, counts) for metric, counts, _ in group.languages]
    lines += ["", "## Reasons", "", *(f"{n}. {_escaped(text)}" for text, n in content["reasons"].items())]
    for heading, notes in (
        (_NOTES, content["notes"]),
        (_DISCREPANCIES, content["discrepancies"]),
    ):
        lines += ["", f"## {heading}", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def html(cells: Sequence[Cell], findings: Sequence[Finding]) -> str:
    """The same as a page without scripts and external requests, with every language under its metric."""
    import jinja2

    template = resources.files(__package__).joinpath("paper.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(_content(cells, findings))


def _content(cells: Sequence[Cell], findings: Sequence[Finding]) -> dict[str, Any]:
    about, reasons = paper(), _Reasons()
    groups = _groups(cells, reasons)
    runs = list(dict.fromkeys([*(f.run for f in findings if f.run), *(c.run for c in cells if c.run)]))
    return {
        "title": TITLE, "paper": about["paper"], "version": about["version"],
        "arms": [f"{arm} ({name})" if name != arm else arm for arm, name in about["arm_names"].items()],
        "summary": _sentences(cells, findings),
        "runs": runs,
        "claim_note": _CLAIM_NOTE,
        "claims": [_shown_claim(f, runs, reasons) for f in findings if f.suite in f.claim.suites],
        "elsewhere": _elsewhere(findings, runs),
        "groups": groups,
        "reasons": reasons.texts,
        "notes": about["notes"], "discrepancies": about["discrepancies"],
    }  # fmt: skip


def _summary(cells: Sequence[Cell]) -> dict[str, dict[str, int]]:
    means, languages = (Counter(c.verdict for c in cells if bool(c.published.language) == by) for by in (False, True))
    return {
        name: {v: counts[v] for v in VERDICTS}
        for name, counts in (("averages", means), ("single languages", languages))
    }


def _sentences(cells: Sequence[Cell], findings: Sequence[Finding]) -> list[str]:
    """What was found, in two or three sentences."""
    lines = []
    for name, counts in _summary(cells).items():
        told = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        lines.append(f"Of {sum(counts.values()):,} published {name}: {told}.")
    verdicts = Counter(f.verdict for f in findings)
    told = ", ".join(f"{verdicts[v]} {v}" for v in claims.VERDICTS)
    lines.append(f"Claims about batches, one for each suite and run: {told}.")
    if any(c.verdict == QUALIFIED for c in cells):
        lines.append("Qualified: compared, but the training is not the paper's, so agreement is no reproduction.")
    return lines


def _groups(cells: Sequence[Cell], reasons: _Reasons) -> list[Group]:
    by_metric: dict[_Key, dict[str, list[Cell]]] = {}
    for cell in cells:
        p = cell.published
        by_metric.setdefault((p.suite, p.model, p.setting, p.metric), {}).setdefault(p.language, []).append(cell)
    groups = []
    for suite, model in dict.fromkeys(key[:2] for key in by_metric):
        chosen = {key: rows for key, rows in by_metric.items() if key[:2] == (suite, model)}
        averages = [Line(_metric(*key[2:]), _shown_row(rows[""], reasons)) for key, rows in chosen.items()]
        languages = [
            (
                _metric(*key[2:]),
                _counts([cell for language, row in rows.items() if language for cell in row]),
                tuple(Line(language, _shown_row(row, reasons)) for language, row in rows.items() if language),
            )
            for key, rows in chosen.items()
        ]
        groups.append(Group(_suite(suite), model, tuple(averages), tuple(languages)))
    return groups


def _shown_row(cells: Sequence[Cell], reasons: _Reasons) -> tuple[Shown, ...]:
    return tuple(_shown(cell, reasons) for cell in cells)


def _shown(cell: Cell, reasons: _Reasons) -> Shown:
    metric, kind = cell.published.metric, cell.verdict.replace(" ", "-")
    numbers = tuple(reasons.number(part) for part in cell.why.split("; ") if part)
    if cell.value is None or cell.low is None or cell.high is None:
        return Shown(_number(cell.published.value, metric), "", cell.verdict, numbers, kind)
    ours = f"{_number(cell.value, metric)} ({_number(cell.low, metric)}–{_number(cell.high, metric)})"
    verdict = f"{_AGREES[cell.agreement]}, qualified" if cell.verdict == QUALIFIED else cell.verdict
    if cell.candidate_text:
        numbers = (*numbers, reasons.number(f"candidates of {_suite(cell.published.suite)}: {cell.candidate_text}"))
    return Shown(_number(cell.published.value, metric), ours, verdict, numbers, kind)


def _shown_claim(finding: Finding, runs: Sequence[str], reasons: _Reasons) -> dict[str, Any]:
    claim = finding.claim
    theirs = ", ".join(f"{m} {_signed(v, claim)}" for m, v in published_effects(claim, finding.suite).items())
    return {
        "text": _claim(claim),
        "suite": _suite(finding.suite),
        "verdict": finding.verdict,
        "kind": finding.verdict.replace(" ", "-"),
        "ours": "; ".join(_effect(effect, claim) for effect in finding.effects),
        "run": runs.index(finding.run) + 1 if finding.run else "",
        "reason": reasons.number(finding.why) if finding.why else "",
        "published": theirs or "no numbers",
    }


def _elsewhere(findings: Sequence[Finding], runs: Sequence[str]) -> dict[str, Any]:
    """Claims on suites that the paper has not: a row for each claim and run, a column for each suite."""
    asked = [f for f in findings if f.suite not in f.claim.suites]
    suites = list(dict.fromkeys(f.suite for f in asked))
    rows: dict[tuple[str, int], dict[str, tuple[str, str, str]]] = {}
    for f in asked:
        weakest = min(f.effects, key=lambda effect: effect.low)
        interval = f"{_signed(weakest.low, f.claim)} to {_signed(weakest.high, f.claim)}"
        shown = f.verdict, f.verdict.replace(" ", "-"), f"{_signed(weakest.value, f.claim)} ({interval})"
        rows.setdefault((_claim(f.claim), runs.index(f.run) + 1), {})[f.suite] = shown
    empty = ("–", "not-run", "")
    return {
        "suites": [_suite(suite) for suite in suites],
        "rows": [(text, run, [cells.get(suite, empty) for suite in suites]) for (text, run), cells in rows.items()],
    }


_CLAIM_NOTE = (
    "Positive: in favour of the claim. Differences of quality are points, of rank distance ranks; in brackets their "
    "intervals, which decide and are not corrected for the number of claims. At least as good: no interval reaches below "
    "zero, or below minus the margin where the results set one. The published differences have no intervals."
)
_NOTES, _DISCREPANCIES = "What the paper states and leaves open", "Where it disagrees with itself"
_ELSEWHERE_NOTE = "Of a claim with two contrasts the weaker one is shown."


def _claims_tables(content: dict[str, Any]) -> list[str]:
    lines = [f"Run {number}: {_escaped(run)}.  " for number, run in enumerate(content["runs"], start=1)]
    lines += [""] if lines else []
    lines += [_CLAIM_NOTE, "", "| claim | suite | run | verdict | ours | published difference |", "|---" * 6 + "|"]
    for c in content["claims"]:
        reason = f" [{c['reason']}]" if c["reason"] else ""
        lines.append(_row(c["text"], c["suite"], c["run"], c["verdict"] + reason, c["ours"], c["published"]))
    suites, rows = content["elsewhere"]["suites"], content["elsewhere"]["rows"]
    if rows:
        lines += ["", "### The same claims on other suites", "", _ELSEWHERE_NOTE, ""]
        lines += [_row("claim", "run", *suites), "|---" * (2 + len(suites)) + "|"]
        lines += [_row(text, run, *(f"{v} {ours}".strip() for v, _, ours in cells)) for text, run, cells in rows]
    return lines


def _claim(claim: Claim) -> str:
    return f"{claim.text}: {_metric(claim.setting, claim.metric)}"


def _effect(effect: Effect, claim: Claim) -> str:
    pair = f"{effect.reference} − {effect.arm}" if claim.metric in IN_RANKS else f"{effect.arm} − {effect.reference}"
    margin = f", margin {points(effect.margin)}" if effect.margin else ""
    interval = f"{_signed(effect.low, claim)} to {_signed(effect.high, claim)}"
    return f"{pair} {_signed(effect.value, claim)} ({interval}{margin})"


def _signed(value: float, claim: Claim) -> str:
    return signed(value) if claim.metric in IN_RANKS else signed_points(value, 2)


def _number(value: float, metric: str) -> str:
    return points(value / 100) if metric in IN_RANKS else points(value)


def _metric(setting: str, metric: str) -> str:
    return f"{setting} {label(metric)}"


def _suite(name: str) -> str:
    return "MIRACL" if name == "miracl" else suite_title(name)


def _counts(cells: Sequence[Cell]) -> str:
    """For example `9 near, 24 not run`."""
    found = Counter(cell.verdict for cell in cells)
    return ", ".join(f"{found[v]} {v}" for v in VERDICTS if found[v])


def _cell_text(shown: Shown) -> str:
    reasons = f" [{', '.join(map(str, shown.reasons))}]" if shown.reasons else ""
    return f"{shown.published} · {shown.ours} · {shown.verdict}{reasons}".replace("·  ·", "·")


def _row(*cells: object) -> str:
    return "| " + " | ".join(_escaped(str(cell)) for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
