"""What people want of a server is published, and keeps tasks out only as far as it must."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from gateway.demand_keeper import DemandKeeper, Habits, Running
from models.database import DatabaseUnavailable

AT_ONCE: Any = {"patience": timedelta(0), "keep_at_most_seconds": 60.0}


class Told:
    """What Redis and the planner are told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def publish(self, backend: str, demand: Any) -> None:
        self.calls.append(("published", backend, demand.model))

    def withdraw(self, backend: str) -> None:
        self.calls.append(("withdrawn", backend))

    def preempt(self, backend: str, models: Any) -> None:
        self.calls.append(("interrupted", backend, *models))

    def admit_all(self, backend: str) -> None:
        self.calls.append(("all may start", backend))

    def admit_only(self, backend: str, models: Any, *, seconds: float) -> None:
        self.calls.append(("only", backend, *sorted(models)))


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        (Running({"task": 1}, max_resident=2, resident=("chat", "task")), [("all may start", "o")]),
        (Running({}, max_resident=1, resident=("chat",)), [("only", "o", "chat")]),
        (
            Running({"task": 1}, max_resident=1, resident=("task",)),
            [("only", "o", "chat"), ("interrupted", "o", "task")],
        ),
        (
            Running({"task": 1}, max_resident=2, resident=("task",)),
            [("only", "o", "chat", "task")],
        ),
    ],
    ids=["both are there", "one model alone", "the task's is in its way", "there is room"],
)
def test_tasks_are_kept_out_only_where_the_wanted_model_has_no_room(
    running: Running, expected: list[tuple[Any, ...]]
) -> None:
    told: Any = Told()
    looks = iter([running, running])
    free = Running({}, max_resident=running.max_resident, resident=running.resident)
    keeper = DemandKeeper(
        told,
        slots=told,
        **AT_ONCE,
        running=lambda backend: next(looks, free),
        habits=lambda backend, model: Habits(),
        request_plan=lambda: None,
    )

    async def ask() -> None:
        with keeper.request("o", "chat", 0, resident="chat" in running.resident):
            await keeper.make_room("o", "chat")

    anyio.run(ask)

    assert told.calls[: 1 + len(expected)] == [("published", "o", "chat"), *expected]


def test_a_postgres_that_is_away_holds_up_one_request_and_no_publishing() -> None:
    told: Any = Told()
    tries: list[str] = []

    def away(backend: str) -> Running:
        tries.append(backend)
        raise DatabaseUnavailable("Postgres did not answer within 5 s")

    keeper = DemandKeeper(
        told,
        slots=told,
        **AT_ONCE,
        running=away,
        habits=lambda backend, model: Habits(),
        request_plan=lambda: None,
    )

    async def ask() -> None:
        for backend in ("o", "p"):
            with keeper.request(backend, "chat", 0, resident=False):
                await keeper.make_room(backend, "chat")

    anyio.run(ask)

    assert tries == ["o"]
    assert told.calls == [("published", "o", "chat"), ("published", "p", "chat")]


def test_a_pause_is_counted_only_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    told: Any = Told()
    keeper = DemandKeeper(
        told,
        slots=told,
        **AT_ONCE,
        running=lambda backend: Running({}, max_resident=1, resident=("chat",)),
        habits=lambda backend, model: Habits(),
        request_plan=lambda: None,
    )

    with keeper.request("o", "chat", 0, resident=True) as long:
        long.answered()
        for _ in range(10):
            now[0] += 0.1
            with keeper.request("o", "chat", 0, resident=True) as short:
                short.answered()
    now[0] += 30.0

    assert keeper.demanded("o") is not None, "it is kept for as long as a load costs"


def test_a_server_is_for_whoever_waits_longest_then_for_the_model_used_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [datetime(2026, 3, 1, tzinfo=UTC)]
    monkeypatch.setattr("gateway.demand_keeper.utc_now", lambda: now[0])
    parts: Any = Told()
    keeper = DemandKeeper(
        parts,
        slots=parts,
        **AT_ONCE,
        running=parts,
        habits=parts,
        request_plan=parts,
    )

    def wanted() -> tuple[str, bool]:
        demand = keeper.demanded("o")
        assert demand is not None
        return demand.model, demand.waiting_since is not None

    with keeper.request("o", "first", 0, resident=False) as first:
        now[0] += timedelta(seconds=1)
        with keeper.request("o", "second", 0, resident=False) as second:
            assert wanted() == ("first", True)
            first.answered()
            assert wanted() == ("second", True)
            second.answered()
            assert not wanted()[1]
    assert not wanted()[1]
