"""A call may not outlast the lease of its row: what cannot be renewed is given up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jobs.attempt import lease_keeper
from jobs.attempt.lease_keeper import LEASE_LOST, LeaseKeeper, RunningAttempt
from llm.types import CancelToken
from models.database import DatabaseUnavailable
from models.task import Task

WAIT_SECONDS = 30.0


class Postgres:
    """Renews every lease while it answers; counts what was asked of it."""

    def __init__(self) -> None:
        self.answers = True
        self.heartbeats = 0

    @contextmanager
    def session(self) -> Iterator[None]:
        if not self.answers:
            raise DatabaseUnavailable("no route")
        yield

    def live_marks(self, owner: str, ids: list[str]) -> dict[str, tuple[int, bool]]:
        return dict.fromkeys(ids, (1, False))

    def heartbeat(self, owner: str, leases: list[Any], *, lease_seconds: float) -> list[str]:
        self.heartbeats += 1
        return [task_id for task_id, _, _ in leases]


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Postgres:
    made = Postgres()
    monkeypatch.setattr(lease_keeper, "session", made.session)
    monkeypatch.setattr(Task, "live_marks", made.live_marks)
    monkeypatch.setattr(Task, "heartbeat", made.heartbeat)
    monkeypatch.setattr(lease_keeper, "WATCH_SECONDS", 0.01)
    return made


class Nothing:
    """Slots, live answers and demand of a process that is not concerned with them."""

    def renew(self, holders: object) -> tuple[str, ...]:
        return ()

    def preempted(self, backends: object) -> dict[str, tuple[str, ...]]:
        return {}

    def show(self, attempts: object) -> None: ...


@contextmanager
def running(*, lease_seconds: float) -> Iterator[RunningAttempt]:
    nothing: Any = Nothing()
    keeper = LeaseKeeper(
        owner="o", slots=nothing, live=nothing, demand=nothing,
        lease_seconds=lease_seconds, heartbeat_seconds=0.0,
    )  # fmt: skip
    keeper.start()
    try:
        yield keeper.add("t", 1, backend="b", token=CancelToken())
    finally:
        keeper.stop()


def test_a_call_ends_when_its_lease_could_not_be_renewed_for_as_long(postgres: Postgres) -> None:
    postgres.answers = False
    ended = threading.Event()
    with running(lease_seconds=0.05) as attempt:
        attempt.token.on_cancel(ended.set)

        assert ended.wait(WAIT_SECONDS)
        assert attempt.token.reason == LEASE_LOST


def test_a_call_goes_on_through_an_outage_shorter_than_its_lease(postgres: Postgres) -> None:
    postgres.answers = False
    with running(lease_seconds=3600.0) as attempt:
        postgres.answers = True
        until(lambda: postgres.heartbeats >= 3)

        assert not attempt.token.cancelled


def until(holds: Any) -> None:
    waited = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.01)):
        if holds():
            return
        waited.wait(0.01)
    raise AssertionError("it did not happen")
