"""From a row to a checked answer, through real programs."""

from __future__ import annotations

import json
import re

from tests.support.system import System


def test_a_row_inserted_by_plain_sql_is_completed(system: System) -> None:
    system.start()

    task_id = system.insert("Review", "Review this function for bugs: def f(x): return x + 1")

    done = system.wait_status(task_id, "completed")
    assert done["result"].startswith("[simulated")
    assert done["assignee_expert_id"] is not None
    assert done["validation_score"] >= 0.5
    attempts = system.attempts(task_id)
    assert [attempt["outcome"] for attempt in attempts] == ["completed"]
    assert attempts[0]["completion_tokens"] > 0
    stages = system.sql(
        "SELECT stage FROM kos_decisions WHERE task_id = %s ORDER BY id", (task_id,)
    )
    assert {"assign", "route", "plan"} <= {row["stage"] for row in stages}


def test_a_hundred_rows_use_both_backends_and_no_row_runs_twice(system: System) -> None:
    system.start()

    system.sql(
        "INSERT INTO tasks (title, description) SELECT 'Task ' || n, "
        "'Summarise what is known about topic ' || n || ' in some sentences.' "
        "FROM generate_series(1, 100) AS n"
    )

    system.wait(lambda: system.counts() == {"completed": 100}, deadline_seconds=60)
    attempts = system.sql("SELECT backend, count(*) AS n FROM kos_attempts GROUP BY 1")
    assert sum(row["n"] for row in attempts) == 100
    log = system.log("control")
    assert re.search(r"Found [1-9]\d* pending tasks", log)
    assert re.search(r"Батчи по модели: [1-9]\d* блоков", log)


def test_json_that_does_not_fit_is_corrected_within_the_attempt(system: System) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    for server in (system.ollama, system.mlx):
        server.fault("wrong-schema", rate=1.0, count=1)
    system.start()

    task_id = system.insert(
        "Extract", "Name the city and how many live there.", metadata={"response_schema": schema}
    )

    done = system.wait_status(task_id, "completed")
    assert json.loads(done["result"]).keys() == {"city", "people"}
    assert [attempt["outcome"] for attempt in system.attempts(task_id)] == ["completed"]
    notes = system.sql("SELECT reason FROM kos_decisions WHERE task_id = %s", (task_id,))
    assert any("sent back once" in note["reason"] for note in notes)
