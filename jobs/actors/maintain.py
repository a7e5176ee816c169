"""The actors of periodic maintenance. None runs twice at once; each may be run by hand."""

from __future__ import annotations

import dramatiq

from jobs.actors.common import register
from jobs.parts import Parts
from jobs.queues.names import MAINTENANCE_QUEUE
from jobs.upkeep import maintenance


def add(broker: dramatiq.Broker, parts: Parts) -> None:
    def prune() -> None:
        """Delete history beyond its keeping time."""
        maintenance.prune(parts.runtime)

    def tidy() -> None:
        """Refresh the planner statistics of Postgres."""
        maintenance.tidy(parts.runtime)

    register(broker, parts, "prune", MAINTENANCE_QUEUE, prune)
    register(broker, parts, "tidy", MAINTENANCE_QUEUE, tidy)
