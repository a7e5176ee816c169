"""The connection pools of a process: one for all work, a small one for held locks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import peewee
import psycopg2
import psycopg2.errors
import psycopg2.extensions
from playhouse.pool import MaxConnectionsExceeded
from psycopg2 import ProgrammingError
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, parse_dsn

from models import foreign, times
from models.bounded_connection import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    BoundedConnection,
    wait_for_answer,
)
from models.clock import NOW, server_clock
from models.pool import BoundedPool

POOL_WAIT_SECONDS = 10
LOCK_WAIT_SECONDS = 3
"""The longest wait for a row that another transaction has locked."""
IDLE_IN_TRANSACTION_SECONDS = 8
"""Postgres ends a transaction whose client went silent, since its locks would block all others."""
LINK = {
    "connect_timeout": int(CONNECT_SECONDS),
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": int(ANSWER_SECONDS * 1000),
}
"""How the kernel detects a dead connection; a parameter in the URL wins."""
SESSION_SETTINGS = {
    "TimeZone": "UTC",
    "lock_timeout": f"{LOCK_WAIT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
}
FOR_SESSION = "; ".join(f"SET {name} TO '{value}'" for name, value in SESSION_SETTINGS.items())
FOR_TRANSACTION = FOR_SESSION.replace("SET ", "SET LOCAL ") + "; "
ALONE = "VACUUM"
"""The only statement of ours that cannot run in a transaction."""
PEEWEE_ERRORS = (peewee.DatabaseError, peewee.InterfaceError)
DRIVER_ERRORS = (psycopg2.DatabaseError, psycopg2.InterfaceError)
"""What bulk statements raise; they call the driver without peewee."""

FAULTS_OF_ROWS = (peewee.DataError, peewee.IntegrityError, peewee.InternalError)
"""Errors that a single row of a bulk statement may cause: a value, a constraint, a trigger of the
site."""

database = BoundedPool(None)
lock_database = BoundedPool(None)
LOCK_CONNECTIONS = 4


NOT_NOW = {
    "53": "insufficient resources, such as a full disk",
    "57": "operator intervention",
    "58": "an I/O error",
    "25006": "a read-only server, after a failover",
    "40001": "a serialization failure",
    "40P01": "a deadlock",
    "55P03": "a lock was not available in time",
}
"""SQLSTATE, or its class of two letters -> its meaning: the same statement may succeed later."""
MISSING = frozenset({"42P01", "42703", "42883"})
"""SQLSTATEs of an undefined table, column and function."""
RUN_MIGRATIONS = "the tables are missing or old: run `kos migrate up`"


class PooledSessionCursor(psycopg2.extensions.cursor):
    """For a connection whose session other clients also use: settings apply to one transaction
    each. They are sent with the statement that begins it, and so cost no round trip."""

    def execute(self, query: Any, vars: Any = None) -> None:
        text = query if isinstance(query, bytes) else str(query).encode()
        begins = self.connection.info.transaction_status == TRANSACTION_STATUS_IDLE
        if begins and not text.startswith(ALONE.encode()):
            text = FOR_TRANSACTION.encode() + text
        super().execute(text, vars)


class PostgresConnection(BoundedConnection):
    """Settings are made by a statement, not at the start, because a pooler refuses unknown
    ``options``.

    ``behind_pooler``: the answering process is not the one of the handshake. PgBouncer in
    transaction mode gives each transaction another session: a setting there would not last, and a
    lasting one would affect other clients.
    """

    behind_pooler = False

    def __init__(self, dsn: str, **parameters: Any) -> None:
        super().__init__(dsn, **parameters)
        self.autocommit = True
        with self.cursor() as cursor:
            # A pooler answers the handshake with a number of its own making.
            asked_at = server_clock.since_boot()
            cursor.execute(f"SELECT pg_backend_pid(), {NOW}")
            for pid, theirs in cursor.fetchall():
                self.behind_pooler = pid != self.info.backend_pid
                server_clock.learn(theirs, asked_at=asked_at)
            if not self.behind_pooler:
                cursor.execute(FOR_SESSION)
        if self.behind_pooler:
            self.cursor_factory = PooledSessionCursor


class _Thread(threading.local):
    """``idle``: pools of which this thread keeps a connection between its sessions."""

    def __init__(self) -> None:
        self.keeps = False
        self.idle: set[BoundedPool] = set()


_thread = _Thread()


class DatabaseUnavailable(Exception):
    """Postgres cannot be reached, the connection broke during a statement, or it cannot serve
    now."""


def configure(url: str, *, pool_size: int, application_name: str = "kos") -> None:
    """Point this process at ``url`` (``postgresql://user:password@host:port/name?...``).

    Opens nothing yet. ``pool_size`` bounds the connections of this process. Every parameter of
    libpq may stand in the URL; ``application_name`` is added to ours, which triggers look for.

    Raises:
        ValueError: ``url`` is not a Postgres URL with a database name.
    """
    parameters = _parameters(url, application_name)
    name = parameters.pop("dbname")
    close_all()
    times.register()
    foreign.register()
    psycopg2.extensions.set_wait_callback(wait_for_answer)
    for pool, connections in ((database, pool_size), (lock_database, LOCK_CONNECTIONS)):
        pool.connect_params.clear()  # ``init`` would keep the parameters of an earlier URL.
        pool.init(
            name,
            max_connections=connections,
            timeout=POOL_WAIT_SECONDS,
            stale_timeout=300,
            connection_factory=PostgresConnection,
            **parameters,
        )


def direct_connection(url: str, application_name: str) -> PostgresConnection:
    """One connection outside the pools, with the same time limits; raises ``psycopg2.Error``."""
    opened: PostgresConnection = psycopg2.connect(
        connection_factory=PostgresConnection, **_parameters(url, application_name)
    )
    opened.autocommit = True
    return opened


TOO_LONG = (psycopg2.errors.QueryCanceled, psycopg2.errors.LockNotAvailable)


class TookTooLong(Exception):
    """Postgres ended a statement at the limit of :func:`time_limit`, or its wait for a lock."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """A transaction for reading, whose statements Postgres itself ends after ``seconds``.

    Unlike a wait that the client gives up, this leaves nothing running, and the session goes on.
    Nested use shares the outer transaction, in which nothing can be read after TookTooLong.

    Raises:
        TookTooLong: a statement took longer.
    """
    try:
        with nullcontext() if database.in_transaction() else database.atomic():
            database.execute_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
            yield
    except peewee.OperationalError as error:
        if isinstance(error.__context__, TOO_LONG):
            raise TookTooLong(_first_line(error)) from error
        raise


def session() -> AbstractContextManager[None]:
    """A pooled connection for this thread; nested use shares the outer one.

    Raises:
        DatabaseUnavailable: the server refused or did not answer in time, the connection broke,
            or it cannot serve now (:data:`NOT_NOW`).
    """
    return session_of(database)


@contextmanager
def session_of(pool: BoundedPool) -> Iterator[None]:
    """:func:`session` with a connection of that pool."""
    # A kept connection looks open, so this distinguishes nested use from the first.
    kept = pool in _thread.idle
    if not kept and not pool.is_closed():
        yield
        return
    _thread.idle.discard(pool)
    try:
        if not kept or pool.is_closed() or not pool.is_alive():
            pool.connect()
    except (peewee.OperationalError, peewee.InterfaceError, MaxConnectionsExceeded) as error:
        raise DatabaseUnavailable(_first_line(error)) from error
    ended_well = False
    try:
        yield
        ended_well = True
    except (*PEEWEE_ERRORS, *DRIVER_ERRORS) as error:
        broken = bool(pool.connection().closed)
        if not broken and not _cannot_serve(error):
            raise
        # One dead connection puts all of its age in doubt: the next users ping first.
        if broken:
            BoundedPool.dead_at = time.monotonic()
        raise DatabaseUnavailable(_first_line(error)) from error
    finally:
        pool.connection().used_at = time.monotonic()
        if ended_well and _thread.keeps and pool.has_spare():
            _thread.idle.add(pool)
        else:
            pool.close()


def keep_connections() -> None:
    """Let sessions of this thread leave their connection open for its next session.

    For threads that work all the time; :func:`give_up_connections` ends it.
    """
    _thread.keeps = True


def give_up_connections() -> None:
    _thread.keeps = False
    while _thread.idle:
        _thread.idle.pop().close()


def behind_pooler() -> bool:
    """Whether this thread's session belongs to a pooler, which would forget LISTEN."""
    return bool(database.connection().behind_pooler)


def close_all() -> None:
    """Close every pooled connection of this process."""
    for pool in (database, lock_database):
        if not pool.deferred:
            pool.close_all()


def _parameters(url: str, application_name: str) -> dict[str, Any]:
    try:
        parameters = dict(parse_dsn(url))
    except ProgrammingError as error:
        raise ValueError(f"DATABASE_URL is not a Postgres URL: {_first_line(error)}") from error
    if not parameters.get("dbname"):
        raise ValueError("DATABASE_URL names no database: end it with /NAME")
    name = f"{application_name} {parameters.get('application_name', '')}".strip()
    return {**LINK, **parameters, "application_name": name, "client_encoding": "utf8"}


def lacks_tables(error: BaseException) -> bool:
    """Whether a statement named what this database does not have: its migrations have not run."""
    return sqlstate(error) in MISSING


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE of what the driver raised, directly or as the cause of ``error``. Empty without
    one, as where a connection is refused."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DRIVER_ERRORS):
        cause = cause.__cause__ or cause.__context__
    return getattr(cause, "pgcode", None) or ""


def _cannot_serve(error: Exception) -> bool:
    state = sqlstate(error)
    return state in NOT_NOW or state[:2] in NOT_NOW


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
