"""The repository keeps its own rules: arrows, sizes, silence on import, documents that match the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hybrid_core", "ray_jobs", "tune_spaces")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
FORBIDDEN = {"hybrid_core": {"ray", "mlflow", "ray_jobs", "tune_spaces"}, "tune_spaces": {"ray", "mlflow", "ray_jobs"}}


def imports(file: Path) -> set[str]:
    """Top-level packages a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ROOT)))
def test_arrows_go_one_way_and_files_are_read_in_one_sitting(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    assert not imports(file) & FORBIDDEN.get(package, set())
    if package == "ray_jobs":
        if "ray" in imports(file):
            assert "_ray" in file.parts, "only ray_jobs/_ray knows Ray"
        if "mlflow" in imports(file):
            assert file.name in ("_tracking.py", "_served_encoder.py"), "only ray_jobs/_tracking.py knows MLflow"
    assert file.read_text(encoding="utf-8").count("\n") <= 400


def test_the_core_runs_without_ray_mlflow_and_drawing_libraries() -> None:
    program = """
import sys
for name in ("ray", "mlflow", "matplotlib", "jinja2", "datasets", "peft", "boto3"):
    sys.modules[name] = None
import hybrid_core.trainer, hybrid_core.encode, hybrid_core.evaluate, hybrid_core.stats, hybrid_core.recipes
print("ok")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "ok\n", done.stderr


@pytest.mark.parametrize(
    "module", ["hybrid_core.trainer", "ray_jobs.study", "ray_jobs.tune", "ray_jobs.submit", "tune_spaces.spaces"]
)
def test_importing_does_nothing(module: str, tmp_path: Path) -> None:
    program = f"""
import os, sys, threading
before = dict(os.environ)
import {module}
changed = [k for k in os.environ.keys() | before.keys() if os.environ.get(k) != before.get(k)]
print(sorted(k for k in changed if k.startswith(("RAY", "MLFLOW", "HF_", "AWS", "TOKENIZERS"))), "ray" in sys.modules, os.listdir("."))
"""
    (tmp_path / "home").mkdir()  # matplotlib keeps its font list there
    (tmp_path / "here").mkdir()
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "here", env=env, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[] False []", done.stderr


def test_cluster_yaml_passes_rays_own_validation_and_holds_no_secret() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    text = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
    validate_config(prepare_config(yaml.safe_load(text)))
    assert "constraints.txt" in text
    assert not re.search(r"(?i)(secret|password|access_key|AKIA[0-9A-Z]{16})\s*[:=]", text)
    assert "--dashboard-host=127.0.0.1" in text


def test_readme_commands_exist() -> None:
    text = "\n".join(p.read_text(encoding="utf-8") for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    jobs = set(re.findall(r"ray_jobs\.(\w+)", text))
    assert jobs
    assert all((ROOT / "ray_jobs" / f"{job}.py").exists() or (ROOT / "ray_jobs" / job).is_dir() for job in jobs), jobs
    targets = set(re.findall(r"`make (\w+)`|^make (\w+)", text, flags=re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{a or b}:", makefile, flags=re.MULTILINE) for a, b in targets)
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), f"README links to {link}"


def test_constraints_pin_every_direct_dependency_and_no_local_build() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[\[=<>~!]", d)[0].lower().replace("_", "-") for d in wanted} - {"hybrid-batches"}
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert names <= {name.lower().replace("_", "-") for name in pinned}
    assert not any("+" in version for version in pinned.values())
    assert not any(name.startswith(("nvidia", "triton")) for name in pinned)
