"""The one place where errors become exit codes and one line that says what to do."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from console.cli.framework import ReaderIsGone
from console.cli.text import one_line
from console.foreign_imports import OF_ITS_OWN, foreign_import
from console.operations.errors import (
    LIST_TOO_LONG,
    InvalidInput,
    OperationError,
    ServiceUnreachable,
)

DONE, RED, WRONG, TIMED_OUT, UNREACHABLE = 0, 1, 2, 3, 4
INTERRUPTED = 130
AWAY = ("08", "57P")
"""Beginnings of SQLSTATEs where Postgres is not there, or stops."""


def run_guarded(action: Callable[[], Any], *, log_directory: Callable[[], Path | None]) -> int:
    """The exit code of ``action``: its return value, or the code of its error."""
    try:
        result = action()
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (BrokenPipeError, ReaderIsGone):
        return _reader_is_gone()
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", INTERRUPTED)
    except click.ClickException as error:
        return _say(_usage_line(error), WRONG)
    except Exception as error:  # noqa: BLE001 - the error mapping: every error becomes one line
        return _say(*_message_and_code(error, log_directory))
    return result if isinstance(result, int) else DONE


def _message_and_code(
    error: Exception, log_directory: Callable[[], Path | None]
) -> tuple[str, int]:
    if isinstance(error, InvalidInput):
        return str(error), WRONG
    if isinstance(error, ServiceUnreachable):
        return str(error), UNREACHABLE
    if isinstance(error, OperationError):
        return str(error), RED
    if isinstance(error, ImportError) and (found := foreign_import()):
        return f"{found}: {OF_ITS_OWN}", RED
    if isinstance(error, UnicodeError):
        return "some word or file is not valid UTF-8: write it anew", WRONG
    return _from_services(error) or _from_ours(error) or _unexpected(error, log_directory())


def _from_services(error: Exception) -> tuple[str, int] | None:
    import peewee
    import psycopg2
    import redis

    from jobs.upkeep.health.refusals import BY_SQLSTATE, remedy
    from models.database import (
        RUN_MIGRATIONS,
        DatabaseUnavailable,
        TookTooLong,
        lacks_tables,
        sqlstate,
    )

    if isinstance(error, TookTooLong):
        return LIST_TOO_LONG, TIMED_OUT
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        what = remedy(error, "run `kos up`, or check REDIS_URL")
        return f"Redis cannot be reached ({error}): {what}", UNREACHABLE
    if isinstance(error, redis.RedisError):
        return f"Redis refuses ({error}): check REDIS_URL and `kos doctor`", UNREACHABLE
    lost = psycopg2.OperationalError, psycopg2.InterfaceError
    if isinstance(error, (DatabaseUnavailable, peewee.OperationalError, *lost)):
        what = remedy(error, "run `kos up`, or check DATABASE_URL")
        state = sqlstate(error)
        said = "refuses" if state and not state.startswith(AWAY) else "cannot be reached"
        return f"Postgres {said} ({error}): {what}", UNREACHABLE
    if lacks_tables(error):
        return RUN_MIGRATIONS, UNREACHABLE
    if isinstance(error, peewee.DatabaseError | psycopg2.Error) and sqlstate(error) in BY_SQLSTATE:
        first = str(error).splitlines()[0]
        return f"Postgres refuses ({first}): {remedy(error, '')}", UNREACHABLE
    return None


def _from_ours(error: Exception) -> tuple[str, int] | None:
    from console.services.errors import ServiceError
    from jobs.settings.load import SettingsError
    from models.migrations.runner import MigrationFailed

    if isinstance(error, SettingsError):
        return f"settings: {'; '.join(error.problems)}", WRONG
    if isinstance(error, ServiceError):
        return str(error), UNREACHABLE
    if isinstance(error, MigrationFailed):
        return str(error), RED
    return None


def _unexpected(error: Exception, directory: Path | None) -> tuple[str, int]:
    message = f"unexpected {type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}", RED
    kept = _keep_traceback(error, directory)
    return f"{message} ({kept})" if kept else message, RED


def _keep_traceback(error: Exception, directory: Path | None) -> str | None:
    if directory is None or not directory.is_dir():
        return None
    path = directory / "kos-errors.log"
    try:
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC).isoformat()} {' '.join(sys.argv[:2])}\n")
            log.write("".join(traceback.format_exception(error)))
    except OSError:
        return None
    return f"details in {path}"


def _usage_line(error: click.ClickException) -> str:
    from console.cli.output import words

    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None or "--help`" in message:
        return message
    # The message alone is a sentence of the catalogues.
    see = f"(see `{context.command_path} --help`)"
    return f"{words()(message)} {words()(see)}"


def _say(message: str, code: int) -> int:
    from console.cli.output import words

    click.echo(f"kos: {one_line(words()(message))}", err=True)
    return code


def _reader_is_gone() -> int:
    """``kos tasks | head``: not an error, and nothing more may be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE
