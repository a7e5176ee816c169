"""Requests of people go before tasks, in slots and in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from jobs.admission.interactive_demand import InteractiveDemand
from jobs.admission.slots import INTERACTIVE_PREFIX, Slots
from jobs.policy.interactive import Demand


def slots_of(redis_url: str, owner: str) -> Slots:
    return Slots(redis.Redis.from_url(redis_url), owner=owner)


def test_a_request_of_a_person_is_granted_before_tasks_that_asked_earlier(redis_url: str) -> None:
    workers, gateway = slots_of(redis_url, "worker"), slots_of(redis_url, "gateway")
    assert workers.acquire("mlx", "a:1", limit=1).granted
    assert not workers.acquire("mlx", "b:1", limit=1).granted
    assert not gateway.acquire("mlx", f"{INTERACTIVE_PREFIX}x", limit=1).granted

    workers.release("mlx", "a:1")

    assert not workers.acquire("mlx", "b:1", limit=1).granted
    assert gateway.acquire("mlx", f"{INTERACTIVE_PREFIX}x", limit=1).granted
    gateway.release("mlx", f"{INTERACTIVE_PREFIX}x")
    assert workers.acquire("mlx", "b:1", limit=1).granted


def test_two_requests_of_people_keep_their_order(redis_url: str) -> None:
    gateway = slots_of(redis_url, "gateway")
    assert gateway.acquire("mlx", f"{INTERACTIVE_PREFIX}a", limit=1).granted
    for name in ("b", "c"):
        assert not gateway.acquire("mlx", f"{INTERACTIVE_PREFIX}{name}", limit=1).granted

    gateway.release("mlx", f"{INTERACTIVE_PREFIX}a")

    assert not gateway.acquire("mlx", f"{INTERACTIVE_PREFIX}c", limit=1).granted
    assert gateway.acquire("mlx", f"{INTERACTIVE_PREFIX}b", limit=1).granted


def test_a_kept_slot_goes_to_people_only_and_one_slot_is_never_kept(redis_url: str) -> None:
    slots = slots_of(redis_url, "one")
    assert slots.acquire("mlx", "a:1", limit=2, reserved=1).granted
    denied = slots.acquire("mlx", "b:1", limit=2, reserved=1, wait=False)
    assert (denied.granted, denied.reason) == (False, "the rest is kept for people")
    assert slots.acquire("mlx", f"{INTERACTIVE_PREFIX}x", limit=2, reserved=1).granted

    assert slots.acquire("ollama", "c:1", limit=1, reserved=1).granted


def test_what_people_run_does_not_count_against_the_part_of_the_tasks(redis_url: str) -> None:
    slots = slots_of(redis_url, "one")
    assert slots.acquire("mlx", f"{INTERACTIVE_PREFIX}x", limit=3, reserved=1).granted
    assert slots.acquire("mlx", "a:1", limit=3, reserved=1).granted
    assert slots.acquire("mlx", "b:1", limit=3, reserved=1).granted


def test_what_people_run_elsewhere_does_not_count_against_the_part_of_the_tasks(
    redis_url: str,
) -> None:
    slots = slots_of(redis_url, "one")
    bounds: dict[str, Any] = {"limit": 3, "total_limit": 3, "total_reserved": 1}
    assert slots.acquire("ollama", f"{INTERACTIVE_PREFIX}x", **bounds).granted

    assert slots.acquire("mlx", "a:1", **bounds).granted
    assert slots.acquire("mlx", "b:1", **bounds).granted


def test_the_total_limit_keeps_a_slot_for_people_too(redis_url: str) -> None:
    slots = slots_of(redis_url, "one")
    bounds: dict[str, Any] = {"limit": 5, "total_limit": 3, "total_reserved": 1}
    assert slots.acquire("mlx", "a:1", **bounds).granted
    assert slots.acquire("ollama", "b:1", **bounds).granted
    assert not slots.acquire("mlx", "c:1", **bounds, wait=False).granted
    assert slots.acquire("mlx", f"{INTERACTIVE_PREFIX}x", limit=5, total_limit=3).granted


def test_tasks_of_other_models_wait_elsewhere_while_people_use_a_server(redis_url: str) -> None:
    slots = slots_of(redis_url, "one")
    assert slots.acquire("mlx", "a:1", limit=4, model="big").granted
    slots.admit_only("mlx", ["chat"], seconds=30)

    denied = slots.acquire("mlx", "b:1", limit=4, model="big")
    assert (denied.granted, denied.retry_in_seconds) == (False, None)
    assert denied.reason == "its model would push out one that people use"
    assert slots.acquire("mlx", "a:1", limit=4, model="big").granted, "what runs goes on"
    assert slots.acquire("mlx", "c:1", limit=4, model="chat").granted
    assert slots.acquire("mlx", f"{INTERACTIVE_PREFIX}x", limit=4).granted
    assert slots.acquire("ollama", "b:1", limit=4, model="big").granted
    slots.admit_all("mlx")
    assert slots.acquire("mlx", "d:1", limit=4, model="big").granted


def test_a_demand_ends_by_itself_and_an_order_to_interrupt_does_too(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    shared, now = InteractiveDemand(client), datetime.now(UTC)
    wanted = Demand("llama3:8b", 8192, until=now + timedelta(seconds=30), waiting_since=now)
    shared.publish("ollama", wanted)

    assert shared.read(now=now) == {"ollama": wanted}
    assert shared.read(now=now + timedelta(seconds=31)) == {}
    shared.preempt("ollama", ["qwen3:32b"])
    assert shared.preempted(["mlx", "ollama"]) == {"ollama": frozenset({"qwen3:32b"})}
    assert 0 < client.ttl("kos:preempt:ollama") <= 5
