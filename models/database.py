"""The connection pools of a process: one to work with, a small one that holds locks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import peewee
import psycopg2
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase
from psycopg2 import ProgrammingError
from psycopg2.extensions import connection, parse_dsn

from models import foreign, times

DEFAULTS = {"connect_timeout": 5, "keepalives_idle": 30}
"""Parameters of libpq where the URL has none; seconds."""
POOL_WAIT_SECONDS = 30
PEEWEE_ERRORS = (peewee.DatabaseError, peewee.InterfaceError)
DRIVER_ERRORS = (psycopg2.DatabaseError, psycopg2.InterfaceError)
"""What bulk statements raise, which go past peewee to the driver."""

database = PooledPostgresqlDatabase(None)
lock_database = PooledPostgresqlDatabase(None)
LOCK_CONNECTIONS = 4

NOT_NOW = ("53", "57", "58")
"""Classes of SQLSTATE: insufficient resources (a full disk), operator intervention, I/O."""


class _UtcConnection(connection):
    """Set by a statement, not at the start: a pooler refuses ``options`` it cannot pass on."""

    def __init__(self, dsn: str, **parameters: Any) -> None:
        super().__init__(dsn, **parameters)
        self.autocommit = True
        with self.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
        self.autocommit = False


class DatabaseUnavailable(Exception):
    """Postgres cannot be reached, went away in the middle of a statement, or cannot serve now."""


def configure(url: str, *, pool_size: int, application_name: str = "kos") -> None:
    """Point this process at ``url`` (``postgresql://user:password@host:port/name?...``).

    Opens nothing yet. ``pool_size`` bounds the connections of this process. Every parameter of
    libpq may stand in the URL; ``application_name`` is added to ours, which triggers look for.

    Raises:
        ValueError: ``url`` is not a Postgres URL with a database name.
    """
    parameters = _parameters(url)
    name = parameters.pop("dbname")
    theirs = parameters.pop("application_name", "")
    close_all()
    times.register()
    foreign.register()
    for pool, connections in ((database, pool_size), (lock_database, LOCK_CONNECTIONS)):
        pool.init(
            name,
            max_connections=connections,
            timeout=POOL_WAIT_SECONDS,
            stale_timeout=300,
            application_name=f"{application_name} {theirs}".strip(),
            connection_factory=_UtcConnection,
            **parameters,
        )


def session() -> AbstractContextManager[None]:
    """A pooled connection for this thread; nested use shares the outer one.

    Raises:
        DatabaseUnavailable: the server refused, the connection broke, or the disk is full.
    """
    return session_of(database)


@contextmanager
def session_of(pool: PooledPostgresqlDatabase) -> Iterator[None]:
    """:func:`session` with a connection of that pool."""
    if not pool.is_closed():
        yield
        return
    try:
        pool.connect()
    except (peewee.OperationalError, peewee.InterfaceError, MaxConnectionsExceeded) as error:
        raise DatabaseUnavailable(_first_line(error)) from error
    try:
        yield
    except (*PEEWEE_ERRORS, *DRIVER_ERRORS) as error:
        broken = bool(pool.connection().closed)
        if not broken and not _cannot_serve(error):
            raise
        if broken:
            pool.close_idle()
        raise DatabaseUnavailable(_first_line(error)) from error
    finally:
        pool.close()


def close_all() -> None:
    """Close every pooled connection of this process."""
    for pool in (database, lock_database):
        if not pool.deferred:
            pool.close_all()


def _parameters(url: str) -> dict[str, Any]:
    try:
        parameters = dict(parse_dsn(url))
    except ProgrammingError as error:
        raise ValueError(f"DATABASE_URL is not a Postgres URL: {_first_line(error)}") from error
    if not parameters.get("dbname"):
        raise ValueError("DATABASE_URL names no database: end it with /NAME")
    return {**DEFAULTS, **parameters, "client_encoding": "utf8"}


def _cannot_serve(error: Exception) -> bool:
    driver_error = error if isinstance(error, DRIVER_ERRORS) else error.__context__
    state = getattr(driver_error, "pgcode", None) or ""
    return state.startswith(NOT_NOW)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
