"""The programs of the other system, by their habits: each a thread with a connection of its own."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import redis

from tests.support.original_site import SHAPES, insert

STREAM, GROUP = "expert_tasks", "expert_workers"
INSERT_SECONDS = 0.15
DELEGATED = 0.15
STALE_SECONDS = 3
"""Its worker also claims rows in progress of this age, as it does after ten minutes."""

CLAIM = """
UPDATE tasks SET status = 'in_progress', updated_at = now() WHERE id = %s
  AND (status = 'pending' OR (status = 'in_progress'
    AND created_at < now() - %s * interval '1 second')) RETURNING id
"""
CALLED = """
INSERT INTO beside_calls (task_id, who, began) VALUES (%s, %s, clock_timestamp()) RETURNING id
"""
ANSWERED = "UPDATE beside_calls SET ended = clock_timestamp() WHERE id = %s"
BACK = """
UPDATE tasks SET status = 'pending', updated_at = now(), metadata = coalesce(metadata, '{}')
  || '{"last_attempt_failed": true, "attempt_count": 1, "last_error": "timeout"}' WHERE id = %s
"""
DONE = "UPDATE tasks SET status = 'completed', result = 'theirs', updated_at = now() WHERE id = %s"
SPLIT = """
WITH parent AS (SELECT id FROM tasks WHERE status = 'pending' ORDER BY random() LIMIT 1),
child AS (INSERT INTO tasks (title, description, parent_task_id)
  SELECT 'a part', 'Name one reason.', id FROM parent RETURNING id, parent_task_id)
INSERT INTO task_dependencies (parent_task_id, child_task_id)
SELECT parent_task_id, id FROM child
"""
ASSIGN = """
UPDATE tasks SET assignee_expert_id = (SELECT id FROM experts ORDER BY random() LIMIT 1),
  metadata = jsonb_set(metadata, '{preferred_source}', '"mlx"')
WHERE assignee_expert_id IS NULL AND status = 'pending' AND jsonb_typeof(metadata) = 'object'
"""
RESET = """
UPDATE tasks SET status = 'pending' WHERE id IN (
  SELECT id FROM tasks WHERE status = 'in_progress' ORDER BY random() LIMIT 1)
"""
EVOLVE = """
UPDATE tasks SET status = 'cancelled' WHERE id IN (
  SELECT id FROM tasks WHERE status IN ('pending', 'in_progress') ORDER BY random() LIMIT 1)
"""
DELETE = """
DELETE FROM tasks WHERE id IN (SELECT id FROM tasks t WHERE status IN ('pending', 'in_progress')
  AND NOT EXISTS (SELECT FROM task_dependencies d WHERE t.id IN (d.parent_task_id, d.child_task_id))
  AND NOT EXISTS (SELECT FROM tasks c WHERE c.parent_task_id = t.id)
  ORDER BY random() LIMIT 1)
"""


class Strangers:
    """All of them, from `start` to `stop`, which waits for what they still do."""

    def __init__(self, url: str, stream: redis.Redis, *, seed: int) -> None:
        self._url = url
        self._stream = stream
        self._random = random.Random(seed)
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.errors: list[str] = []
        stream.xgroup_create(STREAM, GROUP, mkstream=True)

    def start(self) -> None:
        lives: list[tuple[str, Callable[[Any], None], float]] = [
            ("inserter", self._insert, INSERT_SECONDS),
            ("orchestrator", self._orchestrate, 2.0),
            ("evolver", lambda cursor: cursor.execute(EVOLVE), 3.0),
            ("deleter", lambda cursor: cursor.execute(DELETE), 4.0),
            ("old-worker", self._work, 0.5),
            ("old-worker", self._work, 0.7),
            ("expert-worker", self._consume, 0.1),
        ]
        for name, act, pause in lives:
            thread = threading.Thread(target=self._live, args=(name, act, pause), name=name)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _live(self, name: str, act: Callable[[Any], None], pause: float) -> None:
        connection = psycopg2.connect(self._url, application_name=name)
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self._stopped.wait(pause):
                try:
                    act(cursor)
                except psycopg2.Error as error:
                    self.errors.append(f"{name}: {str(error).splitlines()[0]}")
        connection.close()

    def _insert(self, cursor: Any) -> None:
        task_id = insert(self._url, self._random.choice(list(SHAPES)))
        if self._random.random() < DELEGATED:
            time.sleep(self._random.random() * 0.3)  # its row is there before its entry
            self._stream.xadd(STREAM, {"payload": json.dumps({"task_id": task_id})})

    def _orchestrate(self, cursor: Any) -> None:
        for statement in (ASSIGN, RESET, SPLIT):
            cursor.execute(statement)

    def _work(self, cursor: Any) -> None:
        """It reads its batch, and claims from it only later."""
        cursor.execute(
            "SELECT id FROM tasks WHERE status IN ('pending', 'in_progress') "
            "AND assignee_expert_id IS NOT NULL ORDER BY random() LIMIT 2"
        )
        for (task_id,) in cursor.fetchall():
            cursor.execute(CLAIM, (task_id, STALE_SECONDS))
            if cursor.fetchone() is None:
                continue
            fails = self._random.random() < 0.3
            self._call(cursor, task_id, "old worker", BACK if fails else DONE)

    def _consume(self, cursor: Any) -> None:
        read: Any = self._stream.xreadgroup(GROUP, "one", {STREAM: ">"}, count=1)
        for _, entries in read or ():
            for entry, fields in entries:
                task_id = json.loads(fields[b"payload"])["task_id"]
                cursor.execute(
                    "UPDATE tasks SET status = 'in_progress', updated_at = now() WHERE id = %s",
                    (task_id,),
                )
                self._call(cursor, task_id, "expert worker", DONE)
                self._stream.xack(STREAM, GROUP, entry)

    def _call(self, cursor: Any, task_id: str, who: str, ending: str) -> None:
        cursor.execute(CALLED, (task_id, who))
        (call,) = cursor.fetchone()
        time.sleep(self._random.uniform(0.2, 1.5))
        cursor.execute(ending, (task_id,))
        cursor.execute(ANSWERED, (call,))
