"""A connection pool that holds no lock while it waits for the server.

Peewee's pool opens and checks connections under the lock of the whole pool: if a server does not
answer, each thread waits for all those before it. Here threads wait in parallel, and one dead
connection discards all that were used before it, in every pool.
"""

from __future__ import annotations

import heapq
import time
from typing import Any

from peewee import __exception_wrapper__  # type: ignore[attr-defined]
from playhouse.pool import (
    MaxConnectionsExceeded,
    PoolConnection,
    PooledDatabase,
    PooledPostgresqlDatabase,
)

from models.bounded_connection import BoundedConnection

POLL_SECONDS = 1.0
SPARE_CONNECTIONS = 4


class BoundedPool(PooledPostgresqlDatabase):  # type: ignore[misc]
    """``connect`` raises MaxConnectionsExceeded after the pool's timeout."""

    _opening = 0
    dead_at = float("-inf")
    """When a connection of this process was last found dead (monotonic seconds)."""

    def is_alive(self) -> bool:
        """Whether this thread's connection answers; if not, it is dropped."""
        if _is_alive(self.connection()):
            return True
        self.manual_close()
        return False

    def has_spare(self) -> bool:
        """Whether a thread may keep its connection: the last ones are for all other threads."""
        return bool(len(self._in_use) + SPARE_CONNECTIONS <= self._max_connections)

    def connect(self, reuse_if_open: bool = False) -> bool:
        if self.deferred or not self.is_closed():
            return bool(super().connect(reuse_if_open))
        taken = self._take()
        with self._lock:
            self._state.reset()
            self._state.set_connection(taken)
            if self.server_version is None:
                self._set_server_version(taken)
        return True

    def _take(self) -> BoundedConnection:
        while (idle := self._idle_or_place()) is not None:
            opened_at, found = idle
            if _is_alive(found) and not self._is_stale(opened_at):
                return found
            self._close(found, close_conn=True)
        return self._opened()

    def _idle_or_place(self) -> tuple[float, BoundedConnection] | None:
        """An idle connection and when it was opened; None: there is room to open one."""
        deadline = time.monotonic() + self._wait_timeout
        with self._pool_available:
            while not self._connections:
                if len(self._in_use) + self._opening < self._max_connections:
                    # Counted before the slow connect, so that threads do not exceed the bound.
                    self._opening += 1
                    return None
                left = deadline - time.monotonic()
                if left <= 0:
                    raise MaxConnectionsExceeded("every connection of the pool is in use")
                self._pool_available.wait(min(left, POLL_SECONDS))
            opened_at, _, found = heapq.heappop(self._connections)
            self._in_use[self.conn_key(found)] = PoolConnection(opened_at, found, time.time())
            return opened_at, found

    def _opened(self) -> BoundedConnection:
        opened: Any = None
        try:
            with __exception_wrapper__:
                opened = super(PooledDatabase, self)._connect()
        finally:
            with self._pool_available:
                self._opening -= 1
                if opened is None:
                    # The place is free again, and a waiting thread may open a connection instead.
                    self._pool_available.notify()
                else:
                    now = time.time()
                    self._in_use[self.conn_key(opened)] = PoolConnection(now, opened, now)
        assert isinstance(opened, BoundedConnection)
        opened.used_at = time.monotonic()
        return opened


def _is_alive(found: BoundedConnection) -> bool:
    """Ping the connection if it is in doubt. One last used before another was found dead counts as
    dead."""
    if found.used_at < BoundedPool.dead_at:
        return False
    if not found.is_alive():
        BoundedPool.dead_at = time.monotonic()
        return False
    return True
