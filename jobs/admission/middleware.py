"""Admission: a message of a backend's queue runs only while it holds a slot of that backend.

Dramatiq swallows what ``before_process_message`` raises and runs the job; only ``SkipMessage``
stops it. So every way out of here that is not an admission gives the row back and skips.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

import redis
from dramatiq import Broker, MessageProxy, Middleware
from dramatiq.middleware import SkipMessage

from jobs.admission.limits import Limits, acquire
from jobs.admission.slots import Admission, Slots
from models.database import DatabaseUnavailable, session
from models.task import Task

logger = logging.getLogger(__name__)

RUN_TASK = "run_task"
WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a message of a backend's queue carries."""

    task_id: str
    epoch: int
    backend: str
    model: str
    heavy: bool

    @property
    def holder(self) -> str:
        return f"{self.task_id}:{self.epoch}"

    @classmethod
    def of(cls, message: MessageProxy) -> Ticket:
        """Raises KeyError, TypeError or ValueError where the message is not one of ours."""
        kwargs = message.kwargs
        return cls(
            task_id=str(kwargs["task_id"]),
            epoch=int(kwargs["epoch"]),
            backend=str(kwargs["backend"]),
            model=str(kwargs["model"]),
            heavy=bool(kwargs["heavy"]),
        )


class SlotMiddleware(Middleware):
    """Acquires before a message runs, releases after it, wakes its neighbours in this process."""

    def __init__(self) -> None:
        self._slots: Slots | None = None
        self._limits: Limits | None = None
        self._freed = threading.Condition()
        self._frees = 0
        self._draining = False
        self._admitted: dict[str, Ticket] = {}

    def bind(self, slots: Slots, limits: Limits) -> None:
        """Give it what it works with; a broker is built before its runtime is."""
        self._slots, self._limits = slots, limits

    def freed(self, backend: str) -> None:
        """A slot was given back: whoever waits asks again. All of them: only the first in
        the queue of the slots is granted, and who that is only Redis knows."""
        with self._freed:
            self._frees += 1
            self._freed.notify_all()

    def drain(self) -> None:
        """Admit nothing more; messages in hand give their rows back."""
        with self._freed:
            self._draining = True
            self._freed.notify_all()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        if message.actor_name != RUN_TASK:
            return
        try:
            ticket = Ticket.of(message)
        except (KeyError, TypeError, ValueError) as error:
            logger.exception("message_unreadable message=%s", message.message_id)
            raise SkipMessage("the message names no task") from error
        reason = self._refusal(ticket)
        if reason is not None:
            self._turn_away(ticket, reason)
            raise SkipMessage(reason)
        self._admitted[message.message_id] = ticket

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        ticket = self._admitted.pop(message.message_id, None)
        if ticket is not None:
            self._release(ticket)

    def _refusal(self, ticket: Ticket) -> str | None:
        """None once the slot is ours, else the reason why not. Never raises."""
        try:
            return self._admit(ticket)
        except redis.RedisError as error:
            return f"no answer from Redis: {error}"
        except Exception as error:
            logger.exception("admission_broke task=%s", ticket.task_id)
            return f"a fault of the worker: {type(error).__name__}: {error}"

    def _admit(self, ticket: Ticket) -> str | None:
        """None once the slot is ours, else the reason why not."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._draining:
            seen = self._frees
            admission = self._ask(ticket)
            if admission.granted:
                return None
            if time.monotonic() >= deadline:
                self._release(ticket)
                return admission.reason
            self._wait_for_free(seen, admission.retry_in_seconds or 0.5)
        self._release(ticket)
        return "this worker is draining"

    def _wait_for_free(self, seen: int, seconds: float) -> None:
        """Until a slot was freed after ``seen`` was read, here or in another process."""
        with self._freed:
            self._freed.wait_for(lambda: self._frees != seen or self._draining, seconds)

    def _ask(self, ticket: Ticket) -> Admission:
        assert self._slots is not None
        assert self._limits is not None
        return acquire(self._slots, self._limits, ticket.backend, ticket.holder, heavy=ticket.heavy)

    def _release(self, ticket: Ticket) -> None:
        assert self._slots is not None
        try:
            self._slots.release(ticket.backend, ticket.holder)
        except redis.RedisError as error:
            logger.warning("slot_not_released holder=%s error=%s", ticket.holder, error)
        self.freed(ticket.backend)

    def _turn_away(self, ticket: Ticket, reason: str) -> None:
        """Give the row back. Never raises."""
        logger.info("not_admitted task=%s backend=%s: %s", ticket.task_id, ticket.backend, reason)
        try:
            with session():
                Task.give_back(ticket.task_id, ticket.epoch)
        # Recovery finds a row that is not given back: it is queued and its message is gone.
        except DatabaseUnavailable as error:
            logger.warning("row_not_given_back task=%s error=%s", ticket.task_id, error)
        except Exception:
            logger.exception("row_not_given_back task=%s", ticket.task_id)
