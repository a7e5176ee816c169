"""Requests to the control queue, each sent at most once until it starts.

A dedup key in Redis stands for a request that waits in the queue. The actor deletes the key before
it reads the rows, so whatever is committed later finds no key and sends a new request: no request
is lost, and ten thousand inserts send one. A request for dispatch only is the weakest. If a
stronger reason arrives while one is queued, it is stored and the actor upgrades the request.
"""

from __future__ import annotations

import threading
from typing import Any

import dramatiq
import redis

from jobs.queues.names import (
    CONTROL_QUEUE,
    DELIVERY_DEDUP_KEY,
    MAINTENANCE_QUEUE,
    PLAN_DEDUP_KEY,
    PLAN_PENDING_REASON,
    RECOVERY_DEDUP_KEY,
)

TASK_ENDED = "task ended"
"""Sent when a task ends, just before its slot is released, so that the next message can be sent."""
LOAD_ENDED = "load ended"
"""A model was loaded ahead of its block, or could not be."""
INTERACTIVE_CHANGED = "interactive"
"""People started or stopped using another model of a server."""
SERVERS_CHANGED = "health"
"""A server or a model of one can be used again, or no longer."""
LOOK_AGAIN = frozenset({INTERACTIVE_CHANGED, SERVERS_CHANGED})
"""Reasons for which what was read of the servers is out of date."""
DISPATCH_ONLY = frozenset({TASK_ENDED, LOAD_ENDED})
"""Reasons with no new rows to read: the plan in force is enough."""
PLAN_DEDUP_SECONDS = 5
RECOVERY_DEDUP_SECONDS = 3
"""A key outlives a lost message or a killed actor for this long; then the next request goes
through."""


class ControlRequests:
    """Sends control messages. Knows actors by name only, so that any process may use it."""

    def __init__(self, broker: dramatiq.Broker, client: redis.Redis) -> None:
        self._broker = broker
        self._client = client
        self._pending: set[str] = set()
        self._lock = threading.Lock()

    def plan(self, reason: str) -> bool:
        """Request assigning, planning and dispatching; False where a request waits already."""
        if reason in DISPATCH_ONLY:
            is_first: Any = self._client.set(PLAN_DEDUP_KEY, reason, nx=True, ex=PLAN_DEDUP_SECONDS)
        else:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.set(PLAN_PENDING_REASON, reason)
                pipe.set(PLAN_DEDUP_KEY, reason, nx=True, ex=PLAN_DEDUP_SECONDS)
                is_first = pipe.execute()[-1]
        if is_first:
            self._send("plan", CONTROL_QUEUE, reason=reason)
        return bool(is_first)

    def plan_started(self, reason: str) -> str:
        """Clear the dedup key; the reason to plan for, which may be stronger than ``reason``."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.delete(PLAN_DEDUP_KEY)
            pipe.get(PLAN_PENDING_REASON)
            pipe.delete(PLAN_PENDING_REASON)
            stronger = pipe.execute()[1]
        if reason not in DISPATCH_ONLY or stronger is None:
            return reason
        return stronger.decode() if isinstance(stronger, bytes) else str(stronger)

    def recover(self, reason: str) -> bool:
        """Request recovery; False where a request waits already."""
        if not self._client.set(RECOVERY_DEDUP_KEY, reason, nx=True, ex=RECOVERY_DEDUP_SECONDS):
            return False
        self._send("recover", CONTROL_QUEUE, reason=reason)
        return True

    def breaker_opened(self, backend: str) -> None:
        """Request that what is queued there comes back, and a plan without it."""
        self.recover(f"a breaker of {backend} opened")
        self.plan(SERVERS_CHANGED)

    def recovery_started(self) -> None:
        self._client.delete(RECOVERY_DEDUP_KEY)

    def deliver(self) -> None:
        """Request a delivery of what webhooks wait for, unless a request waits already."""
        if self._client.set(DELIVERY_DEDUP_KEY, 1, nx=True, ex=PLAN_DEDUP_SECONDS):
            self._send("deliver", MAINTENANCE_QUEUE)

    def delivery_started(self) -> None:
        self._client.delete(DELIVERY_DEDUP_KEY)

    def clear_dedup_keys(self) -> None:
        """Delete the dedup keys of a process that died before it could delete them."""
        self._client.delete(PLAN_DEDUP_KEY, RECOVERY_DEDUP_KEY, DELIVERY_DEDUP_KEY)

    def scan(self, reason: str) -> None:
        self._send("scan", MAINTENANCE_QUEUE, reason=reason)

    def probe(self) -> None:
        self._send("probe", MAINTENANCE_QUEUE)

    def add_pending(self) -> None:
        """Redis or Postgres was away: keep one plan and one recovery request for :meth:`flush`."""
        with self._lock:
            self._pending |= {"plan", "recover"}

    def flush(self) -> bool:
        """Send what is pending; False if nothing is. On RedisError it stays pending, and the error
        is raised."""
        with self._lock:
            pending, self._pending = self._pending, set()
        if not pending:
            return False
        try:
            self.recover("after an outage")
            self.plan("after an outage")
        except redis.RedisError:
            self.add_pending()
            raise
        return True

    def _send(self, actor: str, queue: str, **kwargs: str) -> None:
        self._broker.enqueue(
            dramatiq.Message(queue_name=queue, actor_name=actor, args=(), kwargs=kwargs, options={})
        )
