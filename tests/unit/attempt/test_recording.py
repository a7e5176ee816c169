"""What is written of an attempt, whatever became of its lease, its slot and Postgres."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.attempt import recording
from jobs.attempt.answering import AttemptResult
from jobs.attempt.lease_keeper import CANCELLED, LEASE_LOST, SLOT_LOST, RunningAttempt
from jobs.attempt.processors.base import ProcessorResult
from jobs.attempt.recording import MOST_ANSWER_CHARS, MOST_MESSAGE_CHARS, Recorder
from jobs.attempt.spent import Spent
from jobs.policy.outcome import Complete, Fail, Outcome, Retry
from jobs.policy.validation.types import Verdict
from jobs.queues.task_message import TaskMessage
from jobs.settings.load import Settings
from llm.errors import CallCancelled, StallTimeout
from llm.types import CancelToken, Completion, GenerateRequest, Message
from models import attempt
from models.database import DatabaseUnavailable
from models.task import Ending

MESSAGE = TaskMessage("t", 7, "ollama", "m", 0, heavy=False)
GOOD = AttemptResult(
    MESSAGE, answer=ProcessorResult("Fine.", "expert", "Well?"), verdict=Verdict(True, 1.0)
)
FAILED = AttemptResult(MESSAGE, error=StallTimeout("silent"))
DRAINED = AttemptResult(MESSAGE, error=CallCancelled("drain"))


@dataclass
class Rows:
    """Accepts every write, or none; remembers them as (method, what it was given)."""

    accepts: bool = True
    away_times: int = 0
    confirmation_lost: bool = False
    writes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @contextmanager
    def session(self) -> Iterator[None]:
        if self.away_times:
            self.away_times -= 1
            raise DatabaseUnavailable("no route")
        yield

    def _write(self, method: str, task_id: str, epoch: int, ending: Ending, more: Any) -> bool:
        assert (task_id, epoch) == ("t", 7)
        if self.confirmation_lost and self.writes:
            return False
        self.writes.append((method, {"ending": ending, **more}))
        if self.confirmation_lost:
            raise DatabaseUnavailable("the connection broke after the commit")
        return self.accepts or method == "finish_cancel"

    def complete(self, task_id: str, epoch: int, ending: Ending, **more: Any) -> bool:
        return self._write("complete", task_id, epoch, ending, more)

    def retry(self, task_id: str, epoch: int, ending: Ending, **more: Any) -> bool:
        return self._write("retry", task_id, epoch, ending, more)

    def fail(self, task_id: str, epoch: int, ending: Ending, **more: Any) -> bool:
        return self._write("fail", task_id, epoch, ending, more)

    def finish_cancel(self, task_id: str, epoch: int, ending: Ending) -> bool:
        return self._write("finish_cancel", task_id, epoch, ending, {})

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.writes]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    made = Rows()
    monkeypatch.setattr(recording, "Task", made)
    monkeypatch.setattr(recording, "session", made.session)
    monkeypatch.setattr(attempt, "was_ended", lambda task_id, epoch: bool(made.writes))
    monkeypatch.setattr(recording, "WRITE_AGAIN_SECONDS", 0.0)
    return made


def record(
    result: AttemptResult, *, reason: str | None = None, attempt_count: int = 0, **settings: Any
) -> Outcome | None:
    running = RunningAttempt("t", 7, "ollama", CancelToken(), threading.current_thread(), 0.0)
    if reason is not None:
        running.token.cancel(reason)
    row = SimpleNamespace(attempt_count=attempt_count, metadata={}, avoid=None)
    claimed: Any = SimpleNamespace(id="t", epoch=7, number=1, row=row)
    failover: Any = SimpleNamespace(is_possible=lambda *asked, **more: False)
    recorder = Recorder(Settings(backends=(), **settings), failover=failover)
    return recorder.record(claimed, running, result)


@pytest.mark.parametrize(
    ("reason", "result", "methods", "outcome"),
    [
        (None, GOOD, ["complete"], Complete),
        (LEASE_LOST, GOOD, ["complete"], Complete),
        (SLOT_LOST, GOOD, ["complete"], Complete),
        (CANCELLED, GOOD, ["finish_cancel"], Complete),
        (None, FAILED, ["retry"], Retry),
        (LEASE_LOST, DRAINED, [], None),
        (SLOT_LOST, DRAINED, ["retry"], Retry),
        (CANCELLED, DRAINED, ["finish_cancel"], Retry),
        ("drain", DRAINED, ["retry"], Retry),
    ],
)
def test_what_is_written_when_a_call_was_stopped_for_a_reason(
    rows: Rows,
    reason: str | None,
    result: AttemptResult,
    methods: list[str],
    outcome: type[Outcome] | None,
) -> None:
    written = record(result, reason=reason)

    assert rows.methods == methods
    assert written is None if outcome is None else isinstance(written, outcome)
    spent = [given["spend_attempt"] for method, given in rows.writes if method == "retry"]
    assert spent == [result is FAILED] * len(spent)


@pytest.mark.parametrize("result", [GOOD, FAILED])
def test_a_cancel_that_came_last_is_finished(rows: Rows, result: AttemptResult) -> None:
    rows.accepts = False

    assert record(result) is not None

    assert rows.methods == ["complete" if result is GOOD else "retry", "finish_cancel"]


@pytest.mark.parametrize(("spent", "outcome"), [(0, Retry), (3, Retry), (4, Fail)])
def test_as_many_attempts_as_the_settings_allow(
    rows: Rows, spent: int, outcome: type[Outcome]
) -> None:
    assert isinstance(record(FAILED, attempt_count=spent, max_attempts=5), outcome)


def test_a_write_is_tried_until_postgres_is_back(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 250))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    rows.away_times = 3

    assert record(GOOD, stuck_minutes=15.0) is not None
    assert rows.methods == ["complete"]

    rows.away_times = 8
    assert record(GOOD, stuck_minutes=15.0) is None, "recovery has returned the row by now"


@pytest.mark.parametrize(
    ("result", "outcome"), [(GOOD, Complete), (FAILED, Retry)], ids=["answer", "failure"]
)
def test_a_write_whose_confirmation_was_lost_counts_as_written(
    rows: Rows, result: AttemptResult, outcome: type[Outcome]
) -> None:
    rows.confirmation_lost = True

    assert isinstance(record(result), outcome)
    assert len(rows.writes) == 1


def test_what_postgres_cannot_hold_or_is_too_long_is_cut_in_the_ledger(rows: Rows) -> None:
    messages = tuple(Message("user", "\0" + "x" * MOST_MESSAGE_CHARS) for _ in range(4))
    spent = Spent(request=GenerateRequest("m", messages, max_tokens=5))
    text = "\0" + "y" * MOST_ANSWER_CHARS
    answer = ProcessorResult(text, "expert", "Well?")

    record(replace(GOOD, answer=answer, spent=spent))

    ((_, given),) = rows.writes
    ending: Ending = given["ending"]
    assert given["result"] == "\ufffd" + text[1:], "the answer itself is whole"
    assert ending.answer == given["result"][:MOST_ANSWER_CHARS]
    sent = [message["content"] for message in ending.messages or ()]
    assert len("".join(sent)) == MOST_MESSAGE_CHARS
    assert {content[:2] for content in sent} == {"\ufffdx"}


def completion(**figures: Any) -> Completion:
    return Completion("fine", "m", "ollama", "stop", **figures)


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([{}], {"prefill_seconds": None, "decode_seconds": None, "cached_prompt_tokens": None}),
        (
            [{"prefill_seconds": 1.0, "first_token_seconds": 2.0, "cached_prompt_tokens": 5}] * 2,
            {"prefill_seconds": 2.0, "first_token_seconds": 2.0, "cached_prompt_tokens": 10},
        ),
        (
            [
                {"prefill_seconds": 1.0, "first_token_seconds": 2.0, "prompt_tokens": 3},
                {"first_token_seconds": 9.0, "prompt_tokens": 4},
            ],
            {"prefill_seconds": None, "first_token_seconds": 2.0, "prompt_tokens": 7},
        ),
    ],
    ids=["no figures", "all figures", "some figures"],
)
def test_the_figures_of_several_calls_are_added_and_none_is_made_up(
    calls: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    spent = Spent()
    for figures in calls:
        spent.add(completion(**figures), load_seconds=1.5)

    measures = spent.measures(wait_seconds=None, duration_seconds=9.0)

    assert measures.load_seconds == 1.5 * len(calls)
    assert {name: getattr(measures, name) for name in expected} == expected
