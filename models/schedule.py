"""Schedules and their runs. A due time has at most one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extras import Json

from models.base import fetch_all, fetch_one, value_of
from models.retention import delete_tasks
from models.states import FINAL_STATES

SCHEDULE_FIELDS = (
    "s.id::text, s.name, s.cron, s.zone, s.template, s.line, s.variables, s.catch_up, s.keep, "
    "s.paused, s.handled_until, s.created_at"
)
CHANGEABLE = frozenset(
    {"cron", "zone", "template", "line", "variables", "catch_up", "keep", "paused"}
)
FINAL = [state.value for state in FINAL_STATES]

LIST = f"""
SELECT {SCHEDULE_FIELDS}, r.due_at, r.outcome, r.passed, r.problem, r.task_id::text, t.status,
  t.last_error
FROM kos_schedules s
LEFT JOIN LATERAL (SELECT * FROM kos_schedule_runs WHERE schedule_id = s.id
  ORDER BY due_at DESC LIMIT 1) r ON true
LEFT JOIN tasks t ON t.id = r.task_id
"""

RUNS = """
SELECT r.due_at, r.outcome, r.passed, r.problem, r.task_id::text, t.status, t.last_error
FROM kos_schedule_runs r LEFT JOIN tasks t ON t.id = r.task_id
WHERE r.schedule_id = %s ORDER BY r.due_at DESC LIMIT %s
"""

# A skipped run has no task, so it is deleted together with kept runs of its age.
BEYOND = """
DELETE FROM kos_schedule_runs r USING (
  SELECT due_at FROM kos_schedule_runs WHERE schedule_id = %(id)s
  ORDER BY due_at DESC OFFSET %(keep)s) old
WHERE r.schedule_id = %(id)s AND r.due_at = old.due_at
  AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = r.task_id AND NOT t.status = ANY(%(final)s))
RETURNING r.task_id::text
"""


@dataclass(frozen=True, slots=True)
class Schedule:
    """``line`` is the JSON of its task, into which ``variables`` are filled; ``zone`` is the time
    zone of ``cron``. Due times up to ``handled_until`` have a run. Other programs may have written
    ``cron``."""

    id: str
    name: str
    cron: str
    zone: str
    template: str | None
    line: dict[str, Any]
    variables: dict[str, Any]
    catch_up: bool
    keep: int
    paused: bool
    handled_until: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """The result of a due time. ``passed`` due times before it were skipped; ``status`` and
    ``last_error`` are those of its task, None where there is none."""

    due_at: datetime
    outcome: str
    passed: int
    problem: str | None
    task_id: str | None
    status: str | None
    last_error: str | None


def add(name: str, values: Mapping[str, Any], *, now: datetime) -> bool:
    """Insert a schedule; False where one of that name exists. Due times count from ``now``."""
    rows = fetch_all(
        "INSERT INTO kos_schedules (name, cron, zone, template, line, variables, catch_up, keep, "
        "handled_until) VALUES (%(name)s, %(cron)s, %(zone)s, %(template)s, %(line)s, "
        "%(variables)s, %(catch_up)s, %(keep)s, %(now)s) ON CONFLICT DO NOTHING RETURNING id",
        {"name": name, "now": now, **_stored(values)},
    )
    return bool(rows)


def change(name: str, values: Mapping[str, Any], *, now: datetime | None = None) -> bool:
    """Set columns by name (:data:`CHANGEABLE`); with ``now`` due times are recomputed from it."""
    assert set(values) <= CHANGEABLE
    stored = _stored(values)
    sets = [f"{column} = %({column})s" for column in values]
    sets += ["handled_until = %(now)s"] if now is not None else []
    return bool(
        fetch_all(
            f"UPDATE kos_schedules SET {', '.join(sets)} WHERE name = %(name)s RETURNING id",
            {**stored, "name": name, "now": now},
        )
    )


def remove(name: str) -> bool:
    """Delete the schedule and the rows of its runs; their tasks stay."""
    return bool(fetch_all("DELETE FROM kos_schedules WHERE name = %s RETURNING id", (name,)))


def listed() -> list[tuple[Schedule, ScheduleRun | None]]:
    """Every schedule with its newest run, None where it never ran."""
    return [
        (value_of(Schedule, row), value_of(ScheduleRun, row) if row["outcome"] else None)
        for row in fetch_all(f"{LIST} ORDER BY s.name")
    ]


def get(name: str) -> Schedule | None:
    row = fetch_one(f"SELECT {SCHEDULE_FIELDS} FROM kos_schedules s WHERE s.name = %s", (name,))
    return value_of(Schedule, row) if row else None


def runs(schedule_id: str, *, limit: int) -> list[ScheduleRun]:
    """Newest first."""
    return [value_of(ScheduleRun, row) for row in fetch_all(RUNS, (schedule_id, limit))]


def active_ids() -> list[str]:
    """The ids of schedules that are not paused, by name."""
    rows = fetch_all("SELECT id::text FROM kos_schedules WHERE NOT paused ORDER BY name")
    return [row["id"] for row in rows]


def take(schedule_id: str) -> Schedule | None:
    """The schedule, locked until the transaction ends; None if it is gone, paused or locked."""
    row = fetch_one(
        f"SELECT {SCHEDULE_FIELDS} FROM kos_schedules s WHERE s.id = %s AND NOT s.paused "
        "FOR UPDATE SKIP LOCKED",
        (schedule_id,),
    )
    return value_of(Schedule, row) if row else None


def has_open_run(schedule_id: str) -> bool:
    """Whether the task of a run has not ended."""
    return bool(
        fetch_all(
            "SELECT 1 FROM kos_schedule_runs r JOIN tasks t ON t.id = r.task_id "
            "WHERE r.schedule_id = %s AND NOT t.status = ANY(%s) LIMIT 1",
            (schedule_id, FINAL),
        )
    )


def last_result(schedule_id: str, *, most_chars: int) -> str:
    """The beginning of the newest answer of its runs, empty before the first one."""
    row = fetch_one(
        "SELECT left(t.result, %s) AS result FROM kos_schedule_runs r JOIN tasks t "
        "ON t.id = r.task_id WHERE r.schedule_id = %s AND t.status = 'completed' "
        "ORDER BY r.due_at DESC LIMIT 1",
        (most_chars, schedule_id),
    )
    return (row["result"] or "") if row else ""


def record(schedule_id: str, due_at: datetime, outcome: str, *, passed: int = 0) -> bool:
    """Insert the run of a due time; False where it has one."""
    rows = fetch_all(
        "INSERT INTO kos_schedule_runs (schedule_id, due_at, outcome, passed) "
        "VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING due_at",
        (schedule_id, due_at, outcome, passed),
    )
    return bool(rows)


def finish_record(
    schedule_id: str, due_at: datetime, *, outcome: str, task_id: str | None, problem: str | None
) -> None:
    """Complete the run that :func:`record` inserted."""
    fetch_all(
        "UPDATE kos_schedule_runs SET outcome = %s, task_id = %s, problem = %s "
        "WHERE schedule_id = %s AND due_at = %s",
        (outcome, task_id, problem, schedule_id, due_at),
    )


def handled(schedule_id: str, until: datetime) -> None:
    """Store that every due time up to ``until`` has its run."""
    fetch_all("UPDATE kos_schedules SET handled_until = %s WHERE id = %s", (until, schedule_id))


def drop_beyond(schedule_id: str, keep: int) -> None:
    """Delete the runs older than the newest ``keep``, with their tasks; open ones stay."""
    gone = fetch_all(BEYOND, {"id": schedule_id, "keep": keep, "final": FINAL})
    delete_tasks([row["task_id"] for row in gone if row["task_id"]])


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        column: Json(value) if isinstance(value, dict) else value
        for column, value in values.items()
    }
