"""Encoding is killed in every way there is; what comes out is byte for byte what an undisturbed run writes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from conftest import made_up_word

from hybrid_core.embeddings.shards import committed, read_shard

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


FATAL = """
import os, sys
import numpy as np, pyarrow as pa
from pathlib import Path
from hybrid_core.config import Config
from hybrid_core.settings import build
from ray_jobs._ray.cluster import connect
from ray_jobs._ray.encoding import encode_stream, encoded, from_tables, piece, unpacked

folder = Path(sys.argv[1])


class Fatal:
    def __init__(self, model, config):
        self.how = Path(model).name
        with Path(model).open("a") as file:
            file.write("x")

    def __call__(self, row):
        name, _, work, texts = unpacked(row)
        if (name, self.how) == ("bad", "ends"):
            os._exit(1)
        vectors = np.full((1, 4), np.nan if name == "bad" else 1.0, np.float32)
        return encoded(name, work, texts, vectors, tokens=1, seconds=0.0)


texts = pa.table({"id": ["the id"], "language": ["de"], "text": ["x"]})
config = build(Config, {"encode": {"threads": 1}})
connect(2)
for how in ("nan", "ends"):
    pieces = from_tables([piece(name, "passage", texts, 1.0) for name in ("good", "bad")])
    try:
        encode_stream(pieces, str(folder / how), str(folder), config, "float32", lambda *shard: None, encoder=Fatal)
    except Exception as error:
        print("ended with", type(error).__name__, error)
"""


def test_a_piece_that_cannot_be_encoded_ends_the_run_with_a_reason(jobs: Jobs) -> None:
    program = [sys.executable, "-c", FATAL, str(jobs.home)]
    done = subprocess.run(program, env=jobs.env, cwd=jobs.home, text=True, capture_output=True, timeout=300)
    said = [line for line in done.stdout.splitlines() if line.startswith("ended with")]
    assert len(said) == 2, done.stderr
    assert "ArithmeticError the embeddings of 'the id' and 0 more of 1 texts are no finite float32" in said[0]
    assert "RuntimeError one piece of the texts has cost 6 encoder processes their lives" in said[1]
    starts = [len((jobs.home / how).read_text()) for how in ("nan", "ends")]
    assert starts == [1, 7], "the process after the last one that was lost refuses the piece"


FULL = """
mount -t tmpfs -o size=300k tmpfs "$TARGET" || exit 77
"$@" --json "$HOME/full.json"
echo $? > "$HOME/status"
cp -a "$TARGET" "$HOME/full"
mount -o remount,size=100m "$TARGET"
"$@" --json "$HOME/room.json"
cp -a "$TARGET" "$HOME/room"
"""


def test_a_full_disk_ends_the_run_with_a_reason_and_costs_nothing_that_was_committed(
    jobs: Jobs, source: Path, calm: dict[str, bytes], background: Callable[..., Any]
) -> None:
    """A file system of 300 kB, in a mount namespace of its own; then it is made larger."""
    if not calm:
        pytest.skip("needs the undisturbed run of the first test")
    target = jobs.home / "small"
    target.mkdir()
    command = jobs.command("encode", *flags(source, target), "--set", "encode.patience=3")
    process = background(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", FULL, "sh", *command],
        env=jobs.env | {"TARGET": str(target)}, cwd=jobs.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _ = process.communicate(timeout=400)
    if not (jobs.home / "status").exists():
        pytest.skip(f"no file system can be mounted here: {output}")
    assert (jobs.home / "status").read_text().strip() == "1", output
    said = json.loads((jobs.home / "full.json").read_text())["error"]
    assert "No space left on device" in said and f"{target}, shard " in said and "encode.patience" in said
    there = committed(str(jobs.home / "full"))
    assert 10 < len(there) < 114 and not (jobs.home / "full" / "complete.json").exists()
    assert sum(len(read_shard(str(jobs.home / "full"), shard).ids) for shard in there.values()) > 80
    summary = json.loads((jobs.home / "room.json").read_text())
    check_whole(Finished(0, output, summary), jobs.home / "room", calm)
    assert f"{len(there)} shards with" in output
