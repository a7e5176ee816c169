from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from console.operations import backup as operations
from console.operations.errors import OperationError
from jobs.settings.load import load
from jobs.upkeep import backups
from jobs.upkeep.health import services
from models import database
from models.backup import BackupFailed, back_up
from tests.integration.cli.command_line import Kos
from tests.support.embedded import scratch_directory

NIGHT = datetime(2026, 1, 31, 3, 11, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tasks.dump"


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """As on a disk with that much room; for the programs that are started meanwhile, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def titles(kos: Kos) -> set[str]:
    found = {task["title"] for task in kos("tasks", "--json").json}
    database.close_all()  # a restore needs the database for itself
    return found


def execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_file_that_appeared_during_the_backup_is_not_overwritten(
    migrated_url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(*_: object) -> bool:
        file.write_text("of somebody else")
        return True

    monkeypatch.setattr("models.backup._compare", compare)

    with pytest.raises(BackupFailed, match="is not overwritten"):
        back_up(migrated_url, file)

    assert file.read_text() == "of somebody else"
    assert list(file.parent.iterdir()) == [file]


def test_a_restore_brings_back_the_moment_of_the_backup(kos: Kos, file: Path) -> None:
    kos.submit({"description": "before"})

    made = kos("backup", str(file), "--json").json

    assert made["compared"]
    assert made["rows"]["tasks"] == 1
    assert file.stat().st_mode & 0o777 == 0o600
    kos.submit({"description": "after"})
    assert titles(kos) == {"before", "after"}

    refused = kos("restore", str(file))

    assert refused.code == 1
    assert "2 tasks" in refused.err
    assert "--replace" in refused.err
    assert titles(kos) == {"before", "after"}
    assert kos("restore", str(file), "--replace").code == 0
    assert titles(kos) == {"before"}


def test_a_backup_is_whole_or_absent_and_overwrites_nothing(kos: Kos, file: Path) -> None:
    with files_of_at_most(10_000):
        full = kos("backup", str(file))

    assert full.code == 1
    assert list(file.parent.glob("*.dump*")) == []
    file.write_text("mine")
    assert kos("backup", str(file)).code == 1
    assert file.read_text() == "mine"
    assert kos("backup", str(file.parent / "no" / "such" / "directory")).code == 1


def test_what_does_not_restore_changes_nothing(kos: Kos, file: Path, postgres_url: str) -> None:
    kos.submit({"description": "kept"})
    file.write_bytes(b"PGDMP and then noise")
    assert kos("restore", str(file), "--replace").code == 1
    file.unlink()
    execute(postgres_url, "INSERT INTO kos_migrations (name, applied) VALUES ('9999_new', now())")
    assert kos("backup", str(file)).code == 0

    newer = kos("restore", str(file), "--replace")

    assert newer.code == 1
    assert "9999_new" in newer.err
    assert "9999_new" in kos("migrate", "up").err
    assert titles(kos) == {"kept"}


def test_a_database_in_use_is_not_replaced(kos: Kos, file: Path, postgres_url: str) -> None:
    kos("backup", str(file))
    database.close_all()

    with closing(psycopg2.connect(postgres_url, application_name="report")):
        refused = kos("restore", str(file), "--replace")

    assert refused.code == 1
    assert "in use by report" in refused.err


def test_a_backup_moves_into_an_embedded_database_that_is_made_for_it(kos: Kos, file: Path) -> None:
    kos.submit({"description": "moved"})
    kos("backup", str(file))
    with scratch_directory() as home:  # where the account of the database may enter
        elsewhere = load({"KOS_HOME": str(home)})
        with pytest.raises(OperationError, match="no database yet"):
            operations.back_up(elsewhere, home / "empty.dump")

        assert operations.restore(elsewhere, file, replace=False)["tasks"] == 1


def test_an_interrupt_leaves_nothing_and_stays_one(
    migrated_url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as sessions:

        def interrupted(url: str, *_: object) -> None:
            """As pg_restore, whose session outlives it for a moment."""
            sessions.enter_context(closing(psycopg2.connect(url)))
            raise KeyboardInterrupt

        monkeypatch.setattr("models.backup._restore_into", interrupted)

        with pytest.raises(KeyboardInterrupt):
            back_up(migrated_url, file)

    assert list(file.parent.iterdir()) == []
    scratch = f"{parse_dsn(migrated_url)['dbname']}_kos_scratch"
    with closing(psycopg2.connect(migrated_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (scratch,))
        assert cursor.fetchone() is None


def test_every_night_has_one_backup_and_the_newest_are_kept(
    kos: Kos, postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "nightly"
    settings = load(
        {
            "DATABASE_URL": postgres_url,
            "KOS_BACKUP_DIR": str(directory),
            "KOS_BACKUP_KEEP": "2",
        }
    )
    directory.mkdir()
    for day in (28, 29):
        (directory / f"kos-2026-01-{day}.dump").write_text("older")
    (directory / "kos-2026-01-30.dump.partial").write_text("killed")
    (directory / "notes.txt").write_text("mine")

    assert backups.back_up(settings, now=NIGHT.replace(hour=2)) is None
    assert backups.back_up(settings, now=NIGHT) == directory / "kos-2026-01-31.dump"
    assert backups.back_up(settings, now=NIGHT + timedelta(hours=1)) is None

    assert {path.name for path in directory.iterdir()} == {
        "kos-2026-01-29.dump", "kos-2026-01-31.dump", "notes.txt",
    }  # fmt: skip
    now = datetime.now(UTC)
    assert services.backup(directory, now=now).ok
    late = services.backup(directory, now=now + timedelta(days=2))
    assert not late.ok
    assert "kos backup" in late.remedy
    with files_of_at_most(10_000):
        assert backups.back_up(settings, now=NIGHT + timedelta(days=1)) is None
    assert "backup_failed" in caplog.text
    assert len(list(directory.glob("*.dump"))) == 2
