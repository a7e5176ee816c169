from __future__ import annotations

import threading
import time

import pytest
import redis

from jobs.admission.rates import RateDecision, RateLimits, Rates
from tests.support.embedded import Server


@pytest.fixture
def rates(client: redis.Redis) -> Rates:
    return Rates(client)


def test_requests_are_bounded_over_every_process(client: redis.Redis) -> None:
    limits = RateLimits(requests_per_minute=2)
    one, other = Rates(client), Rates(client)

    decisions = [x.try_acquire("vllm", limits=limits) for x in (one, other, one)]

    assert [decision.granted for decision in decisions] == [True, True, False]
    assert decisions[2].reason == "2 of 2 requests a minute are spent"
    assert decisions[2].retry_in_seconds is not None
    assert 55 < decisions[2].retry_in_seconds <= 61


def test_tokens_are_bounded_too_and_a_denial_spends_nothing(rates: Rates) -> None:
    limits = RateLimits(requests_per_minute=10, tokens_per_minute=1000)
    rates.try_acquire("vllm", tokens=700, limits=limits)

    denied = rates.try_acquire("vllm", tokens=400, limits=limits)
    fitting = rates.try_acquire("vllm", tokens=300, limits=limits)

    assert (denied.granted, denied.reason) == (False, "700 of 1000 tokens a minute are spent")
    assert fitting.granted
    assert fitting.reason == "2 of 10 requests and 1000 of 1000 tokens of this minute are spent"


def test_settling_gives_back_what_was_not_used(rates: Rates) -> None:
    limits = RateLimits(tokens_per_minute=1000)
    decision = rates.try_acquire("vllm", tokens=1000, limits=limits)

    assert rates.settle(decision, tokens=200)

    assert rates.try_acquire("vllm", tokens=800, limits=limits).granted
    assert not rates.try_acquire("vllm", tokens=1, limits=limits).granted


def test_settling_charges_what_was_used_beyond_the_estimate(rates: Rates) -> None:
    limits = RateLimits(tokens_per_minute=1000)
    decision = rates.try_acquire("vllm", tokens=100, limits=limits)

    rates.settle(decision, tokens=1000)

    assert not rates.try_acquire("vllm", tokens=1, limits=limits).granted


def test_settling_after_redis_forgot_changes_nothing(rates: Rates, client: redis.Redis) -> None:
    decision = rates.try_acquire("vllm", tokens=100, limits=RateLimits(tokens_per_minute=1000))
    client.flushall()

    assert not rates.settle(decision, tokens=500)
    assert client.keys("*") == []


def test_a_denied_or_unbounded_decision_needs_no_settling(rates: Rates) -> None:
    unbounded = rates.try_acquire("vllm", tokens=10**9, limits=RateLimits())

    assert unbounded.granted
    assert not rates.settle(unbounded, tokens=5)
    assert not rates.settle(RateDecision(False, 1.0, "denied"), tokens=5)


def test_what_exceeds_the_whole_limit_goes_alone(rates: Rates) -> None:
    limits = RateLimits(tokens_per_minute=1000)

    assert rates.try_acquire("vllm", tokens=5000, limits=limits).granted
    assert not rates.try_acquire("vllm", tokens=1, limits=limits).granted
    assert not rates.try_acquire("vllm", tokens=5000, limits=limits).granted


def test_the_window_slides(client: redis.Redis) -> None:
    rates = Rates(client, window_seconds=1)
    limits = RateLimits(requests_per_minute=1)
    rates.try_acquire("vllm", limits=limits)
    denied = rates.try_acquire("vllm", limits=limits)

    assert denied.retry_in_seconds is not None
    time.sleep(denied.retry_in_seconds)

    assert rates.try_acquire("vllm", limits=limits).granted


@pytest.mark.parametrize(("age_seconds", "counts"), [(59, True), (60, True), (61, False)])
def test_a_second_counts_until_all_of_it_is_older_than_the_window(
    client: redis.Redis, rates: Rates, age_seconds: int, counts: bool
) -> None:
    began, ended = 0, 1
    while began != ended:  # The clock of Redis must stay within one second.
        client.flushall()
        began = client.time()[0]
        client.hset("kos:rates:vllm", f"r {began - age_seconds}", 1)
        decision = rates.try_acquire("vllm", limits=RateLimits(requests_per_minute=1))
        ended = client.time()[0]

    assert decision.granted is not counts
    if counts:
        left = 60 - age_seconds
        assert decision.retry_in_seconds is not None
        assert left <= decision.retry_in_seconds <= left + 1


def test_backends_have_rates_of_their_own(rates: Rates) -> None:
    limits = RateLimits(requests_per_minute=1)
    rates.try_acquire("vllm", limits=limits)

    assert rates.try_acquire("other", limits=limits).granted


def test_threads_never_spend_more_than_there_is(server: Server, client: redis.Redis) -> None:
    limits = RateLimits(tokens_per_minute=1000)
    granted: list[int] = []

    def ask() -> None:
        with server.client() as own:
            rates = Rates(own)
            answers = [rates.try_acquire("vllm", tokens=7, limits=limits) for _ in range(50)]
            granted.extend(7 for answer in answers if answer.granted)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sum(granted) == 994
