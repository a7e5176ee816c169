"""Requests for the control queue: none is lost, and many ask once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis
from dramatiq.brokers.stub import StubBroker

from jobs.queues.control_requests import SLOT, ControlRequests
from jobs.queues.names import CONTROL_QUEUE


@pytest.fixture
def broker() -> StubBroker:
    broker = StubBroker()
    broker.declare_queue(CONTROL_QUEUE)
    return broker


@pytest.fixture
def wakes(broker: StubBroker, redis_url: str) -> Iterator[ControlRequests]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        yield ControlRequests(broker, client)


def test_many_requests_ask_once_until_the_plan_starts(
    wakes: ControlRequests, broker: StubBroker
) -> None:
    assert [wakes.plan("insert") for _ in range(3)] == [True, False, False]
    assert broker.queues[CONTROL_QUEUE].qsize() == 1

    wakes.plan_started("insert")

    assert wakes.plan("insert")


@pytest.mark.parametrize("reason", ["insert", "health", "recovery"])
def test_news_that_meet_a_waiting_request_for_a_slot_are_planned_for(
    wakes: ControlRequests, reason: str
) -> None:
    assert wakes.plan(SLOT)
    assert not wakes.plan(reason)

    assert wakes.plan_started(SLOT) == reason
    assert wakes.plan_started(SLOT) == SLOT


def test_a_freed_slot_does_not_hide_what_was_asked_for_before(wakes: ControlRequests) -> None:
    assert wakes.plan("insert")
    assert not wakes.plan(SLOT)

    assert wakes.plan_started("insert") == "insert"


def test_what_a_dead_process_left_waiting_is_asked_for_anew(wakes: ControlRequests) -> None:
    assert wakes.plan("insert")
    assert wakes.recover("cron")

    wakes.forget()

    assert wakes.plan(SLOT)
    assert wakes.recover("cron")
    assert wakes.plan_started(SLOT) == "insert"
