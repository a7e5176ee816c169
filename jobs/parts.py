"""What the actors of one worker process share."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.heart import Heart
from jobs.learned import Learning
from jobs.live import LiveAnswers
from jobs.middleware.slots import SlotMiddleware
from jobs.planner import Planner
from jobs.preparation import processors
from jobs.processors.registry import Registry
from jobs.residency import Residency
from jobs.runtime import Runtime
from jobs.slots import process_owner


@dataclass(frozen=True, slots=True)
class Parts:
    """Built once a process by :func:`build`; actors get it, nothing is global."""

    runtime: Runtime
    heart: Heart
    residency: Residency
    learning: Learning
    planner: Planner
    processors: Registry
    admission: SlotMiddleware
    owner: str


def build(runtime: Runtime, admission: SlotMiddleware) -> Parts:
    settings = runtime.settings
    owner = process_owner()
    admission.bind(runtime.slots, runtime.limits)
    heart = Heart(
        owner=owner,
        slots=runtime.slots,
        live=LiveAnswers(runtime.redis),
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    residency = Residency(runtime.redis)
    learning = Learning(settings.backends, runtime.scanner)
    return Parts(
        runtime=runtime,
        heart=heart,
        residency=residency,
        learning=learning,
        planner=Planner(runtime, learning, residency),
        processors=processors(settings),
        admission=admission,
        owner=owner,
    )
