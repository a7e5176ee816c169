"""Connections that go silent without an end: work goes on over new ones within a bound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis

from jobs.queues.clients import ANSWER_SECONDS as REDIS_ANSWER_SECONDS
from jobs.queues.clients import TRIAL_SECONDS, TRUST_SECONDS, client_for
from models import database
from models.base import fetch_one
from models.bounded_connection import ANSWER_SECONDS, CONNECT_SECONDS
from models.database import IDLE_IN_TRANSACTION_SECONDS, DatabaseUnavailable, session
from models.locks import locked
from tests.support.freezing_proxy import FreezingProxy, freezing_proxy
from tests.support.system import System, running_system

WORK_GOES_ON_SECONDS = 30.0
"""Five to seven, where at most fifteen are allowed; a shared machine may be slower."""
SLACK_SECONDS = 2.0


@pytest.fixture
def postgres_link(migrated_url: str) -> Iterator[tuple[FreezingProxy, str]]:
    with freezing_proxy(migrated_url) as link:
        yield link


@pytest.fixture
def redis_link(redis_url: str) -> Iterator[tuple[FreezingProxy, str]]:
    with freezing_proxy(redis_url) as link:
        yield link


@pytest.fixture
def linked(
    postgres_link: tuple[FreezingProxy, str],
    redis_link: tuple[FreezingProxy, str],
    migrated_url: str,
    tmp_path: Path,
) -> Iterator[System]:
    """A system whose every connection to Postgres and Redis goes through a proxy."""
    with running_system(postgres_link[1], redis_link[1], tmp_path) as running:
        running.start()
        # The test itself looks past the proxy.
        running.environ["DATABASE_URL"] = migrated_url
        first = running.insert("First", "Name three rivers.")
        running.wait_status(first, "completed", deadline_seconds=60)
        yield running
    database.close_all()


@pytest.mark.parametrize("cut", ["postgres", "redis", "both"])
def test_work_goes_on_after_every_open_connection_went_silent(
    linked: System,
    postgres_link: tuple[FreezingProxy, str],
    redis_link: tuple[FreezingProxy, str],
    cut: str,
) -> None:
    for name, (proxy, _) in (("postgres", postgres_link), ("redis", redis_link)):
        if cut in (name, "both"):
            proxy.freeze_open_connections()

    began = time.monotonic()
    task_id = linked.insert("Second", "Name three lakes.")
    linked.wait_status(task_id, "completed", deadline_seconds=2 * WORK_GOES_ON_SECONDS)

    assert time.monotonic() - began < WORK_GOES_ON_SECONDS, linked.tell()
    assert all(process.poll() is None for process in linked.programs.values())


def test_what_a_silent_connection_locked_is_free_again_within_a_bound(
    postgres_link: tuple[FreezingProxy, str], postgres_url: str
) -> None:
    """For Postgres its client is still there, so only a time limit of the server frees it."""
    proxy, url = postgres_link
    database.configure(url, pool_size=2)
    with pytest.raises(DatabaseUnavailable):
        _hold_locks_over_a_connection_that_goes_silent(proxy, postgres_url)
    database.close_all()


def _hold_locks_over_a_connection_that_goes_silent(proxy: FreezingProxy, postgres_url: str) -> None:
    planning, row = 41, 42
    with session(), locked(planning, wait_seconds=1), database.database.atomic():
        fetch_one("SELECT pg_advisory_xact_lock(%s)", (row,))
        proxy.freeze_open_connections()
        with closing(psycopg2.connect(postgres_url)) as other, other.cursor() as cursor:
            limit = IDLE_IN_TRANSACTION_SECONDS + SLACK_SECONDS
            cursor.execute(f"SET lock_timeout = '{limit}s'")
            cursor.execute("SELECT pg_advisory_lock(%s), pg_advisory_lock(%s)", (planning, row))
        proxy.stop()
        fetch_one("SELECT 1 AS one")


def test_a_statement_without_an_answer_ends(postgres_link: tuple[FreezingProxy, str]) -> None:
    proxy, url = postgres_link
    database.configure(url, pool_size=2)
    with session():
        assert fetch_one("SELECT 1 AS one") == {"one": 1}
    proxy.freeze()

    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="did not answer"), session():
        fetch_one("SELECT 1 AS one")
    assert time.monotonic() - began < ANSWER_SECONDS + SLACK_SECONDS

    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable), session():
        fetch_one("SELECT 1 AS one")
    assert time.monotonic() - began < CONNECT_SECONDS + SLACK_SECONDS

    proxy.thaw()
    with session():
        assert fetch_one("SELECT 1 AS one") == {"one": 1}
    database.close_all()


def test_a_connection_to_redis_that_went_silent_while_idle_costs_no_command(
    redis_link: tuple[FreezingProxy, str],
) -> None:
    proxy, url = redis_link
    with closing(client_for(url)) as client:
        pool = client.connection_pool
        connections: list[Any] = [pool.get_connection() for _ in range(3)]
        for connection in connections:
            pool.release(connection)
            connection.used_at -= TRUST_SECONDS
        proxy.freeze_open_connections()

        began = time.monotonic()
        assert client.ping()
        connections = [pool.get_connection() for _ in range(3)]

        assert time.monotonic() - began < TRIAL_SECONDS + SLACK_SECONDS


def test_a_broken_connection_to_redis_is_closed_by_none_but_who_takes_it(redis_url: str) -> None:
    """Closed under a read of another thread it would raise what is no RedisError."""
    with closing(client_for(redis_url)) as client:
        pool = client.connection_pool
        broken, other = pool.get_connection(), pool.get_connection()
        pool.release(other)
        broken.disconnect()
        pool.release(broken)

        assert other.is_connected
        assert client.ping()


def test_a_redis_command_without_an_answer_ends(redis_link: tuple[FreezingProxy, str]) -> None:
    proxy, url = redis_link
    with closing(client_for(url)) as client:
        client.set("key", "value")
        proxy.freeze()

        began = time.monotonic()
        with pytest.raises(redis.TimeoutError):
            client.get("key")
        assert time.monotonic() - began < REDIS_ANSWER_SECONDS + SLACK_SECONDS

        proxy.thaw()
        assert client.get("key") == b"value"
