"""What learning reads of the ledger."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from models import attempt
from models.database import database
from models.task import NewTask, Task

pytestmark = pytest.mark.usefixtures("database_here")


def ran(count: int, backend: str | None, model: str | None, *, finished: str | None) -> None:
    (task_id,) = Task.submit([NewTask(title="t", description="d", category="coding")])
    database.execute_sql(
        "INSERT INTO kos_attempts (task_id, number, epoch, backend, model, worker, finished_at, "
        "outcome, duration_seconds) SELECT %s, n, n, %s, %s, 'w', %s::timestamptz, 'completed', n "
        "FROM generate_series(1, %s) AS n",
        (task_id, backend, model, finished, count),
    )


def test_a_busy_model_does_not_hide_what_is_known_of_a_seldom_one() -> None:
    ran(5, "ollama", "heavy:32b", finished="2026-01-01 00:00+00")
    ran(30, "ollama", "small:1b", finished="2026-01-01 01:00+00")
    ran(30, "mlx", "small:1b", finished="2026-01-01 01:00+00")

    rows = attempt.samples(of_each_model=20)

    assert Counter((row.backend, row.model) for row in rows) == {
        ("ollama", "heavy:32b"): 5,
        ("ollama", "small:1b"): 20,
        ("mlx", "small:1b"): 20,
    }
    newest = [row.duration_seconds or 0.0 for row in rows if row.backend == "mlx"]
    assert min(newest) == 11
    assert {row.category for row in rows} == {"coding"}


def test_what_runs_still_or_never_reached_a_model_teaches_nothing() -> None:
    ran(3, "ollama", "small:1b", finished=None)
    ran(3, None, None, finished="2026-01-01 01:00+00")
    ran(3, "ollama", None, finished="2026-01-01 01:00+00")

    assert attempt.samples() == []


def test_what_was_completed_is_counted_by_its_end() -> None:
    ran(3, "ollama", "small:1b", finished="2026-01-01 01:00+00")
    ran(4, "ollama", "small:1b", finished="2026-01-01 02:00+00")
    ran(2, "ollama", "small:1b", finished=None)

    one, two = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (1, 2))

    assert attempt.completed_between(one, two) == 4
    assert attempt.completed_between(two, two) == 0
