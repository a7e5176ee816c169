"""``kos config``: every setting, its value, its source; no secret is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.cli.main import main
from console.operations.configuration import DEFAULT, ENVIRONMENT, MASK, ConfiguredSetting, entries
from jobs.settings.load import SETTING_NAMES, load

SECRET = "cafe-8f3a"


@pytest.fixture
def sources(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """An environment and a .env, with a home that `kos up` has written."""
    home = tmp_path / "home"
    home.mkdir()
    embedded = f"redis://:{SECRET}@127.0.0.1:20001/0"
    (home / "env").write_text(
        f"export KOS_EMBEDDED_REDIS_URL='{embedded}'\nKOS_DASHBOARD_PORT=20002\n"
    )
    dotenv = tmp_path / ".env"
    dotenv.write_text("KOS_LEASE_SECONDS=30\nKOS_MAX_ATTEMPTS=9\n")
    environ = {
        "KOS_HOME": str(home),
        "DATABASE_URL": f"postgresql://me:{SECRET}@db/kos?password={SECRET}",
        "KOS_DASHBOARD_TOKEN": SECRET,
        "VICTORIA_URL": f"http://me:{SECRET}@agent:8010",
        "SMART_WORKER_MAX_ATTEMPTS": "5",
        "OLLAMA_URL": "http://gpu:11434",
    }
    return environ, dotenv


def listed(sources: tuple[dict[str, str], Path]) -> dict[str, ConfiguredSetting]:
    environ, dotenv = sources
    settings = load(environ, dotenv=dotenv, in_container=False)
    return {entry.name: entry for entry in entries(settings, environ)}


def test_every_setting_is_listed(sources: tuple[dict[str, str], Path]) -> None:
    assert set(listed(sources)) == SETTING_NAMES | {"OLLAMA_API_URL", "MLX_API_URL"}


@pytest.mark.parametrize(
    ("name", "value", "source"),
    [
        ("KOS_MAX_ATTEMPTS", 5, ENVIRONMENT),
        ("KOS_LEASE_SECONDS", 30.0, ".env"),
        ("KOS_DASHBOARD_PORT", 20_002, "env"),
        ("REDIS_URL", f"redis://:{MASK}@127.0.0.1:20001/0", "env"),
        ("DATABASE_URL", f"postgresql://me:{MASK}@db/kos?{MASK}", ENVIRONMENT),
        ("KOS_DASHBOARD_TOKEN", MASK, ENVIRONMENT),
        ("KOS_GATEWAY_TOKEN", None, DEFAULT),
        ("OLLAMA_API_URL", "http://gpu:11434", ENVIRONMENT),
        ("KOS_POLICY", "reload_aware", DEFAULT),
    ],
)
def test_a_setting_has_its_value_and_its_source(
    sources: tuple[dict[str, str], Path], name: str, value: Any, source: str
) -> None:
    entry = listed(sources)[name]

    assert (entry.value, entry.source.rpartition("/")[2]) == (value, source)


def test_no_secret_is_printed(
    sources: tuple[dict[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environ, dotenv = sources
    for name, text in {**environ, "KOS_DOTENV": str(dotenv)}.items():
        monkeypatch.setenv(name, text)

    codes = [main(["config"]), main(["config", "--json"]), main(["config", "no-such-word"])]

    out, err = capsys.readouterr()
    assert codes == [0, 0, 2]
    assert SECRET not in out + err
    assert "KOS_LEASE_SECONDS" in out
