"""A thread that works all the time keeps its connection, and loses nothing by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from models.base import fetch_all
from models.database import (
    close_all,
    configure,
    database,
    give_up_connections,
    keep_connections,
    session,
)
from models.pool import BoundedPool


@pytest.fixture(autouse=True)
def kept(postgres_url: str) -> Iterator[None]:
    configure(postgres_url, pool_size=8)
    keep_connections()
    yield
    give_up_connections()
    close_all()


def backend_pid() -> int:
    with session():
        return int(fetch_all("SELECT pg_backend_pid() AS pid")[0]["pid"])


def end(pid: int) -> None:
    """As a restart of Postgres does, from a thread of its own."""

    def terminate() -> None:
        with session():
            fetch_all("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    other = threading.Thread(target=terminate)
    other.start()
    other.join()


def test_sessions_of_a_thread_that_keeps_its_connection_share_one() -> None:
    assert backend_pid() == backend_pid()
    assert len(database._in_use) == 1


def test_a_kept_connection_that_broke_is_replaced_before_its_next_use() -> None:
    first = backend_pid()
    end(first)
    BoundedPool.dead_at = time.monotonic()  # some other thread met the outage

    assert backend_pid() != first
    assert len(database._in_use) == 1


def test_a_session_that_fails_gives_its_connection_back() -> None:
    first = backend_pid()
    with pytest.raises(ValueError, match="ours"), session():
        raise ValueError("ours")

    assert not database._in_use
    assert backend_pid() == first


def test_the_last_connections_of_a_pool_are_kept_by_nobody() -> None:
    stay, ready = threading.Event(), threading.Barrier(7)

    def work() -> None:
        keep_connections()
        backend_pid()
        ready.wait(30)
        stay.wait(30)
        give_up_connections()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    ready.wait(30)

    assert len(database._in_use) <= 4
    stay.set()
    for worker in workers:
        worker.join(30)
    assert not database._in_use
