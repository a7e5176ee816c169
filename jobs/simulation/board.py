"""The open blocks of a simulated system and the tasks in flight: what the rows hold for real."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from jobs.policy.types import BlockKey, OpenBlock, Plan


@dataclass(slots=True)
class _Block:
    block_id: str
    key: BlockKey
    heavy: bool
    urgent: bool
    tasks: deque[str]
    in_flight: int = 0


@dataclass(slots=True)
class Flight:
    """A task that was sent; ``started_at`` is None while the server has not begun it."""

    task_id: str
    key: BlockKey
    block: _Block
    started_at: float | None = None


@dataclass(slots=True)
class Board:
    flights: dict[str, Flight] = field(default_factory=dict)
    lanes: dict[str, deque[_Block]] = field(default_factory=dict)
    current: dict[str, BlockKey] = field(default_factory=dict)
    _blocks: dict[str, _Block] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def replace(self, plan: Plan) -> None:
        """A new plan supersedes what had not been sent; tasks in flight stay with their blocks."""
        self._blocks = {name: b for name, b in self._blocks.items() if b.in_flight}
        for block in self._blocks.values():
            block.tasks.clear()
        self.lanes = {}
        for planned in plan.blocks:
            block = _Block(
                str(next(self._numbers)),
                planned.key,
                planned.heavy,
                planned.urgent,
                deque(planned.task_ids),
            )
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
            OpenBlock(b.block_id, b.key, len(b.tasks), b.in_flight, b.heavy, b.urgent)
            for b in [*draining, *heads]
        ]

    def has_more(self, backend: str) -> bool:
        return any(block.tasks for block in self.lanes.get(backend, ()))

    def send(self, block_id: str, count: int) -> list[str]:
        block = self._blocks[block_id]
        sent = [block.tasks.popleft() for _ in range(count)]
        block.in_flight += count
        for task_id in sent:
            self.flights[task_id] = Flight(task_id, block.key, block)
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
