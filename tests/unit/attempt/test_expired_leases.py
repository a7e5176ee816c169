"""A call may not outlast the lease of its row: what cannot be renewed is given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jobs.attempt import lease_keeper
from jobs.attempt.lease_keeper import GAVE_WAY, LEASE_LOST, LeaseKeeper, RunningAttempt
from llm.types import CancelToken
from models.database import DatabaseUnavailable
from models.task import Task

WAIT_SECONDS = 30.0


class Postgres:
    """Renews every lease while it answers; counts what was asked of it."""

    def __init__(self) -> None:
        self.answers = True
        self.heartbeats = 0
        self.renewed_at: list[float] = []
        self.locked_times = 0

    @contextmanager
    def session(self) -> Iterator[None]:
        if not self.answers:
            raise DatabaseUnavailable("no route")
        yield

    def held_leases(self, owner: str, ids: list[str]) -> dict[str, tuple[int, bool]]:
        return dict.fromkeys(ids, (1, False))

    def heartbeat(self, owner: str, leases: list[Any], *, lease_seconds: float) -> list[str]:
        self.heartbeats += 1
        self.renewed_at.append(time.monotonic())
        if self.heartbeats <= self.locked_times:
            return []
        return [task_id for task_id, _, _ in leases]


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Postgres:
    made = Postgres()
    monkeypatch.setattr(lease_keeper, "session", made.session)
    monkeypatch.setattr(Task, "held_leases", made.held_leases)
    monkeypatch.setattr(Task, "heartbeat", made.heartbeat)
    monkeypatch.setattr(lease_keeper, "WATCH_SECONDS", 0.01)
    return made


class Nothing:
    """Slots, live answers and demand of a process that is not concerned with them, or whose calls
    must give way."""

    def __init__(self, give_way: dict[str, frozenset[str]] | None = None) -> None:
        self.give_way = give_way or {}
        self.rounds = 0

    def renew(self, holders: object) -> tuple[str, ...]:
        return ()

    def preempted(self, backends: object) -> dict[str, frozenset[str]]:
        return self.give_way

    def show(self, attempts: object) -> None:
        self.rounds += 1


@contextmanager
def keeping(
    nothing: Any, *, lease_seconds: float, heartbeat_seconds: float = 0.0
) -> Iterator[LeaseKeeper]:
    keeper = LeaseKeeper(
        owner="o", slots=nothing, live=nothing, demand=nothing,
        lease_seconds=lease_seconds, heartbeat_seconds=heartbeat_seconds,
    )  # fmt: skip
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()


@contextmanager
def running(*, lease_seconds: float, **more: float) -> Iterator[RunningAttempt]:
    with keeping(Nothing(), lease_seconds=lease_seconds, **more) as keeper:
        yield keeper.add("t", 1, backend="b", token=CancelToken())


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


def test_a_row_that_was_locked_is_tried_again_before_the_next_heartbeat(
    postgres: Postgres,
) -> None:
    postgres.locked_times = 1
    with running(lease_seconds=3600.0, heartbeat_seconds=3.0):
        until(lambda: postgres.heartbeats >= 2)

    first, second = postgres.renewed_at[:2]
    assert second - first < 2.0


@pytest.mark.parametrize(
    ("backend", "model", "reason"),
    [("b", "big", GAVE_WAY), ("b", "small", None), ("other", "big", None)],
)
def test_only_calls_of_a_model_that_must_leave_give_way(
    postgres: Postgres, backend: str, model: str, reason: str | None
) -> None:
    demand = Nothing({"b": frozenset({"big"})})
    with keeping(demand, lease_seconds=3600.0) as keeper:
        attempt = keeper.add("t", 1, backend=backend, model=model, token=CancelToken())
        until(lambda: demand.rounds >= 2)

    assert attempt.token.reason == reason


def until(holds: Any) -> None:
    waited = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.01)):
        if holds():
            return
        waited.wait(0.01)
    raise AssertionError("it did not happen")
