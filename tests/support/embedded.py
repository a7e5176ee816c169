"""The embedded services for tests: real ones, loopback only, gone with the test process.

As fixtures (``pytest_plugins = ["tests.support.embedded"]`` in the top conftest): ``postgres_url``
is a fresh empty database, ``redis_url`` a fresh empty Redis database; both on servers that one
session shares. A test that asks for ``migrated_url`` has the same URL by both names, and the
database is migrated before anybody has it. A test that freezes, kills or flushes a server takes
one of its own: ``own_postgres``, whose database is migrated, and ``own_redis``, with ``stop``,
``kill``, ``freeze``, ``thaw`` and ``start``. Every Postgres is a copy of ``migrated_cluster``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
import redis

from console.home import free_port
from console.services.account import unprivileged_account
from console.services.choose import remember_postgres
from console.services.command import ServiceCommand
from console.services.errors import ServiceError
from console.services.postgres import (
    DATABASE,
    USER,
    PostgresPlan,
    prepare_postgres,
    wait_until_connectable,
)
from console.services.redis import RedisPlan, prepare_redis, wait_until_pings
from models import database
from models.migrations import runner

LIFELINE = Path(__file__).with_name("lifeline.py")
PASSWORD = "only-for-tests"
REDIS_DATABASES = 4096
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 8 * 2**30
START_SECONDS = 30.0
START_TRIES = 5

_numbers = count(1)


@dataclass
class Server:
    """One running program and how to start it again at the same URL with the same data."""

    url: str
    directory: Path
    prepare: Callable[[], ServiceCommand]
    wait: Callable[[str], None]
    stop_signal: signal.Signals
    pid: int = 0
    _lifeline: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        command = self.prepare()
        account = command.account
        identity = (account.uid, account.gid) if account else (-1, -1)
        place = str(self.directory)
        arguments = [place, self.stop_signal.name, *map(str, identity), *command.argv]
        with (self.directory / "server.log").open("a") as log:
            self._lifeline = subprocess.Popen(
                [sys.executable, str(LIFELINE), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=command.directory,
                start_new_session=True,
                text=True,
            )
        assert self._lifeline.stdout is not None
        self.pid = int(self._lifeline.stdout.readline())
        try:
            self.wait(self.url)
        except ServiceError as error:
            self.stop()
            raise ServiceError(f"{error}\n{(self.directory / 'server.log').read_text()}") from error

    def stop(self) -> None:
        """An orderly end; the data stay."""
        if self._lifeline is None:
            return
        assert self._lifeline.stdin is not None
        assert self._lifeline.stdout is not None
        self._signal(signal.SIGCONT)
        with suppress(BrokenPipeError):
            self._lifeline.stdin.write("keep")
            self._lifeline.stdin.close()
        self._lifeline.wait(timeout=START_SECONDS)
        self._lifeline.stdout.close()
        self._lifeline = None

    def client(self, *, db: int = 0, **options: Any) -> redis.Redis:
        """A connection to a Redis, with what ``redis.Redis`` takes."""
        return redis.Redis.from_url(_with_path(self.url, f"/{db}"), **options)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._signal(signal.SIGKILL)
        self.stop()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, name: signal.Signals) -> None:
        if self._lifeline is not None and self._lifeline.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, name)


@contextmanager
def postgres_server(*, durable: bool = False, copy_of: Path | None = None) -> Iterator[Server]:
    """A Postgres of one's own, empty or a copy of a stopped one.

    In memory if there is room: to create and drop a database there takes a twentieth of the
    processor time. On disk where what is measured is a disk: ``durable``, and no copy.
    """
    with scratch_directory(within=None if durable and not copy_of else _memory()) as home:
        account = unprivileged_account()
        if copy_of:
            copy_cluster(copy_of, home / "postgres")

        def make(port: int) -> Server:
            plan = PostgresPlan(home, port=port, password=PASSWORD, durable=durable)
            return Server(
                url=plan.url,
                directory=home,
                prepare=lambda: prepare_postgres(plan, account=account),
                wait=lambda url: wait_until_connectable(url, timeout_seconds=START_SECONDS),
                stop_signal=signal.SIGINT,
            )

        with running(make) as server:
            yield server


@contextmanager
def redis_server(*, durable: bool = False) -> Iterator[Server]:
    """A Redis of one's own."""
    with scratch_directory() as home:
        account = unprivileged_account()

        def make(port: int) -> Server:
            plan = RedisPlan(home, port, PASSWORD, durable=durable, databases=REDIS_DATABASES)
            return Server(
                url=plan.url,
                directory=home,
                prepare=lambda: prepare_redis(plan, account=account),
                wait=lambda url: wait_until_pings(url, timeout_seconds=START_SECONDS),
                stop_signal=signal.SIGTERM,
            )

        with running(make) as server:
            yield server


def fresh_database(server_url: str, *, migrated: bool = False) -> str:
    """The URL of a new database on that server, empty or, on a copy of the cluster, migrated."""
    template = DATABASE if migrated else "template0"
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with closing(_administrator(server_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            # Copying the files takes half the processor time of the default, which logs each page.
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return _with_path(server_url, f"/{name}")


def drop_database(server_url: str, url: str) -> None:
    """Drop it whoever is still connected: a leaked connection must not fail the next test."""
    with closing(_administrator(server_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A stopped Postgres whose database is migrated, to be copied.

    The first of the processes that test side by side makes it for all: it takes a hundred times
    as long as a copy.
    """
    run = tmp_path_factory.getbasetemp()
    run = run.parent if hasattr(request.config, "workerinput") else run
    cluster = run / "cluster"
    with (run / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cluster.exists():
            with postgres_server() as server:
                database.configure(server.url, pool_size=1, application_name="kos-test")
                runner.up()
                with database.session():
                    _weaken_password()
                database.close_all()
                server.stop()
                copy_cluster(server.directory / "postgres", run / "cluster.new")
            (run / "cluster.new").rename(cluster)
    return cluster


def _weaken_password() -> None:
    """At the usual 4,096 rounds each connection takes a client 5 ms of a processor."""
    database.database.execute_sql("SET scram_iterations = 1")
    database.database.execute_sql(f"ALTER ROLE {USER} PASSWORD '{PASSWORD}'")


def copy_cluster(source: Path, target: Path) -> None:
    """With the owners of the files; ``target`` is not there yet."""
    subprocess.run(["cp", "-RpH", source, target], check=True)


def furnish(home: Path, cluster: Path) -> None:
    """Give a home that never ran the Postgres that its first start would make, migrated."""
    remember_postgres(PostgresPlan(home, port=free_port(), password=PASSWORD))
    copy_cluster(cluster, home / "postgres")


@pytest.fixture(scope="session")
def shared_postgres(migrated_cluster: Path) -> Iterator[Server]:
    with postgres_server(copy_of=migrated_cluster) as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[Server]:
    with redis_server() as server:
        yield server


@pytest.fixture
def postgres_url(shared_postgres: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    url = fresh_database(shared_postgres.url, migrated="migrated_url" in request.fixturenames)
    yield url
    drop_database(shared_postgres.url, url)


@pytest.fixture
def migrated_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def redis_url(shared_redis: Server) -> Iterator[str]:
    url = _with_path(shared_redis.url, f"/{next(_numbers)}")
    yield url
    with closing(redis.Redis.from_url(url)) as client:
        client.flushdb()


@pytest.fixture
def own_postgres(migrated_cluster: Path) -> Iterator[Server]:
    with postgres_server(durable=True, copy_of=migrated_cluster) as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[Server]:
    with redis_server(durable=True) as server:
        yield server


def _administrator(server_url: str) -> Any:
    """A connection that is in no database that is copied or dropped."""
    return psycopg2.connect(_with_path(server_url, "/postgres"))


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=path))


def _memory() -> Path | None:
    """A file system in memory with room for the databases of all that test side by side."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    return MEMORY if roomy and os.access(MEMORY, os.W_OK) else None


@contextmanager
def scratch_directory(*, within: Path | None = None) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="kos-test-", dir=within)).resolve()
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running(make: Callable[[int], Server]) -> Iterator[Server]:
    """Another process may take the port between choosing and binding it: then choose again."""
    for attempt in range(1, START_TRIES + 1):
        server = make(free_port())
        try:
            server.start()
            break
        except ServiceError:
            if attempt == START_TRIES:
                raise
            time.sleep(0.05)
    try:
        yield server
    finally:
        server.stop()
