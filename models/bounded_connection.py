"""Bounds every wait for an answer of Postgres.

libpq bounds a connect and, by ``tcp_user_timeout``, data that is not acknowledged. The kernel of a
frozen server or proxy still acknowledges. So the driver waits through :func:`wait_for_answer`,
which stops after a number of seconds. The driver then closes the connection, and its user gets an
OperationalError.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_SETUP, connection

from models.clock import NOW, server_clock

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 8.0
"""Longer than any statement of a running system, short enough to recover within 15 s."""


CONNECTING = (STATUS_SETUP, 20)
"""The driver has no name for the state between the two."""
TRUST_SECONDS = 0.5
"""A connection that was idle for longer is pinged before use: its other end may be gone."""
TRIAL_SECONDS = 1.0


class BoundedConnection(connection):
    """Our statements end within :data:`ANSWER_SECONDS`; other connections are unbounded."""

    used_at = 0.0

    def is_alive(self) -> bool:
        """Whether it answers now; assumed where it was used a moment ago."""
        if self.closed or time.monotonic() - self.used_at < TRUST_SECONDS:
            return not self.closed
        try:
            asked_at = server_clock.since_boot()
            with statement_limit(TRIAL_SECONDS), self.cursor() as cursor:
                cursor.execute(f"SELECT {NOW}")
                for (theirs,) in cursor:
                    server_clock.learn(theirs, asked_at=asked_at)
        except psycopg2.Error:
            return False
        return True


_this_thread = threading.local()


@contextmanager
def statement_limit(seconds: float | None) -> Iterator[None]:
    """Let statements of this thread take up to ``seconds``; None: without limit."""
    outer = getattr(_this_thread, "bounds", None)
    _this_thread.bounds = (seconds,)
    try:
        yield
    finally:
        _this_thread.bounds = outer


def wait_for_answer(waiting: connection) -> None:
    """The driver's wait callback. Raises OperationalError when the time is over."""
    state = waiting.poll()
    if state == POLL_OK:
        return
    seconds = _bound(waiting)
    deadline = None if seconds is None else time.monotonic() + seconds
    while state != POLL_OK:
        poller = select.poll()
        poller.register(waiting.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not poller.poll(None if left is None else left * 1000):
            raise psycopg2.OperationalError(f"Postgres did not answer within {seconds:g} s")
        state = waiting.poll()


def _bound(waiting: connection) -> float | None:
    if not isinstance(waiting, BoundedConnection):
        return None
    if waiting.status in CONNECTING:
        return CONNECT_SECONDS
    bounds = getattr(_this_thread, "bounds", None)
    return ANSWER_SECONDS if bounds is None else bounds[0]
