"""Tasks that were planned for a model that then fails to load, or is no longer there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.operations import lanes, tasks
from console.operations.connections import Connections
from jobs.settings.load import load
from models import database
from models.database import session
from tests.support.system import System, running_system

MODEL, OTHER = "alpha:3b", "beta:3b"
PROFILE = {
    "slots": 2,
    "max_resident_models": 1,
    "models": [
        {"name": name, "size_bytes": 2_000_000_000, "parameters": 3_000_000_000,
         "load_seconds": 2, "decode_tokens_per_second": 80}
        for name in (MODEL, OTHER)
    ],
}  # fmt: skip
PLANNED = 40
IN_FLIGHT = 4
"""Three that run and one sent ahead."""
SENT_IN_VAIN = 2 * IN_FLIGHT
"""What was in flight when the model closed, and what took its place before that was known."""


@pytest.fixture
def small(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[System]:
    """One server with two models, of which one fits in memory; three tasks at a time."""
    with running_system(
        migrated_url, redis_url, tmp_path, time_scale=20.0, profile=PROFILE,
        MLX_API_URL="http://127.0.0.1:9", SMART_WORKER_MAX_CONCURRENT="3", KOS_DISPATCH_AHEAD="1",
    ) as running:  # fmt: skip
        yield running
    database.close_all()


def insert_rows(system: System, count: int, **metadata: str) -> None:
    system.sql(
        "INSERT INTO tasks (title, description, metadata, category, complexity, "
        "assignee_expert_id) SELECT 'Task ' || n, 'Summarise what is known about ' || n, "
        "%s::jsonb, 'default', 0.3, (SELECT id FROM experts LIMIT 1) "
        "FROM generate_series(1, %s) AS n",
        (json.dumps(metadata), count),
    )


def in_vain(system: System) -> list[str]:
    """The error codes of attempts that got no answer."""
    rows = system.sql("SELECT error_code FROM kos_attempts WHERE error_code IS NOT NULL")
    return [row["error_code"] for row in rows]


def planned_for(system: System, model: str) -> int:
    rows = system.sql(
        "SELECT 1 FROM kos_blocks WHERE state IN ('planned', 'active') AND model = %s", (model,)
    )
    return len(rows)


def test_tasks_planned_for_a_model_that_cannot_load_wait_with_the_reason(small: System) -> None:
    small.ollama.fault("load-failure", model=MODEL)
    insert_rows(small, PLANNED, preferred_model=MODEL)
    insert_rows(small, 10, preferred_model=OTHER)

    small.start("control", "llm-ollama", "listener")

    small.wait(
        lambda: small.counts() == {"completed": 10, "pending": PLANNED},
        what="only the tasks of the other model done",
    )
    failed = in_vain(small)
    assert set(failed) == {"load_failed"}
    assert len(failed) <= SENT_IN_VAIN
    assert planned_for(small, MODEL) == 0
    connections = Connections(load({**small.environ}, in_container=False))
    with session():
        waiting = small.sql("SELECT id::text FROM tasks WHERE status = 'pending' LIMIT 1")[0]["id"]
        why = lanes.closed_for(tasks.details(waiting), connections)
    connections.close()
    assert why is not None
    assert why.startswith("ollama: breaker open: load_failed")


def test_tasks_planned_for_a_model_that_was_removed_go_to_another(small: System) -> None:
    small.start("control", "llm-ollama", "listener")
    insert_rows(small, PLANNED)
    small.wait(lambda: small.counts().get("completed", 0) > 0, what="a first answer")
    served = small.sql("SELECT model FROM kos_attempts LIMIT 1")[0]["model"]

    small.ollama.fault("404", model=served)

    small.wait(lambda: small.counts() == {"completed": PLANNED})
    failed = in_vain(small)
    assert set(failed) == {"model_not_found"}
    assert len(failed) <= SENT_IN_VAIN
    assert small.sql("SELECT max(attempt_count) AS n FROM tasks")[0]["n"] == 0


def test_what_waits_for_a_task_that_failed_fails_with_it(small: System) -> None:
    small.environ["SMART_WORKER_MAX_ATTEMPTS"] = "1"
    small.ollama.fault("500", match="the middle")
    first = small.insert("First", "Name three rivers.")
    middle = small.insert("Middle", "Tell of the middle.")
    last = small.insert("Last", "Name three lakes.")
    after = small.insert("After", "Name three seas.")
    small.sql(
        "INSERT INTO kos_dependencies (task_id, depends_on_id) VALUES (%s, %s), (%s, %s), (%s, %s)",
        (middle, first, last, middle, after, last),
    )

    small.start("control", "llm-ollama", "listener")

    small.wait_status(middle, "failed")
    assert small.wait_status(last, "failed")["last_error"] == f"dependency {middle} is failed"
    assert small.wait_status(after, "failed")["last_error"] == f"dependency {last} is failed"
    assert small.task(first)["status"] == "completed"
    assert small.attempts(last) == []
