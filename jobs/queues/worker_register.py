"""The register of worker processes: which queues each consumes, and its last heartbeat."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import redis

from jobs.process.owners import process_is_gone
from jobs.queues.broker_heartbeat import HEARTBEAT_SECONDS
from jobs.queues.names import WORKERS

SILENT_SECONDS = 3 * HEARTBEAT_SECONDS
"""A process without a heartbeat for this long is dead, frozen, or its host is gone."""


@dataclass(frozen=True, slots=True)
class RegisteredWorker:
    """A worker process as it registered itself; ``heartbeat_at`` is in seconds since the epoch."""

    owner: str
    heartbeat_at: float
    program: str | None = None
    queues: tuple[str, ...] = ()
    broker_id: str | None = None

    def has_heartbeat(self, now: float) -> bool:
        return now - self.heartbeat_at < SILENT_SECONDS


def registered(client: redis.Redis) -> list[RegisteredWorker]:
    """Every entry of the register, including dead processes."""
    return [
        _worker(owner.decode() if isinstance(owner, bytes) else owner, line)
        for owner, line in client.hgetall(WORKERS).items()
    ]


def consumed_queues(workers: Iterable[RegisteredWorker], *, now: float) -> frozenset[str]:
    """Queues that a live process consumes; a draining process consumes none. ``now`` is in seconds
    since the epoch."""
    return frozenset(
        queue
        for worker in workers
        if worker.has_heartbeat(now) and not process_is_gone(worker.owner)
        for queue in worker.queues
    )


def _worker(owner: str, line: str | bytes) -> RegisteredWorker:
    fields = json.loads(line)
    return RegisteredWorker(
        owner=owner,
        heartbeat_at=float(fields["beat_at"]),
        program=fields.get("program"),
        queues=tuple(fields.get("queues", ())),
        broker_id=fields.get("broker_id"),
    )
