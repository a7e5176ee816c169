from __future__ import annotations

import threading
import time

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
