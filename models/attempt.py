"""Attempts: one line for each time a task was worked on, and what it cost."""

from __future__ import annotations

from datetime import datetime

from models.base import Row, fetch_all


def of_task(task_id: str) -> list[Row]:
    """The attempts on one task, oldest first."""
    return fetch_all(
        "SELECT number, epoch, backend, model, started_at, finished_at, wait_seconds, "
        "first_token_seconds, load_seconds, duration_seconds, prompt_tokens, completion_tokens, "
        "outcome, verdict, error, error_code, worker FROM kos_attempts "
        "WHERE task_id = %s::uuid ORDER BY number",
        (task_id,),
    )


# The models are found by hops over the index, not by a look at every line.
SAMPLES = """
WITH RECURSIVE ran(backend, model) AS (
  (SELECT backend, model FROM kos_attempts WHERE model IS NOT NULL ORDER BY backend, model LIMIT 1)
  UNION ALL
  SELECT next.backend, next.model FROM ran CROSS JOIN LATERAL (
    SELECT a.backend, a.model FROM kos_attempts a
    WHERE (a.backend, a.model) > (ran.backend, ran.model) AND a.model IS NOT NULL
    ORDER BY a.backend, a.model LIMIT 1) next
)
SELECT a.backend, a.model, a.finished_at, a.load_seconds, a.first_token_seconds,
  a.duration_seconds, a.completion_tokens, a.outcome, t.category
FROM ran CROSS JOIN LATERAL (
  SELECT * FROM kos_attempts
  WHERE backend = ran.backend AND model = ran.model AND finished_at IS NOT NULL
  ORDER BY id DESC LIMIT %s) a
LEFT JOIN tasks t ON t.id = a.task_id
"""


def samples(of_each_model: int = 200) -> list[Row]:
    """The newest finished attempts of each model, which is what learning reads.

    A busy model does not crowd out what is known of a seldom one.
    """
    return fetch_all(SAMPLES, (of_each_model,))


def since(moment: datetime, limit: int = 5000) -> list[Row]:
    """Attempts that finished after ``moment``, oldest first: what limits are decided from."""
    return fetch_all(
        "SELECT * FROM (SELECT backend, model, started_at, finished_at, load_seconds, "
        "completion_tokens, error, error_code FROM kos_attempts WHERE finished_at > %s "
        "ORDER BY finished_at DESC LIMIT %s) AS newest ORDER BY finished_at",
        (moment, limit),
    )


def completed_between(began: datetime, ended: datetime) -> int:
    """How many tasks were completed in that time."""
    rows = fetch_all(
        "SELECT count(*) AS n FROM kos_attempts "
        "WHERE finished_at > %s AND finished_at <= %s AND outcome = 'completed'",
        (began, ended),
    )
    return int(rows[0]["n"])


def running() -> list[Row]:
    """Attempts that run now, with the tokens that their last heartbeat told."""
    return fetch_all(
        "SELECT t.backend, t.model, t.started_at, NULL::timestamptz AS finished_at, "
        "NULL::real AS load_seconds, (t.progress->>'tokens')::int AS completion_tokens, "
        "t.updated_at AS counted_at FROM tasks t WHERE t.status = 'in_progress' "
        "AND t.progress->>'phase' = 'decoding'"
    )


def prune(keep_days: float) -> int:
    """Delete attempts that finished more than ``keep_days`` ago; how many."""
    rows = fetch_all(
        "WITH gone AS (DELETE FROM kos_attempts WHERE finished_at < now() - %s * interval '1 day' "
        "RETURNING 1) SELECT count(*) AS n FROM gone",
        (keep_days,),
    )
    return int(rows[0]["n"])
