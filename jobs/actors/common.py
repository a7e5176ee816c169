"""Registers an actor: without dramatiq's retries, and with a request for later in an outage."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import dramatiq
import redis
from periodiq import cron

from jobs.queues.control_requests import ControlRequests
from jobs.queues.cron import TABLE
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)


def register(
    broker: dramatiq.Broker,
    requests: ControlRequests,
    name: str,
    queue: str,
    fn: Callable[..., None],
) -> dramatiq.Actor[Any, Any]:
    """Make ``fn`` the actor ``name`` of ``queue``; its cron line comes from the schedule."""
    options: dict[str, Any] = {}
    line = next((line for line in TABLE if line.actor == name), None)
    if line is not None:
        options["periodic"] = cron(line.cron)
    declare = dramatiq.actor(actor_name=name, queue_name=queue, broker=broker, **options)
    return declare(_outlasting_outages(fn, requests, name))


def _outlasting_outages(
    fn: Callable[..., None], requests: ControlRequests, name: str
) -> Callable[..., None]:
    """In an outage the message is lost, so keep a plan and a recovery pending instead."""

    @functools.wraps(fn)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            fn(*args, **kwargs)
        except (DatabaseUnavailable, redis.RedisError) as error:
            logger.warning("not_done actor=%s error=%s", name, error)
            requests.add_pending()

    return run
