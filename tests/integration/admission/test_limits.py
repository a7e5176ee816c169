"""The limits in force: what was decided while it is fresh, else what is configured."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from jobs.admission import limits as module
from jobs.admission.interactive_demand import InteractiveDemand
from jobs.admission.limits import TOTAL, Limit, Limits, acquire, canary_slot
from jobs.admission.slots import INTERACTIVE_PREFIX, Slots
from jobs.policy.interactive import Demand
from jobs.queues.names import LIMITS
from jobs.settings.load import Settings
from llm.types import BackendKind, BackendSpec


def limits(client: redis.Redis, **settings: Any) -> Limits:
    """Two servers of eight calls, ``reserved`` of them kept for people while they ask."""
    specs = tuple(
        BackendSpec(name, BackendKind.OLLAMA, "http://127.0.0.1:1", max_concurrent=8)
        for name in ("one", "two")
    )
    values: dict[str, Any] = {"max_concurrent": 10, "adaptive_max_heavy_ollama": 2, **settings}
    return Limits(client, Settings(backends=specs, **values))


def people_ask(client: redis.Redis, backend: str) -> None:
    until = datetime.now(UTC) + timedelta(minutes=1)
    InteractiveDemand(client).publish(backend, Demand("m", 0, until))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (8, 2)),
        ({"max_concurrent": 5}, (5, 2)),
        ({"max_concurrent": 1}, (1, 1)),
        ({"adaptive_max_heavy_ollama": 9}, (8, 8)),
    ],
)
def test_no_configured_limit_is_above_that_of_all_servers_nor_a_heavy_one_above_its_own(
    client: redis.Redis, settings: dict[str, int], expected: tuple[int, int]
) -> None:
    limit = limits(client, **settings).of("one")

    assert (limit.slots, limit.heavy) == expected


def test_a_decided_limit_holds_at_once_and_expires(client: redis.Redis) -> None:
    known = limits(client)
    assert known.of("one").slots == 8

    changed = known.publish(
        {"one": Limit(3, 1, "busy"), "two": Limit(8, 2, "calm")}, total=Limit(4, 4, "busy")
    )

    assert changed == ["one"]
    assert (known.of("one").slots, known.of("one").heavy, known.total.slots) == (3, 1, 4)
    for name in ("one", TOTAL):
        line = json.loads(client.hget(LIMITS, name) or "")
        old = {**line, "decided_at": time.time() - module.STALE_SECONDS - 1}
        client.hset(LIMITS, name, json.dumps(old))
    known.read_again()
    assert (known.of("one").slots, known.total.slots) == (8, 10)


@pytest.mark.parametrize(
    ("interval_seconds", "age_seconds", "holds"),
    [(1, 100, True), (1, 130, False), (100, 390, True), (100, 410, False)],
)
def test_a_decided_limit_holds_for_some_intervals_and_two_minutes_at_least(
    client: redis.Redis, interval_seconds: int, age_seconds: int, holds: bool
) -> None:
    known = limits(client, adaptive_calc_interval_seconds=interval_seconds)
    line = {"slots": 3, "heavy": 1, "reason": "busy", "decided_at": time.time() - age_seconds}
    client.hset(LIMITS, "one", json.dumps(line))

    assert known.of("one").slots == (3 if holds else 8)


@pytest.mark.parametrize(
    ("slots", "total", "reserved", "expected"),
    [(8, 10, 2, (6, 8)), (1, 1, 2, (1, 1)), (2, 3, 5, (1, 1)), (0, 0, 1, (0, 0))],
)
def test_tasks_have_what_is_not_kept_for_people_but_at_least_one_of_any(
    client: redis.Redis, slots: int, total: int, reserved: int, expected: tuple[int, int]
) -> None:
    known = limits(client, interactive_reserved=reserved)
    known.publish({"one": Limit(slots, slots, "")}, total=Limit(total, total, ""))
    assert (known.for_tasks("one"), known.total_for_tasks) == (slots, total)

    people_ask(client, "one")
    known.read_again()

    assert (known.for_tasks("one"), known.total_for_tasks) == expected
    assert known.for_tasks("two") == 8


def test_a_slot_is_granted_within_every_limit_in_force(client: redis.Redis) -> None:
    slots, known = Slots(client, owner="here"), limits(client, interactive_reserved=1)
    known.publish({"one": Limit(4, 1, ""), "two": Limit(4, 4, "")}, total=Limit(5, 5, ""))
    people_ask(client, "one")
    known.read_again()

    def ask(backend: str, holder: str, *, heavy: bool = False) -> str:
        answer = acquire(slots, known, backend, holder, heavy=heavy, wait=False)
        return "granted" if answer.granted else answer.reason

    assert ask("one", "a:1", heavy=True) == "granted"
    assert ask("one", "b:1", heavy=True) == "all 1 slots for heavy models are in use"
    assert [ask("one", f"{name}:1") for name in "cde"] == ["granted"] * 2 + [
        "the rest is kept for people"
    ]
    assert ask("two", "f:1") == "granted"
    assert ask("two", "g:1") == "the rest is kept for people", "the last one of all servers"
    assert ask("two", f"{INTERACTIVE_PREFIX}h") == "granted"
    assert ask("two", f"{INTERACTIVE_PREFIX}i") == "all 5 slots over all backends are in use"


def test_a_canary_takes_a_free_slot_and_gives_it_back(client: redis.Redis) -> None:
    slots, known = Slots(client, owner="here"), limits(client)
    known.publish({"one": Limit(1, 1, "")}, total=Limit(5, 5, ""))

    with canary_slot(slots, known, "one") as held:
        assert held
        assert slots.in_use("one") == 1
        with canary_slot(slots, known, "one") as another:
            assert not another

    assert slots.in_use("one") == 0
