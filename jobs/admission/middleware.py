"""Admission: a message of a backend's queue runs only while it holds a slot of that backend.

Dramatiq swallows what ``before_process_message`` raises and runs the job; only ``SkipMessage``
stops it. So every way out that is not an admission returns the row and skips the message.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import redis
from dramatiq import Broker, MessageProxy, Middleware
from dramatiq.middleware import SkipMessage

from jobs.admission.limits import Limits, acquire
from jobs.admission.slots import SlotDecision, Slots
from jobs.queues.task_message import RUN_TASK, TaskMessage
from models import decision
from models.database import DatabaseUnavailable, session
from models.decision import NewDecision
from models.task import Task

logger = logging.getLogger(__name__)

WAIT_SECONDS = 10.0
"""A message waits this long for a slot; then its row goes back and a later plan sends it again."""


class SlotMiddleware(Middleware):
    """Acquires a slot before a message runs, releases it after, and wakes whoever waits for one."""

    def __init__(self, slots: Slots, limits: Limits) -> None:
        self._slots = slots
        self._limits = limits
        self._released = threading.Condition()
        self._releases = 0
        self._draining = False
        self._admitted: dict[str, TaskMessage] = {}

    def freed(self, backend: str) -> None:
        """A slot of ``backend`` was released: every waiting message asks again.

        Only Redis knows which of them is first in line, so all of them wake.
        """
        with self._released:
            self._releases += 1
            self._released.notify_all()

    def drain(self) -> None:
        """Admit nothing more; waiting messages return their rows."""
        with self._released:
            self._draining = True
            self._released.notify_all()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        if message.actor_name != RUN_TASK:
            return
        try:
            task = TaskMessage.read(message)
        except (KeyError, TypeError, ValueError) as error:
            logger.exception("message_unreadable message=%s", message.message_id)
            raise SkipMessage("the message names no task") from error
        reason = self._refusal(task)
        if reason is not None:
            self._reject(task, reason)
            raise SkipMessage(reason)
        self._admitted[message.message_id] = task

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        task = self._admitted.pop(message.message_id, None)
        if task is not None:
            self._release(task)

    def _refusal(self, task: TaskMessage) -> str | None:
        """Acquire the slot; None on success, else the reason. Never raises."""
        try:
            return self._admit(task)
        except redis.RedisError as error:
            return f"no answer from Redis: {error}"
        except Exception as error:
            logger.exception("admission_broke task=%s", task.task_id)
            return f"a fault of the worker: {type(error).__name__}: {error}"

    def _admit(self, task: TaskMessage) -> str | None:
        """None once the slot is ours, else the reason why not."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._draining:
            # Read before the request: a release between the two must end the wait below.
            seen = self._releases
            decision = self._request_slot(task)
            if decision.granted:
                return None
            # Without a retry time no place is kept in the line, so waiting would gain nothing.
            if decision.retry_in_seconds is None or time.monotonic() >= deadline:
                self._release(task)
                return decision.reason
            self._wait_for_release(seen, decision.retry_in_seconds)
        self._release(task)
        return "this worker is draining"

    def _wait_for_release(self, seen: int, seconds: float) -> None:
        """Wait until a slot is released, here or in another process, after ``seen`` was read."""
        with self._released:
            self._released.wait_for(lambda: self._releases != seen or self._draining, seconds)

    def _request_slot(self, task: TaskMessage) -> SlotDecision:
        return acquire(
            self._slots,
            self._limits,
            task.backend,
            task.holder,
            model=task.model,
            heavy=task.heavy,
        )

    def _release(self, task: TaskMessage) -> None:
        try:
            self._slots.release(task.backend, task.holder)
        except redis.RedisError as error:
            logger.warning("slot_not_released holder=%s error=%s", task.holder, error)
        self.freed(task.backend)

    def _reject(self, task: TaskMessage, reason: str) -> None:
        """Give the row back and say why. Never raises."""
        logger.info("not_admitted task=%s backend=%s: %s", task.task_id, task.backend, reason)
        try:
            with session():
                # No decision is written for a row that was cancelled or reclaimed meanwhile.
                if Task.give_back(task.task_id, task.epoch):
                    chosen = f"back from {task.backend}"
                    decision.record([NewDecision(task.task_id, "admit", chosen, reason)])
        # If this fails, recovery finds the row: it is queued and has no message.
        except DatabaseUnavailable as error:
            logger.warning("row_not_given_back task=%s error=%s", task.task_id, error)
        except Exception:
            logger.exception("row_not_given_back task=%s", task.task_id)
