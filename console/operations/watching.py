"""One look at the running system, cheap enough to repeat every second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from console.operations import queues, status
from console.operations.connections import Connections
from console.operations.lanes import binding, done_of, lane_of, running_at
from console.operations.standing import Standing
from console.operations.status import Work
from console.operations.strip import Strips, strips
from console.operations.strip import look as strip_look
from console.operations.verdict import UNKNOWN, SystemVerdict
from jobs.queues.names import llm_queue
from models import attempt, task_figures, task_views
from models.block import BlockInForce
from models.task_figures import TaskInProgress
from models.task_filter import TaskFilter
from models.task_rows import ListedTask

RUNNING_SHOWN = 50
FAILED_SHOWN = 20
FAILED_READ = 100
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lane:
    """One backend: what is in memory, the block it works on, what comes next, its limit and why.

    ``running`` counts tasks, ``chats`` people's requests.
    """

    backend: str
    resident: tuple[str, ...]
    running: int
    limit: int
    limit_reason: str
    trouble: str | None
    paused: bool
    present: str
    following: str
    ready: int = 0
    dead: int = 0
    chats: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that one screen shows."""

    at: datetime
    counts: Mapping[str, int]
    finished_last_minute: int
    oldest_waits_since: datetime | None
    lanes: tuple[Lane, ...]
    running: tuple[TaskInProgress, ...]
    failed: tuple[ListedTask, ...]
    verdict: SystemVerdict = UNKNOWN
    strips: Strips | None = None
    badges: tuple[str, ...] = ()


def look(connections: Connections, *, now: datetime) -> Look:
    """Needs a session, and Redis."""
    work = status.work(connections)
    standing = connections.standings.look()
    names = list(standing.states)
    return Look(
        at=now,
        counts=work.counts,
        finished_last_minute=attempt.completed_between(now - timedelta(minutes=1), now),
        oldest_waits_since=task_figures.oldest_pending(),
        lanes=_lanes(connections, work, standing, now=now),
        running=tuple(work.running[:RUNNING_SHOWN]),
        failed=tuple(_failed()),
        verdict=status.verdict_now(connections, work, standing),
        strips=strips(
            strip_look(work.ahead, now=now), work.forecast, names, now=now, paused=standing.paused
        ),
        badges=status.badges(connections.settings),
    )


def _failed() -> list[ListedTask]:
    """The last that failed, of the newest hundred."""
    rows = task_views.listing(TaskFilter(statuses=("failed",)), limit=FAILED_READ)
    ended = sorted(rows, key=lambda row: row.completed_at or row.created_at or NEVER, reverse=True)
    return ended[:FAILED_SHOWN]


def _lanes(
    connections: Connections, work: Work, standing: Standing, *, now: datetime
) -> tuple[Lane, ...]:
    names = [llm_queue(name) for name in standing.states]
    queued = {row.queue: row for row in queues.overview(connections.redis, names, now=now)}
    lanes = []
    for name, state in standing.states.items():
        mine, held = lane_of(work.ahead.blocks, name), standing.slots[name]
        bound, reason = binding(state.limit, held.leases)
        lanes.append(
            Lane(
                backend=name,
                resident=state.resident,
                running=running_at(work.running, name, slots_held=len(held.leases) - held.chats),
                chats=held.chats,
                limit=bound,
                limit_reason=reason,
                trouble=None if state.paused else state.blocked,
                paused=state.paused,
                present=_block(mine, 0),
                following=_block(mine, 1),
                ready=queued[llm_queue(name)].ready,
                dead=queued[llm_queue(name)].dead,
            )
        )
    return tuple(lanes)


def _block(blocks: Sequence[BlockInForce], index: int) -> str:
    if index >= len(blocks):
        return ""
    row = blocks[index]
    return f"{row.model} {done_of(row)}/{row.size}"
