"""What follows every kind of failure: pause, place, and whether it spends an attempt."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobs.policy.outcome import AttemptEvent, Fail, Retry, RetryConfig, backoff_seconds, decide
from jobs.policy.validation.types import Verdict
from llm import errors

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENT = RetryConfig(max_attempts=10)
FIRST, SECOND, THIRD = 90.0, 180.0, 360.0
SOON, DOWN = 1.0, 10.0

# error, attempts spent, elsewhere -> seconds, then which of the marks it sets
ROWS: list[tuple[Exception, int, bool, float, set[str]]] = [
    (errors.CallCancelled("x"), 2, True, 0.0, set()),
    (errors.Overloaded("x"), 0, False, FIRST, set()),
    (errors.Overloaded("x"), 2, False, FIRST, set()),
    (errors.Overloaded("x"), 0, True, SOON, {"avoid"}),
    (errors.Overloaded("x", retry_after_seconds=7.0), 0, False, 7.0, set()),
    (errors.Overloaded("x", retry_after_seconds=-7.0), 0, False, 0.0, set()),
    (errors.Overloaded("x", retry_after_seconds=9e9), 0, False, 600.0, set()),
    (errors.QueueTimeout("x"), 1, False, SECOND, set()),
    (errors.QueueTimeout("x"), 1, True, SOON, set()),
    (errors.BackendUnreachable("x"), 0, True, SOON, {"avoid", "spends"}),
    (errors.BackendUnreachable("x"), 2, False, DOWN, set()),
    (errors.ConnectTimeout("x"), 2, False, DOWN, set()),
    (errors.ModelNotFound("x"), 0, True, SOON, {"avoid", "rescan"}),
    (errors.ModelNotFound("x"), 2, False, DOWN, {"avoid", "rescan"}),
    (errors.BadRequest("x"), 1, True, SOON, {"avoid", "spends"}),
    (errors.PromptTooLong("x"), 1, True, SOON, {"avoid", "spends"}),
    (errors.LoadFailed("x"), 0, True, SOON, {"avoid", "spends"}),
    (errors.LoadFailed("x"), 1, False, SECOND, {"avoid", "spends"}),
    (errors.NotAuthorized("x"), 0, False, FIRST, {"avoid", "spends"}),
    (errors.SchemaUnsupported("x"), 0, True, SOON, {"avoid", "spends"}),
    (errors.FirstTokenTimeout("x"), 1, True, SOON, {"avoid", "spends"}),
    (errors.StallTimeout("x"), 0, False, FIRST, {"spends"}),
    (errors.StallTimeout("x"), 1, False, SECOND, {"avoid", "spends"}),
    (errors.StallTimeout("x"), 2, False, THIRD, {"avoid", "spends"}),
    (errors.ServerFailed("x"), 0, True, FIRST, {"spends"}),
    (errors.EchoAnswer("x"), 0, True, SOON, {"avoid", "spends"}),
    (errors.EchoAnswer("x"), 0, False, SOON, {"avoid", "spends", "stronger"}),
    (errors.EchoAnswer("x"), 1, True, FIRST, {"avoid", "spends", "stronger"}),
    (errors.EchoAnswer("x"), 2, True, SECOND, {"avoid", "spends", "stronger"}),
    (errors.LLMError("x"), 0, True, FIRST, {"avoid", "spends"}),
    (ValueError("x"), 0, True, SOON, {"spends"}),
]


@pytest.mark.parametrize(
    ("error", "spent", "elsewhere", "seconds", "marks"),
    ROWS,
    ids=[
        f"{type(row[0]).__name__}-{row[1]}-{'else' if row[2] else 'here'}-{row[3]:g}"
        for row in ROWS
    ],
)
def test_a_failure_has_its_pause_and_its_marks(
    error: Exception, spent: int, elsewhere: bool, seconds: float, marks: set[str]
) -> None:
    event = AttemptEvent(
        error=error, attempt_count=spent, failover=elsewhere, backend="ollama", model="q"
    )

    outcome = decide(event, config=PATIENT, now=NOW, jitter=0.0)

    assert isinstance(outcome, Retry)
    assert (outcome.at - NOW).total_seconds() == seconds
    assert outcome.avoid == (("ollama", "q") if "avoid" in marks else None)
    found = {
        "spends": outcome.spends_attempt,
        "stronger": outcome.stronger,
        "rescan": outcome.rescan,
    }
    assert {name for name, is_set in found.items() if is_set} == marks - {"avoid"}


@pytest.mark.parametrize(("spent", "seconds"), [(0, SOON), (1, FIRST), (2, SECOND)])
def test_an_answer_cut_short_may_go_back_to_the_same_model(spent: int, seconds: float) -> None:
    verdict = Verdict(ok=False, score=0.2, reason="cut short", code="truncated")
    event = AttemptEvent(verdict=verdict, attempt_count=spent, backend="ollama", model="q")

    outcome = decide(event, config=PATIENT, now=NOW, jitter=0.0)

    assert isinstance(outcome, Retry)
    assert (outcome.avoid, outcome.stronger, outcome.code) == (None, False, "truncated")
    assert (outcome.at - NOW).total_seconds() == seconds


@pytest.mark.parametrize("spent", [1, 2, 5])
def test_a_fault_of_the_worker_is_tried_twice(spent: int) -> None:
    event = AttemptEvent(error=ValueError("x"), attempt_count=spent)

    assert isinstance(decide(event, config=PATIENT, now=NOW, jitter=0.0), Fail)


@pytest.mark.parametrize(
    ("jitter", "seconds"), [(-1, 90), (0, 90), (0.5, 101.25), (1, 112.5), (9, 112.5)]
)
def test_jitter_only_adds_and_has_a_bound(jitter: float, seconds: float) -> None:
    event = AttemptEvent(error=errors.ServerFailed("x"), backend="ollama")

    outcome = decide(event, config=PATIENT, now=NOW, jitter=jitter)

    assert isinstance(outcome, Retry)
    assert outcome.avoid is None
    assert (outcome.at - NOW).total_seconds() == seconds


@pytest.mark.parametrize(("backend", "model"), [(None, "q"), ("ollama", None), ("", "q")])
def test_nothing_is_avoided_where_the_place_is_not_known(
    backend: str | None, model: str | None
) -> None:
    event = AttemptEvent(error=errors.LoadFailed("x"), backend=backend, model=model)

    outcome = decide(event, config=PATIENT, now=NOW, jitter=0.0)

    assert isinstance(outcome, Retry)
    assert outcome.avoid is None


@pytest.mark.parametrize(("spent", "fails"), [(8, False), (9, True), (10, True)])
def test_the_last_attempt_is_the_one_that_the_setting_names(spent: int, fails: bool) -> None:
    event = AttemptEvent(error=errors.ServerFailed("x"), attempt_count=spent)

    outcome = decide(event, config=PATIENT, now=NOW, jitter=0.0)

    assert isinstance(outcome, Fail) is fails
    if isinstance(outcome, Fail):
        assert outcome.reason == f"gave up after {spent + 1} attempts; the last: x"


def test_the_pause_stops_growing_however_often_a_row_was_tried() -> None:
    assert backoff_seconds(10_000_000, PATIENT) == PATIENT.cap_seconds


def test_a_message_names_its_backend_once() -> None:
    def reason(error: Exception) -> str:
        event = AttemptEvent(error=error)
        outcome = decide(event, config=PATIENT, now=NOW, jitter=0.0)
        assert isinstance(outcome, Retry)
        return outcome.reason

    assert reason(errors.ServerFailed("it broke", backend="mlx")) == "it broke (backend mlx)"
    assert reason(errors.ServerFailed("mlx broke", backend="mlx")) == "mlx broke"
    assert reason(errors.ServerFailed("")) == "ServerFailed"
