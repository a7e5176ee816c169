"""Receives the releases of slots by other processes, so that waiting messages ask again at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import redis

logger = logging.getLogger(__name__)

LISTEN_SECONDS = 0.5
RECONNECT_SECONDS = 1.0
SUBSCRIBED_SECONDS = 30.0
"""A silent subscription may be a broken one, so it is renewed after this."""


class FreedSlots:
    """A thread that calls ``on_freed(backend)`` for every message on the slots' freed channel.

    Missing a message costs a waiter one polling interval, nothing more: while Redis is away the
    thread just tries again. ``on_freed`` must be quick, such as notifying a condition.
    """

    def __init__(self, client: redis.Redis, channel: str, on_freed: Callable[[str], None]) -> None:
        self._client = client
        self._channel = channel
        self._on_freed = on_freed
        self._stopping = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._listen_on, name="freed-slots", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; returns within about a second."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)

    def wait_until_listening(self, timeout_seconds: float) -> bool:
        return self._listening.wait(timeout_seconds)

    def _listen_on(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except redis.RedisError as error:
                logger.warning("freed_slots_not_heard error=%s", error)
                self._listening.clear()
                self._stopping.wait(RECONNECT_SECONDS)

    def _listen(self) -> None:
        with self._client.pubsub() as subscription:
            subscription.subscribe(self._channel)
            ends_at = time.monotonic() + SUBSCRIBED_SECONDS
            while not self._stopping.is_set() and time.monotonic() < ends_at:
                message = subscription.get_message(timeout=LISTEN_SECONDS)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._listening.set()
                elif message["type"] == "message":
                    data = message["data"]
                    self._on_freed(data.decode() if isinstance(data, bytes) else str(data))
