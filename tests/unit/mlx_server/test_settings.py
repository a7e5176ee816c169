"""Settings: read once, checked, with the variable named."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.mlx_server.settings import ServerSettings, ServerSettingsError


def test_without_variables_the_defaults_hold() -> None:
    settings = ServerSettings.from_environment({"PATH": "/bin"})
    assert settings == ServerSettings()
    assert (settings.api_port, settings.max_cached_models, settings.max_concurrent) == (11435, 2, 5)


def test_every_kind_of_value_is_read() -> None:
    settings = ServerSettings.from_environment(
        {
            "MLX_API_PORT": "4000",
            "MLX_MODELS_DIR": "/models",
            "MLX_PRELOAD_MODELS": " a, b ,,",
            "MLX_MEMORY_LIMIT_BYTES": "1000",
            "MLX_FAIRNESS_SECONDS": "0.5",
            "MLX_KEEP_ALIVE_SECONDS": "-1",
            "MLX_TEST_FREEZE_FILE": "",
        }
    )
    assert settings.api_port == 4000
    assert settings.models_dir == Path("/models")
    assert settings.preload_models == ("a", "b")
    assert settings.memory_limit_bytes == 1000
    assert settings.fairness_seconds == 0.5
    assert settings.keep_alive_seconds is None
    assert settings.test_freeze_file is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLX_API_PORT", "http"),
        ("MLX_MAX_CONCURRENT", "0"),
        ("MLX_MAX_QUEUE", "-1"),
        ("MLX_FAIRNESS_SECONDS", "soon"),
        ("MLX_MEMORY_LIMIT_BYTES", "0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ServerSettingsError, match=name):
        ServerSettings.from_environment({name: value})


def test_a_mistyped_name_is_refused_with_the_right_one() -> None:
    with pytest.raises(ServerSettingsError, match="did you mean MLX_MAX_CONCURRENT"):
        ServerSettings.from_environment({"MLX_MAX_CONCURENT": "3"})


def test_names_of_others_are_left_alone() -> None:
    others = {"MLX_API_URL": "http://x", "MLX_DISABLE_COMPILE": "1"}
    assert ServerSettings.from_environment(others) == ServerSettings()
