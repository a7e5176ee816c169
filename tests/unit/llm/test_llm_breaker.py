from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from llm import errors
from llm.breaker import (
    BACKEND_RULES,
    CLOSED,
    MODEL_RULES,
    BreakerPhase,
    BreakerRules,
    BreakerState,
    allows,
    counts_against_backend,
    counts_against_model,
    dumps,
    is_probe_due,
    loads,
    on_failure,
    on_probe,
    on_success,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
RULES = BreakerRules(threshold=3, cooldown_seconds=10, max_cooldown_seconds=60, probe_seconds=30)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def tripped() -> BreakerState:
    state = CLOSED
    for _ in range(3):
        state = on_failure(state, NOW, rules=RULES, reason="unreachable")
    return state


def test_it_opens_after_failures_in_a_row() -> None:
    once = on_failure(CLOSED, NOW, rules=RULES)
    assert allows(once, NOW)
    assert allows(on_failure(once, NOW, rules=RULES), NOW)

    assert tripped().phase is BreakerPhase.OPEN
    assert not allows(tripped(), NOW)
    assert tripped().reason == "unreachable"


def test_a_success_between_failures_starts_the_count_anew() -> None:
    state = on_success(on_failure(on_failure(CLOSED, NOW, rules=RULES), NOW, rules=RULES))

    assert allows(on_failure(state, NOW, rules=RULES), NOW)


def test_one_canary_is_wanted_after_the_cooldown() -> None:
    assert not is_probe_due(tripped(), later(9))
    assert is_probe_due(tripped(), later(10))

    probing = on_probe(tripped(), later(10), rules=RULES)
    assert probing.phase is BreakerPhase.HALF_OPEN
    assert not allows(probing, later(11))
    assert not is_probe_due(probing, later(11))


def test_a_canary_that_never_reports_is_sent_again() -> None:
    probing = on_probe(tripped(), later(10), rules=RULES)

    assert is_probe_due(probing, later(40))


def test_a_good_canary_closes_it() -> None:
    assert on_success(on_probe(tripped(), later(10), rules=RULES)) == CLOSED


def test_a_success_begun_before_the_trip_closes_nothing() -> None:
    assert on_success(tripped()) == tripped()


def test_each_failed_canary_doubles_the_wait_up_to_the_bound() -> None:
    state, at, waits = tripped(), later(10), []
    for _ in range(5):
        state = on_failure(on_probe(state, at, rules=RULES), at, rules=RULES)
        assert state.retry_at is not None
        waits.append((state.retry_at - at).total_seconds())
        at = state.retry_at

    assert waits == [20, 40, 60, 60, 60]
    assert state.opened_at == NOW


def test_more_failures_while_open_do_not_prolong_it() -> None:
    state = on_failure(tripped(), later(5), rules=RULES)

    assert state.retry_at == tripped().retry_at


def test_what_the_server_asked_opens_it_at_once() -> None:
    state = on_failure(CLOSED, NOW, rules=RULES, retry_after_seconds=7)

    assert state.phase is BreakerPhase.OPEN
    assert state.retry_at == later(7)


@pytest.mark.parametrize("state", [CLOSED, tripped(), on_probe(tripped(), later(10))])
def test_it_survives_being_written_down(state: BreakerState) -> None:
    assert loads(dumps(state)) == state


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"phase": "ajar"}', "null"])
def test_other_text_is_no_breaker(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        loads(text)


@pytest.mark.parametrize(
    ("error", "backend", "model"),
    [
        (errors.BackendUnreachable("x"), True, False),
        (errors.FirstTokenTimeout("x"), True, False),
        (errors.ServerFailed("x"), True, False),
        (errors.NotAuthorized("x"), True, False),
        (errors.LoadFailed("x"), False, True),
        (errors.LoadTimeout("x"), False, True),
        (errors.TotalTimeout("x"), False, False),
        (errors.EchoAnswer("x"), False, False),
        (errors.BadRequest("x"), False, False),
        (errors.CallCancelled("x"), False, False),
        (errors.PoisonedCall("x"), False, False),
    ],
)
def test_only_failures_of_the_server_count(
    error: errors.LLMError, backend: bool, model: bool
) -> None:
    assert counts_against_backend(error) is backend
    assert counts_against_model(error) is model


def test_the_rules_in_force_wait_at_most_five_minutes() -> None:
    state, at = CLOSED, NOW
    for _ in range(50):
        state = on_failure(on_probe(state, at), at)
        assert state.retry_at is not None
        assert (state.retry_at - at).total_seconds() <= BACKEND_RULES.max_cooldown_seconds
        at = state.retry_at


def test_a_queue_of_our_own_making_speaks_against_no_server() -> None:
    assert counts_against_backend(errors.FirstTokenTimeout("hung"))
    assert not counts_against_backend(errors.QueueTimeout("behind nine others"))


def test_the_rules_are_those_of_the_documentation() -> None:
    assert BreakerRules(3, 10.0, 300.0, 60.0) == BACKEND_RULES
    assert BreakerRules(2, 60.0, 1800.0, 60.0) == MODEL_RULES


def test_a_breaker_counts_failures_and_trips() -> None:
    one = on_failure(CLOSED, NOW, rules=RULES, reason="first")
    assert one == BreakerState(failures=1, reason="first")

    assert tripped() == BreakerState(
        BreakerPhase.OPEN, 3, 1, opened_at=NOW, retry_at=later(10), reason="unreachable"
    )
    assert on_failure(tripped(), later(1), rules=RULES, reason="another") == BreakerState(
        BreakerPhase.OPEN, 4, 1, opened_at=NOW, retry_at=later(10), reason="unreachable"
    )
    again = on_failure(on_probe(tripped(), later(10)), later(11), rules=RULES, reason="canary")
    assert again == BreakerState(
        BreakerPhase.OPEN, 4, 2, opened_at=NOW, retry_at=later(31), reason="canary"
    )


def test_a_canary_has_its_time_to_report() -> None:
    probing = on_probe(tripped(), later(10), rules=RULES)

    assert probing == BreakerState(
        BreakerPhase.HALF_OPEN, 3, 1, opened_at=NOW, retry_at=later(40), reason="unreachable"
    )


@pytest.mark.parametrize(("asked", "waits"), [(-5.0, 0), (0.0, 0), (59.0, 59), (9e9, 60)])
def test_what_the_server_asked_is_kept_within_bounds(asked: float, waits: float) -> None:
    state = on_failure(CLOSED, NOW, rules=RULES, retry_after_seconds=asked)

    assert state.retry_at == later(waits)


def test_a_wait_stays_a_number_however_often_it_tripped() -> None:
    state = BreakerState(BreakerPhase.HALF_OPEN, trips=5000)

    assert on_failure(state, NOW, rules=RULES).retry_at == later(60)


def test_a_closed_breaker_wants_no_canary_and_an_open_one_without_a_time_does() -> None:
    assert not is_probe_due(CLOSED, later(1e6))
    assert is_probe_due(BreakerState(BreakerPhase.OPEN), NOW)


def test_a_state_is_read_with_its_types() -> None:
    text = dumps(tripped()).replace('"failures":3', '"failures":"3"')

    assert loads(text) == tripped()
    assert " " not in dumps(tripped()).replace("unreachable", "")
