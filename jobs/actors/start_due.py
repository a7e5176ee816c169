"""The actor that starts recurring work."""

from __future__ import annotations

import dramatiq

from jobs.actors.common import register
from jobs.process.clock import utc_now
from jobs.queues.control_requests import ControlRequests
from jobs.queues.names import CONTROL_QUEUE
from jobs.upkeep import recurring


def add(broker: dramatiq.Broker, requests: ControlRequests) -> None:
    def start_due() -> None:
        """Submit the task of every schedule that is due; the rows decide which are."""
        recurring.start_due(now=utc_now())

    register(broker, requests, "start_due", CONTROL_QUEUE, start_due)
