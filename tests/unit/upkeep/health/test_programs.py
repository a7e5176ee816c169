"""What the heartbeats of our programs say, at the bound and on both sides of it."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from jobs.process.owners import process_owner
from jobs.queues.names import (
    ACTOR_ERRORS,
    ACTOR_LAST_ERRORS,
    LISTENER_HEARTBEAT,
    SCHEDULER_TICK,
    WORKERS,
)
from jobs.upkeep.health import programs as module
from jobs.upkeep.health.checks import HealthCheck
from jobs.upkeep.health.programs import ERROR_SECONDS, WORKER_SECONDS, actors, workers

NOW = 1_000_000.0
GONE = f"{process_owner().rsplit('/', 2)[0]}/999999999/1"


class Client:
    """The hashes and marks of Redis that the checks read."""

    def __init__(self, **stored: Any) -> None:
        self.stored = stored

    def hgetall(self, key: str) -> Any:
        return self.stored.get(key, {})

    def get(self, key: str) -> Any:
        return self.stored.get(key)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "epoch_seconds", lambda: NOW)


def check_of(*registered: tuple[str, str, float]) -> HealthCheck:
    """Of the program ``a``, with entries as (owner, program, age in seconds)."""
    lines = {
        owner: json.dumps({"beat_at": NOW - age, "program": program})
        for owner, program, age in registered
    }
    (check,) = workers(cast(Any, Client(**{WORKERS: lines})), ["a"])
    return check


@pytest.mark.parametrize(
    ("registered", "ok", "hung"),
    [
        ([], False, None),
        ([("h/1/1", "b", 1)], False, None),
        ([("h/1/1", "a", WORKER_SECONDS)], True, None),
        ([("h/1/1", "a", WORKER_SECONDS + 1)], False, "a"),
        ([("h/1/1", "a", 900), ("h/2/1", "a", 1)], True, None),
        ([(GONE, "a", 1)], False, None),
        ([(GONE, "a", 1), ("h/2/1", "a", WORKER_SECONDS + 1)], False, "a"),
    ],
)
def test_the_newest_heartbeat_of_a_living_process_decides(
    registered: list[tuple[str, str, float]], ok: bool, hung: str | None
) -> None:
    check = check_of(*registered)

    assert (check.ok, check.hung) == (ok, hung)


@pytest.mark.parametrize(
    ("check", "key", "bound_seconds"),
    [
        (module.scheduler, SCHEDULER_TICK, module.TICK_SECONDS),
        (module.listener, LISTENER_HEARTBEAT, module.LISTENER_SECONDS),
    ],
)
def test_a_mark_is_red_once_it_is_older_than_its_bound(
    check: Any, key: str, bound_seconds: float
) -> None:
    assert not check(Client()).ok
    assert check(Client(**{key: str(NOW - bound_seconds)})).ok
    late = check(Client(**{key: str(NOW - bound_seconds - 1)}))
    assert (late.ok, late.hung) == (False, f"jobs:{late.name}")


@pytest.mark.parametrize(("age", "ok"), [(ERROR_SECONDS - 1, False), (ERROR_SECONDS, True)])
def test_an_exception_of_an_actor_keeps_the_check_red_for_a_while(age: float, ok: bool) -> None:
    last = {b"plan": json.dumps({"error": "KeyError: 'x'", "at": NOW - age})}
    client = Client(**{ACTOR_ERRORS: {b"plan": b"3"}, ACTOR_LAST_ERRORS: last})

    check = actors(cast(Any, client))

    assert check.ok is ok
    assert "3" in check.detail
