"""The scheduler: ``python -m jobs.scheduler`` sends the ticks of the schedule through periodiq."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

import pendulum
import redis
from periodiq import Scheduler

from jobs.app import build_app
from jobs.process import signals
from jobs.process.clock import epoch_seconds, utc_now
from jobs.queues.leadership import Leadership
from jobs.queues.names import CONTROL_QUEUE, MAINTENANCE_QUEUE, SCHEDULER_TICK
from models import database
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)

LEASE_SECONDS = 45.0
"""Shorter than the minute between two ticks: the tick after a leader's end is not lost."""


class TickingScheduler(Scheduler):  # type: ignore[misc]
    """Sends the ticks while it leads, and writes the time of each to Redis, so that a scheduler
    that hangs is noticed. One of another host stands by."""

    def __init__(self, actors: Sequence[object], client: redis.Redis) -> None:
        super().__init__(actors=actors)
        self._client = client
        self._leadership = Leadership(client, "scheduler", LEASE_SECONDS)

    def send_actors(self, actors: Sequence[object], now: pendulum.DateTime) -> None:
        if not self._leadership.holds():
            return
        with suppress(DatabaseUnavailable), database.session():
            pass  # A connection brings the time that the ticks carry.
        super().send_actors(actors, utc_now())
        self._client.set(SCHEDULER_TICK, epoch_seconds())


def main() -> int:
    settings = signals.prepare("scheduler")
    app = build_app(settings, queues=[CONTROL_QUEUE, MAINTENANCE_QUEUE], program="jobs:scheduler")
    actors = [actor for actor in app.runtime.broker.actors.values() if "periodic" in actor.options]
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    scheduler = TickingScheduler(actors, app.runtime.redis)
    logger.info("scheduler_ready lines=%d", len(actors))
    scheduler.schedule()
    scheduler.loop()
    return 0


def _exit(number: int, frame: object) -> None:
    # Nothing is held here: a tick lost now is sent by the next start or minute.
    logger.info("scheduler_stopped threads=%d", threading.active_count())
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
