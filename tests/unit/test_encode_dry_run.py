"""A dry run of encoding refuses what the run would refuse, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid_core import storage
from hybrid_core.config import Config
from hybrid_core.settings import build
from ray_jobs import encode
from ray_jobs.cli import main

Dry = Callable[..., tuple[int, str]]


@pytest.fixture
def dry(
    encoder_directory: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Dry:  # fmt: skip
    """A dry run over one file of texts: exit status, and what was printed."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.jsonl").write_text('{"id": "1", "language": "de", "text": "x"}\n')

    def run(**settings: object) -> tuple[int, str]:
        chosen: dict[str, object] = {
            "model.name": encoder_directory, "encode.source": "texts", "encode.target": "e", "output": "out"
        }  # fmt: skip
        chosen |= {key.replace("__", "."): value for key, value in settings.items()}
        flags = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
        status = main(encode.JOB, [*flags, "--dry-run"])
        found = capsys.readouterr()
        return status, found.out + found.err

    return run


def names(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*")}


def test_it_says_what_would_be_encoded_and_leaves_nothing(dry: Dry, tmp_path: Path) -> None:
    before = names(tmp_path)
    status, said = dry()
    assert status == 0 and "would encode 1 parts" in said and "a.jsonl (language from the rows)" in said
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"encode__target": "texts/e"}, "lie in each other"),
        (
            {"model__vocabulary": "trimmed"},
            "model.vocabulary=trimmed: what encode.source holds is not known beforehand",
        ),
        ({"output": "texts/a.jsonl/out"}, "output="),
        ({"encode__target": "texts/a.jsonl/e"}, "encode.target="),
        ({"model__name": "nowhere/at/all"}, "nowhere/at/all"),
        ({"encode__source": "absent"}, "encode.source='absent' does not exist"),
    ],
)
def test_what_a_run_refuses_it_refuses(dry: Dry, tmp_path: Path, settings: dict[str, object], expected: str) -> None:
    before = names(tmp_path)
    status, said = dry(**settings)
    assert (status, expected in said, names(tmp_path) - before) == (2, True, set()), said


def test_a_target_of_another_request_or_of_lost_parts_is_refused(
    dry: Dry, tmp_path: Path, encoder_directory: Path
) -> None:
    """What the run notes is made by its own steps; no text is encoded."""
    places = {"source": "texts", "target": "e"}
    config = build(Config, {"model": {"name": str(encoder_directory)}, "encode": places, "output": "out"})
    model = encode.prepare_base(config, [], with_corpus=False)
    task, request = encode._check_target(config, model, encode._check_places(config))
    storage.write_json(str(tmp_path / "e" / "request.json"), request)
    assert dry()[0] == 0 and dry(output="other")[0] == 0  # exported there, and not yet exported
    for other in ("out", "other"):
        status, said = dry(output=other, encode__stored="int8")
        assert status == 2 and "holds embeddings of another request (stored: 'float32', not 'int8')" in said
        status, said = dry(output=other, model__layers=1)
        assert status == 2 and "holds embeddings of another request (model: " in said
    storage.write_json(task.record_of("gone.jsonl"), {"part": "gone.jsonl"})
    status, said = dry()
    assert status == 2 and "has lost 1 of the 1 parts" in said and "'gone.jsonl' among them" in said
    assert not (tmp_path / "other").exists()
