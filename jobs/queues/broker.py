"""The broker: dramatiq's Redis broker, whose consumers wait for a wake instead of polling.

When its queue is empty, a stock consumer sleeps with back-off up to the worker timeout: hundreds of
milliseconds from send to start. Here every enqueue also pushes to the queue's wake list, and an
idle consumer blocks on that list. A lost wake costs one worker timeout, never a message.

It subclasses the private ``_RedisConsumer`` of dramatiq. Delayed messages are not consumed: rows
carry the time of their next attempt.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed

from jobs.process.clock import epoch_seconds
from jobs.queues.names import NAMESPACE, wake_list

logger = logging.getLogger(__name__)

WAKES_STORED = 64
HEARTBEAT_TIMEOUT_MS = 30_000


class WakingBroker(RedisBroker):
    """A ``RedisBroker`` that starts an idle consumer within milliseconds of an enqueue."""

    def __init__(self, client: redis.Redis, blocking_client: redis.Redis) -> None:
        """``blocking_client`` is for consumers that wait for a wake, ``client`` for all else."""
        self.blocking_client = blocking_client
        super().__init__(  # type: ignore[no-untyped-call]
            client=client,
            middleware=[],
            namespace=NAMESPACE,
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        )
        self.scripts["dispatch"] = _OnSharedClock(self.scripts["dispatch"])

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
        self.enqueue_all([message])
        return message

    def enqueue_all(self, messages: Sequence[Any]) -> None:
        """Send ``messages`` and their wakes in one round trip.

        It does what dramatiq's own script does for ``enqueue``, except the heartbeat, which has a
        thread.
        """
        with self.client.pipeline(transaction=True) as pipe:
            for message in messages:
                self.emit_before("enqueue", message, None)
                redis_id = str(uuid4())
                encoded = message.copy(options={"redis_message_id": redis_id}).encode()
                queue = f"{self.namespace}:{message.queue_name}"
                pipe.hset(f"{queue}.msgs", redis_id, encoded)
                pipe.rpush(queue, redis_id)
                _add_wake(pipe, message.queue_name)
            pipe.execute()
        for message in messages:
            self.emit_after("enqueue", message, None)

    def wake(self, queue_name: str) -> None:
        """Make one idle consumer of ``queue_name`` fetch at once."""
        with self.client.pipeline(transaction=False) as pipe:
            _add_wake(pipe, queue_name)
            pipe.execute()

    def wake_all(self) -> None:
        """Make every idle consumer of this broker return at once: the broker is about to stop."""
        for queue_name in self.queues:
            self.wake(queue_name)


class WakingConsumer(_RedisConsumer):
    """Waits for a wake, or for free prefetch, where the stock consumer sleeps."""

    def __init__(self, broker: WakingBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        self._room = threading.Event()

    def ack(self, message: Any) -> None:
        _with_retry(partial(super().ack, message))
        self._room.set()

    def nack(self, message: Any) -> None:
        _with_retry(partial(super().nack, message))
        self._room.set()

    def requeue(self, messages: Any) -> None:
        _with_retry(partial(super().requeue, messages))

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
        except redis.TimeoutError as error:
            # Messages that Redis delivered meanwhile are lost; recovery and the next request
            # replace them.
            logger.warning("fetch_not_answered queue=%s error=%s", self.queue_name, error)
            return None
        finally:
            self.timeout = patience

    def _wait(self) -> None:
        patience_seconds = max(0.05, self.timeout / 1000)
        if self.outstanding_message_count >= self.prefetch:
            self._room.wait(patience_seconds)
            return
        try:
            key = wake_list(self.queue_name)
            self.broker.blocking_client.blpop([key], timeout=patience_seconds)
        except redis.TimeoutError as error:
            logger.warning("wake_not_answered queue=%s error=%s", self.queue_name, error)
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None


class _OnSharedClock:
    """Dramatiq's script with the time of all hosts: with that of one host, a broker that is ahead
    takes the messages of all others as those of the dead."""

    def __init__(self, script: Any) -> None:
        self._script = script

    def __call__(self, *, args: list[Any], keys: list[str]) -> Any:
        command, _, *others = args
        return self._script(args=[command, int(epoch_seconds() * 1000), *others], keys=keys)


def _add_wake(pipe: Any, queue_name: str) -> None:
    key = wake_list(queue_name)
    pipe.rpush(key, 1)
    pipe.ltrim(key, -WAKES_STORED, -1)


def _with_retry(command: Callable[[], None]) -> None:
    """Run ``command``, which must be repeatable. Raises ConnectionClosed, which dramatiq
    retries."""
    try:
        command()
    except redis.TimeoutError:
        try:
            command()
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None
