"""Round trips of one task's life, in exact numbers: to Postgres and to Redis.

Whoever adds one changes a number here, on purpose.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest
import redis.connection
from dramatiq import MessageProxy

from jobs.admission import breakers, consumers, limits, residency
from jobs.app import WorkerApp, build_app
from jobs.planning import learned_figures, plan_log, planner
from jobs.process.owners import process_owner
from jobs.queues.names import CONTROL_QUEUE, WORKERS, llm_queue
from jobs.settings.load import load
from llm import scanner
from models import bounded_connection, database
from tests.support.system import System, running_system

QUEUE = llm_queue("ollama")
LONG_SECONDS = 3600.0
CACHES = (
    (breakers, "CACHE_SECONDS"), (consumers, "CACHE_SECONDS"), (limits, "CACHE_SECONDS"),
    (learned_figures, "REFRESH_SECONDS"), (plan_log, "COMPLETED_SECONDS"),
    (planner, "FOLD_SECONDS"), (planner, "IDLE_REPLAN_SECONDS"), (scanner, "LAST_SECONDS"),
    (bounded_connection, "TRUST_SECONDS"), (residency, "HOLDS_CACHE_SECONDS"),
)  # fmt: skip
"""What is read again after a second or more would make the numbers depend on the machine."""

INSERTED_TO_SENT = {"postgres": 14, "redis": 7}
FREED_WITHOUT_MORE = {"postgres": 6, "redis": 5}
MESSAGE_TO_OUTCOME = {"postgres": 2, "redis": 7}


@dataclass
class Trips:
    """Counted where every statement and every command passes by."""

    postgres: int = 0
    commands: list[bytes] = field(default_factory=list)

    def of(self, work: Any) -> dict[str, int]:
        self.postgres, self.commands = 0, []
        work()
        return {"postgres": self.postgres, "redis": len(self.commands)}


@pytest.fixture
def system(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    with running_system(
        migrated_url, redis_url, tmp_path, profile="instant", time_scale=1.0, MLX_API_URL="disabled"
    ) as found:
        yield found


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trips]:
    counted = Trips()
    send: Any = redis.connection.AbstractConnection.send_packed_command

    def sent(self: Any, command: Any, check_health: bool = True) -> None:
        packed = b"".join(command) if isinstance(command, list) else bytes(command)
        if b"PING" not in packed:
            counted.commands.append(packed)
        send(self, command, check_health=check_health)

    def waited(connection: Any) -> None:
        counted.postgres += 1
        bounded_connection.wait_for_answer(connection)

    for module, name in CACHES:
        monkeypatch.setattr(module, name, LONG_SECONDS)
    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", sent)
    monkeypatch.setattr(database, "wait_for_answer", waited)
    database.keep_connections()
    yield counted
    database.give_up_connections()
    psycopg2.extensions.set_wait_callback(bounded_connection.wait_for_answer)


@dataclass
class Work:
    """One thread does what the control process and a worker do."""

    control: WorkerApp
    worker: WorkerApp

    def plan(self, reason: str) -> None:
        self.control.runtime.broker.actors["plan"].fn(reason)

    def run_next(self) -> None:
        consumer = self.worker.runtime.broker.consume(QUEUE, prefetch=1, timeout=1)
        message = next(message for message in chain(consumer) if message is not None)
        self.run(message)
        consumer.ack(message)

    def run(self, message: MessageProxy) -> None:
        broker = self.worker.runtime.broker
        broker.emit_before("process_message", message)
        broker.actors[message.actor_name].fn(**message.kwargs)
        broker.emit_after("process_message", message)


@pytest.fixture
def work(system: System, trips: Trips) -> Iterator[Work]:
    settings = load(system.environ)
    control = build_app(settings, queues=[CONTROL_QUEUE], program="jobs:control")
    worker = build_app(settings, queues=[QUEUE], program="jobs:llm-ollama")
    beat = {"queues": [QUEUE, CONTROL_QUEUE], "beat_at": time.time() + LONG_SECONDS}
    control.runtime.redis.hset(WORKERS, process_owner(), json.dumps(beat))
    yield Work(control, worker)
    worker.runtime.close()
    control.runtime.close()


def test_a_task_costs_no_round_trip_more_than_these(
    system: System, trips: Trips, work: Work
) -> None:
    text = "Summarise the topic of the day in a few words"
    for title in ("warm", "and once more"):
        system.insert(title, text)
        work.plan("insert")
        work.run_next()

    system.insert("counted", text)
    inserted = trips.of(lambda: work.plan("insert"))
    run = trips.of(work.run_next)
    freed = trips.of(lambda: work.plan("task ended"))

    assert system.counts() == {"completed": 3}
    assert inserted == INSERTED_TO_SENT
    assert run == MESSAGE_TO_OUTCOME
    assert freed == FREED_WITHOUT_MORE
