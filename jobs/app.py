"""Puts a process together: broker, middleware in its order, parts, actors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from periodiq import PeriodiqMiddleware

from jobs import parts as parts_module
from jobs.actors import maintain, plan, recover, run_task, scan
from jobs.admission.middleware import SlotMiddleware
from jobs.admission.slots import process_owner
from jobs.parts import Parts
from jobs.queues.broker import WakingBroker
from jobs.queues.broker_heartbeat import BrokerHeartbeat
from jobs.queues.names import CONTROL_QUEUE, LLM_QUEUE_PREFIX, MAINTENANCE_QUEUE
from jobs.runtime import connect
from jobs.settings.load import Settings

TICK_VALID_SECONDS = 50


@dataclass(frozen=True, slots=True)
class App:
    """A process that may work or schedule: its broker with actors, and what these share."""

    broker: WakingBroker
    parts: Parts


def build_app(settings: Settings, *, queues: Sequence[str], program: str) -> App:
    """The app that serves ``queues``: ``control``, ``maintenance``, ``llm-<backend>``.

    Middleware runs in this order before a message and in reverse after it: the beat keeps the
    process known, periodiq drops ticks that come too late, the slots admit.
    """
    admission = SlotMiddleware()
    beat = BrokerHeartbeat(
        owner=process_owner(),
        about={"program": program, "queues": list(queues), "started_at": time.time()},
    )
    runtime = connect(
        settings,
        middleware=(beat, PeriodiqMiddleware(skip_delay=TICK_VALID_SECONDS), admission),
        program=program.replace(":", "-"),
    )
    shared = parts_module.build(runtime, admission)
    _add_actors(runtime.broker, shared, queues)
    return App(broker=runtime.broker, parts=shared)


def _add_actors(broker: WakingBroker, shared: Parts, queues: Sequence[str]) -> None:
    if CONTROL_QUEUE in queues:
        plan.add(broker, shared)
        recover.add(broker, shared)
    if MAINTENANCE_QUEUE in queues:
        scan.add(broker, shared)
        maintain.add(broker, shared)
    for queue in queues:
        if queue.startswith(LLM_QUEUE_PREFIX):
            run_task.add(broker, shared, backend=queue.removeprefix(LLM_QUEUE_PREFIX))
