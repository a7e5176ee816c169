"""The actor that returns what was orphaned."""

from __future__ import annotations

import dramatiq

from jobs.actors.common import register
from jobs.queues.control_requests import ControlRequests
from jobs.queues.names import CONTROL_QUEUE
from jobs.upkeep.recovery import Recovery


def add(broker: dramatiq.Broker, recovery: Recovery, requests: ControlRequests) -> None:
    def recover(reason: str = "cron") -> None:
        """Return orphaned and stuck tasks; request a plan where something came back."""
        requests.recovery_started()
        if recovery.run().returned:
            requests.plan("recovery")

    register(broker, requests, "recover", CONTROL_QUEUE, recover)
