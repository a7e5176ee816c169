"""What people want of the servers now, shared through Redis.

The gateway writes it, the planner and the dispatcher read it, and lease keepers interrupt what
must give way. Every entry ends by itself: a gateway that is killed leaves no server reserved.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import redis

from jobs.policy.interactive import Demand
from jobs.queues.names import INTERACTIVE_DEMAND, preempt_key

PREEMPT_SECONDS = 5
"""An order to interrupt stands this long: every lease keeper looks once a second."""


class InteractiveDemand:
    """Raises RedisError where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def publish(self, backend: str, demand: Demand) -> None:
        line = asdict(demand) | {
            "until": demand.until.timestamp(),
            "waiting_since": demand.waiting_since and demand.waiting_since.timestamp(),
        }
        self._client.hset(INTERACTIVE_DEMAND, backend, json.dumps(line))

    def withdraw(self, backend: str) -> None:
        self._client.hdel(INTERACTIVE_DEMAND, backend)

    def read(self, *, now: datetime) -> dict[str, Demand]:
        """The demands that still hold, by backend."""
        stored = self._client.hgetall(INTERACTIVE_DEMAND)
        found = {_text(backend): _demand(value) for backend, value in stored.items()}
        return {backend: demand for backend, demand in found.items() if demand.until > now}

    def preempt(self, backend: str, models: Sequence[str]) -> None:
        """Interrupt the running tasks of these models there."""
        key = preempt_key(backend)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.sadd(key, *models)
            pipe.expire(key, PREEMPT_SECONDS)
            pipe.execute()

    def preempted(self, backends: Sequence[str]) -> dict[str, frozenset[str]]:
        """The models whose running tasks must be interrupted, for each of ``backends``."""
        with self._client.pipeline(transaction=False) as pipe:
            for backend in backends:
                pipe.smembers(preempt_key(backend))
            answers = pipe.execute()
        return {
            backend: frozenset(_text(model) for model in models)
            for backend, models in zip(backends, answers, strict=True)
            if models
        }


def _demand(value: bytes | str) -> Demand:
    line = json.loads(value)
    since = line["waiting_since"]
    return Demand(
        model=line["model"],
        num_ctx=line["num_ctx"],
        until=datetime.fromtimestamp(line["until"], tz=UTC),
        waiting_since=None if since is None else datetime.fromtimestamp(since, tz=UTC),
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
