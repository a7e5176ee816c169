"""Requests to the control queue: none is lost, and many send one message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis
from dramatiq import Message
from dramatiq.brokers.stub import StubBroker

from jobs.queues.control_requests import TASK_ENDED, ControlRequests
from jobs.queues.names import CONTROL_QUEUE


@pytest.fixture
def broker() -> StubBroker:
    broker = StubBroker()
    broker.declare_queue(CONTROL_QUEUE)
    return broker


@pytest.fixture
def requests(broker: StubBroker, redis_url: str) -> Iterator[ControlRequests]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        yield ControlRequests(broker, client)


def test_many_requests_send_one_message_until_the_plan_starts(
    requests: ControlRequests, broker: StubBroker
) -> None:
    assert [requests.plan("insert") for _ in range(3)] == [True, False, False]
    assert broker.queues[CONTROL_QUEUE].qsize() == 1

    requests.plan_started("insert")

    assert requests.plan("insert")


@pytest.mark.parametrize("reason", ["insert", "health", "recovery"])
def test_a_stronger_reason_upgrades_the_request_that_waits(
    requests: ControlRequests, reason: str
) -> None:
    assert requests.plan(TASK_ENDED)
    assert not requests.plan(reason)

    assert requests.plan_started(TASK_ENDED) == reason
    assert requests.plan_started(TASK_ENDED) == TASK_ENDED


def test_an_ended_task_does_not_weaken_the_request_that_waits(requests: ControlRequests) -> None:
    assert requests.plan("insert")
    assert not requests.plan(TASK_ENDED)

    assert requests.plan_started("insert") == "insert"


def test_the_requests_of_a_dead_process_are_sent_anew(requests: ControlRequests) -> None:
    assert requests.plan("insert")
    assert requests.recover("cron")

    requests.clear_dedup_keys()

    assert requests.plan(TASK_ENDED)
    assert requests.recover("cron")
    assert requests.plan_started(TASK_ENDED) == "insert"


@pytest.mark.parametrize(
    ("sends", "method"), [(redis.Redis, "set"), (redis.client.Pipeline, "execute")]
)
def test_what_an_outage_kept_back_is_sent_by_the_first_flush_that_succeeds(
    requests: ControlRequests,
    broker: StubBroker,
    monkeypatch: pytest.MonkeyPatch,
    sends: type,
    method: str,
) -> None:
    def away(*arguments: object, **options: object) -> None:
        raise redis.ConnectionError("refused")

    requests.add_pending()
    with monkeypatch.context() as outage:
        outage.setattr(sends, method, away)
        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                requests.flush()

    assert requests.flush()

    sent = [Message.decode(data).actor_name for data in queued(broker)]
    assert sorted(sent) == ["plan", "recover"]
    assert not requests.flush()


def queued(broker: StubBroker) -> list[bytes]:
    return list(broker.queues[CONTROL_QUEUE].queue)
