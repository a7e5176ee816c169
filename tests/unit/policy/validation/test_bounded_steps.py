"""Reading and judging the longest input goes in steps, between which other threads run.

Heartbeats are counted, not timed: on a busy machine the work and the beats take longer alike.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from jobs.attempt.context.decoding import decoded
from jobs.policy.validation.judge import judge
from jobs.policy.validation.types import Answer, Request, Verdict
from llm.types import Category

BEAT_SECONDS = 0.002
LEAST_BEATS = 5
"""A step that held the interpreter for most of the work would leave one or two."""
RUSSIAN = "Быстрая рыжая лиса перепрыгивает ленивую собаку. "


class Beats:
    """A heartbeat's thread, as a worker has one."""

    def __init__(self) -> None:
        self.count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Beats:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.count += 1
            time.sleep(BEAT_SECONDS)


@pytest.fixture
def beats() -> Iterator[Beats]:
    with Beats() as running:
        yield running


def prose(size: int) -> str:
    random.seed(1)
    words = ["".join(random.choices("abcdefghij", k=6)) for _ in range(2000)]
    return " ".join(random.choices(words, k=size // 7))


def judged(text: str, **more: object) -> Callable[[], object]:
    request = Request("Explain leases. " * 2000, "Explain leases.", Category.DEFAULT, **more)  # type: ignore[arg-type]
    return lambda: judge(Answer(text, "stop"), request)


SCHEMA = {"type": "array", "items": {"type": "object"}, "uniqueItems": True}
WORK: dict[str, Callable[[], object]] = {
    "prose": judged(prose(2 << 20)),
    "code": judged("def f(x):\n    return x\n" * 60_000),
    "JSON": judged(json.dumps([{"a": n} for n in range(60_000)]), response_schema=SCHEMA),
    "a file in another code page": lambda: decoded((RUSSIAN * 100_000).encode("cp1251")[: 5 << 20]),
}


@pytest.mark.parametrize("name", WORK)
def test_a_heartbeat_goes_on_beside_the_longest_input(beats: Beats, name: str) -> None:
    before = beats.count

    WORK[name]()

    assert beats.count - before >= LEAST_BEATS


@pytest.mark.parametrize("looks", [0, 3])
def test_judging_ends_between_two_checks_where_nobody_waits_any_more(looks: int) -> None:
    asked = count()
    request = Request("p", "t", Category.DEFAULT, abandoned=lambda: next(asked) >= looks)

    verdict = judge(Answer("A lease is a claim that runs out by itself.", "stop"), request)

    assert isinstance(verdict, Verdict)
    assert (verdict.ok, verdict.code) == (False, "rejected")
    assert verdict.reason == "the answer takes too long to judge"
    assert len(verdict.parts) == looks + 2, "what was present, what was checked, and the end"
