from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import redis

from jobs.admission.slot_events import FreedSlots
from jobs.admission.slots import Slots
from tests.integration.admission.test_slots_admission import PATIENCE_SECONDS, until
from tests.support.embedded import Server, redis_server


def test_a_waiter_hears_of_a_slot_freed_elsewhere(server: Server) -> None:
    heard: list[str] = []
    with server.client() as here, server.client() as there:
        slots = Slots(there, prefix="freed-test", owner="there")
        listener = FreedSlots(here, slots.freed_channel, heard.append)
        listener.start()
        assert listener.wait_until_listening(PATIENCE_SECONDS)
        slots.acquire("ollama", "t1:1", limit=1)

        slots.release("ollama", "t1:1")

        until(lambda: heard == ["ollama"])
        listener.stop()


@pytest.mark.parametrize(
    ("let_go", "is_told"),
    [("a slot", True), ("a place in the line", True), ("nothing", False)],
)
def test_those_behind_hear_of_whatever_somebody_lets_go(
    client: redis.Redis, let_go: str, is_told: bool
) -> None:
    """A heavy waiter that gives up may be all that a light one behind it waits for."""
    slots = Slots(client, owner="here")
    slots.acquire("ollama", "t1:1", limit=1)
    slots.acquire("ollama", "t2:1", limit=1)
    with client.pubsub(ignore_subscribe_messages=True) as told:
        told.subscribe(slots.freed_channel)
        until(lambda: client.pubsub_numsub(slots.freed_channel)[0][1] == 1)

        slots.release("ollama", {"a slot": "t1:1", "a place in the line": "t2:1"}.get(let_go, "x"))
        client.publish(slots.freed_channel, "the end")

        heard: list[Any] = []

        def hear() -> bool:
            heard.append(told.get_message(timeout=0.1))
            return heard[-1] is not None

        until(hear)
    assert (heard[-1]["data"] not in (b"the end", "the end")) == is_told


def test_listening_goes_on_after_the_connection_broke() -> None:
    heard = threading.Event()
    with redis_server() as server, server.client() as here, server.client() as there:
        slots = Slots(there, owner="there")
        listener = FreedSlots(here, slots.freed_channel, lambda backend: heard.set())
        listener.start()
        assert listener.wait_until_listening(PATIENCE_SECONDS)

        there.client_kill_filter(_type="pubsub")

        deadline = time.monotonic() + PATIENCE_SECONDS
        while not heard.wait(0.02):
            assert time.monotonic() < deadline
            slots.acquire("ollama", "t1:1", limit=1)
            slots.release("ollama", "t1:1")
        listener.stop()
