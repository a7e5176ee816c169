"""Attempts: one row for each attempt of a task, with its cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.base import fetch_all, read_utc, value_of


@dataclass(frozen=True, slots=True)
class MinuteSums:
    """Attempts that ended in the same minute with the same backend, model and outcome: their number
    and cost.

    ``model`` and ``backend`` are empty where the attempt had none. Seconds and tokens are sums.
    """

    minute: datetime
    backend: str
    model: str
    outcome: str
    error_code: str | None
    count: int
    prompt_tokens: int
    completion_tokens: int
    duration_seconds: float
    wait_seconds: float
    load_seconds: float
    first_token_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """One attempt that ended. Seconds and tokens are None where they were not measured."""

    task_id: str
    number: int
    backend: str | None
    model: str | None
    started_at: datetime
    finished_at: datetime
    load_seconds: float | None
    first_token_seconds: float | None
    duration_seconds: float | None
    completion_tokens: int | None
    outcome: str | None
    error: str | None
    error_code: str | None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class MeasuredAttempt:
    """A finished attempt with the category of its task, for learning."""

    backend: str
    model: str
    finished_at: datetime
    load_seconds: float | None
    first_token_seconds: float | None
    duration_seconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    outcome: str | None
    category: str | None
    cached_prompt_tokens: int | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DecodingAttempt:
    """An attempt whose answer is arriving: the tokens so far, and when they were counted."""

    backend: str | None
    model: str | None
    started_at: datetime | None
    completion_tokens: int | None
    counted_at: datetime | None


@dataclass(frozen=True, slots=True)
class ServedAttempt:
    """A completed attempt with its task's data, for the simulator."""

    task_id: str
    backend: str
    model: str
    duration_seconds: float
    load_seconds: float
    started_at: datetime
    heavy: bool
    priority: str | None
    category: str
    complexity: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAttempt:
    """An attempt as people see it. ``verdict``, ``messages`` and ``options`` are JSON;
    ``queue_seconds`` equals ``wait_seconds`` (it is a field of the JSON documents)."""

    number: int
    epoch: int
    backend: str | None
    model: str | None
    started_at: datetime | None
    first_token_seconds: float | None
    load_seconds: float | None
    duration_seconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    outcome: str | None
    verdict: Any
    error: str | None
    worker: str | None
    finished_at: datetime | None
    wait_seconds: float | None
    error_code: str | None
    messages: Any
    options: Any
    answer: str | None
    queue_seconds: float | None
    cached_prompt_tokens: int | None
    prefill_seconds: float | None
    decode_seconds: float | None


def of_task(task_id: str) -> list[TaskAttempt]:
    """The attempts on one task, oldest first."""
    rows = fetch_all(
        "SELECT *, wait_seconds AS queue_seconds FROM kos_attempts "
        "WHERE task_id = %s::uuid ORDER BY number",
        (task_id,),
    )
    return [value_of(TaskAttempt, row) for row in rows]


# The models are found by index skips, not by reading every row.
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
  a.duration_seconds, a.prompt_tokens, a.completion_tokens, a.outcome, t.category,
  a.cached_prompt_tokens, a.prefill_seconds, a.decode_seconds
FROM ran CROSS JOIN LATERAL (
  SELECT * FROM kos_attempts
  WHERE backend = ran.backend AND model = ran.model AND finished_at IS NOT NULL
  ORDER BY id DESC LIMIT %s) a
LEFT JOIN tasks t ON t.id = a.task_id
"""


def samples(of_each_model: int = 200) -> list[MeasuredAttempt]:
    """The newest finished attempts of each model, from which durations, rates and loads are
    learned.

    The limit is per model, so that a busy model does not displace the samples of a rare one.
    """
    return [value_of(MeasuredAttempt, row) for row in fetch_all(SAMPLES, (of_each_model,))]


_BY_MINUTE = """
SELECT date_trunc('minute', finished_at) AS minute, coalesce(backend, '') AS backend,
  coalesce(model, '') AS model, coalesce(outcome, 'lost') AS outcome, error_code,
  count(*) AS count,
  coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
  coalesce(sum(completion_tokens), 0) AS completion_tokens,
  coalesce(sum(duration_seconds), 0) AS duration_seconds,
  coalesce(sum(wait_seconds), 0) AS wait_seconds,
  coalesce(sum(load_seconds), 0) AS load_seconds,
  coalesce(sum(least(first_token_seconds, duration_seconds)), 0) AS first_token_seconds
FROM kos_attempts WHERE finished_at >= %s GROUP BY 1, 2, 3, 4, 5
"""


def by_minute(since: datetime) -> list[MinuteSums]:
    """Attempts that ended at ``since`` or later, summed by minute."""
    return [MinuteSums(**row) for row in fetch_all(_BY_MINUTE, (since,))]


_ENDED = """
SELECT * FROM (
  SELECT task_id::text, number, backend, model, started_at, finished_at, load_seconds,
    first_token_seconds, duration_seconds, completion_tokens, outcome, error, error_code,
    prefill_seconds, decode_seconds
  FROM kos_attempts WHERE finished_at > %s ORDER BY finished_at DESC LIMIT %s
) AS newest ORDER BY finished_at
"""


def ended_since(moment: datetime, *, newest: int) -> list[Ended]:
    """Up to ``newest`` attempts that ended after ``moment``, oldest first."""
    return [value_of(Ended, row) for row in fetch_all(_ENDED, (moment, newest))]


_SERVED = """
SELECT a.task_id::text, a.backend, a.model, a.duration_seconds,
  coalesce(a.load_seconds, 0) AS load_seconds, a.started_at, coalesce(b.heavy, false) AS heavy,
  t.priority, coalesce(t.category, 'default') AS category, t.complexity,
  coalesce(t.created_at, a.started_at) AS created_at
FROM kos_attempts a JOIN tasks t ON t.id = a.task_id LEFT JOIN kos_blocks b ON b.id = a.block_id
WHERE a.outcome = 'completed' AND a.duration_seconds > 0
  AND a.backend IS NOT NULL AND a.model IS NOT NULL
ORDER BY a.finished_at DESC LIMIT %s
"""


def served(limit: int) -> list[ServedAttempt]:
    """The newest completed attempts with a known backend, model and duration, newest first."""
    rows = fetch_all(_SERVED, (limit,))
    return [ServedAttempt(**{**row, "created_at": read_utc(row["created_at"])}) for row in rows]


def was_ended(task_id: str, epoch: int) -> bool:
    """Whether the worker of this attempt wrote its outcome."""
    rows = fetch_all(
        "SELECT 1 AS one FROM kos_attempts WHERE task_id = %s AND epoch = %s "
        "AND outcome NOT IN ('lost', 'taken_over')",
        (task_id, epoch),
    )
    return bool(rows)


def completed_since(backend: str, seconds: float) -> bool:
    """Whether an attempt at ``backend`` completed in the last ``seconds``."""
    rows = fetch_all(
        "SELECT 1 AS one FROM kos_attempts WHERE backend = %s AND outcome = 'completed' "
        "AND finished_at > now() - %s * interval '1 second' LIMIT 1",
        (backend, seconds),
    )
    return bool(rows)


def variation(backend: str, model: str, newest: int = 200) -> tuple[int, float]:
    """(number of completed attempts among the newest, standard deviation of their durations over
    the mean)."""
    (row,) = fetch_all(
        "SELECT count(*) AS n, coalesce(stddev_samp(duration_seconds) / "
        "nullif(avg(duration_seconds), 0), 0)::float AS variation FROM ("
        "SELECT duration_seconds, outcome FROM kos_attempts WHERE backend = %s AND model = %s "
        "AND finished_at IS NOT NULL ORDER BY id DESC LIMIT %s) AS newest "
        "WHERE outcome = 'completed' AND duration_seconds IS NOT NULL",
        (backend, model, newest),
    )
    return int(row["n"]), float(row["variation"])


def completed_between(began: datetime, ended: datetime) -> int:
    """The number of tasks completed in that time."""
    rows = fetch_all(
        "SELECT count(*) AS n FROM kos_attempts "
        "WHERE finished_at > %s AND finished_at <= %s AND outcome = 'completed'",
        (began, ended),
    )
    return int(rows[0]["n"])


def decoding() -> list[DecodingAttempt]:
    """Attempts whose answers are arriving now, with the token count of the last heartbeat."""
    rows = fetch_all(
        "SELECT t.backend, t.model, t.started_at, "
        "(t.progress->>'tokens')::int AS completion_tokens, t.updated_at AS counted_at "
        "FROM tasks t WHERE t.status = 'in_progress' AND t.progress->>'phase' = 'decoding'"
    )
    return [value_of(DecodingAttempt, row) for row in rows]


def prune(keep_days: float) -> int:
    """Delete attempts that finished more than ``keep_days`` ago; how many."""
    rows = fetch_all(
        "WITH gone AS (DELETE FROM kos_attempts WHERE finished_at < now() - %s * interval '1 day' "
        "RETURNING 1) SELECT count(*) AS n FROM gone",
        (keep_days,),
    )
    return int(rows[0]["n"])
