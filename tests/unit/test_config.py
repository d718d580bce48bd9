"""Recipes, files and overrides become one checked config; errors name field, value and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hybrid_core.config import config_hash
from hybrid_core.errors import RequestError
from hybrid_core.recipes import RECIPES, load_config
from hybrid_core.settings import flat
from ray_jobs.reference import reference


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_valid_config(name: str) -> None:
    assert config_hash(load_config(name)) == config_hash(load_config(name))


def test_command_line_wins_over_file_and_file_over_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {steps: 7, temperature: 0.05}\nseed: 3\n")
    config = load_config("quickstart", str(file), ["train.steps=9", "train.learning_rate=2e-5", "evaluate.suites=a, b"])
    assert (config.train.steps, config.train.temperature, config.seed) == (9, 0.05, 3)
    assert config.train.learning_rate == 2e-5
    assert config.evaluate.suites == ("a", "b")
    assert config.train.workers == 2  # from the recipe


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("plan.alhpa=0.5", "unknown config key 'plan.alhpa'; did you mean 'alpha'?"),
        ("plam.alpha=0.5", "unknown config key 'plam'; did you mean 'plan'?"),
        ("plan.alpha=1.3", "plan.alpha=1.3 is outside [0.0, 1.0]"),
        ("plan.policy=hybird", "plan.policy='hybird'; did you mean 'hybrid'?"),
        ("train.steps=many", "train.steps='many' must be of type int"),
        ("train.steps=", "train.steps='' must be of type int"),
        ("train.learning_rate=fast", "train.learning_rate='fast' must be a number"),
        ("train=5", "train is a section"),
        ("seed", "is not path.to.field=value"),
        ("train.workers=3", "train.global_batch=16 is not a multiple of train.workers=3"),
    ],
)
def test_wrong_settings_are_refused_with_a_remedy(override: str, expected: str) -> None:
    with pytest.raises(RequestError, match=re.escape(expected)):
        load_config("quickstart", None, [override])


def test_an_alpha_that_the_policy_would_ignore_is_refused() -> None:
    with pytest.raises(RequestError, match=re.escape("plan.alpha=0.5 has no meaning under plan.policy='mono'")):
        load_config("default", None, ["plan.policy=mono", "plan.alpha=0.5"])


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"unknown recipe 'quickstrat'; did you mean 'quickstart'"):
        load_config("quickstrat")


def test_config_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"absent.yaml does not exist"):
        load_config("default", str(tmp_path / "absent.yaml"))
    (tmp_path / "broken.yaml").write_text("train: [1,")
    with pytest.raises(RequestError, match="is not YAML"):
        load_config("default", str(tmp_path / "broken.yaml"))
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(RequestError, match="must be a mapping"):
        load_config("default", str(tmp_path / "list.yaml"))


def test_the_hash_ignores_where_outputs_go_and_nothing_else() -> None:
    base = load_config("quickstart")
    assert config_hash(load_config("quickstart", None, ["output=/elsewhere"])) == config_hash(base)
    assert config_hash(load_config("quickstart", None, ["seed=1"])) != config_hash(base)


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "config.md"
    assert page.read_text(encoding="utf-8") == reference(), "run: make docs"
    assert all(f"`{path}`" in reference() for path in flat(load_config()))
