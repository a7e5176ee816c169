"""The listener: ``python -m jobs.listener`` turns what happens in Postgres into wakes.

A row inserted by anybody notifies ``kos_tasks``; a row that will be eligible later notifies
``kos_alarm``. Between notifications it sleeps until the next alarm: a retry that comes due, a
lease that runs out, or a queued row that nobody claims. It holds no state: after a lost connection
it connects and asks for recovery and a plan.
"""

from __future__ import annotations

import logging
import select
import signal
import sys
import time
from datetime import UTC, datetime, timedelta

import psycopg2
import redis

from jobs.process import signals
from jobs.queues.names import LISTENER_BEAT
from jobs.runtime import Runtime, connect
from models import backlog
from models.database import DatabaseUnavailable, database, session

logger = logging.getLogger(__name__)

LONGEST_SLEEP = timedelta(seconds=4)
"""A claim notifies nobody: its lease is seen at the next look, well before it can run out."""
SHORTEST_SLEEP = timedelta(seconds=0.25)
RECONNECT_SECONDS = 1.0
LEASE_SLACK = timedelta(seconds=0.5)


def main() -> int:
    settings = signals.prepare("listener")
    runtime = connect(settings, program="listener")
    stop = signals.stop_on(signal.SIGTERM, signal.SIGINT)
    listen(runtime, stop)
    runtime.close()
    return 0


def listen(runtime: Runtime, stop: signals.Stop) -> None:
    """Listen until ``stop``; reconnects for ever."""
    while not stop.is_set():
        try:
            with session():
                _listen_once(runtime, stop)
        except (DatabaseUnavailable, psycopg2.Error, redis.RedisError) as error:
            logger.warning("listener_disconnected error=%s", str(error).strip())
            stop.wait(RECONNECT_SECONDS)


def _listen_once(runtime: Runtime, stop: signals.Stop) -> None:
    database.execute_sql("LISTEN kos_tasks")
    database.execute_sql("LISTEN kos_alarm")
    connection = database.connection()
    logger.info("listener_ready")
    runtime.wakes.recover("listener started")
    runtime.wakes.plan("listener started")
    alarms = _Alarms(patience=timedelta(seconds=runtime.settings.lease_seconds / 4))
    alarms.look()
    while not stop.is_set():
        runtime.redis.set(LISTENER_BEAT, time.time())
        select.select([connection, stop], [], [], alarms.sleep_seconds())
        connection.poll()
        heard = {notification.channel for notification in connection.notifies}
        connection.notifies.clear()
        if "kos_tasks" in heard:
            runtime.wakes.plan("insert")
        if heard != {"kos_tasks"} or alarms.time_to_look():
            _ring(runtime, alarms)
        if not heard and backlog.anything_eligible():
            runtime.wakes.plan("still waiting")


def _ring(runtime: Runtime, alarms: _Alarms) -> None:
    if alarms.row_is_due():
        runtime.wakes.plan("due")
    alarms.look()
    if alarms.lease_ran_out():
        runtime.wakes.recover("a lease ran out")
    elif alarms.hand_is_late():
        runtime.wakes.recover("a queued task is not claimed")


class _Alarms:
    """The next moments at which something must happen without a notification.

    ``patience`` is how long a row may be queued before somebody looks for its message, and how
    long it is then left alone: it may well be waiting for a slot.
    """

    def __init__(self, *, patience: timedelta) -> None:
        self._patience = patience
        self._eligible: datetime | None = None
        self._lease: datetime | None = None
        self._late: datetime | None = None
        self._looked_for_late = datetime.min.replace(tzinfo=UTC)
        self._looked_at = datetime.min.replace(tzinfo=UTC)

    def look(self) -> None:
        self._looked_at = datetime.now(UTC)
        self._eligible, lease, queued = backlog.next_alarm()
        self._lease = lease and lease + LEASE_SLACK
        self._late = queued and max(queued, self._looked_for_late) + self._patience

    def row_is_due(self) -> bool:
        return self._eligible is not None and self._eligible <= datetime.now(UTC)

    def lease_ran_out(self) -> bool:
        return self._lease is not None and self._lease <= datetime.now(UTC)

    def hand_is_late(self) -> bool:
        """True once in each patience."""
        now = datetime.now(UTC)
        late = self._late is not None and self._late <= now
        if late:
            self._looked_for_late = now
            self._late = now + self._patience
        return late

    def time_to_look(self) -> bool:
        """Whether the sleep would be over by now: inserts that never end must not keep it off."""
        return self._next_look() <= datetime.now(UTC)

    def sleep_seconds(self) -> float:
        return max(0.0, (self._next_look() - datetime.now(UTC)).total_seconds())

    def _next_look(self) -> datetime:
        moments = [at for at in (self._eligible, self._lease, self._late) if at]
        soonest = min([*moments, self._looked_at + LONGEST_SLEEP])
        return max(soonest, self._looked_at + SHORTEST_SLEEP)


if __name__ == "__main__":
    sys.exit(main())
