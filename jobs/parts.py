"""What the actors of one worker process share."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.admission.middleware import SlotMiddleware
from jobs.admission.residency import Residency
from jobs.admission.slots import process_owner
from jobs.attempt.lease_keeper import LeaseKeeper
from jobs.attempt.live_answers import LiveAnswers
from jobs.attempt.preparation import processors
from jobs.attempt.processors.registry import Registry
from jobs.planning.learned_figures import LearnedFigures
from jobs.planning.planner import Planner
from jobs.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Parts:
    """Built once a process by :func:`build`; actors get it, nothing is global."""

    runtime: Runtime
    lease_keeper: LeaseKeeper
    residency: Residency
    learning: LearnedFigures
    planner: Planner
    processors: Registry
    admission: SlotMiddleware
    owner: str


def build(runtime: Runtime, admission: SlotMiddleware) -> Parts:
    settings = runtime.settings
    owner = process_owner()
    admission.bind(runtime.slots, runtime.limits)
    lease_keeper = LeaseKeeper(
        owner=owner,
        slots=runtime.slots,
        live=LiveAnswers(runtime.redis),
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    residency = Residency(runtime.redis)
    learning = LearnedFigures(settings.backends, runtime.scanner)
    return Parts(
        runtime=runtime,
        lease_keeper=lease_keeper,
        residency=residency,
        learning=learning,
        planner=Planner(runtime, learning, residency),
        processors=processors(settings),
        admission=admission,
        owner=owner,
    )
