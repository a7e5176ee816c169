"""Backup and restore of a home's database, whether its system runs or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.home import prepare_home
from console.operations.errors import OperationError
from console.services.temporary import embedded_postgres
from console.supervision.choices import choose_socket, require_known_services
from console.supervision.client import connected
from console.supervision.start import only_one
from jobs.settings.load import Settings
from models import backup
from models.backup import Backup, BackupFailed
from models.pg_programs import NoPrograms


def back_up(settings: Settings, file: Path) -> Backup:
    """Write the database into ``file``; the system may run.

    Raises:
        OperationError: nothing was written; the message says why.
        ServiceError: the embedded Postgres does not start.
    """
    if settings.embedded_postgres and not (settings.home / "postgres").exists():
        raise OperationError("there is no database yet: run `kos up`")
    with _postgres(settings) as (url, _), _failures():
        return backup.back_up(url, file)


def restore(settings: Settings, file: Path, *, replace: bool) -> dict[str, int]:
    """Make the database what ``file`` holds; the rows by table. The system must be stopped.

    Raises:
        OperationError, ServiceError: as in :func:`back_up`; nothing was changed.
    """
    with _postgres(settings) as (url, runs), _failures():
        if runs:
            raise OperationError("the system runs: kos down, then kos restore again")
        return backup.restore(url, file, replace=replace)


@contextmanager
def _postgres(settings: Settings) -> Iterator[tuple[str, bool]]:
    """(URL, whether the system of this home runs); one that is stopped is not started meanwhile.

    Past a pooler: what is done here does not fit into transactions.
    """
    own = settings.database_direct_url or settings.database_url
    with connected(choose_socket(settings)) as supervisor:
        if own is not None and supervisor.answers():
            yield own, True
            return
    prepare_home(settings.home)
    with only_one(settings.home):
        require_known_services(settings)
        if settings.embedded_postgres:
            with embedded_postgres(settings.home) as url:
                yield url, False
        else:
            yield own or "", False


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (BackupFailed, NoPrograms) as error:
        raise OperationError(str(error)) from error
