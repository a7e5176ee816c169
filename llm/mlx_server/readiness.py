"""Answers for a supervisor (is it alive?) and for a load balancer (may it get requests?)."""

from __future__ import annotations

from dataclasses import dataclass

from llm.mlx_server.engine import Engine
from llm.mlx_server.request_limit import RequestLimit
from llm.mlx_server.watchdog import Watchdog


@dataclass(frozen=True, slots=True)
class ReadinessStatus:
    good: bool
    text: str


@dataclass(slots=True)
class Readiness:
    """``preloading`` is true until the models of MLX_PRELOAD_MODELS are in memory."""

    engine: Engine
    request_limit: RequestLimit
    watchdog: Watchdog
    preloading: bool = False

    @property
    def still_seconds(self) -> float:
        return self.watchdog.still_seconds

    def health(self) -> ReadinessStatus:
        if not self.engine.alive:
            return ReadinessStatus(False, "engine dead")
        if self.watchdog.stalled:
            return ReadinessStatus(False, "stalled")
        return ReadinessStatus(True, "draining" if self.request_limit.draining else "ok")

    def ready(self) -> ReadinessStatus:
        health = self.health()
        if not health.good:
            return health
        if self.request_limit.draining:
            return ReadinessStatus(False, "draining")
        if self.preloading:
            return ReadinessStatus(False, "preloading")
        memory = self.engine.view.memory
        if memory is not None and memory.pressure == "critical":
            return ReadinessStatus(False, "memory critical")
        return ReadinessStatus(True, "ready")
