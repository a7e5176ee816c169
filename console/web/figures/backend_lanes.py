"""One lane per backend: what is in memory, what runs, what comes next, and what holds it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import redis

from console.operations.lanes import binding, done_of, lane_of, running_at
from console.operations.standing import Standing, Standings
from console.operations.time_shares import TimeShares
from console.web.figures import scan
from jobs.admission.breakers import split
from jobs.admission.residency import Holds
from jobs.settings.load import Settings
from llm.breaker import BreakerPhase
from llm.types import BackendSpec, Scan, ServerScan
from models.block import BlockInForce
from models.model_loads import Reloads
from models.task_figures import TaskInProgress

RUNNING_SHOWN = 8
SEGMENTS_SHOWN = 40


@dataclass(frozen=True, slots=True)
class ModelInMemory:
    """``bytes`` is None where neither the server nor its scan says the size."""

    name: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class ModelNotTried:
    """A model whose own breaker is not closed."""

    model: str
    reason: str | None
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class LaneBlock:
    """An open block of the plan."""

    model: str
    size: int
    done: int
    in_flight: int
    remaining: int
    urgent: bool
    reason: str
    expected_finish_seconds: float


@dataclass(frozen=True, slots=True)
class LaneTask:
    """A task that runs; ``seconds`` since it was claimed."""

    id: str
    title: str
    model: str | None
    phase: str
    tokens: int
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendLane:
    """A backend with its slots, its plan and its hour.

    ``running_now`` counts its tasks, ``in_flight`` the slots that these, chats and loads hold.
    ``limit`` and ``heavy_limit`` are in force now, ``bound`` is the one of them that binds, for
    ``limit_reason``; ``ceiling`` is the configured one. ``blocks`` are the first of
    ``block_count``; ``present`` and ``next`` are the first two. ``planned`` counts tasks.
    """

    backend: str
    kind: str
    url: str
    simulated: bool
    resident: list[ModelInMemory]
    holds: Holds | None
    models: list[str]
    scan_error: str | None
    in_flight: int
    running_now: int
    chats: int
    kept_for_chats: str | None
    waiting_for_slot: int
    limit: int
    heavy_limit: int
    bound: int
    limit_reason: str
    ceiling: int
    paused: bool
    breaker: str
    breaker_reason: str | None
    breaker_retry_at: datetime | None
    open_models: list[ModelNotTried]
    blocks: list[LaneBlock]
    block_count: int
    present: LaneBlock | None
    next: LaneBlock | None
    planned: int
    finish_seconds: float | None
    running: list[LaneTask]
    split: TimeShares | None
    reloads: Reloads | None


class Lanes:
    """Reads Redis in a few round trips; the caller passes the database rows."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        self._client = client
        self._standings = Standings(settings, client)

    def look(
        self,
        *,
        blocks: Sequence[BlockInForce],
        splits: Mapping[str, TimeShares],
        reloads: Mapping[str, Reloads],
        running: Sequence[TaskInProgress],
        now: datetime,
    ) -> tuple[list[BackendLane], Standing]:
        """A lane for each configured backend, in the order of the settings, and what Redis says
        of them. ``running`` are the oldest tasks in progress."""
        last_scan = scan.last(self._client)
        standing = self._standings.look(last_scan)
        lanes = [
            self._lane(
                spec,
                last_scan,
                standing,
                blocks=lane_of(blocks, spec.name),
                running=running,
                now=now,
                split=splits.get(spec.name),
                reloads=reloads.get(spec.name),
            )
            for spec in self._settings.backends
        ]
        return lanes, standing

    def _lane(
        self,
        spec: BackendSpec,
        last_scan: Scan | None,
        standing: Standing,
        *,
        blocks: Sequence[BlockInForce],
        running: Sequence[TaskInProgress],
        now: datetime,
        split: TimeShares | None,
        reloads: Reloads | None,
    ) -> BackendLane:
        server = last_scan.server(spec.name) if last_scan else None
        sizes = scan.sizes(server)
        state, held = standing.states[spec.name], standing.slots.get(spec.name)
        wanted = self._standings.limits.demand(spec.name)
        leases, chats = (held.leases, held.chats) if held else ((), 0)
        bound, reason = binding(state.limit, leases)
        shown = [_block(row) for row in blocks]
        return BackendLane(
            backend=spec.name,
            kind=spec.kind.value,
            url=spec.url,
            simulated=spec.name in self._settings.simulated,
            resident=[ModelInMemory(name, sizes.get(name)) for name in state.resident],
            holds=state.holds,
            models=_models(server),
            scan_error=state.error,
            in_flight=len(leases),
            running_now=running_at(running, spec.name, slots_held=len(leases) - chats),
            chats=chats,
            kept_for_chats=wanted.model if wanted else None,
            waiting_for_slot=held.waiting if held else 0,
            limit=state.limit.slots,
            heavy_limit=state.limit.heavy,
            bound=bound,
            limit_reason=reason,
            ceiling=min(spec.max_concurrent, self._settings.max_concurrent),
            paused=state.paused,
            breaker=state.breaker.value,
            breaker_reason=state.breaker_reason,
            breaker_retry_at=state.breaker_retry_at,
            open_models=self._open_models(spec.name),
            blocks=shown[:SEGMENTS_SHOWN],
            block_count=len(shown),
            present=shown[0] if shown else None,
            next=shown[1] if len(shown) > 1 else None,
            planned=sum(row.remaining + row.in_flight for row in blocks),
            finish_seconds=max((row.expected_finish_seconds for row in blocks), default=None),
            running=_running(running, spec.name, now),
            split=split,
            reloads=reloads,
        )

    def _open_models(self, backend: str) -> list[ModelNotTried]:
        found = []
        for key, state in sorted(self._standings.breakers.states().items()):
            of_backend, model = split(key)
            if of_backend == backend and model and state.phase is not BreakerPhase.CLOSED:
                found.append(ModelNotTried(model, state.reason, state.retry_at))
        return found


def _models(server: ServerScan | None) -> list[str]:
    return [model.name for model in server.usable] if server else []


def _block(row: BlockInForce) -> LaneBlock:
    return LaneBlock(
        model=row.model,
        size=row.size,
        done=done_of(row),
        in_flight=row.in_flight,
        remaining=row.remaining,
        urgent=row.urgent,
        reason=row.reason,
        expected_finish_seconds=row.expected_finish_seconds,
    )


def _running(tasks: Sequence[TaskInProgress], backend: str, now: datetime) -> list[LaneTask]:
    mine = [task for task in tasks if task.backend == backend][:RUNNING_SHOWN]
    return [
        LaneTask(
            id=task.id,
            title=task.title,
            model=task.model or None,
            phase=task.progress.phase or "running",
            tokens=task.progress.tokens,
            seconds=max(0.0, (now - task.started_at).total_seconds()) if task.started_at else None,
        )
        for task in mine
    ]
