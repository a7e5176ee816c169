"""The listener: ``python -m jobs.listener`` turns events in Postgres into control requests.

An inserted row notifies ``kos_tasks``; a row that becomes eligible later notifies ``kos_alarm``;
an event that a webhook waits for notifies ``kos_webhooks``.
Between notifications the listener sleeps until the next timer: a retry that comes due, a lease
that runs out, or a queued row that nobody claims. It keeps no state: after a lost connection it
connects again and requests a recovery, a plan and a delivery.
"""

from __future__ import annotations

import logging
import select
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg2
import redis

from jobs.process import signals
from jobs.process.clock import epoch_seconds, utc_now
from jobs.queues.names import LISTENER_HEARTBEAT
from jobs.runtime import Runtime, connect
from models import backlog, webhook
from models.bounded_connection import statement_limit
from models.database import DatabaseUnavailable, behind_pooler, database, session

logger = logging.getLogger(__name__)

LONGEST_SLEEP = timedelta(seconds=3)
"""A claim sends no notification: its lease is read at the next look, before it can run out."""
POLL = timedelta(seconds=1)
"""Behind a pooler nothing is notified: new rows are looked for this often."""
REMEDY = "set KOS_DATABASE_DIRECT_URL to Postgres itself, past its pooler"
SHORTEST_SLEEP = timedelta(seconds=0.25)
RECONNECT_SECONDS = 0.5
ANSWER_SECONDS = 2.0
"""Its statements read an index or two; later than this, the connection is dead."""
LEASE_SLACK = timedelta(seconds=0.5)
"""Clocks of Postgres and of this host may differ by this much."""


def main() -> int:
    settings = signals.prepare("listener")
    direct = settings.database_direct_url or settings.database_url
    runtime = connect(replace(settings, database_url=direct), program="listener")
    stop = signals.stop_on(signal.SIGTERM, signal.SIGINT)
    listen(runtime, stop)
    runtime.close()
    return 0


def listen(runtime: Runtime, stop: signals.Stop) -> None:
    """Listen until ``stop``; reconnect after every error."""
    while not stop.is_set():
        try:
            with statement_limit(ANSWER_SECONDS), session():
                _listen_once(runtime, stop)
        except (DatabaseUnavailable, psycopg2.Error, redis.RedisError) as error:
            logger.warning("listener_disconnected error=%s", str(error).strip())
            stop.wait(RECONNECT_SECONDS)


def _listen_once(runtime: Runtime, stop: signals.Stop) -> None:
    polls = behind_pooler()
    if polls:
        logger.warning("listener_polls every_seconds=%g remedy=%s", POLL.total_seconds(), REMEDY)
    else:
        database.execute_sql("LISTEN kos_tasks")
        database.execute_sql("LISTEN kos_alarm")
        database.execute_sql("LISTEN kos_webhooks")
    connection = database.connection()
    logger.info("listener_ready")
    runtime.requests.recover("listener started")
    runtime.requests.plan("listener started")
    runtime.requests.deliver()
    timers = _Timers(
        patience=timedelta(seconds=runtime.settings.lease_seconds / 4),
        longest_sleep=POLL if polls else LONGEST_SLEEP,
    )
    timers.refresh()
    while not stop.is_set():
        runtime.redis.set(LISTENER_HEARTBEAT, epoch_seconds())
        select.select([connection, stop], [], [], timers.sleep_seconds())
        connection.poll()
        channels = {notification.channel for notification in connection.notifies}
        connection.notifies.clear()
        if "kos_tasks" in channels:
            runtime.requests.plan("insert")
        if "kos_webhooks" in channels or (polls and webhook.with_due_deliveries()):
            runtime.requests.deliver()
        if channels != {"kos_tasks"} or timers.is_due():
            _run_due(runtime, timers)
        if not channels and (backlog.anything_eligible() or (polls and backlog.unassigned(1))):
            runtime.requests.plan("still waiting")


def _run_due(runtime: Runtime, timers: _Timers) -> None:
    if timers.row_is_due():
        runtime.requests.plan("due")
    timers.refresh()
    if timers.lease_ran_out():
        runtime.requests.recover("a lease ran out")
    elif timers.message_is_late():
        runtime.requests.recover("a queued task is not claimed")


class _Timers:
    """The next moments at which something must happen without a notification.

    A row may be queued for ``patience`` before recovery looks for its message. Recovery then
    leaves it alone for as long again: its message may be waiting for a slot.
    """

    def __init__(self, *, patience: timedelta, longest_sleep: timedelta) -> None:
        self._patience = patience
        self._longest_sleep = longest_sleep
        self._eligible: datetime | None = None
        self._lease: datetime | None = None
        self._late: datetime | None = None
        self._late_checked_at = datetime.min.replace(tzinfo=UTC)
        self._read_at = datetime.min.replace(tzinfo=UTC)

    def refresh(self) -> None:
        self._read_at = utc_now()
        self._eligible, lease, queued = backlog.next_due_times()
        self._lease = lease and lease + LEASE_SLACK
        self._late = queued and max(queued, self._late_checked_at) + self._patience

    def row_is_due(self) -> bool:
        return self._eligible is not None and self._eligible <= utc_now()

    def lease_ran_out(self) -> bool:
        return self._lease is not None and self._lease <= utc_now()

    def message_is_late(self) -> bool:
        """True once in each ``patience``."""
        now = utc_now()
        late = self._late is not None and self._late <= now
        if late:
            self._late_checked_at = now
            self._late = now + self._patience
        return late

    def is_due(self) -> bool:
        """Whether the sleep would be over by now: a stream of inserts must not postpone it."""
        return self._next_moment() <= utc_now()

    def sleep_seconds(self) -> float:
        return max(0.0, (self._next_moment() - utc_now()).total_seconds())

    def _next_moment(self) -> datetime:
        moments = [at for at in (self._eligible, self._lease, self._late) if at]
        soonest = min([*moments, self._read_at + self._longest_sleep])
        return max(soonest, self._read_at + SHORTEST_SLEEP)


if __name__ == "__main__":
    sys.exit(main())
