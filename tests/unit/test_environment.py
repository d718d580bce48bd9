"""One module decides the environment of nodes and clients; nothing secret travels."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ray_jobs import environment


def test_the_token_is_made_once_and_readable_by_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "keys" / "token"))
    first = environment.token_file().read_text()
    assert len(first) == 64
    assert stat.S_IMODE((tmp_path / "keys" / "token").stat().st_mode) == 0o600
    assert environment.token_file().read_text() == first


def test_authentication_is_always_explicit_and_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    rendered = environment.environment({})
    assert rendered["RAY_AUTH_MODE"] == "token"
    assert Path(rendered["RAY_AUTH_TOKEN_PATH"]).is_relative_to(tmp_path)


def test_what_the_user_has_set_is_kept_and_one_endpoint_serves_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {
        "RAY_AUTH_MODE": "disabled",
        "RAY_health_check_period_ms": "77",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:8333",
    }
    rendered = environment.environment(given)
    assert rendered["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN_PATH" not in rendered
    assert rendered["RAY_health_check_period_ms"] == "77"
    assert rendered["AWS_ENDPOINT_URL"] == rendered["MLFLOW_S3_ENDPOINT_URL"] == "http://127.0.0.1:8333"


def test_no_secret_is_handed_to_a_job() -> None:
    assert not [
        name
        for name in environment.PASSED_BY_NAME
        if any(word in name for word in ("KEY", "SECRET", "TOKEN", "PASSWORD"))
    ]
