"""Which queued rows recovery takes for lost: by who holds their message, and for how long."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.admission.consumers import GRACE_SECONDS, Consumers
from jobs.process.clock import ClockWatch
from jobs.process.owners import process_owner
from jobs.queues.names import NAMESPACE, WORKERS
from jobs.queues.worker_register import SILENT_SECONDS
from jobs.runtime import Runtime, connect
from jobs.settings.load import load
from models.base import fetch_all, fetch_one
from models.task import NewTask, Task
from tests.support.queued import queue_rows

QUEUE = "llm-ollama"
LEASE_SECONDS = 30.0
NO_PID = 2**22 + 1


@pytest.fixture
def runtime(database_here: str, redis_url: str, tmp_path: Path) -> Iterator[Runtime]:
    settings = load(
        {
            "DATABASE_URL": database_here,
            "REDIS_URL": redis_url,
            "MLX_API_URL": "off",
            "KOS_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
            "KOS_HOME": str(tmp_path),
        }
    )
    made = connect(settings, program="test")
    yield made
    made.close()


def queued_for(runtime: Runtime, seconds: float) -> str:
    """A row that has been queued for so long, with its message in the queue."""
    (task_id,) = Task.submit([NewTask("Title", "Description")])
    assert task_id is not None
    ((_, epoch),) = queue_rows([task_id], backend="ollama", model="m")
    fetch_all(
        "UPDATE tasks SET queued_at = now() - %s * interval '1 second' WHERE id = %s RETURNING id",
        (seconds, task_id),
    )
    kwargs = {"backend": "ollama", "task_id": task_id, "epoch": epoch}
    message = {
        "queue_name": QUEUE, "actor_name": "run_task", "args": [], "kwargs": kwargs,
        "options": {}, "message_id": task_id, "message_timestamp": 1,
    }  # fmt: skip
    runtime.redis.hset(f"{NAMESPACE}:{QUEUE}.msgs", task_id, json.dumps(message))
    runtime.redis.rpush(f"{NAMESPACE}:{QUEUE}", task_id)
    return task_id


def hand_out(
    runtime: Runtime, task_id: str, *, beaten_seconds_ago: float, owner: str | None = None
) -> None:
    """Redis gave the message to a process, this one by default, that beat so long ago."""
    beat_at = time.time() - beaten_seconds_ago
    line = {"program": "jobs:llm-ollama", "broker_id": "broker", "beat_at": beat_at}
    runtime.redis.hset(WORKERS, owner or process_owner(), json.dumps(line))
    runtime.redis.zadd(f"{NAMESPACE}:__heartbeats__", {"broker": int(beat_at * 1000)})
    runtime.redis.lrem(f"{NAMESPACE}:{QUEUE}", 1, task_id)
    runtime.redis.sadd(f"{NAMESPACE}:__acks__.broker.{QUEUE}", task_id)


def status(task_id: str) -> str:
    row = fetch_one("SELECT status FROM tasks WHERE id = %s", (task_id,))
    assert row is not None
    return str(row["status"])


def test_a_message_that_waits_in_redis_is_left_alone(runtime: Runtime) -> None:
    task_id = queued_for(runtime, 10 * LEASE_SECONDS)

    assert runtime.recovery.run().unsent == 0
    assert status(task_id) == "queued"


def test_a_message_in_live_hands_is_left_alone_for_a_lease(runtime: Runtime) -> None:
    task_id = queued_for(runtime, LEASE_SECONDS / 2)
    hand_out(runtime, task_id, beaten_seconds_ago=0)

    assert runtime.recovery.run().unsent == 0
    assert status(task_id) == "queued"


def test_a_message_that_live_hands_must_have_lost_is_sent_again(runtime: Runtime) -> None:
    task_id = queued_for(runtime, LEASE_SECONDS + 1)
    hand_out(runtime, task_id, beaten_seconds_ago=0)

    assert runtime.recovery.run().unsent == 1
    assert status(task_id) == "pending"


def test_a_message_in_the_hands_of_a_silent_process_is_sent_again(runtime: Runtime) -> None:
    task_id = queued_for(runtime, 3)
    hand_out(runtime, task_id, beaten_seconds_ago=SILENT_SECONDS + 1)

    assert runtime.recovery.run().unsent == 1
    assert status(task_id) == "pending"


def test_a_message_in_the_hands_of_a_process_that_died_a_moment_ago_is_sent_again(
    runtime: Runtime,
) -> None:
    task_id = queued_for(runtime, 3)
    host, _, _ = process_owner().rsplit("/", 2)
    hand_out(runtime, task_id, beaten_seconds_ago=0, owner=f"{host}/{NO_PID}/1")

    assert runtime.recovery.run().unsent == 1
    assert runtime.redis.hlen(WORKERS) == 0


def test_a_cancelled_task_of_a_lost_worker_ends_cancelled_in_the_ledger_too(
    runtime: Runtime,
) -> None:
    task_id = queued_for(runtime, 1)
    claimed = Task.claim(task_id, 1, owner="another-host/1/1", lease_seconds=60)
    assert claimed is not None
    Task.cancel([task_id])
    fetch_all(
        "UPDATE tasks SET lease_expires_at = now() - interval '1 second' WHERE id = %s "
        "RETURNING id",
        (task_id,),
    )

    runtime.recovery.run()

    assert status(task_id) == "cancelled"
    outcomes = fetch_all("SELECT outcome FROM kos_attempts WHERE task_id = %s", (task_id,))
    assert [row["outcome"] for row in outcomes] == ["lost"]


OTHER_HOST = "another-host:boot:1/1/1"


@pytest.mark.parametrize(
    ("lease_ends_in", "beaten_seconds_ago", "taken"),
    [
        (20.0, None, False),
        (20.0, 0.0, False),
        (-1.0, SILENT_SECONDS + 1, True),
        (-1.0, None, True),
        (-1.0, 0.0, False),
        (-LEASE_SECONDS - 1, 0.0, True),
    ],
    ids=[
        "another host is not judged by pids of this one",
        "a live host renews",
        "a silent host by its lease",
        "a host that nobody knows by its lease",
        "a live host has a grace, for its database may have stood still",
        "a live host that renews no lease for two of them",
    ],
)
def test_rows_of_another_host_come_back_by_their_lease_alone(
    runtime: Runtime, lease_ends_in: float, beaten_seconds_ago: float | None, taken: bool
) -> None:
    task_id = queued_for(runtime, 1)
    assert Task.claim(task_id, 1, owner=OTHER_HOST, lease_seconds=lease_ends_in) is not None
    if beaten_seconds_ago is not None:
        line = {"program": "jobs:llm-ollama", "beat_at": time.time() - beaten_seconds_ago}
        runtime.redis.hset(WORKERS, OTHER_HOST, json.dumps(line))

    found = runtime.recovery.run()

    assert (found.expired, found.dead) == (int(taken), 0)
    row = fetch_one("SELECT status, crash_count FROM tasks WHERE id = %s", (task_id,))
    assert row == {"status": "pending" if taken else "in_progress", "crash_count": 0}


@pytest.mark.parametrize("served", [True, False])
def test_rows_queued_for_a_server_without_a_worker_come_back(
    runtime: Runtime, served: bool
) -> None:
    task_id = queued_for(runtime, 1)
    now = time.time()
    consumers = Consumers(runtime.redis, clock=lambda: now)
    if served:
        line = {"queues": [QUEUE], "beat_at": now + GRACE_SECONDS}
        runtime.redis.hset(WORKERS, process_owner(), json.dumps(line))
    consumers.missing("ollama")
    now += GRACE_SECONDS + 1

    found = replace(runtime.recovery, consumers=consumers).run()

    assert (found.blocked, status(task_id)) == ((0, "queued") if served else (1, "pending"))


def test_a_jump_of_the_clock_gives_every_lease_a_grace(runtime: Runtime) -> None:
    task_id = queued_for(runtime, 1)
    assert Task.claim(task_id, 1, owner=OTHER_HOST, lease_seconds=-1.0) is not None
    clocks = {"wall": 1000.0, "monotonic": 50.0}
    watch = ClockWatch(wall=lambda: clocks["wall"], monotonic=lambda: clocks["monotonic"])
    recovery = replace(runtime.recovery, clock=watch)
    clocks["wall"] += 3600

    assert recovery.run().expired == 0
    assert status(task_id) == "in_progress"
    for name in clocks:
        clocks[name] += LEASE_SECONDS

    assert recovery.run().expired == 1


def test_pending_requests_are_sent_once(runtime: Runtime) -> None:
    assert not runtime.requests.flush()
    runtime.requests.add_pending()
    runtime.requests.add_pending()

    assert runtime.requests.flush()
    assert not runtime.requests.flush()
    assert runtime.redis.llen(f"{NAMESPACE}:control") == 2


@pytest.mark.parametrize("lease_seconds", [LEASE_SECONDS, None])
def test_a_process_that_meets_a_new_redis_waits_while_tasks_run_elsewhere(
    runtime: Runtime, lease_seconds: float | None
) -> None:
    if lease_seconds is not None:
        task_id = queued_for(runtime, 0.0)
        assert Task.claim(task_id, 1, owner="elsewhere", lease_seconds=lease_seconds) is not None

    answer = runtime.slots.acquire("ollama", "another:1", limit=1)

    assert answer.granted == (lease_seconds is None), answer.reason
