"""Checks of model servers. An HTTP answer proves nothing; a generated token does.

A canary goes only to a resident model, with the context it was loaded with, so that a check never
loads a model; and only if no answer came lately and no running task progresses. A busy server is
proved by its own work, and a token behind long answers would prove nothing. An idle model is left
to expire (`jobs.upkeep.health.idle_models`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.admission.breakers import Breakers
from jobs.admission.limits import Limits, canary_slot
from jobs.admission.slots import Slots
from jobs.planning.learned_figures import LearnedFigures
from jobs.process.clock import utc_now
from jobs.queues.control_requests import ControlRequests
from jobs.upkeep.health.checks import RESTARTED, SILENT, HealthCheck
from jobs.upkeep.health.idle_models import IdleModels
from llm.backends.registry import Backends
from llm.breaker import CLOSED
from llm.errors import LLMError, ModelNotFound, Overloaded, StallTimeout
from llm.types import BackendHealth, BackendSpec, Deadlines, ResidentModel
from models import attempt, task_figures
from models.database import DatabaseUnavailable, session
from models.task_figures import TaskInProgress

PROVEN_SECONDS = 15.0
MOVING_SECONDS = 20.0
"""Heartbeats report progress every 15 s."""
CANARY_DEADLINES = Deadlines(
    first_token_seconds=10.0, between_tokens_seconds=10.0, total_seconds=12.0
)
"""For a resident model. Two such canaries, one check apart, fit into the allowed minute."""
FAILURES_UNTIL_HUNG = 2
CLOSED_SECONDS = 30.0
"""How long a breaker may be open before its server counts as ill."""
STALL_SECONDS = 30.0
SLOWER_THAN_EVER = 4.0


@dataclass(slots=True)
class BackendWatch:
    """Remembers failed canaries between checks. One instance, one thread."""

    backends: Backends
    slots: Slots
    limits: Limits
    breakers: Breakers
    requests: ControlRequests
    learned: LearnedFigures
    supervised: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    idle: IdleModels = field(default_factory=IdleModels)
    progress: dict[str, tuple[int, float]] = field(default_factory=dict)
    was_reachable: dict[str, bool] = field(default_factory=dict)

    def check(self, spec: BackendSpec) -> HealthCheck:
        check = self._check(spec, f"backend:{spec.name}")
        return self._closed(spec, check.name) or check if check.ok else check

    def _check(self, spec: BackendSpec, name: str) -> HealthCheck:
        health = self.backends.get(spec.name).health()
        self._note_change(spec.name, health.reachable)
        if not health.reachable:
            ours = self.supervised.get(spec.name)
            remedy = (
                f"supervisord starts it again; see `kos logs {ours}`"
                if ours
                else f"start the server at {spec.url}, or correct its URL"
            )
            why = f" ({health.error})" if health.error else ""
            return HealthCheck(name, False, f"{SILENT}{why}", remedy)
        if _answered_recently(spec.name):
            self.failures[spec.name] = 0
            self.idle.in_use(spec.name)
            return HealthCheck(name, True, "answered a task lately")
        running = _running(spec.name)
        if running:
            self.idle.in_use(spec.name)
        still_seconds = self._still_seconds(spec.name, running)
        if running and still_seconds < MOVING_SECONDS:
            return HealthCheck(
                name, True, f"{len(running)} tasks run; a token {still_seconds:.0f} s ago"
            )
        if running or self.slots.in_use(spec.name):
            # A canary would queue behind them: a server with one slot would look dead.
            return self._judge_by_progress(spec, name, running, still_seconds)
        if _is_full(health):
            return HealthCheck(name, True, "reachable; busy with requests of others")
        with canary_slot(self.slots, self.limits, spec.name) as held:
            if not held:
                return HealthCheck(name, True, "reachable; no slot is free for a canary")
            return self._canary(spec, name)

    def _closed(self, spec: BackendSpec, name: str) -> HealthCheck | None:
        """Red where the breaker has been open for long: a green server that gets no work."""
        state = self.breakers.states().get(spec.name, CLOSED)
        if state.opened_at is None:
            return None
        seconds = (utc_now() - state.opened_at).total_seconds()
        if seconds < CLOSED_SECONDS:
            return None
        why = (state.reason or "").partition(": ")[2] or state.reason
        detail = f"gets no tasks, because its calls failed: {why}"
        ours = self.supervised.get(spec.name)
        log = f"`kos logs {ours}`" if ours else f"the log of the server at {spec.url}"
        remedy = f"see {log}; it gets tasks again once a model answers"
        return HealthCheck(name, False, detail, remedy)

    def _canary(self, spec: BackendSpec, name: str) -> HealthCheck:
        backend = self.backends.get(spec.name)
        try:
            residents = backend.resident_models()
            tried = self.idle.to_try(spec.name, residents, utc_now())
            if tried is None:
                return HealthCheck(name, True, f"reachable; {_untried(residents)}")
            began = time.monotonic()
            backend.canary(tried.name, num_ctx=tried.context_tokens, deadlines=CANARY_DEADLINES)
        except (Overloaded, ModelNotFound) as error:
            return HealthCheck(name, True, f"reachable; canary not admitted: {error}")
        except LLMError as error:
            return self._failed(spec, name, error)
        self.failures[spec.name] = 0
        seconds = time.monotonic() - began
        return HealthCheck(name, True, f"a token of {tried.name} in {seconds:.1f} s")

    def _still_seconds(self, backend: str, running: list[TaskInProgress]) -> float:
        """For how long no task that computes there has progressed; 0.0 where none computes."""
        tokens = sum(task.progress.tokens for task in running)
        before, since = self.progress.get(backend, (-1, 0.0))
        if not running or tokens != before:
            self.progress[backend] = (tokens, time.monotonic())
            return 0.0
        return time.monotonic() - since

    def _judge_by_progress(
        self, spec: BackendSpec, name: str, running: list[TaskInProgress], still_seconds: float
    ) -> HealthCheck:
        """Running tasks that progress prove the server alive; waiting or loading tasks prove
        nothing."""
        if not running or still_seconds < self._allowed_seconds(spec.name, running):
            return HealthCheck(name, True, f"in use; no token for {still_seconds:.0f} s")
        self.progress.pop(spec.name)
        self.failures[spec.name] = FAILURES_UNTIL_HUNG
        error = StallTimeout(f"no token of {len(running)} running tasks in {still_seconds:.0f} s")
        return self._failed(spec, name, error)

    def _allowed_seconds(self, backend: str, running: list[TaskInProgress]) -> float:
        """How long a lack of progress is accepted: longer where a first token is known to take its
        time."""
        first = max(
            self.learned.figures(backend, task.model).first_token_seconds.p95 for task in running
        )
        return max(STALL_SECONDS, SLOWER_THAN_EVER * first)

    def _failed(self, spec: BackendSpec, name: str, error: LLMError) -> HealthCheck:
        self.failures[spec.name] = self.failures.get(spec.name, 0) + 1
        self.idle.in_use(spec.name)
        self.breakers.failed(spec.name, None, error)
        hung = None
        if self.failures[spec.name] >= FAILURES_UNTIL_HUNG:
            hung = self.supervised.get(spec.name)
            self.failures[spec.name] = 0
        detail = f"HTTP answers, generation does not: {error.code}: {error}"
        waiting = f"see its log; `kos pause {spec.name}` lets what runs end before you restart it"
        remedy = RESTARTED if hung else waiting
        return HealthCheck(name, False, detail, remedy, hung)

    def _note_change(self, backend: str, reachable: bool) -> None:
        before = self.was_reachable.get(backend)
        self.was_reachable[backend] = reachable
        if before is not None and before != reachable:
            self.requests.scan(f"{backend} {'is back' if reachable else 'is gone'}")


def _is_full(health: BackendHealth) -> bool:
    """Whether the server reports more requests than it computes at once."""
    if health.queue_size:
        return True
    most, active = health.max_concurrent, health.active_requests
    return most is not None and active is not None and active >= most


def _untried(residents: Sequence[ResidentModel]) -> str:
    if not residents:
        return "no model in memory to try"
    return f"{residents[0].name} is idle, left to expire"


def _answered_recently(backend: str) -> bool:
    try:
        with session():
            return attempt.completed_since(backend, PROVEN_SECONDS)
    except DatabaseUnavailable:
        return False


def _running(backend: str) -> list[TaskInProgress]:
    """The tasks that compute there now, by their heartbeats."""
    try:
        with session():
            return task_figures.computing_at(backend)
    except DatabaseUnavailable:
        return []
