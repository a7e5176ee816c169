"""Every column that SQL can write, with any value Postgres accepts: one row never hurts another."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import closing

import psycopg2

from tests.support.system import System

ROWS = 5_000
CANARY_SECONDS = 60.0
NESTED = "[" * 1500 + "]" * 1500

TEXTS = (
    None, "", " ", "\n" * 500, "x" * 300, "ё" * 200, "\u202e\u0007 odd", "'; DROP TABLE tasks; --",
    "NaN", "-1", "1e5000", "{}", "null", "urgent", "pending", "\U0001f600", "%s %(id)s",
)  # fmt: skip
JSONS = (
    None, "null", "1", '"text"', "[]", "{}", "true", NESTED, '{"budget": 1e5000}',
    "[[1e5000]]", '{"a": ' + NESTED + "}", '{"max_tokens": 1e400}', '{"num_ctx": -1e-5000}',
    '{"category": 1e5000}', '{"file_paths": [1, null, {"a": []}]}',
    '{"preferred_model": "\\u0001"}', '{"response_schema": {"$ref": "#"}}',
    '{"keywords": ' + json.dumps(["k"] * 2000) + "}",
    '"{\\"a\\": 1}"', '[["mlx", "m"], 7, [1e5000, 2]]', '{"tokens": 1e5000, "phase": "decoding"}',
)  # fmt: skip
TIMES = (
    None, "infinity", "-infinity", "4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59+00",
    "0001-01-01", "9999-12-31 23:59:59.999999", "1970-01-01", "2026-11-28 10:00:00+13:45",
)  # fmt: skip
REALS = (None, "NaN", "Infinity", "-Infinity", "1e38", "-1e-38", "0.5", "0", "-7")
WHOLE = ("0", "-1", "2147483647", "-2147483648", "1000000")
BIG = ("0", "-1", "9223372036854775807", "-9223372036854775808", "9007199254740993")
IDS = (None, "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff")

TASK_COLUMNS = {
    "title": TEXTS, "description": (*TEXTS, "word " * 10_000), "status": (*TEXTS[:3], "pending"),
    "priority": TEXTS[:8], "assignee_expert_id": IDS, "creator_expert_id": IDS, "domain_id": IDS,
    "parent_task_id": IDS, "metadata": JSONS, "result": TEXTS, "created_at": TIMES,
    "updated_at": TIMES, "started_at": TIMES, "completed_at": TIMES, "epoch": BIG,
    "lease_owner": TEXTS, "lease_expires_at": TIMES, "queued_at": TIMES, "next_attempt_at": TIMES,
    "attempt_count": WHOLE, "crash_count": WHOLE, "backend": TEXTS, "model": TEXTS,
    "block_id": IDS, "category": (*TEXTS, "coding"), "complexity": REALS,
    "cancel_requested_at": TIMES, "last_error": TEXTS, "validation_score": REALS,
    "avoid": JSONS, "checkpoint": JSONS, "progress": JSONS,
}  # fmt: skip
EXPERT_COLUMNS = {
    "role": (*TEXTS, "word " * 20_000), "department": TEXTS, "system_prompt": TEXTS,
    "is_active": (None, "true", "false"), "metadata": JSONS, "created_at": TIMES,
}  # fmt: skip
UNREADABLE = """
SELECT 1 FROM tasks WHERE metadata ? 'budget' AND status = 'pending' AND next_attempt_at IS NULL
  AND cancel_requested_at IS NULL LIMIT 1
"""


def test_a_task_beside_five_thousand_odd_rows_completes(system: System) -> None:
    dice = random.Random(13)
    url = system.environ["DATABASE_URL"]
    experts = insert(url, "experts", dice, EXPERT_COLUMNS, 70, name="odd expert {n}")
    tasks = insert(url, "tasks", dice, TASK_COLUMNS, ROWS, description="Name a river. {n}")
    began = time.monotonic()
    canary = system.insert("canary", "Name three rivers of Europe.", priority="urgent")

    system.start()
    system.wait_status(canary, "completed", deadline_seconds=CANARY_SECONDS)
    seconds = time.monotonic() - began

    print(f"\n{tasks} odd tasks, {experts} odd experts, canary after {seconds:.1f} s")
    assert tasks >= ROWS
    system.wait(
        lambda: not system.sql(UNREADABLE), deadline_seconds=120, what="unreadable rows refused"
    )
    reasons = {row["last_error"] for row in system.sql("SELECT DISTINCT last_error FROM tasks")}
    assert "refused: metadata.budget: is a number of 5001 digits" in reasons
    assert "refused: epoch: is 9223372036854775807, which cannot be counted on from" in reasons
    assert "Traceback" not in system.log("control")


def insert(
    url: str,
    table: str,
    dice: random.Random,
    columns: Mapping[str, Sequence[str | None]],
    count: int,
    **names: str,
) -> int:
    """At least ``count`` rows: each column with each of its values, then pairs of columns."""
    single = [{name: value} for name, values in columns.items() for value in values]
    inserted = 0
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while inserted < count:
            chosen = dice.sample(sorted(columns), 2)
            odd = single.pop() if single else {name: dice.choice(columns[name]) for name in chosen}
            row = {name: text.format(n=inserted) for name, text in names.items()} | odd
            marks = ", ".join(["%s"] * len(row))
            try:
                cursor.execute(
                    f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values())
                )
            except psycopg2.Error:
                continue  # Postgres does not take this value, so that no stranger can write it
            inserted += 1
    return inserted
