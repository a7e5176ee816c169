"""The actors of a backend's queue: run one task, load one model ahead."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import dramatiq

from jobs.actors.common import register
from jobs.admission.breakers import Breakers
from jobs.admission.residency import Residency
from jobs.attempt.execution import Execution
from jobs.policy.outcome import Retry
from jobs.queues.control_requests import (
    LOAD_ENDED,
    SERVERS_CHANGED,
    TASK_ENDED,
    ControlRequests,
)
from jobs.queues.names import llm_queue
from jobs.queues.task_message import RUN_TASK, TaskMessage
from llm.backends.registry import Backends
from llm.errors import LLMError, ModelNotFound, ModelUnsuitable
from llm.scanner import Scanner
from llm.types import Deadlines

MISSING_SECONDS = {ModelNotFound.code: 60.0, ModelUnsuitable.code: 1800.0}
"""For how long nothing is planned at a model that the server did not know, or that cannot chat."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Preloads:
    """Loads the model of the next block while the present one drains."""

    backends: Backends
    residency: Residency
    breakers: Breakers
    requests: ControlRequests
    load_seconds: float

    def load(self, backend: str, model: str, num_ctx: int) -> None:
        adapter = self.backends.get(backend)
        deadlines = Deadlines(load_seconds=self.load_seconds)
        try:
            self.residency.ensure(adapter, model, num_ctx, deadlines=deadlines, cause="ahead")
        except LLMError as error:
            self.breakers.failed(backend, model, error)
            logger.warning("preload_failed backend=%s model=%s error=%s", backend, model, error)
        finally:
            self.residency.load_ended(backend)
            self.requests.plan(LOAD_ENDED)


def add(
    broker: dramatiq.Broker,
    execution: Execution,
    preloads: Preloads,
    requests: ControlRequests,
    scanner: Scanner,
    *,
    backend: str,
) -> None:
    def run_task(
        task_id: str, epoch: int, backend: str, model: str, num_ctx: int, heavy: bool
    ) -> None:
        """Work one admitted task to its outcome, then request the next."""
        outcome = execution.run(TaskMessage(task_id, epoch, backend, model, num_ctx, heavy))
        logger.info("task_done task=%s outcome=%s", task_id, type(outcome).__name__)
        if isinstance(outcome, Retry) and outcome.rescan:
            # A server may go on listing what it does not serve: the same task must not come back.
            seconds = MISSING_SECONDS[outcome.code]
            scanner.quarantine(backend, model, outcome.reason, seconds=seconds)
            requests.scan(outcome.reason)
            requests.plan(SERVERS_CHANGED)
        requests.plan(TASK_ENDED)

    def preload(backend: str, model: str, num_ctx: int) -> None:
        preloads.load(backend, model, num_ctx)

    register(broker, requests, RUN_TASK, llm_queue(backend), run_task)
    register(broker, requests, "preload", llm_queue(backend), preload)
