"""The open blocks of a simulated system and the tasks in flight: what the rows hold for real."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from jobs.policy.forecast import Ahead, BlockAhead, Duration, InFlight
from jobs.policy.prompt_groups import MOST_WAITING
from jobs.policy.types import BlockKey, DispatchOrder, OpenBlock, Plan, PlannedBlock
from jobs.simulation.server import VirtualServer


@dataclass(slots=True)
class _Block:
    block_id: str
    planned: PlannedBlock
    tasks: list[str]
    groups: list[int]
    in_flight: int = 0
    begun: bool = False

    @property
    def key(self) -> BlockKey:
        return self.planned.key


@dataclass(slots=True)
class Flight:
    """A task that was sent; ``started_at`` is None while the server has not begun it."""

    task_id: str
    key: BlockKey
    block: _Block
    started_at: float | None = None
    group: int | None = None


@dataclass(slots=True)
class Board:
    flights: dict[str, Flight] = field(default_factory=dict)
    lanes: dict[str, deque[_Block]] = field(default_factory=dict)
    current: dict[str, BlockKey] = field(default_factory=dict)
    usual: Duration = field(default_factory=lambda: Duration(10.0))
    _blocks: dict[str, _Block] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def replace(self, plan: Plan) -> None:
        """A new plan supersedes what had not been sent; tasks in flight stay with their blocks."""
        self._blocks = {name: b for name, b in self._blocks.items() if b.in_flight}
        for block in self._blocks.values():
            block.tasks.clear()
            block.groups.clear()
        self.lanes = {}
        if plan.blocks:
            last = plan.blocks[-1]
            self.usual = Duration(last.task_seconds, last.task_variation)
        for planned in plan.blocks:
            name = str(next(self._numbers))
            block = _Block(name, planned, list(planned.task_ids), list(planned.groups))
            self._blocks[block.block_id] = block
            self.lanes.setdefault(planned.key.backend, deque()).append(block)

    def open_blocks(self, reach: int) -> list[OpenBlock]:
        """Blocks with tasks in flight, then the first ``reach`` per lane with tasks to send."""
        draining = [b for b in self._blocks.values() if b.in_flight and not b.tasks]
        heads = [
            block
            for lane in self.lanes.values()
            for block in itertools.islice((b for b in lane if b.tasks), reach)
        ]
        return [
            OpenBlock(
                b.block_id,
                b.key,
                len(b.tasks),
                b.in_flight,
                b.planned.heavy,
                b.planned.urgent,
                waiting=tuple(b.groups[:MOST_WAITING]),
                running=self._running(b) if b.planned.groups else (),
            )
            for b in [*draining, *heads]
        ]

    def _running(self, block: _Block) -> tuple[int, ...]:
        mine = (flight.group for flight in self.flights.values() if flight.block is block)
        return tuple(group for group in mine if group is not None)

    def in_flight(self, backend: str) -> int:
        """How many tasks were sent there and have not ended."""
        return sum(
            block.in_flight for block in self._blocks.values() if block.key.backend == backend
        )

    def has_more(self, backend: str) -> bool:
        return any(block.tasks for block in self.lanes.get(backend, ()))

    def send(self, order: DispatchOrder) -> list[str]:
        block = self._blocks[order.block_id]
        chosen = order.chosen or range(order.count)
        sent = [block.tasks[place] for place in chosen]
        groups = [block.groups[place] for place in chosen] if block.groups else [None] * len(sent)
        for place in sorted(chosen, reverse=True):
            del block.tasks[place], block.groups[place : place + 1]
        block.in_flight += len(sent)
        block.begun = True
        for task_id, group in zip(sent, groups, strict=True):
            self.flights[task_id] = Flight(task_id, block.key, block, group=group)
        self.current[block.key.backend] = block.key
        lane = self.lanes.get(block.key.backend)
        while lane and not lane[0].tasks:
            lane.popleft()
        return sent

    def started(self, task_id: str, now: float) -> None:
        self.flights[task_id].started_at = now

    def ended(self, task_id: str) -> None:
        block = self.flights.pop(task_id).block
        block.in_flight -= 1
        if not block.in_flight and not block.tasks:
            self._blocks.pop(block.block_id, None)


def ahead_of(
    board: Board, servers: Mapping[str, VirtualServer], due: Mapping[str, float], now: float
) -> Ahead:
    """What a forecast sees of a simulated system; ``due`` is when tasks in back-off arrive."""
    lanes = [block for lane in board.lanes.values() for block in lane if block.tasks]
    return Ahead(
        blocks=tuple(
            BlockAhead(
                block.block_id,
                block.key.backend,
                len(block.tasks),
                _duration(block),
                load_seconds=0.0 if block.begun else block.planned.expected_load_seconds,
                drains=block.planned.drains,
            )
            for block in lanes
        ),
        in_flight=tuple(
            InFlight(
                flight.task_id,
                flight.key.backend,
                _duration(flight.block),
                None if flight.started_at is None else now - flight.started_at,
                _load_left(servers[flight.key.backend], flight, now),
            )
            for flight in board.flights.values()
        ),
        slots={name: server.profile.slots for name, server in servers.items()},
        delayed=tuple(max(0.0, moment - now) for moment in due.values()),
        usual=board.usual,
    )


def _load_left(server: VirtualServer, flight: Flight, now: float) -> float:
    load = server.loading
    waits = flight.started_at is None and load is not None and load.model == flight.key.model
    return max(0.0, load.ready_seconds - now) if load is not None and waits else 0.0


def _duration(block: _Block) -> Duration:
    return Duration(block.planned.task_seconds, block.planned.task_variation)
