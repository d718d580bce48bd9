"""Is an encoding that is killed in three ways, and resumed, the same as an undisturbed one, byte for byte?

    python benchmarks/encode_killed.py --work EMPTY [--set encode.source=suites --set evaluate.suites=... --set data.suites=...]

Runs `ray_jobs.encode` with these settings twice. The second run has a cluster of two nodes; when a fifth of the shards is there
one of its encoder processes is killed (kill -9), at two fifths the second node with everything on it, at three fifths the driver
with everything below it; then the same command is given again. Printed: seconds, what each kill found, and whether all
shards have the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RAY = str(Path(sys.executable).with_name("ray"))
Process = subprocess.Popen[bytes]


def main() -> None:
    """Both runs and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, type=Path, help="empty folder for both targets and the logs")
    parser.add_argument("--set", action="append", default=[], help="settings of ray_jobs.encode")
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    settings = [part for one in args.set for part in ("--set", one)]
    calm, killed = (Run(work, name, settings) for name in ("calm", "killed"))
    if not (calm.target / "complete.json").exists():
        print(f"undisturbed: {calm.whole(dict(os.environ)):.0f} s", flush=True)
    total = calm.markers()
    with_kills(killed, total, work)
    same = hashes(calm.target) == hashes(killed.target)
    rows = {
        run.name: json.loads((work / f"{run.name}.json").read_text())["metrics"]["encode/rows"]
        for run in (calm, killed)
    }
    print(f"{total:,} shards, rows {rows}; all shards byte for byte the same: {same}")
    sys.exit(0 if same else 1)


class Run:
    """One target and the command that fills it."""

    def __init__(self, work: Path, name: str, settings: list[str]) -> None:
        self.name, self.target, self.log = name, work / name, work / f"{name}.log"
        self.command = [sys.executable, "-m", "ray_jobs.encode", *settings, "--set", f"encode.target={self.target}"]
        self.command += ["--set", f"output={work / 'out'}", "--json", str(work / f"{name}.json")]

    def start(self, env: dict[str, str]) -> Process:
        """Start it in a process group of its own."""
        with self.log.open("a") as log:
            return subprocess.Popen(self.command, env=env, stdout=log, stderr=log, start_new_session=True)

    def whole(self, env: dict[str, str]) -> float:
        """Run it to its end; seconds."""
        started = time.monotonic()
        if self.start(env).wait():
            raise SystemExit(f"encode failed, see {self.log}")
        return time.monotonic() - started

    def markers(self) -> int:
        """Committed shards."""
        return len(list(self.target.glob("shards/*.json")))

    def wait(self, count: int, process: Process) -> None:
        """Until so many shards are committed."""
        while self.markers() < count:
            if process.poll() is not None:
                raise SystemExit(f"encode ended with status {process.returncode} before {count} shards, see {self.log}")
            time.sleep(0.2)


def with_kills(run: Run, total: int, work: Path) -> None:
    """Kill an encoder, a node and the driver; start again and finish."""
    nodes: list[Process] = []
    try:
        env = cluster(work, nodes)
        started = time.monotonic()
        process = run.start(env)
        run.wait(total // 5, process)
        encoders = [pid for node in nodes for pid in below(node.pid) if "Encoder" in title(pid)]
        os.kill(encoders[0], signal.SIGKILL)
        print(f"killed one of {len(encoders)} encoders at {run.markers()} shards", flush=True)
        run.wait(2 * total // 5, process)
        lost = [title(pid) for pid in below(nodes[1].pid) if title(pid).startswith("ray::")]
        os.killpg(nodes[1].pid, signal.SIGKILL)
        print(
            f"killed a node with {len(lost)} Ray processes ({sum('Encoder' in t for t in lost)} encoders) at {run.markers()} shards",
            flush=True,
        )
        run.wait(3 * total // 5, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(
            f"killed the driver at {run.markers()} shards, {time.monotonic() - started:.0f} s after the start",
            flush=True,
        )
        print(f"the same command again: {run.whole(env):.0f} s", flush=True)
    finally:
        for node in reversed(nodes):
            stop(node)


def cluster(work: Path, nodes: list[Process]) -> dict[str, str]:
    """Start a head and a second node on loopback, one encoder fits on each; returns the environment of a client."""
    lines = subprocess.run([sys.executable, "-m", "ray_jobs.environment"], capture_output=True, text=True, check=True)
    exports = (line.removeprefix("export ").split("=", 1) for line in lines.stdout.splitlines())
    env = {**os.environ, **{name: value.strip("'") for name, value in exports}}
    gcs, dashboard, *agents = ports(6)
    log = (work / "cluster.log").open("w")

    def start(agent: int, metrics: int, *flags: str) -> None:
        common = [f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}", "--disable-usage-stats"]
        command = [RAY, "start", "--block", "--object-store-memory=300000000", *common, *flags]
        nodes.append(subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True))

    start(*agents[:2], "--head", f"--port={gcs}", f"--dashboard-port={dashboard}", "--num-cpus=2", "--temp-dir=/tmp/rk")
    until(lambda: socket.create_connection(("127.0.0.1", gcs), 1).close())
    start(*agents[2:], f"--address=127.0.0.1:{gcs}", "--num-cpus=2")
    time.sleep(20)
    return env | {"RAY_ADDRESS": f"127.0.0.1:{gcs}"}


def until(action: Callable[[], None]) -> None:
    """Repeat what is refused, for at most two minutes."""
    end = time.monotonic() + 120
    while True:
        try:
            return action()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def ports(count: int) -> list[int]:
    """Free ports of loopback outside Ray's worker range."""
    found: list[int] = []
    for port in range(21_000, 29_000):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)):
                found.append(port)
        if len(found) == count:
            break
    return found


def below(ancestor: int) -> list[int]:
    """All processes that come from this one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, wave = [], [ancestor]
    while wave:
        wave = [pid for pid, parent in parents.items() if parent in wave]
        found += wave
    return found


def title(pid: int) -> str:
    """Of a process; Ray's workers set theirs."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def stop(node: Process) -> None:
    """End a node with everything on it."""
    for pid in (*below(node.pid), node.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    node.wait()


def hashes(target: Path) -> dict[str, str]:
    """SHA-256 of every file of the shards."""
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted((target / "shards").iterdir())}


if __name__ == "__main__":
    main()
