"""The reproduction matrix as text and page, and `ray_jobs.report --paper`."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reproduction_helpers import a_result, with_differences

from hybrid_core.claims import Finding, findings
from hybrid_core.report.paper import as_json, html, markdown
from hybrid_core.reproduction import IN_RANKS, Cell, paper, published, reproduce
from ray_jobs import report
from ray_jobs.cli import main


@pytest.fixture
def judged() -> tuple[list[Cell], list[Finding]]:
    result = a_result(corpus=None, title="<b>Study|one</b>")
    result["differences"] = with_differences(
        ("xquad_r", "multi", "mAP", "hybrid", "mono", 0.01, 0.02), ("finance", "multi", "mAP", "hybrid", "mono", -0.02, 0.01)
    )["differences"]  # fmt: skip
    result["suites"].append("finance")
    return reproduce([result]), findings([result])


def test_markdown_shows_every_average_with_our_number_and_its_verdict(judged: tuple[list[Cell], list[Finding]]) -> None:
    text = markdown(*judged)
    rows = re.findall(r"^\| (XQuAD-R|MLQA-R|MIRACL) \| (XLM-R|LaBSE) \| .* · .*\|$", text, flags=re.MULTILINE)
    assert len(rows) == 32
    assert "| XQuAD-R | XLM-R | mono mAP | 79.2 · 79.2 (78.2–80.2) · agrees, qualified [1, 2] | 75.5 · 75.5" in text
    assert "| XQuAD-R | LaBSE | multi rank distance | 261.5 · not run [" in text
    assert "- Of 96 published averages: 0 OK, 0 near, 0 off, 48 qualified, 48 not run." in text
    assert "supported | hybrid − mono +1.50 (+1.00 to +2.00) | XLM-R +4.48, LaBSE +3.00 |" in text
    assert "| hybrid batches beat mono batches: multi mAP | 1 | undecided −0.50 (−2.00 to +1.00) |" in text
    assert "1. different training data" in text and "2. candidates of XQuAD-R: sentence" in text
    assert "intervals, which decide and are not corrected for the number of claims" in text
    assert "&lt;b>Study\\|one" in text
    for line in text.splitlines():
        if line.startswith("| XQuAD-R"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (5, 7)


def test_of_two_contrasts_on_another_suite_the_weaker_is_shown() -> None:
    result = with_differences(
        ("law", "mono", "mAP", "hybrid", "mono", 0.03, 0.05), ("law", "mono", "mAP", "hybrid", "cross", -0.01, 0.09)
    )  # fmt: skip
    assert "| undecided +4.00 (−1.00 to +9.00) |" in markdown([], findings([result]))


class Page(HTMLParser):
    """Whether tags are closed in order, and what a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [
            f"{name}={value}"
            for name, value in attrs
            if name == "src" or (name == "href" and not str(value).startswith("#"))
        ]
        self.fetched += [tag] if tag in ("script", "link", "iframe") else []
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_stands_alone_and_holds_every_published_number(judged: tuple[list[Cell], list[Finding]]) -> None:
    text = html(*judged)
    page = Page(text)
    assert page.open == [] and page.fetched == []
    assert "<b>Study" not in text and "<b>Study|one</b>" in "".join(page.text)
    shown = Counter(re.findall(r"<td>(\d+\.\d)<", text))
    numbers = [p.value if p.metric in IN_RANKS else 100 * p.value for p in published()]
    assert shown == Counter(f"{number:.1f}" for number in numbers)


def test_the_numbers_are_json(judged: tuple[list[Cell], list[Finding]]) -> None:
    content = json.loads(json.dumps(as_json(*judged), allow_nan=False))
    assert sum(content["summary"]["averages"].values()) == 96
    assert len(content["cells"]) == 1032 and content["notes"] == paper()["notes"]
    assert {c["verdict"] for c in content["claims"]} == {"supported", "undecided", "not run"}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_report(*flags: str) -> int:
    return main(report.JOB, ["--set", "output=out", *flags])


def test_without_any_result_the_command_prints_and_writes_the_matrix(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_report("--paper", "--json", "summary.json") == 0
    assert "- Of 96 published averages: 0 OK, 0 near, 0 off, 0 qualified, 96 not run." in capsys.readouterr().out
    assert sorted(f.name for f in (elsewhere / "out" / "report").iterdir()) == ["paper.html", "paper.json", "paper.md"]
    summary = json.loads((elsewhere / "summary.json").read_text())
    assert summary["status"] == "done" and summary["reproduction"]["averages"]["not run"] == 96
    assert summary["outputs"]["reproduction"] == str(elsewhere / "out" / "report" / "paper.html")


def test_own_and_further_results_stand_in_the_matrix(elsewhere: Path) -> None:
    own, labse = a_result(offset=0.3), a_result("sentence-transformers/LaBSE")
    other = elsewhere / "other" / "report"
    for folder, result in ((elsewhere / "out" / "report", own), (other, labse)):
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(result))
    for place in (other.parent, other, other / "report.json"):
        assert run_report("--paper", "--results", str(place)) == 0
        cells = json.loads((elsewhere / "out" / "report" / "paper.json").read_text())["cells"]
        found = Counter((c["published"]["model"], c["verdict"] == "not run") for c in cells)
        assert found == {("XLM-R", False): 516, ("LaBSE", False): 516}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--paper", "--results", "gone"], "--results 'gone' is no file and no folder with report.json"),
        (["--paper", "--results", "broken.json"], "broken.json is not JSON"),
        (["--paper", "--results", "list.json"], "list.json is no report.json of ray_jobs.study, tune or evaluate"),
        (["--results", "list.json"], "--results is for --paper"),
        (["--dry-run", "--results", "list.json"], "--results is for --paper"),
        ([], "holds no report/report.json"),
    ],
)
def test_wrong_requests_are_refused(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], flags: list[str], expected: str
) -> None:
    (elsewhere / "broken.json").write_text("{")
    (elsewhere / "list.json").write_text("[]")
    assert run_report(*flags) == 2
    assert expected in capsys.readouterr().err
    assert not (elsewhere / "out").exists()


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_report("--paper", "--dry-run") == 0
    assert f"write {elsewhere / 'out' / 'report' / 'paper.html'}" in capsys.readouterr().out
    assert not (elsewhere / "out").exists()
