"""The gateway: ``python -m gateway``."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import timedelta

import uvicorn

from gateway.app import Gateway, build_app
from gateway.demand_keeper import PAUSES_KEPT, DemandKeeper, Habits, Running
from gateway.desk import Desk
from gateway.flexible import FlexibleTasks
from gateway.interactive_slots import InteractiveSlots
from gateway.request_log import RequestLog
from gateway.upstream import UpstreamClient
from jobs.admission.interactive_demand import InteractiveDemand
from jobs.admission.residency import Residency
from jobs.admission.slot_events import FreedSlots
from jobs.admission.slots import Slots
from jobs.process import signals
from jobs.process.http_origins import LOOPBACK
from jobs.queues.control_requests import INTERACTIVE_CHANGED
from jobs.runtime import Runtime, connect
from jobs.settings.load import Settings
from llm.connections import BoundedCalls
from models import backlog, caller_key, model_loads, request
from models.database import session

KEEP_ALIVE_SECONDS = 75


def main() -> int:
    """Serve until a stop signal; exit code 2 if it refuses to start."""
    settings = signals.prepare("gateway")
    try:
        runtime = connect(settings, program="gateway")
    except ValueError as error:
        return _refuse(str(error))
    problem = refusal(settings)
    if problem is not None:
        return _refuse(problem)
    try:
        uvicorn.run(
            build_app(assemble(runtime)),
            host=settings.gateway_host,
            port=settings.gateway_port,
            log_config=None,
            access_log=False,
            server_header=False,
            http=BoundedCalls,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(settings.drain_seconds),
        )
    finally:
        runtime.close()
    return 0


def refusal(settings: Settings) -> str | None:
    """Why these settings are not served: other machines may only come in with a key or a token."""
    if settings.gateway_host in LOOPBACK or settings.gateway_token:
        return None
    with session():
        if caller_key.callers():
            return None
    return (
        f"refuses to listen on {settings.gateway_host} without keys: run `kos keys add NAME`, "
        "set KOS_GATEWAY_TOKEN, or KOS_GATEWAY_HOST=127.0.0.1"
    )


def assemble(runtime: Runtime) -> Gateway:
    """Everything that requests share, on the services of ``runtime``."""
    settings, redis = runtime.settings, runtime.redis
    residency = runtime.residency
    interactive_slots = InteractiveSlots(
        runtime.slots, runtime.limits, wait_seconds=settings.llm_timeout_seconds
    )
    demand = DemandKeeper(
        InteractiveDemand(redis),
        patience=timedelta(seconds=settings.interactive_patience_seconds),
        keep_at_most_seconds=settings.interactive_keep_seconds,
        slots=runtime.slots,
        running=lambda backend: _running(settings, residency, runtime.slots, backend),
        habits=_habits,
        request_plan=lambda: runtime.requests.plan(INTERACTIVE_CHANGED),
    )
    desk = Desk(
        settings=settings,
        backends=runtime.backends,
        scanner=runtime.scanner,
        residency=residency,
        breakers=runtime.breakers,
        slots=runtime.slots,
        limits=runtime.limits,
        demand=demand,
        figures=runtime.figures,
    )
    return Gateway(
        settings=settings,
        desk=desk,
        interactive_slots=interactive_slots,
        client=UpstreamClient(settings.backends, settings.environ),
        request_log=RequestLog(),
        flexible=FlexibleTasks(),
        freed=FreedSlots(redis, runtime.slots.freed_channel, interactive_slots.freed_from_thread),
    )


def _running(settings: Settings, residency: Residency, slots: Slots, backend: str) -> Running:
    # Slots first: a task that gets one later is admitted by the rule that is in force by then.
    holders = {lease.holder.partition(":")[0] for lease in slots.holders(backend)}
    with session():
        rows = [row for row in backlog.in_flight() if row.id in holders]
    spec = settings.backend(backend)
    return Running(
        by_model=Counter(row.model for row in rows if row.model),
        max_resident=(residency.holds(spec) if spec else None) or 1,
        resident=residency.seen(backend) or (),
    )


def _habits(backend: str, model: str) -> Habits:
    with session():
        return Habits(
            request.pauses(backend, model, newest=PAUSES_KEPT),
            model_loads.last_seconds(backend, model),
        )


def _refuse(problem: str) -> int:
    print(f"gateway: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
