"""The lease keeper of a worker process: one thread keeps the leases of all its running tasks.

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

from jobs.admission.slots import Slots
from jobs.attempt.live_answers import LiveAnswers
from llm.types import CancelToken, Phase, Progress
from models.database import DatabaseUnavailable, session
from models.task import Task

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0

CANCELLED = "cancel requested"
LEASE_LOST = "lease lost"
SLOT_LOST = "slot lost"
DRAINED = "drain"


@dataclass(slots=True)
class RunningTask:
    """One running task as its lease keeper sees it; the working thread updates ``progress``."""

    task_id: str
    epoch: int
    backend: str
    token: CancelToken
    thread: threading.Thread
    renewed_at: float
    progress: Progress = field(default_factory=lambda: Progress(Phase.WAITING))
    note: str | None = None
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
        lease_seconds: float,
        heartbeat_seconds: float,
    ) -> None:
        self._owner = owner
        self._live = live
        self._slots = slots
        self._lease_seconds = lease_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._pulses: dict[tuple[str, int], RunningTask] = {}
        self._lock = threading.Lock()
        self._work_came = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="lease-keeper", daemon=True)

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
        return len(self._pulses)

    def add(self, task_id: str, epoch: int, *, backend: str, token: CancelToken) -> RunningTask:
        """Begin to keep the lease that this thread just took."""
        task = RunningTask(
            task_id=task_id,
            epoch=epoch,
            backend=backend,
            token=token,
            thread=threading.current_thread(),
            renewed_at=time.monotonic(),
        )
        with self._lock:
            self._pulses[task_id, epoch] = task
        self._work_came.set()
        return task

    def remove(self, task: RunningTask) -> None:
        with self._lock:
            self._pulses.pop((task.task_id, task.epoch), None)

    def cancel_all(self, reason: str) -> None:
        for task in self._snapshot():
            task.token.cancel(reason)

    def _beat_on(self) -> None:
        renewed_at = time.monotonic()
        while not self._stopping.is_set():
            if not self._pulses:
                self._work_came.wait()
                self._work_came.clear()
            if self._stopping.wait(WATCH_SECONDS):
                return
            due = time.monotonic() - renewed_at >= self._heartbeat_seconds
            if self._beat(renew=due) and due:
                renewed_at = time.monotonic()

    def _beat(self, *, renew: bool) -> bool:
        """One look at every running task; False when it could not be made."""
        tasks = [task for task in self._snapshot() if task.thread.is_alive()]
        if not tasks:
            return True
        try:
            with session():
                self._watch(tasks)
                if renew:
                    self._renew(tasks)
            self._renew_slots(tasks)
            self._live.show(tasks)
        except (DatabaseUnavailable, redis.RedisError) as error:
            logger.warning("heartbeat_late owner=%s error=%s", self._owner, error)
        except Exception:
            # A deadlock with a bulk cancel, say: without its lease keeper the process would end.
            logger.exception("heartbeat_broke owner=%s", self._owner)
        else:
            return True
        self._give_up_expired(tasks)
        return False

    def _watch(self, tasks: list[RunningTask]) -> None:
        marks = Task.live_marks(self._owner, [task.task_id for task in tasks])
        for task in tasks:
            epoch, cancelled = marks.get(task.task_id, (None, False))
            if epoch != task.epoch:
                self._lose(task)
            elif cancelled:
                task.token.cancel(CANCELLED)

    def _lose(self, task: RunningTask) -> None:
        # The thread may have ended the task between our look at the list and at the row.
        if (task.task_id, task.epoch) in self._pulses:
            task.token.cancel(LEASE_LOST)

    def _renew(self, tasks: list[RunningTask]) -> None:
        beats = [(task.task_id, task.epoch, task.report()) for task in tasks]
        kept = Task.heartbeat(self._owner, beats, lease_seconds=self._lease_seconds)
        for task in tasks:
            if task.task_id in kept:
                task.renewed_at = time.monotonic()
            else:
                self._lose(task)

    def _renew_slots(self, tasks: list[RunningTask]) -> None:
        holders: dict[str, list[str]] = {}
        for backend, holder in (slot for task in tasks for slot in task.slots):
            holders.setdefault(backend, []).append(holder)
        lost = set(self._slots.renew(holders))
        for task in tasks:
            if any(holder in lost for _, holder in task.slots):
                task.token.cancel(SLOT_LOST)

    def _give_up_expired(self, tasks: list[RunningTask]) -> None:
        for task in tasks:
            if time.monotonic() - task.renewed_at > self._lease_seconds:
                task.token.cancel(LEASE_LOST)

    def _snapshot(self) -> list[RunningTask]:
        with self._lock:
            return list(self._pulses.values())
