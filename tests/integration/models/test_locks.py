"""Locks of the whole system, which belong to transactions."""

from __future__ import annotations

import threading
import time

import pytest

from models.database import DatabaseUnavailable, database
from models.locks import lock_if_free, locked

KEY = 0x6B6F73_7F
MINE = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


def test_only_one_holds_a_lock_and_work_under_it_commits_on_its_own(database_here: str) -> None:
    found: list[bool] = []

    def look() -> None:
        with lock_if_free(KEY) as mine:
            found.append(mine)

    with locked(KEY, wait_seconds=5):
        database.execute_sql("CREATE TABLE kept ()")
        other = threading.Thread(target=look)
        other.start()
        other.join(timeout=10)
    look()

    assert found == [False, True]
    assert database.execute_sql("SELECT to_regclass('kept')::text").fetchone() == ("kept",)
    assert database.execute_sql(MINE).fetchone() == (0,)


def test_a_lock_that_stays_taken_is_an_outage_after_the_wait(database_here: str) -> None:
    raised: list[Exception] = []

    def want() -> None:
        try:
            with locked(KEY, wait_seconds=0.1):
                pass
        except DatabaseUnavailable as error:
            raised.append(error)

    with locked(KEY, wait_seconds=5):
        other = threading.Thread(target=want)
        other.start()
        other.join(timeout=10)

    assert len(raised) == 1


def test_no_lock_is_left_after_an_error(database_here: str) -> None:
    with pytest.raises(KeyError), locked(KEY, wait_seconds=5):
        raise KeyError

    with lock_if_free(KEY) as mine:
        assert mine


def test_a_lock_that_is_not_renewed_is_lost_and_one_that_is_stays(database_here: str) -> None:
    with locked(KEY, wait_seconds=5, silent_seconds=1) as renew:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            renew()
            time.sleep(0.1)

    with pytest.raises(DatabaseUnavailable):
        _renew_too_late()


def _renew_too_late() -> None:
    with locked(KEY, wait_seconds=5, silent_seconds=0.2) as renew:
        _wait_until_free()
        renew()


def _wait_until_free() -> None:
    deadline = time.monotonic() + 10
    while database.execute_sql(MINE).fetchone() != (0,):
        assert time.monotonic() < deadline, "the lock is still held"
        time.sleep(0.05)
