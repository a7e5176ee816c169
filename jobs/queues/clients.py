"""Redis clients whose every call has a time limit.

A frozen server, or a connection that a firewall dropped, sends neither an answer nor an end. So
every read has a limit, also those of consumers that block for a wake. A command on a connection
that broke is sent once more over a new one. A command that timed out is not: its caller decides.
"""

from __future__ import annotations

import time
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

ANSWER_SECONDS = 3.0
CONNECT_SECONDS = 3.0
POOL_WAIT_SECONDS = 5.0
"""Longer than an answer may take: an exhausted pool is a burst, not an error."""
TRUST_SECONDS = 0.5
"""A connection that was idle for longer is checked by a ping before it is used."""
TRIAL_SECONDS = 1.0
LONGEST_BLOCK_SECONDS = 2.0
"""How long a consumer blocks for a wake."""
BLOCK_SLACK_SECONDS = 2.0


class _Pool(redis.BlockingConnectionPool):
    """Checks before a command whether its connection still works.

    The connections of a process usually break together: one failure makes all others be checked,
    and one failed check discards all that were used before. The thread that takes a connection
    closes it: closing it during another thread's read would raise an error that is no RedisError.
    """

    suspect_at = dead_at = 0.0

    def get_connection(self, *arguments: Any, **options: Any) -> Any:
        connection: Any = super().get_connection(*arguments, **options)  # type: ignore[no-untyped-call]
        try:
            if not self._is_alive(connection):
                _Pool.dead_at = time.monotonic()
                connection.disconnect()
                connection.connect()
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        connection.used_at = time.monotonic()
        if not connection.is_connected:
            _Pool.suspect_at = connection.used_at
        super().release(connection)  # type: ignore[no-untyped-call]

    def _is_alive(self, connection: Any) -> bool:
        used_at = getattr(connection, "used_at", None)
        if used_at is None:
            return True
        if used_at < self.dead_at:
            return False
        if time.monotonic() - used_at < TRUST_SECONDS and used_at > self.suspect_at:
            return True
        try:
            connection.send_command("PING", check_health=False)
            return bool(connection.can_read(timeout=TRIAL_SECONDS) and connection.read_response())
        except (redis.RedisError, OSError):
            return False


def client_for(
    url: str,
    *,
    answer_seconds: float = ANSWER_SECONDS,
    max_connections: int = 64,
    decode_responses: bool = False,
) -> redis.Redis:
    """A client whose every call ends within ``answer_seconds``.

    Raises ValueError for an unusable URL, later RedisError (including TimeoutError).
    """
    pool = _Pool.from_url(
        url,
        max_connections=max_connections,
        timeout=POOL_WAIT_SECONDS,
        socket_timeout=answer_seconds,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        decode_responses=decode_responses,
    )
    return redis.Redis(connection_pool=pool)


def blocking_client_for(url: str) -> redis.Redis:
    """A client for calls that block up to :data:`LONGEST_BLOCK_SECONDS` on the server's side."""
    return client_for(url, answer_seconds=LONGEST_BLOCK_SECONDS + BLOCK_SLACK_SECONDS)
