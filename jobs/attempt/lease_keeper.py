"""The heart of a worker process: one thread keeps the leases of all its running tasks.

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
class Pulse:
    """One running task as its heart sees it; the working thread updates ``progress``."""

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


class Heart:
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
        self._pulses: dict[tuple[str, int], Pulse] = {}
        self._lock = threading.Lock()
        self._work_came = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heart", daemon=True)

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

    def add(self, task_id: str, epoch: int, *, backend: str, token: CancelToken) -> Pulse:
        """Begin to keep the lease that this thread just took."""
        pulse = Pulse(
            task_id=task_id,
            epoch=epoch,
            backend=backend,
            token=token,
            thread=threading.current_thread(),
            renewed_at=time.monotonic(),
        )
        with self._lock:
            self._pulses[task_id, epoch] = pulse
        self._work_came.set()
        return pulse

    def remove(self, pulse: Pulse) -> None:
        with self._lock:
            self._pulses.pop((pulse.task_id, pulse.epoch), None)

    def cancel_all(self, reason: str) -> None:
        for pulse in self._snapshot():
            pulse.token.cancel(reason)

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
        pulses = [pulse for pulse in self._snapshot() if pulse.thread.is_alive()]
        if not pulses:
            return True
        try:
            with session():
                self._watch(pulses)
                if renew:
                    self._renew(pulses)
            self._renew_slots(pulses)
            self._live.show(pulses)
        except (DatabaseUnavailable, redis.RedisError) as error:
            logger.warning("heartbeat_late owner=%s error=%s", self._owner, error)
        except Exception:
            # Such as a deadlock with a bulk cancel: a heart that stops ends the whole process.
            logger.exception("heartbeat_broke owner=%s", self._owner)
        else:
            return True
        self._give_up_expired(pulses)
        return False

    def _watch(self, pulses: list[Pulse]) -> None:
        marks = Task.live_marks(self._owner, [pulse.task_id for pulse in pulses])
        for pulse in pulses:
            epoch, cancelled = marks.get(pulse.task_id, (None, False))
            if epoch != pulse.epoch:
                self._lose(pulse)
            elif cancelled:
                pulse.token.cancel(CANCELLED)

    def _lose(self, pulse: Pulse) -> None:
        # The thread may have ended the task between our look at the list and at the row.
        if (pulse.task_id, pulse.epoch) in self._pulses:
            pulse.token.cancel(LEASE_LOST)

    def _renew(self, pulses: list[Pulse]) -> None:
        beats = [(pulse.task_id, pulse.epoch, pulse.report()) for pulse in pulses]
        kept = Task.heartbeat(self._owner, beats, lease_seconds=self._lease_seconds)
        for pulse in pulses:
            if pulse.task_id in kept:
                pulse.renewed_at = time.monotonic()
            else:
                self._lose(pulse)

    def _renew_slots(self, pulses: list[Pulse]) -> None:
        holders: dict[str, list[str]] = {}
        for backend, holder in (slot for pulse in pulses for slot in pulse.slots):
            holders.setdefault(backend, []).append(holder)
        lost = set(self._slots.renew(holders))
        for pulse in pulses:
            if any(holder in lost for _, holder in pulse.slots):
                pulse.token.cancel(SLOT_LOST)

    def _give_up_expired(self, pulses: list[Pulse]) -> None:
        for pulse in pulses:
            if time.monotonic() - pulse.renewed_at > self._lease_seconds:
                pulse.token.cancel(LEASE_LOST)

    def _snapshot(self) -> list[Pulse]:
        with self._lock:
            return list(self._pulses.values())
