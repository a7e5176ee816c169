"""One adapter, many threads, every fault at random: no answer is mixed, cut or lost, none hangs."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from llm import errors
from llm.backends.registry import build
from llm.types import (
    BackendKind,
    BackendSpec,
    CancelToken,
    Completion,
    Deadlines,
    GenerateRequest,
    Message,
)
from tests.support.simulators import Kind, simulator

DEADLINES = Deadlines(
    connect_seconds=2.0,
    first_token_seconds=1.0,
    between_tokens_seconds=1.0,
    total_seconds=8.0,
)
TOPICS = ["lighthouses", "violins", "glaciers", "bakeries", "compilers", "orchards"]
FAULTS = ["reset", "drop", "truncate", "half-line", "error-line", "invalid-utf8", "503", "500"]
FAULTS += ["dead", "hang-after", "fragment", "wrong-content-type", "thinking-only"]
THREADS = 16
CALLS = 240


def ask(topic: str) -> GenerateRequest:
    text = f"Write three careful sentences about {topic} for a colleague who is new to them."
    return GenerateRequest("tinyllama:1.1b-chat", (Message("user", text),), max_tokens=200)


@pytest.mark.parametrize("kind", ["ollama", "mlx"])
def test_answers_stay_whole_and_apart_while_everything_breaks(kind: Kind) -> None:
    threads_before = set(threading.enumerate())
    with simulator(kind, profile="instant", time_scale=200.0) as server:
        files_before = len(os.listdir("/dev/fd"))
        backend = build(BackendSpec("fire", BackendKind(kind), server.url), environ={})
        truth = {topic: backend.generate(ask(topic), deadlines=DEADLINES).text for topic in TOPICS}
        for fault in FAULTS:
            server.fault(fault, rate=0.06)

        def call(number: int) -> tuple[str, Completion | errors.LLMError]:
            topic = TOPICS[number % len(TOPICS)]
            cancel = CancelToken()
            if number % 7 == 0:
                threading.Timer(random.random() / 20, cancel.cancel, ("drain",)).start()
            try:
                return topic, backend.generate(ask(topic), deadlines=DEADLINES, cancel=cancel)
            except errors.LLMError as exc:
                return topic, exc

        with ThreadPoolExecutor(THREADS) as pool:
            ended = list(pool.map(call, range(CALLS)))
        backend.close()
        wait_for(lambda: len(os.listdir("/dev/fd")) <= files_before)
    wait_for(lambda: set(threading.enumerate()) <= threads_before)

    answers = [(topic, end) for topic, end in ended if isinstance(end, Completion)]
    failures = [end for _, end in ended if isinstance(end, errors.LLMError)]
    assert len(answers) > CALLS / 4
    assert len({type(failure) for failure in failures}) >= 4
    assert not any(isinstance(failure, errors.PoisonedCall) for failure in failures)
    assert all(end.text == truth[topic] for topic, end in answers)


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10.0
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
