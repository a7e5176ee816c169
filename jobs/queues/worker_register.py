"""The register of worker processes: who takes which queues, and when each was last heard of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import redis

from jobs.process.owners import process_is_gone
from jobs.queues.broker_heartbeat import HEARTBEAT_SECONDS
from jobs.queues.names import WORKERS

SILENT_SECONDS = 3 * HEARTBEAT_SECONDS
"""A process without a heartbeat for so long is dead, frozen, or on a host that is gone."""


def register(client: redis.Redis) -> dict[str, dict[str, Any]]:
    """Owner -> ``{"program", "queues", "started_at", "broker_id", "beat_at"}``."""
    return {
        (owner.decode() if isinstance(owner, bytes) else owner): json.loads(line)
        for owner, line in client.hgetall(WORKERS).items()
    }


def taken_queues(lines: Mapping[str, Mapping[str, Any]], *, now: float) -> frozenset[str]:
    """Queues that a live process takes; one that drains takes none. ``now`` is in seconds since
    the epoch."""
    return frozenset(
        queue
        for owner, line in lines.items()
        if now - float(line["beat_at"]) < SILENT_SECONDS and not process_is_gone(owner)
        for queue in line.get("queues", ())
    )
