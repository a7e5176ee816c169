"""The one connection pool of a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee
import psycopg2
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase
from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn

from models import times

CONNECT_TIMEOUT_SECONDS = 5
POOL_WAIT_SECONDS = 30
PEEWEE_ERRORS = (peewee.DatabaseError, peewee.InterfaceError)
DRIVER_ERRORS = (psycopg2.DatabaseError, psycopg2.InterfaceError)
"""What bulk statements raise, which go past peewee to the driver."""

database = PooledPostgresqlDatabase(None)


NOT_NOW = ("53", "57", "58")
"""Classes of SQLSTATE: insufficient resources (a full disk), operator intervention, I/O."""


class DatabaseUnavailable(Exception):
    """Postgres cannot be reached, went away in the middle of a statement, or cannot serve now."""


def configure(url: str, *, pool_size: int, application_name: str = "kos") -> None:
    """Point this process at ``url`` (``postgresql://user:password@host:port/name``).

    Opens nothing yet. ``pool_size`` bounds the connections of this process.

    Raises:
        ValueError: ``url`` is not a Postgres URL with a database name.
    """
    parameters = _parameters(url)
    name = parameters.pop("dbname")
    parameters.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
    close_all()
    times.register()
    database.init(
        name,
        max_connections=pool_size,
        timeout=POOL_WAIT_SECONDS,
        stale_timeout=300,
        application_name=application_name,
        keepalives_idle=30,
        options="-c timezone=UTC",
        **parameters,
    )


@contextmanager
def session() -> Iterator[None]:
    """A pooled connection for this thread; nested use shares the outer one.

    Raises:
        DatabaseUnavailable: the server refused, the connection broke, or the disk is full.
    """
    if not database.is_closed():
        yield
        return
    try:
        database.connect()
    except (peewee.OperationalError, peewee.InterfaceError, MaxConnectionsExceeded) as error:
        raise DatabaseUnavailable(_first_line(error)) from error
    try:
        yield
    except (*PEEWEE_ERRORS, *DRIVER_ERRORS) as error:
        broken = _connection_is_broken()
        if not broken and not _cannot_serve(error):
            raise
        if broken:
            database.close_idle()
        raise DatabaseUnavailable(_first_line(error)) from error
    finally:
        database.close()


def close_all() -> None:
    """Close every pooled connection of this process."""
    if not database.deferred:
        database.close_all()


def _parameters(url: str) -> dict[str, Any]:
    try:
        parameters = dict(parse_dsn(url))
    except ProgrammingError as error:
        raise ValueError(f"DATABASE_URL is not a Postgres URL: {_first_line(error)}") from error
    if not parameters.get("dbname"):
        raise ValueError("DATABASE_URL names no database: end it with /NAME")
    return parameters


def _connection_is_broken() -> bool:
    return bool(database.connection().closed)


def _cannot_serve(error: Exception) -> bool:
    driver_error = error if isinstance(error, DRIVER_ERRORS) else error.__context__
    state = getattr(driver_error, "pgcode", None) or ""
    return state.startswith(NOT_NOW)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
