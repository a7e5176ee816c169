"""Framing, JSON, wire format and guards without a network, beside `json.loads` alone."""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from llm.backends.ollama_wire import OllamaChat
from llm.backends.openai_wire import OpenAIChat
from llm.backends.streaming import Wire
from llm.guard import AnswerGuard
from llm.wire import ollama, openai

TOKENS = 100_000
TOKENS_PER_CHUNK = 10
AT = datetime(2026, 1, 1, tzinfo=UTC)


class _Sink:
    """The guard and nothing else."""

    def __init__(self) -> None:
        guard = AnswerGuard(prompt="Describe a stormy night.", max_tokens=TOKENS)
        self.text = guard.text
        self.thought = guard.thought
        self.finish_reason = None
        self.prompt_tokens = self.completion_tokens = self.load_seconds = None


def parsing_cost(*, repeats: int) -> dict[str, dict[str, float]]:
    """Microseconds of CPU a token, for each wire format; and of the guard alone."""
    words = _words()
    lines = {
        "ollama": [ollama.line(ollama.chat_chunk(model="m", at=AT, text=word)) for word in words],
        "openai": [
            openai.event(openai.chunk(completion_id="c-1", model="m", at=AT, text=word))
            for word in words
        ],
    }
    wires: dict[str, Wire] = {"ollama": OllamaChat(), "openai": OpenAIChat()}
    found = {
        kind: {
            "guarded_us_per_token": _median(partial(_guarded, wires[kind], lines[kind]), repeats),
            "json_loads_us_per_token": _median(partial(_bare, lines[kind]), repeats),
        }
        for kind in wires
    }
    found["guard_alone"] = {"us_per_token": _median(lambda: _guard_alone(words), repeats)}
    return found


def _guarded(wire: Wire, lines: list[bytes]) -> None:
    sink = _Sink()
    starts = range(0, len(lines), TOKENS_PER_CHUNK)
    for one in wire.objects(b"".join(lines[start : start + TOKENS_PER_CHUNK]) for start in starts):
        wire.read(one, sink)  # type: ignore[arg-type]


def _bare(lines: list[bytes]) -> None:
    for line in lines:
        json.loads(line[6:] if line.startswith(b"data: ") else line)


def _guard_alone(words: list[str]) -> None:
    sink = _Sink()
    for word in words:
        sink.text(word)


def _median(run: Callable[[], None], repeats: int) -> float:
    costs = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        costs.append((time.process_time() - started) / TOKENS * 1e6)
    return round(statistics.median(costs), 2)


def _words() -> list[str]:
    dice = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz"
    stock = ["".join(dice.choices(letters, k=dice.randint(2, 8))) for _ in range(5000)]
    return [f" {dice.choice(stock)}" for _ in range(TOKENS)]
