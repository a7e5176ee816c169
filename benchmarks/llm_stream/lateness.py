"""How long after its deadline, or after a cancel, a call that hangs really ends."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import replace

from llm import errors
from llm.backends.base import BackendAdapter
from llm.backends.registry import build
from llm.types import (
    BackendKind,
    BackendSpec,
    CancelToken,
    Deadlines,
    GenerateRequest,
    GenerationProgress,
    Message,
    Phase,
)
from tests.support.simulators import Kind, RunningSimulator, simulator

PATIENT = Deadlines(first_token_seconds=60.0, between_tokens_seconds=60.0, total_seconds=120.0)
MODELS: dict[Kind, str] = {
    "ollama": "tinyllama:1.1b-chat",
    "mlx": "tinyllama:1.1b-chat",
    "openai": "llama-3.1-8b-instruct",
}
HANGS = {
    "dead": replace(PATIENT, first_token_seconds=0.5),
    "hang-before": replace(PATIENT, first_token_seconds=0.5),
    "hang-after": replace(PATIENT, between_tokens_seconds=0.5),
    "drip": replace(PATIENT, total_seconds=0.5),
}
REPEATS = 7


def lateness() -> dict[str, dict[str, float]]:
    """Milliseconds, median and worst: by kind of server, for each hang and for cancels in it."""
    found: dict[str, dict[str, float]] = {}
    kinds: tuple[Kind, ...] = ("ollama", "mlx", "openai")
    for kind in kinds:
        with simulator(kind, time_scale=200.0) as server:
            backend = build(BackendSpec("late", BackendKind(kind), server.url), environ={})
            for fault, deadlines in HANGS.items():
                late = [_after_deadline(backend, server, fault, deadlines) for _ in range(REPEATS)]
                found[f"{kind} {fault}"] = _summary(late)
            for fault in ("dead", "hang-after"):
                late = [_after_cancel(backend, server, fault) for _ in range(REPEATS)]
                found[f"{kind} cancel in {fault}"] = _summary(late)
            backend.close()
    return found


def _after_deadline(
    backend: BackendAdapter, server: RunningSimulator, fault: str, deadlines: Deadlines
) -> float:
    server.reset()
    server.fault(fault, seconds=0.2, after_tokens=1)
    marks = [time.monotonic()]

    def mark(progress: GenerationProgress) -> None:
        if progress.phase is Phase.DECODING and fault == "hang-after":
            marks[0] = time.monotonic()

    try:
        backend.generate(_request(server.kind), deadlines=deadlines, on_progress=mark)
    except errors.CallTimeout:
        return time.monotonic() - marks[0] - 0.5
    raise AssertionError(f"{fault} did not time out")


def _after_cancel(backend: BackendAdapter, server: RunningSimulator, fault: str) -> float:
    server.reset()
    server.fault(fault, after_tokens=1)
    cancel = CancelToken()
    ended: list[float] = []

    def call() -> None:
        try:
            backend.generate(_request(server.kind), deadlines=PATIENT, cancel=cancel)
        except errors.CallCancelled:
            ended.append(time.monotonic())

    thread = threading.Thread(target=call)
    thread.start()
    server.wait_until(lambda stats: bool(stats["journal"]))
    cancelled_at = time.monotonic()
    cancel.cancel("measured")
    thread.join()
    return ended[0] - cancelled_at


def _request(kind: Kind) -> GenerateRequest:
    return GenerateRequest(
        MODELS[kind], (Message("user", "Describe the sea at night."),), max_tokens=400
    )


def _summary(late_seconds: list[float]) -> dict[str, float]:
    return {
        "median_ms": round(statistics.median(late_seconds) * 1000, 1),
        "worst_ms": round(max(late_seconds) * 1000, 1),
    }
