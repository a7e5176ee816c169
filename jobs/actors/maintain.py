"""The actors of periodic maintenance. None runs twice at once."""

from __future__ import annotations

import dramatiq
import redis

from jobs.actors.common import register
from jobs.process.clock import utc_now
from jobs.queues.control_requests import ControlRequests
from jobs.queues.names import MAINTENANCE_QUEUE
from jobs.settings.load import Settings
from jobs.upkeep import backups, maintenance
from jobs.upkeep.embeddings import Embeddings


def add(
    broker: dramatiq.Broker,
    settings: Settings,
    client: redis.Redis,
    requests: ControlRequests,
    embeddings: Embeddings,
) -> None:
    def prune() -> None:
        """Delete history beyond its retention."""
        maintenance.prune(settings, client)

    def tidy() -> None:
        """Refresh the planner statistics of Postgres."""
        maintenance.tidy()

    def back_up() -> None:
        """Write the nightly backup, where a directory for it is set."""
        backups.back_up(settings, now=utc_now().astimezone())

    def embed() -> None:
        """Complete what the answers of tasks left in another system's knowledge."""
        embeddings.run()

    register(broker, requests, "embed", MAINTENANCE_QUEUE, embed)
    register(broker, requests, "back_up", MAINTENANCE_QUEUE, back_up)
    register(broker, requests, "prune", MAINTENANCE_QUEUE, prune)
    register(broker, requests, "tidy", MAINTENANCE_QUEUE, tidy)
