"""What one process counts against a server or a model, every process heeds at once."""

from __future__ import annotations

import pytest
import redis

from jobs.admission.breakers import Breakers
from jobs.process.clock import utc_now
from llm.breaker import BACKEND_RULES, MODEL_RULES, BreakerPhase, BreakerRules
from llm.errors import LLMError, LoadFailed, Overloaded, ServerFailed

BACKEND, MODEL = "ollama", "big"


@pytest.fixture
def breakers(client: redis.Redis) -> Breakers:
    """One whose cache never ages: what it changed itself it must see nevertheless."""
    return Breakers(client, clock=lambda: 0.0)


def fail(breakers: Breakers, error: LLMError, times: int) -> list[bool]:
    return [breakers.failed(BACKEND, MODEL, error) for _ in range(times)]


def wait_seconds(breakers: Breakers, key: str) -> float:
    retry_at = breakers.states()[key].retry_at
    assert retry_at is not None
    return (retry_at - utc_now()).total_seconds()


@pytest.mark.parametrize(
    ("error", "key", "rules"),
    [
        (ServerFailed("HTTP 500"), BACKEND, BACKEND_RULES),
        (LoadFailed("out of memory"), f"{BACKEND}|{MODEL}", MODEL_RULES),
    ],
    ids=["server", "model"],
)
def test_each_breaker_opens_and_closes_by_its_own_rules(
    breakers: Breakers, client: redis.Redis, error: LLMError, key: str, rules: BreakerRules
) -> None:
    threshold, cooldown = rules.threshold, rules.cooldown_seconds

    assert fail(breakers, error, threshold) == [False] * (threshold - 1) + [True]

    assert breakers.states()[key].phase is BreakerPhase.OPEN
    assert cooldown - 5 < wait_seconds(breakers, key) <= cooldown
    assert "breaker open" in str(breakers.blocked(BACKEND, MODEL))
    assert (breakers.blocked(BACKEND) is None) == (key != BACKEND)
    assert Breakers(client).blocked(BACKEND, MODEL) == breakers.blocked(BACKEND, MODEL)
    breakers.probe_started(key)
    assert breakers.states()[key].phase is BreakerPhase.HALF_OPEN
    breakers.succeeded(BACKEND, MODEL)
    assert breakers.states() == {}
    assert breakers.blocked(BACKEND, MODEL) is None


def test_a_failed_canary_of_a_model_waits_by_the_rules_of_models(breakers: Breakers) -> None:
    key = f"{BACKEND}|{MODEL}"
    fail(breakers, LoadFailed("out of memory"), MODEL_RULES.threshold)
    breakers.probe_started(key)

    breakers.probe_failed(key, LoadFailed("out of memory"))

    assert wait_seconds(breakers, key) > MODEL_RULES.cooldown_seconds * 1.5


def test_a_server_is_left_alone_for_as_long_as_it_asks(breakers: Breakers) -> None:
    error = Overloaded("busy", retry_after_seconds=200.0)

    assert fail(breakers, error, 1) == [True]

    assert 190 < wait_seconds(breakers, BACKEND) <= 200


def test_one_call_tells_of_each_breaker_that_opens(client: redis.Redis) -> None:
    opened: list[str] = []
    breakers = Breakers(client, on_open=opened.append)

    fail(breakers, LoadFailed("out of memory"), MODEL_RULES.threshold + 2)

    assert opened == [BACKEND]


def test_what_is_evidence_against_both_counts_against_both(breakers: Breakers) -> None:
    error = LoadFailed("no memory", concerns="server", retry_after_seconds=30.0)

    assert fail(breakers, error, 1) == [True]

    assert set(breakers.states()) == {BACKEND, f"{BACKEND}|{MODEL}"}
