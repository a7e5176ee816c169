"""Requests that wait for their model or a free place; first come, first served per model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator

from llm.mlx_server.job import EngineJob
from llm.mlx_server.scheduling import NeededModel


class WaitingLine:
    """Engine thread only."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[EngineJob]] = {}
        self._left_at: dict[str, float] = {}

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def add(self, job: EngineJob) -> None:
        self._lines.setdefault(job.model.name, deque()).append(job)

    def discard(self, job: EngineJob) -> None:
        line = self._lines.get(job.model.name)
        if line is not None and job in line:
            line.remove(job)
            self._tidy(job.model.name)

    def has(self, name: str) -> bool:
        return name in self._lines

    def counts(self) -> dict[str, int]:
        return {name: len(line) for name, line in self._lines.items()}

    def take_all(self, name: str | None = None) -> list[EngineJob]:
        """Remove all waiting requests, of one model or of all."""
        names = list(self._lines) if name is None else [name]
        return [job for each in names for job in self._lines.pop(each, ())]

    def head(self, names: Collection[str]) -> EngineJob | None:
        """The longest waiting request for one of ``names``; it stays in line."""
        heads = (line[0] for name, line in self._lines.items() if name in names)
        return min(heads, key=lambda job: job.arrived_at, default=None)

    def take_loads(self, name: str) -> list[EngineJob]:
        """Remove the requests that only load ``name``."""
        line = self._lines.get(name, deque())
        loads = [job for job in line if job.prompt is None]
        for job in loads:
            line.remove(job)
        self._tidy(name)
        return loads

    def keep_no_longer(self, name: str) -> None:
        """Make the waiting requests for ``name`` end its keep-alive with their answers."""
        for job in self._lines.get(name, ()):
            job.keep_alive_seconds = 0.0

    def loaded(self, name: str, *, seconds: float, now: float) -> None:
        """Record how much of the wait of the requests for ``name`` was its load."""
        for job in self._lines.get(name, ()):
            job.load_seconds = min(seconds, now - job.arrived_at)

    def evicted(self, name: str, *, now: float) -> None:
        """Count the wait for a model anew from its eviction."""
        self._left_at[name] = now

    def needed_models(
        self, resident: Collection[str], *, need_bytes: Callable[[EngineJob], int]
    ) -> Iterator[NeededModel]:
        for name, line in self._lines.items():
            if name not in resident:
                since = max(line[0].arrived_at, self._left_at.get(name, 0.0))
                yield NeededModel(name=name, since=since, size_bytes=need_bytes(line[0]))

    def _tidy(self, name: str) -> None:
        if not self._lines.get(name, True):
            del self._lines[name]
