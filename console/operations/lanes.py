"""What every view of the running system reads the same way: the blocks of a lane, and its slots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis

from jobs.admission.limits import Limit, Limits
from jobs.admission.slots import BackendSlots, SlotLease
from jobs.policy import metadata
from models import block
from models.block import BlockInForce
from models.database import session
from models.states import TaskState
from models.task_figures import TaskInProgress
from models.task_rows import WholeTask

if TYPE_CHECKING:
    from console.operations.connections import Connections


RUNNING_READ = 400


@dataclass(frozen=True, slots=True)
class SlotUse:
    """``in_use`` of ``bound`` slots are taken, ``kept`` more are reserved for people. ``reason``
    names the limit; ``everywhere``: it counts the calls of all backends together."""

    in_use: int
    bound: int
    reason: str
    kept: int = 0
    everywhere: bool = False

    @property
    def full(self) -> bool:
        return self.in_use + self.kept >= self.bound


def as_running(by_state: Mapping[str, int], running: Sequence[TaskInProgress]) -> dict[str, int]:
    """Tasks by state at the moment at which ``running`` were read, so that every number of a view
    is the same; of more than `RUNNING_READ` the count stays."""
    whole = len(running) < RUNNING_READ
    return {**by_state, **({TaskState.IN_PROGRESS.value: len(running)} if whole else {})}


def running_at(running: Sequence[TaskInProgress], backend: str, *, slots_held: int) -> int:
    """How many of ``running`` are at this backend. Where they are not all, its ``slots_held`` by
    tasks: some of them may hold one without having begun."""
    mine = sum(task.backend == backend for task in running)
    return mine if len(running) < RUNNING_READ else slots_held


def lane_of(blocks: Iterable[BlockInForce], backend: str) -> list[BlockInForce]:
    """The open blocks of one backend in the order of work: those in flight, then as planned."""
    mine = [row for row in blocks if row.backend == backend]
    return sorted(mine, key=lambda row: (row.in_flight == 0, row.lane_order))


def done_of(row: BlockInForce) -> int:
    """How many tasks of an open block have ended or returned to the backlog."""
    return max(0, row.size - row.remaining - row.in_flight)


def binding(limit: Limit, held: Sequence[SlotLease]) -> tuple[int, str]:
    """How many calls may run now, and what bounds them. Where only heavy models run, and as many
    as may, that is their own limit."""
    full_of_heavy = len(held) >= limit.heavy and all(lease.heavy for lease in held)
    if not held or not full_of_heavy or limit.heavy >= limit.slots:
        return limit.slots, limit.reason
    return limit.heavy, f"{limit.heavy} of {limit.slots}: heavy models at most {limit.heavy}"


def slots_for(row: WholeTask, connections: Connections) -> SlotUse | None:
    """The slots that a queued task waits for; None for other tasks, and while Redis is away.
    ``row`` is from `tasks.details`."""
    backend = row.backend
    names = [spec.name for spec in connections.settings.backends]
    if row.status != "queued" or backend not in names:
        return None
    with session():
        heavy = block.is_heavy(row.block_id)
    try:
        held = {state.backend: state for state in connections.slots.inspect(*names)}
        limits = Limits(connections.redis, connections.settings)
        return slot_use(backend, held, limits, heavy=heavy)
    except redis.RedisError:
        return None


def closed_for(row: WholeTask, connections: Connections) -> str | None:
    """Why what a waiting task requires takes nothing now: its model where that is closed somewhere,
    else its server. None for tasks that require nothing, and while Redis is away."""
    options = metadata.read(row.metadata)
    backend, model = options.required_backend, options.required_model
    if row.status != "pending" or not (backend or model):
        return None
    names = [
        spec.name
        for spec in connections.settings.backends
        if backend in (None, spec.name, spec.kind.value)
    ]
    try:
        breakers, states = connections.standings.breakers, connections.standings.look().states
        for name in names:
            if model and (reason := breakers.closed_models(name).get(model)):
                return f"{name}: {reason}"
        blocked = [f"{name}: {states[name].blocked}" for name in names if states[name].blocked]
        return blocked[0] if blocked and len(blocked) == len(names) else None
    except redis.RedisError:
        return None


def slot_use(
    backend: str, held: Mapping[str, BackendSlots], limits: Limits, *, heavy: bool
) -> SlotUse:
    """The limit that binds a task of ``backend``: the first reached of the backend's own, that on
    its heavy models, and that over all backends; the backend's own while none is reached."""
    mine = held[backend]
    limit, total = limits.of(backend), limits.total
    kept = limit.slots - limits.for_tasks(backend) - mine.chats
    own = SlotUse(len(mine.leases), limit.slots, limit.reason, kept=max(0, kept))
    heavy_leases = [lease for lease in mine.leases if lease.heavy]
    of_heavy = SlotUse(len(heavy_leases), *binding(limit, heavy_leases))
    chats = sum(state.chats for state in held.values())
    of_all = SlotUse(
        sum(len(state.leases) for state in held.values()),
        total.slots,
        total.reason,
        kept=max(0, total.slots - limits.total_for_tasks - chats),
        everywhere=True,
    )
    if heavy and of_heavy.full and not own.full:
        return of_heavy
    return of_all if of_all.full and not own.full else own
