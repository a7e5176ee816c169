"""A message runs only while it holds a slot, whatever goes wrong on the way to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import dramatiq
import pytest
import redis
from dramatiq.brokers.stub import StubBroker

from jobs.admission import middleware
from jobs.admission.middleware import SlotMiddleware
from jobs.admission.slots import SlotDecision
from models import decision
from models.decision import NewDecision

GRANTED = SlotDecision(True, 1, 1, 0, 1, "a slot was free", None)
BARRED = SlotDecision(False, 0, 0, 0, 1, "its model would push out one that people use", None)
TICKET = {"task_id": "a", "epoch": 1, "backend": "ollama", "model": "m", "heavy": False}


@dataclass
class Hall:
    """Limits, slots, and the rows that were given back."""

    limit: Callable[[], Any] = lambda: SimpleNamespace(slots=1, heavy=1)
    given_back: list[str] = field(default_factory=list)
    decisions: list[NewDecision] = field(default_factory=list)
    total: Any = field(default_factory=lambda: SimpleNamespace(slots=1))

    def of(self, backend: str) -> Any:
        return self.limit()

    def reserved(self, backend: str) -> int:
        return 0

    total_reserved = 0

    def acquire(self, *asked: Any, **more: Any) -> SlotDecision:
        return GRANTED if more["model"] != "barred" else BARRED

    def release(self, backend: str, holder: str) -> int:
        return 1

    def give_back(self, task_id: str, epoch: int) -> bool:
        self.given_back.append(task_id)
        return True


def broken() -> Any:
    raise TypeError("Limit.__init__() got an unexpected keyword argument 'new'")


@pytest.fixture
def hall(monkeypatch: pytest.MonkeyPatch) -> Hall:
    @contextmanager
    def no_session() -> Iterator[None]:
        yield

    built = Hall()
    monkeypatch.setattr(middleware, "session", no_session)
    monkeypatch.setattr(middleware, "Task", built)
    monkeypatch.setattr(decision, "record", built.decisions.extend)
    return built


def ran(hall: Hall, **ticket: Any) -> list[dict[str, Any]]:
    """What the actor was called with for one message of ``ticket``."""
    calls: list[dict[str, Any]] = []
    admission = SlotMiddleware(cast(Any, hall), cast(Any, hall))
    broker = StubBroker(middleware=[admission])

    @dramatiq.actor(broker=broker, actor_name="run_task", queue_name="llm-ollama")
    def run_task(**given: Any) -> None:
        calls.append(given)

    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=1)
    worker.start()
    try:
        run_task.send(**ticket)
        broker.join("llm-ollama", timeout=10_000)
        worker.join()
    finally:
        worker.stop()
    return calls


def test_an_admitted_message_runs(hall: Hall) -> None:
    assert ran(hall, **TICKET) == [TICKET]
    assert hall.given_back == []


def test_a_message_that_keeps_no_place_in_the_line_gives_its_row_back_at_once(hall: Hall) -> None:
    assert ran(hall, **{**TICKET, "model": "barred"}) == []
    assert hall.given_back == ["a"]
    assert hall.decisions[0].reason == BARRED.reason


def test_a_limit_that_cannot_be_read_admits_nothing_and_gives_the_row_back(hall: Hall) -> None:
    hall.limit = broken

    assert ran(hall, **TICKET) == []
    assert hall.given_back == ["a"]
    assert [(one.stage, one.chosen) for one in hall.decisions] == [("admit", "back from ollama")]


@pytest.mark.parametrize("error", [redis.ConnectionError, redis.TimeoutError, redis.ResponseError])
def test_slots_that_cannot_be_asked_admit_nothing(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, error: type[redis.RedisError]
) -> None:
    def lost(*asked: Any, **more: Any) -> SlotDecision:
        raise error("lost")

    monkeypatch.setattr(hall, "acquire", lost)

    assert ran(hall, **TICKET) == []


def test_a_row_that_cannot_be_given_back_does_not_run_either(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall.limit = broken
    monkeypatch.setattr(hall, "give_back", lambda *claim: broken())

    assert ran(hall, **TICKET) == []


def test_a_message_that_names_no_task_does_not_run(hall: Hall) -> None:
    assert ran(hall, task_id="a", epoch="first") == []
