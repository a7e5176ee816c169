from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.policy.outcome import (
    AttemptEvent,
    Complete,
    Fail,
    Outcome,
    Retry,
    RetryConfig,
    backoff_seconds,
    decide,
)
from jobs.policy.validation.types import Verdict
from llm import errors

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONFIG = RetryConfig()
ALL_ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.LLMError)
]


def decided(jitter: float = 0.0, **facts: object) -> Outcome:
    defaults: dict[str, object] = {"backend": "ollama", "model": "qwen:7b"}
    event = AttemptEvent(**(defaults | facts))  # type: ignore[arg-type]
    return decide(event, config=CONFIG, now=NOW, jitter=jitter)


def retried(**facts: Any) -> Retry:
    outcome = decided(**facts)
    assert isinstance(outcome, Retry), outcome
    return outcome


def delay_seconds(outcome: Retry) -> float:
    return (outcome.at - NOW).total_seconds()


def test_an_accepted_answer_completes_with_its_score() -> None:
    assert decided(verdict=Verdict(ok=True, score=0.9)) == Complete(0.9)


def test_an_accepted_answer_completes_even_after_spent_attempts() -> None:
    outcome = decided(verdict=Verdict(ok=True, score=0.7), attempt_count=9)

    assert outcome == Complete(0.7)


class TestAnswersAtFault:
    def test_an_echo_goes_elsewhere_soon(self) -> None:
        outcome = retried(error=errors.EchoAnswer("echo"), failover=True)

        assert outcome.avoid == ("ollama", "qwen:7b")
        assert outcome.code == "echo"
        assert delay_seconds(outcome) == CONFIG.soon_seconds
        assert outcome.spends_attempt
        assert not outcome.stronger

    def test_with_no_other_backend_a_stronger_model_takes_the_second_try(self) -> None:
        outcome = retried(error=errors.BlankAnswer("blank"), failover=False)

        assert outcome.stronger

    def test_a_second_bad_answer_asks_for_a_stronger_model_after_a_back_off(self) -> None:
        outcome = retried(error=errors.RepetitionAnswer("loop"), failover=True, attempt_count=1)

        assert outcome.stronger
        assert delay_seconds(outcome) == 90

    def test_a_rejected_verdict_carries_its_code_and_reason(self) -> None:
        verdict = Verdict(ok=False, score=0.1, code="schema", reason="at $.n: not a number")

        outcome = retried(verdict=verdict, failover=True)

        assert outcome.code == "schema"
        assert "at $.n: not a number" in outcome.reason

    def test_an_answer_cut_by_its_limit_stays_with_its_model(self) -> None:
        verdict = Verdict(ok=False, score=0.2, code="truncated", reason="cut")

        outcome = retried(verdict=verdict, failover=True)

        assert outcome.avoid is None
        assert not outcome.stronger

    def test_a_model_that_only_thought_is_left_for_another(self) -> None:
        outcome = retried(error=errors.ThinkingOnly("thought and ran out"), failover=True)

        assert outcome.avoid == ("ollama", "qwen:7b")

    def test_a_third_bad_answer_fails_with_the_last_reason(self) -> None:
        outcome = decided(error=errors.EchoAnswer("the prompt came back"), attempt_count=2)

        assert isinstance(outcome, Fail)
        assert outcome.code == "echo"
        assert "3 attempts" in outcome.reason
        assert "the prompt came back" in outcome.reason


class TestBackendsThatAreAway:
    @pytest.mark.parametrize("kind", [errors.BackendUnreachable, errors.ConnectTimeout])
    @pytest.mark.parametrize("attempt_count", [0, 2, 50])
    def test_tasks_wait_and_never_fail_while_everything_is_down(
        self, kind: type[errors.LLMError], attempt_count: int
    ) -> None:
        outcome = retried(error=kind("refused"), failover=False, attempt_count=attempt_count)

        assert not outcome.spends_attempt
        assert outcome.avoid is None
        assert delay_seconds(outcome) == CONFIG.down_seconds

    def test_a_dead_backend_is_left_for_a_living_one_soon(self) -> None:
        outcome = retried(error=errors.BackendUnreachable("refused"), failover=True)

        assert outcome.avoid == ("ollama", "qwen:7b")
        assert delay_seconds(outcome) == CONFIG.soon_seconds

    def test_an_overloaded_server_is_asked_again_when_it_said(self) -> None:
        outcome = retried(error=errors.Overloaded("busy", retry_after_seconds=7), attempt_count=2)

        assert delay_seconds(outcome) == 7
        assert not outcome.spends_attempt

    def test_an_overloaded_server_is_left_for_one_that_is_free_soon(self) -> None:
        error = errors.Overloaded("busy", retry_after_seconds=40)
        outcome = retried(error=error, failover=True)

        assert delay_seconds(outcome) == CONFIG.soon_seconds
        assert outcome.avoid == ("ollama", "qwen:7b")
        assert not outcome.spends_attempt

    def test_a_timeout_that_our_own_queue_explains_spends_no_attempt(self) -> None:
        outcome = retried(error=errors.QueueTimeout("behind nine others"), attempt_count=2)

        assert not outcome.spends_attempt
        assert outcome.avoid is None

    def test_jitter_never_brings_a_task_back_before_retry_after(self) -> None:
        error = errors.Overloaded("busy", retry_after_seconds=8)

        assert delay_seconds(retried(error=error, jitter=1.0)) == 10

    @pytest.mark.parametrize(("asked", "expected"), [(-5, 0), (86_400, 600), (None, 90)])
    def test_a_senseless_retry_after_is_bounded(self, asked: float | None, expected: int) -> None:
        outcome = retried(error=errors.Overloaded("busy", retry_after_seconds=asked))

        assert delay_seconds(outcome) == expected


class TestBrokenCalls:
    @pytest.mark.parametrize(
        "kind",
        [
            errors.FirstTokenTimeout,
            errors.StallTimeout,
            errors.TotalTimeout,
            errors.StreamBroken,
            errors.TruncatedStream,
            errors.ServerFailed,
        ],
    )
    def test_a_broken_call_backs_off_in_place_then_doubles_and_moves(
        self, kind: type[errors.LLMError]
    ) -> None:
        first = retried(error=kind("broken"))
        second = retried(error=kind("broken"), attempt_count=1)

        assert (delay_seconds(first), first.avoid) == (90, None)
        assert (delay_seconds(second), second.avoid) == (180, ("ollama", "qwen:7b"))
        assert isinstance(decided(error=kind("broken"), attempt_count=2), Fail)

    @pytest.mark.parametrize("kind", [errors.FirstTokenTimeout, errors.StallTimeout])
    def test_a_task_leaves_a_server_that_stands_still_at_once_where_another_is_up(
        self, kind: type[errors.LLMError]
    ) -> None:
        outcome = retried(error=kind("no token"), failover=True)

        assert outcome.avoid == ("ollama", "qwen:7b")
        assert delay_seconds(outcome) == CONFIG.soon_seconds

    def test_a_model_that_is_missing_is_sought_elsewhere_after_a_fresh_scan(self) -> None:
        outcome = retried(error=errors.ModelNotFound("no such model"), failover=True)

        assert outcome.rescan
        assert outcome.avoid == ("ollama", "qwen:7b")
        assert delay_seconds(outcome) == CONFIG.soon_seconds

    def test_a_model_that_is_missing_costs_no_attempt_even_after_the_last_but_one(self) -> None:
        outcome = retried(error=errors.ModelNotFound("no such model"), attempt_count=2)

        assert not outcome.spends_attempt
        assert delay_seconds(outcome) == CONFIG.down_seconds

    @pytest.mark.parametrize("kind", [errors.BadRequest, errors.PromptTooLong])
    def test_what_a_server_refuses_is_tried_elsewhere_and_fails_where_nobody_else_is_up(
        self, kind: type[errors.LLMError]
    ) -> None:
        tried = retried(error=kind("unknown role"), failover=True)
        failed = decided(error=kind("unknown role"))

        assert (tried.avoid, tried.spends_attempt) == (("ollama", "qwen:7b"), True)
        assert isinstance(failed, Fail)
        assert failed.code == kind.code
        assert "unknown role" in failed.reason

    def test_the_reason_names_the_backend_where_the_error_knows_it(self) -> None:
        outcome = retried(error=errors.StallTimeout("no token in 30 s", backend="mlx"))

        assert outcome.reason == "no token in 30 s (backend mlx)"


class TestInterruptions:
    def test_a_drained_task_goes_back_at_once_and_spends_nothing(self) -> None:
        outcome = retried(error=errors.CallCancelled("drain"), attempt_count=2)

        assert outcome.at == NOW
        assert outcome.code == "interrupted"
        assert not outcome.spends_attempt


class TestOurOwnBugs:
    @pytest.mark.parametrize("error", [errors.PoisonedCall("KeyError: 'x'"), KeyError("x")])
    def test_a_bug_is_tried_once_more_and_then_fails(self, error: Exception) -> None:
        first = retried(error=error)
        second = decided(error=error, attempt_count=1)

        assert first.code == "poisoned"
        assert isinstance(second, Fail)
        assert second.code == "poisoned"

    def test_an_event_that_tells_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a verdict or an error"):
            decided()


class TestBounds:
    def test_back_off_doubles_up_to_its_cap(self) -> None:
        delays = [backoff_seconds(count, CONFIG) for count in range(7)]

        assert delays == [90, 180, 360, 720, 1440, 1800, 1800]

    def test_back_off_of_a_huge_count_is_the_cap(self) -> None:
        assert backoff_seconds(10_000, CONFIG) == CONFIG.cap_seconds

    @given(
        kind=st.sampled_from(ALL_ERRORS),
        attempt_count=st.integers(0, 5),
        failover=st.booleans(),
        jitter=st.floats(-1, 2),
    )
    def test_every_error_has_an_answer_that_is_bounded_and_reasoned(
        self,
        kind: type[errors.LLMError],
        attempt_count: int,
        failover: bool,
        jitter: float,
    ) -> None:
        outcome = decided(
            jitter=jitter,
            error=kind("it broke"),
            attempt_count=attempt_count,
            failover=failover,
        )

        assert not isinstance(outcome, Complete)
        assert "it broke" in outcome.reason
        if isinstance(outcome, Retry):
            longest = timedelta(seconds=CONFIG.cap_seconds * (1 + CONFIG.spread))
            assert NOW <= outcome.at <= NOW + longest
            assert not outcome.spends_attempt or attempt_count + 1 < CONFIG.max_attempts

    @given(
        kind=st.sampled_from(ALL_ERRORS),
        failover=st.booleans(),
    )
    def test_attempts_that_are_spent_end_in_failure(
        self, kind: type[errors.LLMError], failover: bool
    ) -> None:
        outcome = decided(error=kind("x"), attempt_count=0, failover=failover)
        spent = 1
        while isinstance(outcome, Retry) and outcome.spends_attempt:
            outcome = decided(error=kind("x"), attempt_count=spent, failover=failover)
            spent += 1

        assert spent <= CONFIG.max_attempts


def test_the_pauses_are_those_of_the_documentation() -> None:
    assert (CONFIG.base_seconds, CONFIG.factor, CONFIG.cap_seconds) == (90, 2, 1800)
    assert (CONFIG.spread, CONFIG.soon_seconds, CONFIG.down_seconds) == (0.25, 1, 10)
