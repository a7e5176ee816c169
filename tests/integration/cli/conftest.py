"""The command line against a real Postgres and a real Redis, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models import database
from tests.integration.cli.command_line import Kos

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def kos_without_tables(
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Kos]:
    files, home = tmp_path / "files", tmp_path / "home"
    files.mkdir()
    dotenv = tmp_path / "empty.env"
    dotenv.touch()
    settings = {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "KOS_HOME": str(home),
        "KOS_FILE_ROOTS": str(files),
        "KOS_DOTENV": str(dotenv),
        "OLLAMA_API_URL": NOBODY,
        "MLX_API_URL": NOBODY,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KOS_BACKENDS_FILE", raising=False)
    yield Kos(files, home, capsys, monkeypatch)
    database.close_all()


@pytest.fixture
def kos(kos_without_tables: Kos, migrated_url: str) -> Kos:
    database.configure(migrated_url, pool_size=4, application_name="kos-test")
    return kos_without_tables
