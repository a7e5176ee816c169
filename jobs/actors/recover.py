"""The actor that returns what was orphaned."""

from __future__ import annotations

import dramatiq

from jobs.actors.common import register
from jobs.parts import Parts
from jobs.queues.names import CONTROL_QUEUE
from jobs.upkeep.recovery import recover_all


def add(broker: dramatiq.Broker, parts: Parts) -> None:
    def recover(reason: str = "cron") -> None:
        """Return orphaned and stuck tasks; a plan follows where something came back."""
        parts.runtime.wakes.recovery_started()
        if recover_all(parts.runtime).returned:
            parts.runtime.wakes.plan("recovery")

    register(broker, parts, "recover", CONTROL_QUEUE, recover)
