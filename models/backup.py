"""Backs a database up to one verified file, and restores it.

The file is an archive of pg_dump (custom format). A backup is restored into a scratch database and
compared before its file gets its final name; a restore fills a scratch database and then swaps the
two. So neither a partial file nor a partial database is ever visible.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import psycopg2.errors
from psycopg2.extensions import make_dsn, parse_dsn
from psycopg2.sql import SQL, Identifier, Literal

from models.bounded_connection import statement_limit
from models.database import PostgresConnection, direct_connection
from models.migrations import runner
from models.pg_programs import NoPrograms, client_directory

LONGEST_RUN_SECONDS = 6 * 3600
LOCK_WAIT_MS = 60_000
MAINTENANCE_DATABASE = "postgres"
NAME_BYTES = 50
"""Postgres allows 63; the rest is for our suffix."""

ALLOW_PLAIN = ("disable", "allow", "prefer")
"""Values of sslmode: https://www.postgresql.org/docs/current/libpq-ssl.html."""

TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
SETTINGS = """
SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database
WHERE datname = coalesce(%s, current_database())
"""
OTHERS = """
SELECT coalesce(nullif(application_name, ''), 'a session without a name') FROM pg_stat_activity
WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1
"""


class BackupFailed(Exception):
    """Nothing was written or replaced. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Backup:
    """``rows`` is by table. ``compared`` is False where the role cannot create a scratch
    database."""

    file: Path
    size_bytes: int
    rows: Mapping[str, int]
    compared: bool


def back_up(url: str, file: Path) -> Backup:
    """Write the database at ``url`` into the new ``file``, mode 0600.

    Raises:
        BackupFailed: ``file`` exists, the disk is full, or what was restored differs.
        NoPrograms: no pg_dump fits the server.
        psycopg2.OperationalError: the server cannot be reached.
    """
    with statement_limit(None), _connected(url) as connection, _partial_file(file) as partial:
        programs = _programs(connection)
        rows = _dump(connection, url, partial, programs)
        compared = _compare(connection, url, partial, programs, rows)
        size_bytes = partial.stat().st_size
    return Backup(file, size_bytes, rows, compared)


def restore(url: str, file: Path, *, replace: bool) -> dict[str, int]:
    """Replace the database at ``url`` by the content of ``file``; returns the rows by table.

    The role needs CREATEDB. Owners and grants of the archive are ignored: the role owns everything.

    Raises BackupFailed where the database holds tables and ``replace`` is False, somebody uses it,
    or the archive does not restore or is of a newer release; NoPrograms and
    psycopg2.OperationalError as in :func:`back_up`.
    """
    name = parse_dsn(url)["dbname"]
    with (
        statement_limit(None),
        _maintenance(url) as maintenance,
    ):
        _require_unused(maintenance, name)
        if not replace:
            _require_empty(url)
        programs = _programs(maintenance)
        with _scratch(maintenance, url) as scratch:
            fresh = _with_database(url, scratch)
            _restore_into(fresh, file, programs)
            with _connected(fresh) as restored:
                rows = _count(restored)
                _require_usable(restored, rows)
            _exchange(maintenance, name, scratch)
    return rows


@contextmanager
def _connected(url: str) -> Iterator[PostgresConnection]:
    """Raises BackupFailed for what the server refuses, OperationalError where it is away."""
    with closing(direct_connection(url, "kos-backup")) as connection:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = 0")
            yield connection
        except psycopg2.Error as error:
            raise BackupFailed(str(error).strip().splitlines()[0]) from error


def _maintenance(url: str) -> AbstractContextManager[PostgresConnection]:
    return _connected(_with_database(url, MAINTENANCE_DATABASE))


def _programs(connection: PostgresConnection) -> Path:
    """Those with TLS where the connection uses it, others only where the URL allows that."""
    version = connection.server_version // 10_000
    try:
        return client_directory(version, tls=bool(connection.info.ssl_in_use))
    except NoPrograms:
        if connection.info.dsn_parameters["sslmode"] not in ALLOW_PLAIN:
            raise
        return client_directory(version, tls=False)


@contextmanager
def _partial_file(file: Path) -> Iterator[Path]:
    """Write ``file`` under a temporary name until it is complete; a failure leaves nothing."""
    partial = file.with_name(f"{file.name}.partial")
    _require_new(file)
    try:
        with open(os.open(partial, os.O_RDWR | os.O_CREAT, 0o600), "rb+") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupFailed(f"another backup writes {file}; wait for it") from None
            try:
                yield partial
                os.fsync(held.fileno())
                _require_new(file)
                partial.rename(file)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise BackupFailed(f"{file} cannot be written ({error.strerror})") from error


def _require_new(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise BackupFailed(f"{file} exists and is not overwritten; name another file")


def _dump(
    connection: PostgresConnection, url: str, partial: Path, programs: Path
) -> dict[str, int]:
    """Dump and count in one snapshot, while others continue writing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
            "SET LOCAL idle_in_transaction_session_timeout = 0"
        )
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone() or ("",)
        rows = _count(connection)
        options = ["--format=custom", f"--snapshot={snapshot}", f"--file={partial}"]
        _run(programs / "pg_dump", url, *options, f"--lock-wait-timeout={LOCK_WAIT_MS}")
        cursor.execute("ROLLBACK")
    return rows


def _compare(
    connection: PostgresConnection,
    url: str,
    partial: Path,
    programs: Path,
    rows: Mapping[str, int],
) -> bool:
    """Restore the archive and compare it; False where the role may create no database.

    Raises BackupFailed where the two differ."""
    try:
        with _scratch(connection, url) as scratch:
            fresh = _with_database(url, scratch)
            _restore_into(fresh, partial, programs)
            with _connected(fresh) as restored:
                found = _count(restored)
    except psycopg2.errors.InsufficientPrivilege:
        return False
    if found != rows:
        differing = sorted(name for name in {*found, *rows} if found.get(name) != rows.get(name))
        raise BackupFailed(f"the restored copy differs in {', '.join(differing[:5])}")
    return True


@contextmanager
def _scratch(connection: PostgresConnection, url: str) -> Iterator[str]:
    """An empty database with the settings of that of ``url``. The leftover of a killed run is
    dropped first."""
    name = parse_dsn(url)["dbname"]
    scratch = f"{name[:NAME_BYTES]}_kos_scratch"
    # What was interrupted may still hold its session for a moment.
    drop = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(scratch))
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS, (name,))
        encoding, collate, ctype = cursor.fetchone() or (None, None, None)
        if encoding is None:  # The restore creates the database.
            cursor.execute(SETTINGS, (None,))
            encoding, collate, ctype = cursor.fetchone() or ("UTF8", "C", "C")
        cursor.execute(drop)
        make = SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}")
        settings = map(Literal, (encoding, collate, ctype))
        try:
            cursor.execute(make.format(Identifier(scratch), *settings))
            yield scratch
        except BaseException:
            # An interrupt in the middle of a statement has closed the connection.
            with suppress(psycopg2.Error, BackupFailed), _maintenance(url) as last:
                last.cursor().execute(drop)
            raise
        cursor.execute(drop)


def _restore_into(url: str, file: Path, programs: Path) -> None:
    options = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
    _run(programs / "pg_restore", url, *options, str(file))


def _count(connection: PostgresConnection) -> dict[str, int]:
    """Rows by table; tables of extensions are not dumped and not counted."""
    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        for schema, table in cursor.fetchall():
            cursor.execute(SQL("SELECT count(*) FROM {}").format(Identifier(schema, table)))
            (found[table if schema == "public" else f"{schema}.{table}"],) = cursor.fetchone() or (
                0,
            )
    return found


def _require_unused(maintenance: PostgresConnection, name: str) -> None:
    with maintenance.cursor() as cursor:
        cursor.execute(OTHERS, (name,))
        users = [row[0] for row in cursor.fetchall()]
    if users:
        listed = ", ".join(dict.fromkeys(users))
        raise BackupFailed(f"{name} is in use by {listed}; stop them, then restore again")


def _require_empty(url: str) -> None:
    try:
        with _connected(url) as connection:
            rows = _count(connection)
    except psycopg2.OperationalError:
        return  # No such database: the restore creates it.
    if rows:
        raise BackupFailed(
            f"the database holds {len(rows)} tables and {rows.get('tasks', 0)} tasks; "
            "to replace them by the backup: kos restore FILE --replace"
        )


def _require_usable(restored: PostgresConnection, rows: Mapping[str, int]) -> None:
    """Refuse a restored database that this code cannot use, and delete its record of a Redis."""
    with restored.cursor() as cursor:
        if runner.HISTORY_TABLE in rows:
            cursor.execute(f"SELECT name FROM {runner.HISTORY_TABLE} ORDER BY name")
            ours = runner.names()
            unknown = [name for (name,) in cursor.fetchall() if name not in ours]
            if unknown:
                raise BackupFailed(
                    f"the backup is of a newer release (step {unknown[-1]}): update this one first"
                )
        if "kos_deployment" in rows:
            cursor.execute("DELETE FROM kos_deployment")


def _exchange(maintenance: PostgresConnection, name: str, scratch: str) -> None:
    """Rename ``scratch`` to ``name`` in one step, then drop the old database."""
    former = f"{name[:NAME_BYTES]}_kos_former"
    rename = SQL("ALTER DATABASE {} RENAME TO {}")
    with maintenance.cursor() as cursor:
        cursor.execute(SQL("DROP DATABASE IF EXISTS {}").format(Identifier(former)))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        stands = cursor.fetchone() is not None
        cursor.execute("BEGIN")
        if stands:
            cursor.execute(rename.format(Identifier(name), Identifier(former)))
        cursor.execute(rename.format(Identifier(scratch), Identifier(name)))
        cursor.execute("COMMIT")
        cursor.execute(SQL("DROP DATABASE IF EXISTS {}").format(Identifier(former)))


def _with_database(url: str, name: str) -> str:
    return str(make_dsn(url, dbname=name))


def _run(program: Path, url: str, *options: str) -> None:
    """Run a program without its password in the arguments, which ``ps`` displays."""
    parameters = parse_dsn(url)
    secret = {"PGPASSWORD": parameters.pop("password")} if "password" in parameters else {}
    try:
        done = subprocess.run(
            [str(program), f"--dbname={make_dsn(**parameters)}", "--no-password", *options],
            env={**os.environ, "LC_ALL": "C", **secret},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LONGEST_RUN_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackupFailed(f"{program} did not run: {error}") from error
    if done.returncode != 0:
        raise BackupFailed(_first_error(done.stderr) or f"{program.name} failed")


def _first_error(output: str) -> str:
    """The first error; the following ones are its consequences."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "")
