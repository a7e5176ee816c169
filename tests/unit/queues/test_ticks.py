"""A tick is late by the clock of all hosts, not by that of the host that runs it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from dramatiq.broker import Broker
from dramatiq.brokers.stub import StubBroker
from dramatiq.message import Message
from dramatiq.middleware import SkipMessage

from jobs.process import clock
from jobs.queues import ticks
from models.clock import ServerClock


@pytest.fixture
def broker() -> Broker:
    return StubBroker()


@pytest.fixture
def host_is_ahead(monkeypatch: pytest.MonkeyPatch) -> ServerClock:
    """The clock of a process whose host is five minutes ahead of Postgres."""
    ours = ServerClock()
    ours.learn(clock.epoch_seconds() - 300, asked_at=ours.since_boot())
    monkeypatch.setattr(clock, "server_clock", ours)
    return ours


def tick(at: datetime) -> Message[Any]:
    return Message("control", "plan", (), {}, {"scheduled_at": str(at)})


def test_a_tick_of_now_runs_on_a_host_that_is_ahead(
    broker: Broker, host_is_ahead: ServerClock
) -> None:
    ticks.DropLateTicks().before_process_message(broker, tick(host_is_ahead.utc_now()))


def test_a_late_tick_is_dropped(broker: Broker, host_is_ahead: ServerClock) -> None:
    sent = host_is_ahead.utc_now() - timedelta(seconds=ticks.VALID_SECONDS + 1)

    with pytest.raises(SkipMessage):
        ticks.DropLateTicks().before_process_message(broker, tick(sent))


def test_a_message_that_no_schedule_sent_runs(broker: Broker) -> None:
    ticks.DropLateTicks().before_process_message(broker, Message("control", "plan", (), {}, {}))
