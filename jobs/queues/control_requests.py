"""Asking the control queue for work, at most once until it starts.

A mark in Redis stands for a request that waits in the queue; the actor removes it before it reads
the rows, so that whatever is committed later finds no mark and asks again. No wake is lost, and
ten thousand inserts ask once. A freed slot asks for less than anything else does: news that meet
a waiting request for a slot are left beside its mark, and the actor finds them.
"""

from __future__ import annotations

import threading

import dramatiq
import redis

from jobs.queues.names import (
    CONTROL_QUEUE,
    MAINTENANCE_QUEUE,
    PLAN_NEWS,
    PLAN_WANTED,
    RECOVERY_WANTED,
)

SLOT = "slot"
"""The reason of a plan that has nothing new to read: a task ended."""
MARK_SECONDS = 10
RECOVERY_MARK_SECONDS = 3


class ControlRequests:
    """Sends control messages. Knows actors by name only, so that any process may use it."""

    def __init__(self, broker: dramatiq.Broker, client: redis.Redis) -> None:
        self._broker = broker
        self._client = client
        self._owed: set[str] = set()
        self._owing = threading.Lock()

    def plan(self, reason: str) -> bool:
        """Ask for assigning, planning and dispatching; False when that is asked for already."""
        with self._client.pipeline(transaction=True) as pipe:
            if reason != SLOT:
                pipe.set(PLAN_NEWS, reason)
            pipe.set(PLAN_WANTED, reason, nx=True, ex=MARK_SECONDS)
            asked = pipe.execute()[-1]
        if asked:
            self._send("plan", CONTROL_QUEUE, reason=reason)
        return bool(asked)

    def plan_started(self, reason: str) -> str:
        """Take the mark away; the reason to plan for, which may be newer than the message's."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.delete(PLAN_WANTED)
            pipe.get(PLAN_NEWS)
            pipe.delete(PLAN_NEWS)
            news = pipe.execute()[1]
        if reason != SLOT or news is None:
            return reason
        return news.decode() if isinstance(news, bytes) else str(news)

    def recover(self, reason: str) -> bool:
        """Ask for recovery; False when that is asked for already."""
        if not self._client.set(RECOVERY_WANTED, reason, nx=True, ex=RECOVERY_MARK_SECONDS):
            return False
        self._send("recover", CONTROL_QUEUE, reason=reason)
        return True

    def recovery_started(self) -> None:
        self._client.delete(RECOVERY_WANTED)

    def forget(self) -> None:
        """Take the marks away: whoever was to remove them is gone."""
        self._client.delete(PLAN_WANTED, RECOVERY_WANTED)

    def scan(self, reason: str) -> None:
        self._send("scan", MAINTENANCE_QUEUE, reason=reason)

    def probe(self) -> None:
        self._send("probe", MAINTENANCE_QUEUE)

    def owe(self) -> None:
        """A request could not be made or met, for Redis or Postgres was away: make it later."""
        with self._owing:
            self._owed |= {"plan", "recover"}

    def pay(self) -> bool:
        """Make the requests that are owed; False where there are none. Raises RedisError."""
        with self._owing:
            owed, self._owed = self._owed, set()
        if not owed:
            return False
        try:
            self.recover("made up for")
            self.plan("made up for")
        except redis.RedisError:
            self.owe()
            raise
        return True

    def _send(self, actor: str, queue: str, **kwargs: str) -> None:
        self._broker.enqueue(
            dramatiq.Message(queue_name=queue, actor_name=actor, args=(), kwargs=kwargs, options={})
        )
