"""How every actor is registered: no retries of dramatiq's own, a distant time limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dramatiq
from periodiq import cron

from jobs.schedule import TABLE


def register(
    broker: dramatiq.Broker, name: str, queue: str, fn: Callable[..., None]
) -> dramatiq.Actor[Any, Any]:
    """Make ``fn`` the actor ``name`` of ``queue``; its cron line comes from the schedule."""
    options: dict[str, Any] = {}
    line = next((line for line in TABLE if line.actor == name), None)
    if line is not None:
        options["periodic"] = cron(line.cron)
    declare = dramatiq.actor(actor_name=name, queue_name=queue, broker=broker, **options)
    return declare(fn)
