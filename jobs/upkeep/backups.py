"""The nightly backup: one file a day in ``KOS_BACKUP_DIR``; the newest ``KOS_BACKUP_KEEP`` are
kept.

It is checked every hour from 3 o'clock on, so a machine that slept at night makes it later.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path

import psycopg2

from jobs.settings.load import Settings
from models import backup
from models.pg_programs import NoPrograms

logger = logging.getLogger(__name__)

NAME = "kos-{day:%Y-%m-%d}.dump"
PATTERN = "kos-????-??-??.dump"
FROM_HOUR = 3
LATE = timedelta(hours=30)
"""A day, plus a margin for a night in which the machine slept or the dump took long."""


def back_up(settings: Settings, *, now: datetime) -> Path | None:
    """Write today's file and delete those beyond the number kept. Returns the file.

    ``now`` is local time. Returns None where no directory is set, it is before 3 o'clock, the file
    exists, or the backup failed: then nothing is deleted, the log has ``backup_failed``, and the
    health check ``backup`` turns red.
    """
    directory = settings.backup_dir
    if directory is None or settings.database_url is None or now.hour < FROM_HOUR:
        return None
    file = directory / NAME.format(day=now)
    if file.exists():
        return None
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = backup.back_up(settings.database_direct_url or settings.database_url, file)
    except (backup.BackupFailed, NoPrograms, psycopg2.OperationalError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        logger.warning("backup_failed file=%s error=%s", file, reason)
        return None
    deleted = _prune(directory, settings.backup_keep)
    logger.info(
        "backed_up file=%s bytes=%d compared=%s deleted=%d",
        file,
        written.size_bytes,
        written.compared,
        deleted,
    )
    return file


def _prune(directory: Path, keep: int) -> int:
    """Delete the oldest of our files and those of killed backups; returns how many."""
    deleted = [*sorted(directory.glob(PATTERN))[:-keep], *directory.glob(f"{PATTERN}.partial")]
    for path in deleted:
        path.unlink(missing_ok=True)
    return len(deleted)


def newest(directory: Path) -> datetime | None:
    """When the newest backup was made (local time with its zone); None where there is none.

    Raises:
        OSError: the directory cannot be read.
    """
    times = [path.stat().st_mtime for path in directory.glob(PATTERN)]
    return datetime.fromtimestamp(max(times)).astimezone() if times else None


def is_late(created_at: datetime | None, *, now: datetime) -> bool:
    """Whether a night passed without a backup."""
    return created_at is None or now - created_at > LATE
