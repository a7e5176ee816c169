"""Finds rows whose worker, message or backend is gone, and returns them to the planner."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

import redis
from dramatiq import Message

from jobs.admission.breakers import Breakers
from jobs.admission.consumers import Consumers
from jobs.admission.slots import Slots
from jobs.policy.knowledge_os import DEFERRED, Compat
from jobs.process.clock import ClockWatch, epoch_seconds
from jobs.process.owners import process_is_gone, process_is_here
from jobs.queues.names import NAMESPACE, WORKERS, llm_queue
from jobs.queues.worker_register import registered
from jobs.settings.load import Settings
from models import orphans
from models.database import session
from models.marks import Marks
from models.orphans import Returned
from models.states import TaskState

logger = logging.getLogger(__name__)

UNSENT_GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many rows were returned, by cause; ``quarantined`` counts those failed as poison."""

    expired: int = 0
    dead: int = 0
    foreign: int = 0
    unsent: int = 0
    blocked: int = 0
    cancelled: int = 0
    orphaned: int = 0
    cyclic: int = 0
    quarantined: int = 0

    @property
    def returned(self) -> int:
        return self.expired + self.dead + self.foreign + self.unsent + self.blocked


@dataclass(frozen=True, slots=True)
class Messages:
    """``id:epoch`` of messages that wait in Redis, and of those delivered to live processes.

    A live process may have lost a delivery: Redis sent the message, and the connection broke before
    it arrived. A delivered message claims its row within seconds, so a row that is queued for a
    whole lease has lost its message, whatever Redis reports.
    """

    waiting: list[str]
    delivered: list[str]


@dataclass(frozen=True, slots=True)
class Recovery:
    """Returns orphaned rows. Safe to run at any time, by any process."""

    settings: Settings
    client: redis.Redis
    slots: Slots
    breakers: Breakers
    consumers: Consumers
    clock: ClockWatch = field(default_factory=ClockWatch)

    def run(self) -> Recovered:
        """One round over everything that can be orphaned."""
        settings = self.settings
        freed = self.slots.sweep()
        unregister_dead_workers(self.client)
        messages = self._known_messages()
        with session():
            orphans.adopt_stateless()
            orphans.close_taken_over()
            cancelled = orphans.finish_cancels()
            dead = orphans.return_of_dead(_dead_owners(), max_crashes=settings.max_crashes)
            expired = self._return_expired()
            foreign = orphans.return_foreign(stuck_minutes=settings.stuck_minutes)
            unsent = orphans.return_without_message(
                [*messages.waiting, *messages.delivered], grace_seconds=UNSENT_GRACE_SECONDS
            )
            unsent += orphans.return_without_message(
                messages.waiting, grace_seconds=settings.lease_seconds
            )
            blocked = self._return_blocked()
            cyclic = orphans.fail_cycles()
            orphaned = orphans.fail_orphans_of_dependencies()
            self._defer_to_people([*dead, *expired])
        result = Recovered(
            expired=len(expired),
            dead=len(dead),
            foreign=len(foreign),
            unsent=len(unsent),
            blocked=len(blocked),
            cancelled=cancelled,
            orphaned=len(orphaned),
            cyclic=len(cyclic),
            quarantined=_quarantined([*dead, *expired]),
        )
        _log(result, freed, settings.stuck_minutes)
        return result

    def _return_expired(self) -> list[Returned]:
        """Return rows with expired leases; none right after a sleep or a clock jump, so that owners
        can renew first."""
        if self.clock.jumped_within(self.settings.lease_seconds):
            return []
        return orphans.return_expired(
            alive=_alive_owners(self.client), grace_seconds=self.settings.lease_seconds
        )

    def _defer_to_people(self, returned: Iterable[Returned]) -> None:
        """Show quarantined tasks to the other system as it shows its own after the last attempt."""
        failed = [one.id for one in returned if one.state is TaskState.FAILED]
        if failed and self.settings.compat is Compat.KNOWLEDGE_OS:
            orphans.mark_failed(failed, Marks(DEFERRED))

    def _known_messages(self) -> Messages:
        """Dispatch keeps these few, so reading all of them is cheap."""
        messages = Messages([], [])
        for spec in self.settings.backends:
            queue = llm_queue(spec.name)
            stored = self.client.hgetall(f"{NAMESPACE}:{queue}.msgs")
            delivered, lost = _deliveries(self.client, queue)
            for key, data in stored.items():
                if key not in lost:
                    known = messages.delivered if key in delivered else messages.waiting
                    known.extend(_task_and_epoch(data))
        return messages

    def _return_blocked(self) -> list[Returned]:
        """Return rows queued for a backend that is down, paused or without a worker, or for a
        model whose breaker is open."""
        returned: list[Returned] = []
        self.breakers.read_again()
        for spec in self.settings.backends:
            reason = self.breakers.blocked(spec.name) or self.consumers.missing(spec.name)
            if reason is not None:
                returned += orphans.return_queued_at(spec.name, reason=f"{spec.name}: {reason}")
            for model, reason in self.breakers.closed_models(spec.name).items():
                returned += orphans.return_queued_at(
                    spec.name, model=model, reason=f"{spec.name}/{model}: {reason}"
                )
        return returned


def unregister_dead_workers(client: redis.Redis) -> int:
    """Remove dead processes of this host from the register, so that messages delivered to them
    count as lost; returns how many."""
    gone = [worker.owner for worker in registered(client) if process_is_gone(worker.owner)]
    if gone:
        client.hdel(WORKERS, *gone)
    return len(gone)


def _alive_owners(client: redis.Redis) -> list[str]:
    """Owners of running rows that run on this machine, or that sent a heartbeat lately."""
    now = epoch_seconds()
    recent = {worker.owner for worker in registered(client) if worker.has_heartbeat(now)}
    return [
        holder.owner
        for holder in orphans.holders()
        if holder.owner in recent or process_is_here(holder.owner)
    ]


def _deliveries(client: redis.Redis, queue: str) -> tuple[set[bytes | str], set[bytes | str]]:
    """The keys of messages delivered to live processes, and of those delivered to silent ones."""
    now = epoch_seconds()
    alive = {worker.broker_id for worker in registered(client) if worker.has_heartbeat(now)}
    delivered: set[bytes | str] = set()
    lost: set[bytes | str] = set()
    for broker_id in client.zrange(f"{NAMESPACE}:__heartbeats__", 0, -1):
        name = broker_id.decode() if isinstance(broker_id, bytes) else broker_id
        keys = client.smembers(f"{NAMESPACE}:__acks__.{name}.{queue}")
        (delivered if name in alive else lost).update(keys)
    return delivered, lost


def _task_and_epoch(data: bytes | str) -> Iterable[str]:
    kwargs = Message.decode(data if isinstance(data, bytes) else data.encode()).kwargs
    if "task_id" in kwargs:
        yield f"{kwargs['task_id']}:{kwargs['epoch']}"


def _dead_owners() -> list[str]:
    return [holder.owner for holder in orphans.holders() if process_is_gone(holder.owner)]


def _quarantined(returned: Iterable[Returned]) -> int:
    return sum(one.state is TaskState.FAILED for one in returned)


def _log(result: Recovered, freed_slots: int, stuck_minutes: float) -> None:
    if result.foreign:
        logger.warning(
            "Вернуто в очередь зависших задач (>%g мин): %d", stuck_minutes, result.foreign
        )
    if result.cyclic:
        logger.warning("failed %d tasks whose dependencies form a cycle", result.cyclic)
    if result.returned or freed_slots or result.cancelled or result.orphaned:
        logger.warning(
            "returned %d stuck tasks to the queue: %d of dead workers, %d expired, %d foreign, "
            "%d unsent, %d of blocked backends; %d quarantined, %d cancelled, "
            "%d failed with their dependency, %d slots freed",
            result.returned, result.dead, result.expired, result.foreign, result.unsent,
            result.blocked, result.quarantined, result.cancelled, result.orphaned, freed_slots,
        )  # fmt: skip
