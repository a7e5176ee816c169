"""Prepares the database for the workers: the tables and the experts."""

from __future__ import annotations

from pathlib import Path

import psycopg2

from console.operations import experts
from console.operations.errors import InvalidInput
from console.operations.submission_lines import read_lines
from console.services.errors import ServiceError
from console.supervision.deployment import join
from jobs.settings.load import Settings, shipped
from models import site
from models.database import DatabaseUnavailable, configure, session
from models.expert import Expert
from models.migrations import runner

NOBODY = "no expert is active: tasks wait until you add one (kos experts add --from FILE)"


def prepare_tables(
    settings: Settings, *, demo: bool = False, replace_redis: bool = False
) -> tuple[str, ...]:
    """Create or adopt the tables, join the deployment of this database, and add experts; lines
    for the person who starts the system.

    Raises:
        ServiceError: a migration failed, a file of experts cannot be read, or another home works
            this database with another Redis.
    """
    if settings.database_url is None:
        raise ServiceError("no database is configured; set DATABASE_URL")
    configure(settings.database_url, pool_size=2, application_name="kos-migrate")
    try:
        runner.up()
        with session():
            joined = join(settings, replace_redis=replace_redis) if settings.redis_url else ()
            return (*joined, *_staff(settings, demo=demo))
    except (runner.MigrationFailed, DatabaseUnavailable, ValueError) as error:
        raise ServiceError(f"the tables could not be prepared: {error}") from error


def check_experts_file(path: Path | None) -> None:
    """Raises InvalidInput before anything is started: after that it would be too late."""
    if path is None:
        return
    try:
        path.open("rb").close()
    except OSError as error:
        raise InvalidInput(
            f"KOS_EXPERTS_FILE: {path} cannot be read ({error.strerror}); name a file of experts"
        ) from error


def _staff(settings: Settings, *, demo: bool) -> list[str]:
    """A demo's experts, those of KOS_EXPERTS_FILE, else the built-in assistant."""
    files = [settings.experts_file] if settings.experts_file else []
    lines = []
    if demo and site.adopted():
        lines.append("the experts of this database take the tasks; no sample experts were added")
    elif demo:
        files.append(shipped("examples") / "experts.jsonl")
    lines += [line for path in files for line in _add_from(path)]
    try:
        if Expert.add_assistant():
            lines.append(
                "no expert is active: the built-in Assistant takes every task; "
                "add your own with: kos experts add --from FILE"
            )
    except psycopg2.IntegrityError as error:  # a site's table may require more columns than ours
        reason = str(error).strip().splitlines()[0]
        return [*lines, f"{NOBODY}; the built-in Assistant could not be added: {reason}"]
    return lines if Expert.active() else [*lines, NOBODY]


def _add_from(path: Path) -> list[str]:
    with path.open("rb") as source:
        document = experts.add(read_lines(source))
    added = [f"{document.added} experts added"] if document.added else []
    wrong = [f"{path}: line {row.line}: {row.error}" for row in document.rejected]
    return added + wrong
