"""The lease keeper of a worker process: renews the leases of all its running attempts.

It has two threads, so that a slow Postgres does not delay what Redis needs and vice versa. Every
second, while anything runs, the first reads the rows, stops calls that were cancelled or lost their
lease, and renews leases every ``heartbeat_seconds``. The second renews the slots (so that an
emptied Redis has them back within seconds), stops calls that must give way to people, and publishes
watched answers.

It shares nothing with the working threads, so slow file reads or a wait for a connection cannot
delay it. A task whose thread has died is not renewed: its lease expires.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from jobs.admission.interactive_demand import InteractiveDemand
from jobs.admission.slots import Slots
from jobs.attempt.live_answers import LiveAnswers
from jobs.queues.task_message import TaskMessage
from llm.types import CancelToken, GenerationProgress, Phase
from models.database import DatabaseUnavailable, database, session
from models.task import Claimed, Ending, Task

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0

CANCELLED = "cancel requested"
LEASE_LOST = "lease lost"
SLOT_LOST = "slot lost"
DRAINED = "drain"
GAVE_WAY = "gave way to a person's request for another model"


@dataclass(slots=True)
class RunningAttempt:
    """An attempt as its lease keeper sees it; the working thread updates ``progress``."""

    task_id: str
    epoch: int
    backend: str
    token: CancelToken
    thread: threading.Thread
    renewed_at: float
    progress: GenerationProgress = field(default_factory=lambda: GenerationProgress(Phase.WAITING))
    note: str | None = None
    model: str = ""
    side_slots: tuple[tuple[str, str], ...] = ()
    """(backend, holder) of further slots of the attempt, such as for a second opinion."""

    @property
    def slots(self) -> tuple[tuple[str, str], ...]:
        """(backend, holder) of every slot of the attempt, its own first."""
        return ((self.backend, f"{self.task_id}:{self.epoch}"), *self.side_slots)

    def report(self) -> Mapping[str, Any]:
        described: dict[str, Any] = {
            "phase": self.progress.phase.value,
            "tokens": self.progress.completion_tokens,
        }
        if self.note:
            described["note"] = self.note
        return described


class LeaseKeeper:
    """Keeps the leases of this process. ``start`` it once; ``stop`` joins its threads."""

    def __init__(
        self,
        *,
        owner: str,
        slots: Slots,
        live: LiveAnswers,
        demand: InteractiveDemand,
        lease_seconds: float,
        heartbeat_seconds: float,
    ) -> None:
        self._owner = owner
        self._live = live
        self._slots = slots
        self._demand = demand
        self._lease_seconds = lease_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._attempts: dict[tuple[str, int], RunningAttempt] = {}
        self._renewed_at = time.monotonic()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        steps = (("lease-keeper", self._keep_rows), ("slot-keeper", self._keep_slots))
        self._threads = [
            threading.Thread(target=self._repeat, args=(step,), name=name, daemon=True)
            for name, step in steps
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    @property
    def running(self) -> int:
        return len(self._attempts)

    def claim(self, task: TaskMessage) -> tuple[Claimed, RunningAttempt] | None:
        """Claim the row of ``task`` and renew its lease until :meth:`remove`; None where the row is
        not ours to run.

        Raises DatabaseUnavailable.
        """
        with session():
            claimed = Task.claim(
                task.task_id, task.epoch, owner=self._owner, lease_seconds=self._lease_seconds
            )
        if claimed is None:
            return None
        return claimed, self.add(
            claimed.id,
            claimed.epoch,
            backend=task.backend,
            model=task.model,
            token=CancelToken(),
        )

    def add(
        self, task_id: str, epoch: int, *, backend: str, token: CancelToken, model: str = ""
    ) -> RunningAttempt:
        """Renew the lease that this thread just took."""
        attempt = RunningAttempt(
            task_id=task_id,
            epoch=epoch,
            backend=backend,
            model=model,
            token=token,
            thread=threading.current_thread(),
            renewed_at=time.monotonic(),
        )
        with self._changed:
            self._attempts[task_id, epoch] = attempt
            self._changed.notify_all()
        return attempt

    def remove(self, attempt: RunningAttempt) -> None:
        with self._changed:
            self._attempts.pop((attempt.task_id, attempt.epoch), None)

    def cancel_all(self, reason: str) -> None:
        for attempt in self._snapshot():
            attempt.token.cancel(reason)

    def interrupt_all(self) -> None:
        """Return the rows of calls that outlast a drain, so that the end of this process is no
        crash."""
        ending = Ending(error=DRAINED, error_code="interrupted")
        for attempt in self._snapshot():
            task_id, epoch = attempt.task_id, attempt.epoch
            try:
                with session(), database.atomic():
                    back = Task.retry(
                        task_id, epoch, ending, at=None, spend_attempt=False
                    ) or Task.finish_cancel(task_id, epoch, ending)
            except DatabaseUnavailable as error:
                logger.warning("not_given_back task=%s error=%s", task_id, error)
                return
            if back:
                logger.warning("given_back_after_drain task=%s", task_id)

    def _repeat(self, step: Callable[[list[RunningAttempt]], None]) -> None:
        """Call ``step`` with the running attempts, every second while there are any."""
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._attempts or self._stopping.is_set())
            if self._stopping.wait(WATCH_SECONDS):
                return
            attempts = [attempt for attempt in self._snapshot() if attempt.thread.is_alive()]
            if not attempts:
                continue
            try:
                step(attempts)
            except (DatabaseUnavailable, redis.RedisError) as error:
                logger.warning("heartbeat_late owner=%s error=%s", self._owner, error)
            except Exception:
                # One failed round must not end the thread: without it every lease would expire.
                logger.exception("heartbeat_broke owner=%s", self._owner)

    def _keep_rows(self, attempts: list[RunningAttempt]) -> None:
        due = time.monotonic() - self._renewed_at >= self._heartbeat_seconds
        try:
            with session():
                ours = self._watch(attempts)
                # Where a lease was not renewed, the next round is a second away, not a heartbeat.
                if due and self._renew(ours):
                    self._renewed_at = time.monotonic()
        finally:
            # Also when Postgres was away: an attempt that cannot renew must stop by itself.
            self._give_up_expired(attempts)

    def _keep_slots(self, attempts: list[RunningAttempt]) -> None:
        self._renew_slots(attempts)
        self._interrupt_preempted(attempts)
        self._live.show(attempts)

    def _watch(self, attempts: list[RunningAttempt]) -> list[RunningAttempt]:
        """The attempts whose rows are still ours. The calls of the others are cancelled."""
        held = Task.held_leases(self._owner, [attempt.task_id for attempt in attempts])
        ours = []
        for attempt in attempts:
            epoch, cancelled = held.get(attempt.task_id, (None, False))
            if epoch != attempt.epoch:
                self._lose(attempt)
                continue
            ours.append(attempt)
            if cancelled:
                attempt.token.cancel(CANCELLED)
        return ours

    def _lose(self, attempt: RunningAttempt) -> None:
        # The thread may have ended the attempt since the list was copied.
        if (attempt.task_id, attempt.epoch) in self._attempts:
            attempt.token.cancel(LEASE_LOST)

    def _renew(self, attempts: list[RunningAttempt]) -> bool:
        """Whether every lease was renewed. A row that another transaction has locked counts as
        renewed: nobody can claim it meanwhile."""
        heartbeats = [(attempt.task_id, attempt.epoch, attempt.report()) for attempt in attempts]
        renewed = Task.heartbeat(self._owner, heartbeats, lease_seconds=self._lease_seconds)
        for attempt in attempts:
            attempt.renewed_at = time.monotonic()
        return len(renewed) == len(attempts)

    def _renew_slots(self, attempts: list[RunningAttempt]) -> None:
        holders: dict[str, list[str]] = {}
        for backend, holder in (slot for attempt in attempts for slot in attempt.slots):
            holders.setdefault(backend, []).append(holder)
        lost = set(self._slots.renew(holders))
        for attempt in attempts:
            if any(holder in lost for _, holder in attempt.slots):
                attempt.token.cancel(SLOT_LOST)

    def _interrupt_preempted(self, attempts: list[RunningAttempt]) -> None:
        """Interrupt calls whose model must leave memory for a person's request. Their rows are
        returned."""
        preempted = self._demand.preempted(sorted({attempt.backend for attempt in attempts}))
        for attempt in attempts:
            if attempt.model in preempted.get(attempt.backend, ()):
                attempt.token.cancel(GAVE_WAY)

    def _give_up_expired(self, attempts: list[RunningAttempt]) -> None:
        for attempt in attempts:
            if time.monotonic() - attempt.renewed_at > self._lease_seconds:
                attempt.token.cancel(LEASE_LOST)

    def _snapshot(self) -> list[RunningAttempt]:
        with self._changed:
            return list(self._attempts.values())
