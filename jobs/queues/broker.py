"""The broker: dramatiq's Redis broker, whose consumers wait for a wake instead of polling.

A stock consumer sleeps with back-off up to the worker timeout when its queue is empty: hundreds
of milliseconds from send to start. Here every enqueue also pushes to the queue's wake list, and an
idle consumer blocks on that list. A lost wake costs one worker timeout, never a message.

It subclasses the private ``_RedisConsumer`` of dramatiq. Delayed messages are not consumed: rows
carry the time of their next attempt.
"""

from __future__ import annotations

import threading
from typing import Any

import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed

from jobs.queues.names import NAMESPACE, wake_list

WAKES_STORED = 64
HEARTBEAT_TIMEOUT_MS = 30_000


class WakingBroker(RedisBroker):
    """A ``RedisBroker`` that starts an idle consumer within milliseconds of an enqueue."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            client=client,
            middleware=[],
            namespace=NAMESPACE,
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        )

    @property
    def consumer_class(self) -> type[_RedisConsumer]:
        return WakingConsumer

    def declare_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Any, *, delay: int | None = None) -> Any:
        if delay is not None:
            raise ValueError("delayed messages are not consumed: set next_attempt_at on the row")
        enqueued = super().enqueue(message)
        self.wake(message.queue_name)
        return enqueued

    def wake(self, queue_name: str) -> None:
        """Let one idle consumer of ``queue_name`` look at once."""
        key = wake_list(queue_name)
        with self.client.pipeline(transaction=False) as pipe:
            pipe.rpush(key, 1)
            pipe.ltrim(key, -WAKES_STORED, -1)
            pipe.execute()

    def wake_all(self) -> None:
        """Let every idle consumer of this broker look at once: it is about to stop."""
        for queue_name in self.queues:
            self.wake(queue_name)


class WakingConsumer(_RedisConsumer):
    """Waits for a wake, or for room in its prefetch, where the stock consumer sleeps."""

    def __init__(self, broker: WakingBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        self._room = threading.Event()

    def ack(self, message: Any) -> None:
        super().ack(message)  # type: ignore[no-untyped-call]
        self._room.set()

    def nack(self, message: Any) -> None:
        super().nack(message)  # type: ignore[no-untyped-call]
        self._room.set()

    def __next__(self) -> Any:
        self._room.clear()
        message = self._fetch()
        if message is None:
            self._wait()
        return message

    def _fetch(self) -> Any:
        patience, self.timeout, self.misses = self.timeout, 0, 0
        try:
            return super().__next__()  # type: ignore[no-untyped-call]
        finally:
            self.timeout = patience

    def _wait(self) -> None:
        patience_seconds = max(0.05, self.timeout / 1000)
        if self.outstanding_message_count >= self.prefetch:
            self._room.wait(patience_seconds)
            return
        try:
            self.broker.client.blpop([wake_list(self.queue_name)], timeout=patience_seconds)
        except redis.TimeoutError:
            return
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None


def client_for(url: str, *, max_connections: int = 64) -> redis.Redis:
    """A client for workers: no read timeout, because consumers block; a full pool waits."""
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=20,
        socket_timeout=None,
        socket_connect_timeout=5,
        health_check_interval=30,
    )
    return redis.Redis(connection_pool=pool)
