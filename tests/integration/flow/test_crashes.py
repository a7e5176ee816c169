"""Killed, frozen and drained workers; cancels; a flushed Redis."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from jobs.queues.worker_register import consumed_queues, registered
from models import database
from tests.support.system import System, running_system

LONG_TASK = "Write a long study of the history of databases, with every detail that you know."


@pytest.fixture
def slow(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    """A system whose answers take seconds and whose leases are short."""
    with running_system(
        migrated_url, redis_url, tmp_path, time_scale=2.5,
        KOS_LEASE_SECONDS="4", KOS_HEARTBEAT_SECONDS="1", KOS_DRAIN_SECONDS="0.2",
        SMART_WORKER_MAX_CONCURRENT="4",
    ) as running:  # fmt: skip
        yield running
    database.close_all()


def decoding(system: System, task_id: str) -> str:
    """Wait until the task runs; the program that runs it."""
    row = system.wait_status(task_id, "in_progress")
    return f"llm-{row['backend']}"


def attempts(system: System, task_id: str) -> list[str | None]:
    return [line["outcome"] for line in system.attempts(task_id)]


def test_tasks_of_a_killed_worker_run_again_and_no_attempt_is_spent(slow: System) -> None:
    slow.start()
    task_id = slow.insert("Study", LONG_TASK)
    program = decoding(slow, task_id)

    slow.kill(program)
    slow.start(program)

    slow.wait(lambda: len(attempts(slow, task_id)) == 2, what="a second try")
    done = slow.wait_status(task_id, "completed", deadline_seconds=60)
    assert attempts(slow, task_id) == ["lost", "completed"]
    assert (done["attempt_count"], done["crash_count"]) == (0, 1)


def test_a_frozen_worker_wakes_as_a_zombie_and_changes_nothing(slow: System) -> None:
    slow.start()
    task_id = slow.insert("Study", LONG_TASK)
    program = decoding(slow, task_id)

    slow.kill(program, with_signal=signal.SIGSTOP)
    frozen = slow.programs.pop(program)
    slow.start(program)
    try:
        done = slow.wait_status(task_id, "completed", deadline_seconds=60)
        frozen.send_signal(signal.SIGCONT)
        slow.wait(
            lambda: "attempt_abandoned" in slow.log(program) or "not_claimed" in slow.log(program),
            what="the zombie to notice",
        )
    finally:
        slow.programs["frozen"] = frozen

    after = slow.task(task_id)
    assert (after["status"], after["result"], after["epoch"]) == (
        "completed", done["result"], done["epoch"],
    )  # fmt: skip
    assert attempts(slow, task_id).count("completed") == 1


def test_a_cancel_stops_a_running_stream_and_sticks(slow: System) -> None:
    slow.start()
    task_id = slow.insert("Study", LONG_TASK)
    decoding(slow, task_id)

    slow.sql("UPDATE tasks SET cancel_requested_at = now() WHERE id = %s", (task_id,))

    slow.wait_status(task_id, "cancelled")
    assert attempts(slow, task_id) == ["cancelled"]
    for server in (slow.ollama, slow.mlx):
        server.wait_until(lambda stats: stats["streams"]["now"] == 0)


def test_a_drain_hands_three_running_tasks_back_and_counts_no_crash(slow: System) -> None:
    slow.mlx.fault("drip", seconds=1.0)
    slow.start("control", "listener", "llm-mlx")
    on_mlx = {"required_backend": "mlx", "preferred_model": "tinyllama:1.1b-chat"}
    task_ids = [slow.insert(f"Study {n}", LONG_TASK, metadata=on_mlx) for n in range(3)]
    for task_id in task_ids:
        decoding(slow, task_id)

    slow.stop("llm-mlx")

    assert slow.log("llm-mlx").rstrip().endswith("drained")
    for task_id in task_ids:
        row = slow.task(task_id)
        assert row["status"] in ("pending", "queued")
        assert (row["attempt_count"], row["crash_count"]) == (0, 0)
        assert attempts(slow, task_id) == ["interrupted"]
    slow.mlx.clear_faults()
    slow.start("llm-mlx")
    slow.wait_status(task_ids[0], "completed", deadline_seconds=60)


def test_flushing_redis_loses_no_task(slow: System) -> None:
    slow.start()
    ids = [slow.insert(f"Study {n}", f"{LONG_TASK} Part {n}.") for n in range(8)]
    decoding(slow, ids[0])

    client = redis.Redis.from_url(slow.environ["REDIS_URL"])
    client.flushdb()
    client.close()
    slow.start("scheduler")

    slow.wait(
        lambda: slow.counts() == {"completed": len(ids)}, deadline_seconds=150, what="all completed"
    )
    assert slow.sql("SELECT task_id FROM kos_attempts WHERE outcome = 'completed' "
                    "GROUP BY 1 HAVING count(*) > 1") == []  # fmt: skip


def test_a_worker_that_drains_takes_no_queue_while_its_last_call_ends(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    with running_system(
        migrated_url, redis_url, tmp_path, time_scale=1.0, KOS_DRAIN_SECONDS="60"
    ) as system:
        system.start()
        task_id = system.insert("Study", LONG_TASK)
        program = decoding(system, task_id)
        client = redis.Redis.from_url(redis_url)

        system.kill(program, with_signal=signal.SIGTERM)

        system.wait(
            lambda: program not in consumed_queues(registered(client), now=time.time()),
            deadline_seconds=10,
            what="its queue is left",
        )
        assert system.task(task_id)["status"] == "in_progress"
        system.kill(program)
    database.close_all()
