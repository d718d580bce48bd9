"""Encoding is killed in every way there is; what comes out is byte for byte what an undisturbed run writes."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from conftest import made_up_word

from .conftest import Finished, Jobs, end_group, processes_below, wait_for
from .nodes import start_head

ROWS = {"sw": 500, "de": 380, "fr": 20}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder a language, as MIRACL has; the rows say no language."""
    folder = tmp_path_factory.mktemp("source")
    for language, rows in ROWS.items():
        (folder / f"corpus-v1.0-{language}").mkdir()
        with (folder / f"corpus-v1.0-{language}" / "docs-0.jsonl").open("w") as file:
            for row in range(rows):
                words = [made_up_word(language, (row * 5 + i) % 60) for i in range(3 + row % 50)]
                words *= (
                    12_000 // len(words) if row % 8 == 0 else 1
                )  # Ray keeps small pieces where no lost node takes them
                file.write(json.dumps({"docid": f"{row}#0", "title": words[0], "text": " ".join(words)}) + "\n")
    return folder


def flags(source: Path, target: Path | str) -> list[str]:
    settings = {"source": source, "target": target, "rows_per_shard": 8, "patience": 120}
    return [part for key, value in settings.items() for part in ("--set", f"encode.{key}={value}")]


def files(target: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in (target / "shards").iterdir()}


def markers(target: Path) -> int:
    return len(list(target.glob("shards/*.json")))


def check_whole(done: Finished, target: Path, calm: dict[str, bytes]) -> None:
    assert done.status == 0, done.output
    rows = {
        name.rpartition("/")[2]: n for name, n in done.summary["metrics"].items() if name.startswith("encode/rows/")
    }
    assert rows == ROWS and done.summary["metrics"]["encode/rows"] == sum(ROWS.values())
    assert files(target) == calm


@pytest.fixture(scope="module")
def calm(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, bytes]]:
    """Filled by the first test, which runs undisturbed."""
    yield {}


def test_killed_encoder_and_killed_driver_change_nothing(jobs: Jobs, source: Path, calm: dict[str, bytes]) -> None:
    growing = ["--set", "encode.min_actors=1", "--set", "encode.actors=2", "--set", "encode.threads=1"]
    process = jobs.start("encode", *flags(source, jobs.home / "calm"), *growing)
    seen: set[int] = set()

    def ended() -> bool:
        seen.update(pid for pid, title in processes_below(process.pid).items() if "Encoder" in title)
        return process.poll() is not None

    wait_for(ended, "the undisturbed run")
    assert process.returncode == 0, process.communicate()[0]
    assert len(seen) == 2, "the pool of encoders did not grow"
    calm.update(files(jobs.home / "calm"))
    assert len(calm) == 2 * (63 + 48 + 3)

    target = jobs.home / "killed"
    process = jobs.start("encode", *flags(source, target), "--set", "encode.tokenizers=1")
    wait_for(lambda: markers(target) >= 3, "the first shards")
    encoders = [pid for pid, title in processes_below(process.pid).items() if "Encoder" in title]
    assert len(encoders) == 1
    os.kill(encoders[0], signal.SIGKILL)
    before = markers(target)
    wait_for(lambda: markers(target) >= before + 5, "shards of another encoder")  # one may have been on its way
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    there = markers(target)  # processes that outlive the driver for a moment may add some
    assert there < 114 and not (target / "complete.json").exists()
    resumed = jobs.run("encode", *flags(source, target))
    check_whole(resumed, target, calm)
    found = re.search(r"1?\d+ to read; (\d+) shards with", resumed.output)
    assert found and int(found[1]) >= there

    again = jobs.run("encode", *flags(source, target))
    assert again.status == 0 and "3 parts, 0 to read; 114 shards" in again.output
    other = jobs.run(
        "encode", *flags(source, target), "--set", "encode.stored=int8", "--set", "encode.text_fields=text"
    )
    assert other.status == 2 and "holds embeddings of another request (stored: 'float32', not 'int8'; " in other.output
    assert "text_fields: ['title', 'text'], not ['text']" in other.output


def test_a_lost_node_changes_nothing(
    jobs: Jobs, source: Path, calm: dict[str, bytes], background: Callable[..., Any]
) -> None:
    if not calm:
        pytest.skip("needs the undisturbed run of the test before it")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as short:
        head = start_head(jobs, background, Path(short), cpus=2)  # two encoders fill what is left
        node = head.add_node(cpus=2)
        jobs.env = head.env | {"RAY_ADDRESS": head.address}
        target = jobs.home / "node"
        two = ["--set", "encode.actors=2", "--set", "encode.threads=1"]
        process = jobs.start("encode", *flags(source, target), *two, "--json", str(jobs.home / "node.json"))
        wait_for(lambda: markers(target) >= 3, "the first shards")
        wait_for(lambda: any("Encoder" in t for t in processes_below(node.pid).values()), "an encoder to lose")
        end_group(node, signals=(signal.SIGKILL,))
        before = markers(target)
        wait_for(lambda: b"ray_encode_tokens_per_second" in urlopen(head.metrics).read(), "the rate in Ray's metrics")
        output, _ = process.communicate(timeout=300)
        assert before < 114, "it was lost too late to show anything"
        summary = json.loads((jobs.home / "node.json").read_text())
        check_whole(Finished(process.returncode, output, summary), target, calm)
