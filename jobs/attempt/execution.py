"""One attempt of one task: claim its row, get an answer, write the outcome.

Each step calls only modules below it. Whatever happens becomes one outcome, written once, under the
epoch of the claim.
"""

from __future__ import annotations

import logging

import redis

from jobs.admission.expert_tasks import GRACE_SECONDS, ExpertTasks
from jobs.attempt.answering import Answering
from jobs.attempt.lease_keeper import LeaseKeeper, RunningAttempt
from jobs.attempt.recording import Recorder
from jobs.attempt.solo_gate import SoloGate
from jobs.policy.outcome import Outcome
from jobs.process.clock import utc_now
from jobs.process.tracing import span
from jobs.queues.control_requests import ControlRequests
from jobs.queues.task_message import TaskMessage
from models.database import DatabaseUnavailable, session
from models.task import Claimed, Task

logger = logging.getLogger(__name__)

GATE_SECONDS = 30.0


class Execution:
    """Runs admitted tasks; all threads of a process share one."""

    def __init__(
        self,
        *,
        lease_keeper: LeaseKeeper,
        answering: Answering,
        recorder: Recorder,
        requests: ControlRequests,
        expert_tasks: ExpertTasks | None = None,
    ) -> None:
        self._lease_keeper = lease_keeper
        self._answering = answering
        self._recorder = recorder
        self._requests = requests
        self._expert_tasks = expert_tasks
        self._gate = SoloGate()

    def run(self, task: TaskMessage) -> Outcome | None:
        """The outcome that was written, or None when the row was not (or no longer) ours.

        Never raises for an error of a model server or a bad answer. Raises DatabaseUnavailable or
        RedisError where an outage interrupted the attempt.
        """
        with (
            span("run", task.task_id, backend=task.backend, model=task.model),
            self._gate.shared(wait_seconds=GATE_SECONDS) as may_run,
        ):
            # Recovery sends a row again that was not claimed.
            return self._run(task) if may_run else None

    def _run(self, task: TaskMessage) -> Outcome | None:
        claim = self._claim(task)
        if claim is None:
            return None
        claimed, running = claim
        try:
            if self._is_delegated(claimed):
                self._recorder.leave(claimed, "the consumer of expert_tasks works it")
                return None
            if claimed.row.suspicion is not None:
                return self._attempt_alone(task, claimed, running)
            return self._attempt(task, claimed, running)
        except (DatabaseUnavailable, redis.RedisError) as error:
            self._recorder.return_interrupted(claimed, error)
            raise
        finally:
            self._lease_keeper.remove(running)

    def _is_delegated(self, claimed: Claimed) -> bool:
        if self._expert_tasks is None:
            return False
        created = claimed.row.created_at
        age = (utc_now() - created).total_seconds() if created is not None else GRACE_SECONDS
        return self._expert_tasks.works(claimed.id, age_seconds=age)

    def _attempt(
        self, task: TaskMessage, claimed: Claimed, running: RunningAttempt
    ) -> Outcome | None:
        result = self._answering.answer(task, claimed, running)
        return self._recorder.record(claimed, running, result)

    def _attempt_alone(
        self, task: TaskMessage, claimed: Claimed, running: RunningAttempt
    ) -> Outcome | None:
        """Let a suspect run alone and record that: only a death while alone is evidence
        against it."""
        with self._gate.alone(cancelled=lambda: running.token.cancelled) as alone:
            if alone:
                # A death is counted by this mark, so it must be committed before the task runs.
                with session():
                    Task.mark_alone(claimed.id, claimed.epoch)
            return self._attempt(task, claimed, running)

    def _claim(self, task: TaskMessage) -> tuple[Claimed, RunningAttempt] | None:
        try:
            claim = self._lease_keeper.claim(task)
        except DatabaseUnavailable as error:
            # Whether or not the claim was committed, recovery finds the row: queued without a
            # message, or running with a lease that nobody renews.
            logger.warning("claim_failed task=%s error=%s", task.task_id, error)
            self._requests.add_pending()
            return None
        if claim is None:
            logger.info("not_claimed task=%s epoch=%d", task.task_id, task.epoch)
        return claim
