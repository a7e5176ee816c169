"""The lease keeper of a worker process: keeps the leases of all its running attempts.

Every ``heartbeat_seconds`` one UPDATE renews the row leases. Every second, while anything runs,
one SELECT notices a cancel or a lost lease and stops that call, one Lua call renews the slots (so
that a Redis that forgot them has them back within seconds), and watched answers are shown. It
shares nothing with the threads that work, so reading files or waiting for a pool starves nobody.
A task whose thread has died is no longer renewed: its lease runs out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from jobs.admission.demand import InteractiveDemand
from jobs.admission.slots import Slots
from jobs.attempt.live_answers import LiveAnswers
from jobs.queues.task_message import TaskMessage
from llm.types import CancelToken, Phase, Progress
from models.database import DatabaseUnavailable, session
from models.task import Claimed, Task

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
    progress: Progress = field(default_factory=lambda: Progress(Phase.WAITING))
    note: str | None = None
    model: str = ""
    side_slots: tuple[tuple[str, str], ...] = ()
    """(backend, holder) of what it holds beside its own slot, as for a second opinion."""

    @property
    def slots(self) -> tuple[tuple[str, str], ...]:
        """(backend, holder) of every slot that it holds, its own first."""
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
    """Keeps the leases of this process. ``start`` it once; ``stop`` joins its thread."""

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
        self._lock = threading.Lock()
        self._work_came = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_leases, name="lease-keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._work_came.set()
        self._thread.join(timeout=5)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def running(self) -> int:
        return len(self._attempts)

    def claim(self, task: TaskMessage) -> tuple[Claimed, RunningAttempt] | None:
        """Claim the row of ``task`` and keep its lease; None where the row is not ours to run.

        Raises DatabaseUnavailable. :meth:`remove` ends what this began.
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
        """Keep the lease that this thread just took."""
        attempt = RunningAttempt(
            task_id=task_id,
            epoch=epoch,
            backend=backend,
            model=model,
            token=token,
            thread=threading.current_thread(),
            renewed_at=time.monotonic(),
        )
        with self._lock:
            self._attempts[task_id, epoch] = attempt
        self._work_came.set()
        return attempt

    def remove(self, attempt: RunningAttempt) -> None:
        with self._lock:
            self._attempts.pop((attempt.task_id, attempt.epoch), None)

    def cancel_all(self, reason: str) -> None:
        for attempt in self._snapshot():
            attempt.token.cancel(reason)

    def _keep_leases(self) -> None:
        renewed_at = time.monotonic()
        while not self._stopping.is_set():
            if not self._attempts:
                self._work_came.wait()
                self._work_came.clear()
            if self._stopping.wait(WATCH_SECONDS):
                return
            due = time.monotonic() - renewed_at >= self._heartbeat_seconds
            if self._heartbeat(renew=due) and due:
                renewed_at = time.monotonic()

    def _heartbeat(self, *, renew: bool) -> bool:
        """One look at every running attempt; False when it could not be made."""
        attempts = [attempt for attempt in self._snapshot() if attempt.thread.is_alive()]
        if not attempts:
            return True
        try:
            with session():
                self._watch(attempts)
                if renew:
                    self._renew(attempts)
            self._renew_slots(attempts)
            self._interrupt_preempted(attempts)
            self._live.show(attempts)
        except (DatabaseUnavailable, redis.RedisError) as error:
            logger.warning("heartbeat_late owner=%s error=%s", self._owner, error)
        except Exception:
            # A deadlock with a bulk cancel, say: without its lease keeper the process would end.
            logger.exception("heartbeat_broke owner=%s", self._owner)
        else:
            return True
        self._give_up_expired(attempts)
        return False

    def _watch(self, attempts: list[RunningAttempt]) -> None:
        marks = Task.live_marks(self._owner, [attempt.task_id for attempt in attempts])
        for attempt in attempts:
            epoch, cancelled = marks.get(attempt.task_id, (None, False))
            if epoch != attempt.epoch:
                self._lose(attempt)
            elif cancelled:
                attempt.token.cancel(CANCELLED)

    def _lose(self, attempt: RunningAttempt) -> None:
        # The thread may have ended the attempt between our look at the list and at the row.
        if (attempt.task_id, attempt.epoch) in self._attempts:
            attempt.token.cancel(LEASE_LOST)

    def _renew(self, attempts: list[RunningAttempt]) -> None:
        heartbeats = [(attempt.task_id, attempt.epoch, attempt.report()) for attempt in attempts]
        kept = Task.heartbeat(self._owner, heartbeats, lease_seconds=self._lease_seconds)
        for attempt in attempts:
            if attempt.task_id in kept:
                attempt.renewed_at = time.monotonic()
            else:
                self._lose(attempt)

    def _renew_slots(self, attempts: list[RunningAttempt]) -> None:
        holders: dict[str, list[str]] = {}
        for backend, holder in (slot for attempt in attempts for slot in attempt.slots):
            holders.setdefault(backend, []).append(holder)
        lost = set(self._slots.renew(holders))
        for attempt in attempts:
            if any(holder in lost for _, holder in attempt.slots):
                attempt.token.cancel(SLOT_LOST)

    def _interrupt_preempted(self, attempts: list[RunningAttempt]) -> None:
        """Calls whose model must leave memory for a person's request end here; the rows go back."""
        preempted = self._demand.preempted(sorted({attempt.backend for attempt in attempts}))
        for attempt in attempts:
            if attempt.model in preempted.get(attempt.backend, ()):
                attempt.token.cancel(GAVE_WAY)

    def _give_up_expired(self, attempts: list[RunningAttempt]) -> None:
        for attempt in attempts:
            if time.monotonic() - attempt.renewed_at > self._lease_seconds:
                attempt.token.cancel(LEASE_LOST)

    def _snapshot(self) -> list[RunningAttempt]:
        with self._lock:
            return list(self._attempts.values())
