"""Puts the tasks in while Postgres comes and goes: each exactly once, by its key."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import psycopg2

from benchmarks.chaos.stage import Stage

RETRY_SECONDS = 0.2
BATCH = 5
TOPICS = ("databases", "queues", "leases", "bridges", "rivers", "orchards", "glass", "printing")
PRIORITIES = ("low", "medium", "medium", "high", "urgent")

AUDIT = """
CREATE TABLE chaos_endings (task_id uuid, epoch bigint, status text, at timestamptz DEFAULT now());
CREATE FUNCTION chaos_ending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos_endings (task_id, epoch, status) VALUES (NEW.id, NEW.epoch, NEW.status);
  RETURN NULL;
END $$;
CREATE TRIGGER chaos_ending AFTER UPDATE ON tasks FOR EACH ROW
  WHEN (NEW.status IN ('completed', 'failed', 'cancelled')
        AND (OLD.status IS DISTINCT FROM NEW.status OR OLD.result IS DISTINCT FROM NEW.result))
  EXECUTE FUNCTION chaos_ending();
"""
"""Postgres itself keeps a list of every ending, and of every change to an ended task."""


def audit(stage: Stage) -> None:
    stage.system.sql(AUDIT)


def feed(stage: Stage, *, tasks: int, seconds: float, stop: threading.Event) -> None:
    """Insert ``tasks`` rows, evenly over ``seconds``."""
    began = time.monotonic()
    for first in range(0, tasks, BATCH):
        numbers = range(first, min(first + BATCH, tasks))
        while not _inserted(stage, numbers):
            if stop.wait(RETRY_SECONDS):
                return
        due = began + seconds * (first + BATCH) / tasks
        if stop.wait(max(0.0, due - time.monotonic())):
            return


def _inserted(stage: Stage, numbers: range) -> bool:
    """A commit whose answer was lost is made up for by the key."""
    try:
        with (
            closing(psycopg2.connect(stage.postgres.url, connect_timeout=3)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.executemany(
                "INSERT INTO tasks (title, description, priority, idempotency_key) "
                "VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [_row(number) for number in numbers],
            )
    except psycopg2.Error:
        return False
    return True


def _row(number: int) -> tuple[str, str, str, str]:
    topic = TOPICS[number % len(TOPICS)]
    text = f"Summarise in some sentences what is known about {topic}, part {number}."
    return f"Study {number}", text, PRIORITIES[number % len(PRIORITIES)], f"chaos-{number}"
