"""Elects the process that performs a duty once for all hosts.

The lease is in Redis, and only its clock counts. A standby tries again at each of its rounds. It
takes over when the lease has expired, or at once when the leader was a process of this host that
has died. For a moment two processes may both believe that they lead, so a duty must be safe to do
twice; anything exact needs a Postgres lock or a Redis script.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import redis

from jobs.process.owners import process_is_gone, process_owner

logger = logging.getLogger(__name__)

KEY = "kos:leader:{duty}"
TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and holder ~= ARGV[3] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
"""Takes or renews the lease if it is free, ours, or held by ``ARGV[3]``; returns the holder."""


@dataclass(slots=True)
class Leadership:
    """``seconds``: how long the lease holds without a call of :meth:`holds`."""

    client: redis.Redis
    duty: str
    seconds: float
    owner: str = field(default_factory=process_owner)
    _leads: bool | None = None

    def holds(self) -> bool:
        """Whether this process leads now; takes or renews the lease. Raises RedisError."""
        holder = self._take(replacing="")
        if holder != self.owner and process_is_gone(holder):
            holder = self._take(replacing=holder)
        leads = holder == self.owner
        if leads is not self._leads:
            logger.info(
                "%s duty=%s by=%s", "leading" if leads else "standing_by", self.duty, holder
            )
        self._leads = leads
        return leads

    def _take(self, *, replacing: str) -> str:
        key = KEY.format(duty=self.duty)
        arguments = (key, self.owner, int(self.seconds * 1000), replacing)
        holder: Any = self.client.eval(TAKE, 1, *arguments)
        return holder.decode() if isinstance(holder, bytes) else str(holder)
