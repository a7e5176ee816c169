"""Counts exceptions that left an actor, for health, `kos doctor` and metrics.

An actor is not retried, so without this its exception would be visible in a log only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis
from dramatiq import Broker, MessageProxy, Middleware

from jobs.process.clock import epoch_seconds
from jobs.queues.names import ACTOR_ERRORS, ACTOR_LAST_ERRORS

logger = logging.getLogger(__name__)

ERROR_CHARS = 300


@dataclass(frozen=True, slots=True)
class ActorErrors:
    """How often ``actor`` raised, its last exception, and when it came (seconds since 1970)."""

    actor: str
    count: int
    last: str
    at: float


class CountActorErrors(Middleware):
    """Counts every exception by the name of its actor."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        if exception is None:
            return
        text = " ".join(f"{type(exception).__name__}: {exception}".split())[:ERROR_CHARS]
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.hincrby(ACTOR_ERRORS, message.actor_name, 1)
                last = json.dumps({"error": text, "at": epoch_seconds()})
                pipe.hset(ACTOR_LAST_ERRORS, message.actor_name, last)
                pipe.execute()
        except redis.RedisError as error:
            logger.warning("actor_error_not_counted actor=%s error=%s", message.actor_name, error)


def read_errors(client: redis.Redis) -> Iterator[ActorErrors]:
    """Every actor that ever raised, by name. Raises RedisError."""
    counts: Any = client.hgetall(ACTOR_ERRORS)
    lasts: Any = client.hgetall(ACTOR_LAST_ERRORS)
    for name in sorted(counts):
        last = json.loads(lasts.get(name, b'{"error": "", "at": 0}'))
        yield ActorErrors(name.decode(), int(counts[name]), last["error"], last["at"])
