"""Checks our own programs by their heartbeats in Redis."""

from __future__ import annotations

from collections.abc import Iterable

import redis

from jobs.process.clock import epoch_seconds
from jobs.process.owners import process_is_gone
from jobs.queues.actor_errors import read_errors
from jobs.queues.names import LISTENER_HEARTBEAT, SCHEDULER_TICK
from jobs.queues.worker_register import RegisteredWorker, registered
from jobs.upkeep.health.checks import RESTARTED, HealthCheck

TICK_SECONDS = 150.0
LISTENER_SECONDS = 45.0
WORKER_SECONDS = 30.0
ERROR_SECONDS = 90.0
"""How long an exception keeps the check red. The schedule calls each control actor more often than
that."""


def scheduler(client: redis.Redis) -> HealthCheck:
    return _mark(client, SCHEDULER_TICK, "scheduler", "jobs:scheduler", TICK_SECONDS)


def listener(client: redis.Redis) -> HealthCheck:
    return _mark(client, LISTENER_HEARTBEAT, "listener", "jobs:listener", LISTENER_SECONDS)


def workers(client: redis.Redis, expected: Iterable[str]) -> list[HealthCheck]:
    """One check for each expected program, by its entry in the register of workers."""
    alive = [worker for worker in registered(client) if not process_is_gone(worker.owner)]
    return [_worker(program, alive) for program in expected]


def actors(client: redis.Redis) -> HealthCheck:
    """Red while an actor raised recently."""
    errors = list(read_errors(client))
    recent = [one for one in errors if epoch_seconds() - one.at < ERROR_SECONDS]
    if not recent:
        return HealthCheck(
            "actors", True, f"{sum(one.count for one in errors)} exceptions, none lately"
        )
    detail = "; ".join(f"{one.actor} raised {one.last} ({one.count} in all)" for one in recent)
    return HealthCheck(
        "actors", False, detail, "see `kos logs`; an exception there is a fault of ours"
    )


def _worker(program: str, workers: list[RegisteredWorker]) -> HealthCheck:
    heartbeats = [worker.heartbeat_at for worker in workers if worker.program == program]
    if not heartbeats:
        return HealthCheck(program, False, "not registered", f"start it: kos ctl start {program}")
    age = epoch_seconds() - max(heartbeats)
    if age > WORKER_SECONDS:
        return HealthCheck(program, False, "gives no heartbeat", RESTARTED, program)
    return HealthCheck(program, True, f"heartbeat {age:.0f} s ago")


def _mark(
    client: redis.Redis, key: str, name: str, program: str, bound_seconds: float
) -> HealthCheck:
    stored = client.get(key)
    if stored is None:
        return HealthCheck(
            name, False, "has left no mark yet", f"start it: kos ctl start {program}"
        )
    age = epoch_seconds() - float(stored)
    if age > bound_seconds:
        return HealthCheck(name, False, "leaves no mark", RESTARTED, program)
    return HealthCheck(name, True, f"last mark {age:.0f} s ago")
