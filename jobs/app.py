"""Puts a worker or scheduler process together: services, middleware in its order, actors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.actors import deliver, maintain, plan, recover, run_task, scan, start_due
from jobs.admission.expert_tasks import ExpertTasks
from jobs.admission.interactive_demand import InteractiveDemand
from jobs.admission.middleware import SlotMiddleware
from jobs.attempt.answer_review import AnswerReview
from jobs.attempt.answering import Answering
from jobs.attempt.calling import ModelCalls
from jobs.attempt.execution import Execution
from jobs.attempt.lease_keeper import LeaseKeeper
from jobs.attempt.live_answers import LiveAnswers
from jobs.attempt.preparation import processors
from jobs.attempt.recording import Recorder
from jobs.planning.dispatcher import Dispatcher
from jobs.planning.failover import Failover
from jobs.planning.plan_log import PlanLog
from jobs.planning.planner import Planner
from jobs.policy.knowledge_os import Compat
from jobs.process.clock import epoch_seconds
from jobs.process.owners import process_owner
from jobs.queues.actor_errors import CountActorErrors
from jobs.queues.broker_heartbeat import BrokerHeartbeat
from jobs.queues.names import CONTROL_QUEUE, LLM_QUEUE_PREFIX, MAINTENANCE_QUEUE
from jobs.queues.thread_connections import KeptConnections
from jobs.queues.ticks import DropLateTicks
from jobs.runtime import Runtime, connect
from jobs.settings.load import Settings
from jobs.upkeep.canaries import Canaries
from jobs.upkeep.embeddings import Embeddings


@dataclass(frozen=True, slots=True)
class WorkerApp:
    """A process that works or schedules: its services, and what ends with it."""

    runtime: Runtime
    lease_keeper: LeaseKeeper
    admission: SlotMiddleware
    heartbeat: BrokerHeartbeat


def build_app(settings: Settings, *, queues: Sequence[str], program: str) -> WorkerApp:
    """The app that serves ``queues``: ``control``, ``maintenance``, ``llm-<backend>``.

    Middleware runs in this order before a message and in reverse after it: threads keep their
    connections, the heartbeat keeps the process known, ticks that come too late are dropped,
    the slots admit, exceptions are counted.
    """
    runtime = connect(settings, program=program.replace(":", "-"))
    owner = process_owner()
    about = {"program": program, "queues": list(queues), "started_at": epoch_seconds()}
    admission = SlotMiddleware(runtime.slots, runtime.limits)
    heartbeat = BrokerHeartbeat(owner=owner, about=about)
    runtime.broker.add_middleware(KeptConnections())
    runtime.broker.add_middleware(heartbeat)
    runtime.broker.add_middleware(DropLateTicks())
    runtime.broker.add_middleware(admission)
    runtime.broker.add_middleware(CountActorErrors(runtime.redis))
    lease_keeper = LeaseKeeper(
        owner=owner,
        slots=runtime.slots,
        live=LiveAnswers(runtime.redis),
        demand=InteractiveDemand(runtime.redis),
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    if CONTROL_QUEUE in queues:
        plan.add(runtime.broker, _planner(runtime), runtime.requests)
        recover.add(runtime.broker, runtime.recovery, runtime.requests)
        start_due.add(runtime.broker, runtime.requests)
    if MAINTENANCE_QUEUE in queues:
        _add_maintenance(runtime)
    for queue in queues:
        if queue.startswith(LLM_QUEUE_PREFIX):
            _add_backend(runtime, queue.removeprefix(LLM_QUEUE_PREFIX), lease_keeper)
    return WorkerApp(runtime, lease_keeper, admission, heartbeat)


def _planner(runtime: Runtime) -> Planner:
    return Planner(
        runtime.settings,
        state=runtime.state,
        figures=runtime.figures,
        dispatcher=Dispatcher(runtime.settings, broker=runtime.broker, residency=runtime.residency),
        log=PlanLog(runtime.redis),
    )


def _add_maintenance(runtime: Runtime) -> None:
    canaries = Canaries(
        runtime.backends, runtime.breakers, runtime.scanner, runtime.slots, runtime.limits
    )
    scan.add(
        runtime.broker,
        scanner=runtime.scanner,
        residency=runtime.residency,
        canaries=canaries,
        requests=runtime.requests,
    )
    maintain.add(
        runtime.broker,
        runtime.settings,
        runtime.redis,
        runtime.requests,
        Embeddings(runtime.settings, runtime.backends, runtime.scanner),
    )
    deliver.add(runtime.broker, runtime.settings, runtime.requests)


def _add_backend(runtime: Runtime, backend: str, lease_keeper: LeaseKeeper) -> None:
    run_task.add(
        runtime.broker,
        _execution(runtime, lease_keeper),
        run_task.Preloads(
            runtime.backends,
            runtime.residency,
            runtime.breakers,
            runtime.requests,
            load_seconds=runtime.settings.llm_timeout_seconds,
        ),
        runtime.requests,
        runtime.scanner,
        backend=backend,
    )


def _execution(runtime: Runtime, lease_keeper: LeaseKeeper) -> Execution:
    settings = runtime.settings
    calls = ModelCalls(
        settings=settings,
        backends=runtime.backends,
        figures=runtime.figures,
        residency=runtime.residency,
        rates=runtime.rates,
        breakers=runtime.breakers,
        in_use=runtime.slots.last_in_use,
    )
    review = AnswerReview(
        settings,
        calls=calls,
        scanner=runtime.scanner,
        slots=runtime.slots,
        limits=runtime.limits,
    )
    failover = Failover(
        settings, state=runtime.state, figures=runtime.figures, backends=runtime.backends
    )
    return Execution(
        lease_keeper=lease_keeper,
        answering=Answering(
            settings,
            scanner=runtime.scanner,
            processors=processors(settings),
            calls=calls,
            review=review,
        ),
        recorder=Recorder(settings, failover=failover),
        requests=runtime.requests,
        expert_tasks=_expert_tasks(runtime),
    )


def _expert_tasks(runtime: Runtime) -> ExpertTasks | None:
    if runtime.settings.compat is not Compat.KNOWLEDGE_OS:
        return None
    return ExpertTasks(runtime.redis, silent_seconds=runtime.settings.stuck_minutes * 60)
