"""The actor that delivers the events of webhooks."""

from __future__ import annotations

import dramatiq

from jobs.actors.common import register
from jobs.queues.control_requests import ControlRequests
from jobs.queues.names import MAINTENANCE_QUEUE
from jobs.settings.load import Settings
from jobs.upkeep.webhooks.delivering import Deliveries


def add(broker: dramatiq.Broker, settings: Settings, requests: ControlRequests) -> None:
    deliveries = Deliveries(settings)

    def deliver() -> None:
        """Deliver the events that are due."""
        requests.delivery_started()
        if deliveries.run():
            requests.deliver()

    register(broker, requests, "deliver", MAINTENANCE_QUEUE, deliver)
