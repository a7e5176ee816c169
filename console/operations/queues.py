"""The broker's queues in Redis, read by key: no KEYS, no scan, no blocking call."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import redis

from console.operations.errors import UnknownName, near
from console.operations.ids import is_whole
from jobs.queues.names import CONTROL_QUEUE, MAINTENANCE_QUEUE, NAMESPACE, WORKERS, llm_queue
from jobs.settings.load import Settings

Where = Literal["ready", "delayed", "dead"]
WORKER_SILENT_SECONDS = 90.0
HEARTBEATS = f"{NAMESPACE}:__heartbeats__"


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """The messages of one queue, and its live workers. ``in_flight`` messages were fetched by a
    worker: they run, or wait there."""

    queue: str
    ready: int
    in_flight: int
    delayed: int
    dead: int
    consumers: int


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """``id`` is what ``requeue`` and ``delete`` take; ``error`` is the last line of a traceback."""

    id: str
    where: Where
    actor: str | None
    task: str | None
    epoch: Any
    age_seconds: float
    enqueued_at: datetime
    args: list[Any]
    kwargs: dict[str, Any]
    error: str | None


@dataclass(frozen=True, slots=True)
class UnreadableMessage:
    """What is in the queue and was not written by us."""

    id: str
    where: Where
    actor: None
    task: None
    error: str

    @property
    def age_seconds(self) -> None:
        """Not known."""


def names(settings: Settings) -> tuple[str, ...]:
    """Every queue of this deployment."""
    backends = tuple(llm_queue(spec.name) for spec in settings.backends)
    return (CONTROL_QUEUE, MAINTENANCE_QUEUE, *backends)


def checked_name(written: str, known: Sequence[str]) -> str:
    """The queue's name; a backend's name is accepted too. Raises UnknownName."""
    for name in (written, llm_queue(written)):
        if name in known:
            return name
    raise UnknownName(f"queue {written!r} is unknown; {near(written, known)}")


def overview(client: redis.Redis, queues: Sequence[str], *, now: datetime) -> list[QueueCounts]:
    """The counts of each queue, in the order of ``queues``."""
    brokers: list[str] = list(_sync(client.zrange(HEARTBEATS, 0, -1)))
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.llen(_key(queue))
            pipe.hlen(f"{_key(queue)}.DQ.msgs")
            pipe.zcard(f"{_key(queue)}.XQ")
            for broker in brokers:
                pipe.scard(f"{NAMESPACE}:__acks__.{broker}.{queue}")
        pipe.hvals(WORKERS)
        answers = pipe.execute()
    served = _queues_served(answers.pop(), now=now)
    step = 3 + len(brokers)
    rows = []
    for index, queue in enumerate(queues):
        ready, delayed, dead, *fetched = answers[index * step : (index + 1) * step]
        rows.append(
            QueueCounts(queue, ready, sum(fetched), delayed, dead, consumers=served.count(queue))
        )
    return rows


def messages(
    client: redis.Redis, queue: str, *, where: Where, limit: int, now: datetime
) -> list[QueueMessage | UnreadableMessage]:
    """Up to ``limit`` messages: ready ones in order, dead ones newest first."""
    key = _key(queue)
    if where == "ready":
        ids, store = _sync(client.lrange(key, 0, limit - 1)), f"{key}.msgs"
    elif where == "dead":
        ids, store = _sync(client.zrange(f"{key}.XQ", 0, limit - 1, desc=True)), f"{key}.XQ.msgs"
    else:
        ids, store = _sync(client.lrange(f"{key}.DQ", 0, limit - 1)), f"{key}.DQ.msgs"
    if not ids:
        return []
    texts = _sync(client.hmget(store, ids))
    found = zip(ids, texts, strict=True)
    return [_message(i, text, where=where, now=now) for i, text in found if text is not None]


def oldest_ready_seconds(client: redis.Redis, queue: str, *, now: datetime) -> float | None:
    """How long the first message has waited; None for an empty queue."""
    first = messages(client, queue, where="ready", limit=1, now=now)
    return first[0].age_seconds if first else None


def _queues_served(workers: Iterable[str], *, now: datetime) -> list[str]:
    served: list[str] = []
    for text in workers:
        try:
            worker = json.loads(text)
            heartbeat = _moment(worker["beat_at"])
            queues = [str(queue) for queue in worker["queues"]]
        except (ValueError, KeyError, TypeError):
            continue
        if (now - heartbeat).total_seconds() <= WORKER_SILENT_SECONDS:
            served.extend(queues)
    return served


def _moment(value: object) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, tz=UTC)
    moment = datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _message(
    message_id: str, text: str, *, where: Where, now: datetime
) -> QueueMessage | UnreadableMessage:
    try:
        message: dict[str, Any] = json.loads(text)
        enqueued = datetime.fromtimestamp(message["message_timestamp"] / 1000, tz=UTC)
        args, kwargs = list(message["args"]), dict(message["kwargs"])
    except (ValueError, KeyError, TypeError) as error:
        why = f"not a message of ours: {error!r}"
        return UnreadableMessage(message_id, where, None, None, why)
    options = message.get("options") or {}
    task = kwargs.get("task_id", args[0] if args else None)
    return QueueMessage(
        id=message_id,
        where=where,
        actor=message.get("actor_name"),
        task=task if isinstance(task, str) and is_whole(task) else None,
        epoch=kwargs.get("epoch", args[1] if len(args) > 1 else None),
        age_seconds=round((now - enqueued).total_seconds(), 3),
        enqueued_at=enqueued,
        args=args,
        kwargs=kwargs,
        error=_last_line(options.get("traceback")),
    )


def _last_line(traceback: object) -> str | None:
    lines = str(traceback).strip().splitlines() if traceback else []
    return lines[-1] if lines else None


def _key(queue: str) -> str:
    return f"{NAMESPACE}:{queue}"


def _sync(answer: Any) -> Any:
    """redis-py types every answer as maybe awaitable; this client is not asynchronous."""
    return answer
