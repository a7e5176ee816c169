"""The actors of a backend's queue: run one task, load one model ahead."""

from __future__ import annotations

import logging

import dramatiq

from jobs.actors.common import register
from jobs.admission.middleware import RUN_TASK, Ticket
from jobs.attempt.execution import Execution
from jobs.parts import Parts
from jobs.policy.outcome import Retry
from jobs.queues.control_requests import SLOT
from jobs.queues.names import llm_queue
from llm.errors import LLMError
from llm.types import Deadlines

logger = logging.getLogger(__name__)


def add(broker: dramatiq.Broker, parts: Parts, *, backend: str) -> None:
    def run_task(
        task_id: str, epoch: int, backend: str, model: str, num_ctx: int, heavy: bool
    ) -> None:
        """Work one admitted task to its outcome, then ask for the next."""
        ticket = Ticket(task_id, epoch, backend, model, heavy)
        outcome = Execution(parts, ticket, num_ctx=num_ctx).run()
        logger.info("task_done task=%s outcome=%s", task_id, type(outcome).__name__)
        if isinstance(outcome, Retry) and outcome.rescan:
            parts.runtime.wakes.scan(outcome.reason)
        parts.runtime.wakes.plan(SLOT)

    def preload(backend: str, model: str, num_ctx: int) -> None:
        """Load the model of the next block while this one drains."""
        adapter = parts.runtime.backends.get(backend)
        deadlines = Deadlines(load_seconds=parts.runtime.settings.llm_timeout_seconds)
        try:
            parts.residency.ensure(adapter, model, num_ctx, deadlines=deadlines, cause="ahead")
        except LLMError as error:
            parts.runtime.breakers.failed(backend, model, error)
            logger.warning("preload_failed backend=%s model=%s error=%s", backend, model, error)
        finally:
            parts.residency.load_ended(backend)
            parts.runtime.wakes.plan(SLOT)

    register(broker, parts, RUN_TASK, llm_queue(backend), run_task)
    register(broker, parts, "preload", llm_queue(backend), preload)
