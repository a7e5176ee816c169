"""Fills a database with history by plain SQL: tasks, attempts, decisions, blocks, experts."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg2

TASKS = """
INSERT INTO tasks (title, description, status, priority, category, assignee_expert_id, backend,
  model, result, created_at, started_at, completed_at, attempt_count, last_error, metadata)
SELECT 'Task ' || n, repeat('Summarise what is known about topic ' || n || '. ', 8),
  s.status, (ARRAY['low','medium','high','urgent'])[1 + n %% 4],
  (ARRAY['fast','coding','reasoning','general'])[1 + n %% 4], e.id,
  CASE WHEN s.status <> 'pending' THEN (ARRAY['ollama','mlx'])[1 + n %% 2] END,
  CASE WHEN s.status <> 'pending' THEN (
    ARRAY['qwen2.5:32b','phi3.5:3.8b','llama3.1:8b'])[1 + n %% 3] END,
  CASE WHEN s.status = 'completed' THEN repeat('An answer of some length. ', 40) END,
  now() - n * interval '26 seconds', now() - n * interval '26 seconds' + interval '5 seconds',
  CASE WHEN s.status IN ('completed', 'failed') THEN now() - n * interval '26 seconds' END, 1,
  CASE WHEN s.status = 'failed' THEN 'timeout: no first token' END, '{"keywords": ["a", "b"]}'
FROM generate_series(1, %(tasks)s) AS n
CROSS JOIN LATERAL (SELECT CASE WHEN n %% 10 < 2 THEN 'pending' WHEN n %% 10 = 2 THEN 'failed'
  WHEN n %% 997 = 0 THEN 'cancelled' ELSE 'completed' END AS status) AS s
CROSS JOIN LATERAL (SELECT id FROM experts ORDER BY name OFFSET n %% 2 LIMIT 1) AS e
"""
ATTEMPTS = """
INSERT INTO kos_attempts (task_id, number, epoch, backend, model, worker, started_at, finished_at,
  wait_seconds, load_seconds, first_token_seconds, duration_seconds, prompt_tokens,
  completion_tokens, outcome, error, error_code)
SELECT t.id, k, k, (ARRAY['ollama','mlx'])[1 + t.row %% 2],
  (ARRAY['qwen2.5:32b','phi3.5:3.8b','llama3.1:8b'])[1 + t.row %% 3], 'host:1',
  now() - (t.row * %(each)s + k) * s.step - interval '12 seconds',
  now() - (t.row * %(each)s + k) * s.step, 0.05,
  CASE WHEN k %% 50 = 0 THEN 8 ELSE 0 END, 0.6, 11.5, 400, 350,
  CASE WHEN k < %(each)s THEN 'retried' ELSE 'completed' END,
  CASE WHEN k < %(each)s THEN 'no first token' END,
  CASE WHEN k < %(each)s THEN (ARRAY['timeout','invalid','echo','runaway'])[1 + k %% 4] END
FROM (SELECT id, row_number() OVER (ORDER BY id) AS row FROM tasks) AS t,
  generate_series(1, %(each)s) AS k,
  (SELECT %(seconds)s * interval '1 second' / %(attempts)s AS step) AS s
"""


def seed(url: str, *, tasks: int, attempts: int, days: float) -> None:
    """``attempts`` are spread evenly over the last ``days``."""
    values = {
        "tasks": tasks,
        "each": attempts // tasks,
        "attempts": attempts,
        "seconds": days * 86_400,
    }
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(TASKS, values)
            cursor.execute(ATTEMPTS, values)
            for table in ("tasks", "kos_attempts"):
                _vacuum(cursor, table)


def _vacuum(cursor: Any, table: str) -> None:
    """Until its pages are known as visible: an analysis in the background may hold them back."""
    for _ in range(20):
        cursor.execute(f"VACUUM (ANALYZE) {table}")
        cursor.execute("SELECT relallvisible FROM pg_class WHERE relname = %s", (table,))
        if cursor.fetchone()[0]:
            return
        time.sleep(0.5)
