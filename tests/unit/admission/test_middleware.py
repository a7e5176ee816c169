"""A message runs only while it holds a slot, whatever goes wrong on the way to one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import dramatiq
import pytest
import redis
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import SkipMessage

from jobs.admission import middleware
from jobs.admission.middleware import SlotMiddleware
from jobs.admission.slots import SlotDecision
from jobs.queues.task_message import TaskMessage
from models import decision
from models.decision import NewDecision

GRANTED = SlotDecision(True, 1, 1, 0, 1, "a slot was free", None)
BARRED = SlotDecision(False, 0, 0, 0, 1, "its model would push out one that people use", None)
WAIT_SECONDS = 20.0
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


DENIED = SlotDecision(False, 0, 1, 0, 1, "all 1 slots are in use", 60.0)


@dataclass
class Line(Hall):
    """Slots that are all in use; a place in the line stands until it is released."""

    granted: bool = False
    asked: threading.Event = field(default_factory=threading.Event)
    left: list[str] = field(default_factory=list)

    def acquire(self, *asked: Any, **more: Any) -> SlotDecision:
        self.asked.set()
        return GRANTED if self.granted else DENIED

    def release(self, backend: str, holder: str) -> int:
        self.left.append(holder)
        return 1


@pytest.fixture
def line(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> Line:
    built = Line(given_back=hall.given_back, decisions=hall.decisions)
    monkeypatch.setattr(middleware, "Task", built)
    return built


@contextmanager
def waiting(line: Line) -> Iterator[SlotMiddleware]:
    """A message that waits for a slot in a thread of its own; afterwards it has ended."""
    admission = SlotMiddleware(cast(Any, line), cast(Any, line))
    thread = threading.Thread(target=before, args=(admission,))
    thread.start()
    assert line.asked.wait(WAIT_SECONDS)
    yield admission
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


def before(admission: SlotMiddleware) -> None:
    message: Any = SimpleNamespace(actor_name="run_task", message_id="1", kwargs=TICKET)
    with suppress(SkipMessage):
        admission.before_process_message(cast(Any, None), message)


@pytest.mark.parametrize("cause", ["drain", "its time is over"])
def test_a_message_that_gives_up_leaves_the_line_and_gives_its_row_back(
    line: Line, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    if cause != "drain":
        monkeypatch.setattr(middleware, "WAIT_SECONDS", 0.0)
    with waiting(line) as admission:
        if cause == "drain":
            admission.drain()

    assert line.left == ["a:1"]
    assert line.given_back == ["a"]
    reason = "this worker is draining" if cause == "drain" else DENIED.reason
    assert [one.reason for one in line.decisions] == [reason]


def test_a_slot_released_here_wakes_whoever_waits_for_one(line: Line) -> None:
    other: Any = SimpleNamespace(actor_name="run_task", message_id="2", kwargs=TICKET)
    with waiting(line) as admission:
        line.granted = True
        admission._admitted["2"] = TaskMessage.read(other)
        admission.after_process_message(cast(Any, None), other)

    assert line.given_back == []
    assert line.left == ["a:1"], "only the one that had ended"


def test_a_slot_released_while_redis_is_asked_ends_the_wait(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = SlotMiddleware(cast(Any, line), cast(Any, line))

    def denied_and_released(*asked: Any, **more: Any) -> SlotDecision:
        if line.granted:
            return GRANTED
        line.granted = True
        admission.freed("ollama")
        return DENIED

    monkeypatch.setattr(line, "acquire", denied_and_released)
    thread = threading.Thread(target=before, args=(admission,), daemon=True)
    thread.start()
    # Less than the wait for a release that went unnoticed.
    thread.join(WAIT_SECONDS)

    assert not thread.is_alive()


def test_a_row_that_is_no_longer_ours_to_give_back_gets_no_decision(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hall, "give_back", lambda *claim: False)

    assert ran(hall, **{**TICKET, "model": "barred"}) == []
    assert hall.decisions == []
