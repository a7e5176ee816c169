"""The models in memory: their decoders, their requests, their expiry. Engine thread only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from llm.mlx_server import memory, scheduling
from llm.mlx_server.decoders import Decoder, DecoderOptions, make_decoder
from llm.mlx_server.job import EngineJob
from llm.mlx_server.loading import LoadedModel


@dataclass(slots=True, eq=False)
class RunningModel:
    """One model, its decoder and its running requests."""

    name: str
    model: Any
    decoder: Decoder
    options: DecoderOptions
    size_bytes: int
    reserved_bytes: int
    loaded_at: float = field(default_factory=time.monotonic)
    last_used_at: float = field(default_factory=time.monotonic)
    keep_alive_seconds: float | None = None
    active: set[EngineJob] = field(default_factory=set)

    @property
    def held_bytes(self) -> int:
        """The memory reserved for it and its requests: weights, cached prefixes and answers."""
        answers = sum(job.reserve_bytes for job in self.active)
        return self.reserved_bytes + self.decoder.prefix_bytes + answers

    @property
    def expires_at(self) -> float | None:
        if self.keep_alive_seconds is None:
            return None
        return self.last_used_at + self.keep_alive_seconds

    def admit(self, job: EngineJob, *, now: float) -> None:
        self.decoder.insert(job)
        job.admitted_at = self.last_used_at = now
        self.active.add(job)

    def forget(self, job: EngineJob) -> None:
        """Remove a request from the model; does nothing if it has left already."""
        if job in self.active:
            self.active.discard(job)
            self.decoder.remove(job)

    def rebuild(self) -> None:
        """Replace a broken decoder; the weights stay."""
        self.active.clear()
        self.decoder.close()
        self.decoder = make_decoder(self.model, self.options)


class Residents:
    """All models in memory, by name."""

    def __init__(self) -> None:
        self._models: dict[str, RunningModel] = {}

    def __iter__(self) -> Iterator[RunningModel]:
        return iter(tuple(self._models.values()))

    def __len__(self) -> int:
        return len(self._models)

    @property
    def names(self) -> set[str]:
        return set(self._models)

    def get(self, name: str) -> RunningModel | None:
        return self._models.get(name)

    @property
    def active(self) -> int:
        return sum(len(resident.active) for resident in self._models.values())

    @property
    def reserved_bytes(self) -> int:
        return sum(resident.held_bytes for resident in self._models.values())

    def add(self, name: str, loaded: LoadedModel, options: DecoderOptions) -> RunningModel:
        resident = RunningModel(
            name=name,
            model=loaded.model,
            decoder=make_decoder(loaded.model, options),
            options=options,
            size_bytes=loaded.size_bytes,
            reserved_bytes=loaded.size_bytes,
        )
        self._models[name] = resident
        return resident

    def evict(self, name: str) -> None:
        """Drop a model and return its memory at once."""
        resident = self._models.pop(name)
        resident.decoder.close()
        del resident
        memory.give_back()

    def expired(self, *, now: float) -> list[str]:
        """Unused models whose keep-alive has passed."""
        return [
            resident.name
            for resident in self._models.values()
            if not resident.active
            and resident.expires_at is not None
            and resident.expires_at <= now
        ]

    def views(self, waiting: dict[str, int]) -> list[scheduling.ModelLoad]:
        return [
            scheduling.ModelLoad(
                name=resident.name,
                active=len(resident.active),
                waiting=waiting.get(resident.name, 0),
                loaded_at=resident.loaded_at,
                last_used_at=resident.last_used_at,
                size_bytes=resident.held_bytes,
            )
            for resident in self._models.values()
        ]
