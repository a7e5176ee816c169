"""The one table of periodic work: actor, queue, cron line, what it is for.

Ticks have minute granularity and may come twice (two schedulers, a restart inside the minute), so
every actor here is safe to run twice. ``7`` is Sunday: periodiq never matches ``0`` or ``sun``.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.queues.names import CONTROL_QUEUE, MAINTENANCE_QUEUE


@dataclass(frozen=True, slots=True)
class Periodic:
    actor: str
    queue: str
    cron: str
    purpose: str


TABLE = (
    Periodic(
        "plan", CONTROL_QUEUE, "* * * * *", "assign, plan and dispatch what no request covered"
    ),
    Periodic("recover", CONTROL_QUEUE, "* * * * *", "return orphaned and stuck tasks"),
    Periodic("start_due", CONTROL_QUEUE, "* * * * *", "start the recurring work that is due"),
    Periodic("deliver", MAINTENANCE_QUEUE, "* * * * *", "deliver events to webhooks again"),
    Periodic("scan", MAINTENANCE_QUEUE, "*/2 * * * *", "look at every model server"),
    Periodic("embed", MAINTENANCE_QUEUE, "* * * * *", "embed answers for another system's search"),
    Periodic("prune", MAINTENANCE_QUEUE, "17 * * * *", "delete history beyond its retention"),
    Periodic("back_up", MAINTENANCE_QUEUE, "11 * * * *", "write the backup of the night"),
    Periodic("tidy", MAINTENANCE_QUEUE, "41 3 * * *", "refresh the statistics of Postgres"),
)
