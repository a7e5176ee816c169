"""An embedded Postgres: made once, then run in the foreground on a loopback port.

SIGINT is its fast shutdown: sessions are cut and everything is on disk.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from console.services.account import SHARED_STATE, Account, data_directory
from console.services.binaries import PostgresPrograms, postgres_programs
from console.services.command import ServiceCommand
from console.services.errors import ServiceError
from console.services.leftovers import clear_leftovers

USER = "kos"
DATABASE = "knowledge_os"
BUILTIN_LOCALES_SINCE = 17
ASYNC_IO_SINCE = 18

OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "client_connection_check_interval": "10s",
    "password_encryption": "scram-sha-256",
}


@dataclass(frozen=True, slots=True)
class PostgresPlan:
    """What the embedded Postgres shall be. ``options`` are added to, and win over, ours."""

    home: Path
    port: int
    password: str = field(repr=False)
    durable: bool = True
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"


def prepare_postgres(
    plan: PostgresPlan, *, account: Account | None, shared: Path = SHARED_STATE
) -> ServiceCommand:
    """Make the data directory if it is missing, clear what a crash left; raises ServiceError."""
    directory = data_directory(plan.home, "postgres", account=account, shared=shared)
    data = directory / "data"
    programs = postgres_programs(account=account, version=_data_version(data), shared=shared)
    if not (data / "PG_VERSION").is_file():
        _initialise(directory, data, programs, plan=plan, account=account)
    clear_leftovers(data)
    options = {**OPTIONS, "port": str(plan.port), **plan.options}
    if programs.version >= ASYNC_IO_SINCE:
        options["io_method"] = "sync"  # three processes fewer on a machine that is not a server
    if not plan.durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    arguments = [part for name, text in options.items() for part in ("-c", f"{name}={text}")]
    argv = (str(programs.bin / "postgres"), "-D", str(data), *arguments)
    return ServiceCommand(argv=argv, directory=data, account=account)


def _data_version(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"{data} is not a readable Postgres directory ({error}); "
            "run as its owner, or move it away to start empty"
        ) from error


def _initialise(
    directory: Path,
    data: Path,
    programs: PostgresPrograms,
    *,
    plan: PostgresPlan,
    account: Account | None,
) -> None:
    """Build the cluster beside its place and rename it: half a cluster is never seen."""
    fresh = directory / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", dir=directory, prefix="password-") as file:
        file.write(plan.password)
        file.flush()
        if account is not None:
            os.chown(file.name, account.uid, account.gid)
        initdb = [str(programs.bin / "initdb"), "-D", str(fresh), "-U", USER]
        initdb += ["--encoding=UTF8", "--auth=scram-sha-256", f"--pwfile={file.name}"]
        initdb += _locale(programs.version)
        _run(initdb if plan.durable else [*initdb, "--no-sync"], directory, account=account)
    single = [str(programs.bin / "postgres"), "--single", "-D", str(fresh), "postgres"]
    _run(single, directory, account=account, stdin=f"CREATE DATABASE {DATABASE}\n")
    fresh.rename(data)


def _locale(version: int) -> list[str]:
    """Bytewise order, yet upper() and ILIKE know every alphabet; the same on every system."""
    if version >= BUILTIN_LOCALES_SINCE:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C"]


def _run(
    argv: list[str], directory: Path, *, account: Account | None, stdin: str | None = None
) -> None:
    done = subprocess.run(
        argv,
        cwd=directory,
        input=stdin or "",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode != 0:
        program = Path(argv[0]).name
        raise ServiceError(f"{program} failed in {directory}: {_complaint(done.stderr)}")


def _complaint(output: str) -> str:
    """The line with the cause; initdb prints its clean-up after it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reasons = [line for line in lines if re.search(r"error|fatal|could not|no space", line, re.I)]
    return (reasons or lines or ["no message"])[-1]


def wait_until_connectable(url: str, *, timeout_seconds: float) -> None:
    """Poll until Postgres at ``url`` answers a query; raises ServiceError."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            psycopg2.connect(url, connect_timeout=2).close()
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                output = str(error).strip().splitlines()
                raise ServiceError(f"Postgres does not answer: {output[0]}") from error
            time.sleep(0.02)
        else:
            return
