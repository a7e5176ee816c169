"""Clients of Redis in which no call waits without bound.

A frozen server or a connection that a firewall forgot sends neither an answer nor an end. So every
read has a time limit, also those of the consumers that block for a wake. A command that was
answered by a broken connection is sent once more, over a new one; one that was not answered in
time is not, for its caller knows better what to do.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

ANSWER_SECONDS = 3.0
CONNECT_SECONDS = 3.0
POOL_WAIT_SECONDS = 5.0
"""Longer than an answer may take: a full pool is a burst, not a reason to fail."""
HEALTH_CHECK_SECONDS = 15
"""A connection that was idle for longer is tried by a ping before it is used."""
LONGEST_BLOCK_SECONDS = 3.0
"""How long a consumer blocks for a wake."""


class _Pool(redis.BlockingConnectionPool):
    """One connection that broke takes the idle ones with it: they went the same way."""

    def release(self, connection: Any) -> None:
        super().release(connection)  # type: ignore[no-untyped-call]
        if not connection.is_connected:
            with self.pool.mutex:
                idle = [one for one in self.pool.queue if one is not None]
            for one in idle:
                one.disconnect()


def client_for(
    url: str,
    *,
    answer_seconds: float = ANSWER_SECONDS,
    max_connections: int = 64,
    decode_responses: bool = False,
) -> redis.Redis:
    """A client whose every call ends within ``answer_seconds`` of its connection.

    Raises ValueError for an unusable URL, later RedisError (TimeoutError among them).
    """
    pool = _Pool.from_url(
        url,
        max_connections=max_connections,
        timeout=POOL_WAIT_SECONDS,
        socket_timeout=answer_seconds,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK_SECONDS,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        decode_responses=decode_responses,
    )
    return redis.Redis(connection_pool=pool)


def blocking_client_for(url: str) -> redis.Redis:
    """A client for calls that block up to :data:`LONGEST_BLOCK_SECONDS` on the server's side."""
    return client_for(url, answer_seconds=LONGEST_BLOCK_SECONDS + ANSWER_SECONDS)
