"""Counts of tasks as triggers keep them (migration 0022): reading one costs the same however many
rows there are."""

from __future__ import annotations

from models.base import Row, fetch_all
from models.states import TaskState

FOLD_LOCK = 0x6B6F73_20

NOW = """
SELECT name, part, sum(n)::bigint AS n FROM (
  SELECT name, part, n FROM kos_counts WHERE kind = %(kind)s
  UNION ALL SELECT name, part, n FROM kos_count_changes WHERE kind = %(kind)s
) kept_and_changed GROUP BY 1, 2 HAVING sum(n) > 0
"""

# One statement, so that a task that moves meanwhile is counted, and once.
BY_STATUS = """
SELECT name, sum(n)::bigint AS n FROM (
  SELECT name, n FROM kos_counts WHERE kind = 'status'
  UNION ALL SELECT name, n FROM kos_count_changes WHERE kind = 'status'
  UNION ALL SELECT status::text, count(*) FROM tasks
    WHERE status IN ('queued', 'in_progress') GROUP BY 1
) kept_changed_and_live GROUP BY 1 HAVING sum(n) > 0
"""

MOST_DELAYED = 10_000
"""The cost of a plan must not grow with the number of delayed rows."""
DELAYED = """
SELECT category, priority, count(*) AS n FROM (
  SELECT left(coalesce(category::text, ''), 100) AS category,
    left(coalesce(priority::text, 'medium'), 100) AS priority
  FROM tasks WHERE status = 'pending' AND next_attempt_at > now()
  ORDER BY next_attempt_at LIMIT %(most)s) soonest GROUP BY 1, 2
"""

# One fold at a time; changes that a concurrent fold has deleted are not folded twice.
FOLD = """
WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(%(lock)s) AS ours),
changed AS (
  DELETE FROM kos_count_changes WHERE (SELECT ours FROM turn) RETURNING kind, name, part, n
)
INSERT INTO kos_counts AS kept (kind, name, part, n)
SELECT kind, name, part, sum(n) FROM changed GROUP BY 1, 2, 3 HAVING sum(n) <> 0
ON CONFLICT (kind, name, part) DO UPDATE SET n = kept.n + EXCLUDED.n
"""

# A statement sees the tasks and the kept counts at one moment; later changes are added to both. So
# the difference is exact despite concurrent writers.
RECOUNT = """
WITH counted AS (
  SELECT line.kind, line.name, line.part, sum(t.n) AS n FROM (
    SELECT status::text AS status, category::text AS category, priority::text AS priority,
      assignee_expert_id::text AS expert, left(metadata ->> 'project', 100) AS project,
      count(*) AS n FROM tasks GROUP BY 1, 2, 3, 4, 5) t,
    kos_counted(t.status, t.category, t.priority, t.expert, t.project) line
  GROUP BY 1, 2, 3
), kept AS (
  SELECT kind, name, part, sum(n) AS n FROM (
    SELECT kind, name, part, n FROM kos_counts
    UNION ALL SELECT kind, name, part, n FROM kos_count_changes) both_tables
  WHERE kind <> 'revision' GROUP BY 1, 2, 3
)
INSERT INTO kos_counts AS present (kind, name, part, n)
SELECT kind, name, part, coalesce(counted.n, 0) - coalesce(kept.n, 0)
FROM counted FULL JOIN kept USING (kind, name, part)
WHERE coalesce(counted.n, 0) <> coalesce(kept.n, 0)
ON CONFLICT (kind, name, part) DO UPDATE SET n = present.n + EXCLUDED.n
RETURNING 1
"""

LEASED = """
SELECT EXISTS (
  SELECT 1 FROM tasks WHERE status = 'in_progress' AND lease_expires_at > now()
) AS leased
"""

FORGET_EMPTY = "DELETE FROM kos_counts WHERE n = 0 AND kind <> 'revision'"


def by_status() -> dict[str, int]:
    """Tasks by status, all at one moment: each of ours, then foreign ones that occur; no status
    counts as pending."""
    found = {row["name"]: row["n"] for row in fetch_all(BY_STATUS)}
    return dict.fromkeys((state.value for state in TaskState), 0) | found


def any_leased() -> bool:
    """Whether a process runs a task, as far as the leases tell."""
    return any(row["leased"] for row in fetch_all(LEASED))


def pending() -> dict[tuple[str, str], int]:
    """Waiting tasks by (category, priority); empty: none. Both are cut at 100 characters."""
    return {(row["name"], row["part"]): row["n"] for row in _now("pending")}


def open_by_expert() -> dict[str, int]:
    """Unfinished tasks by the id of their expert."""
    return {row["name"]: row["n"] for row in _now("expert") if row["part"] == "open"}


def by_expert() -> dict[str, dict[str, int]]:
    """By the id of an expert: how many tasks are ``open``, ``completed`` and ``failed``."""
    return _by_part("expert")


def by_project() -> dict[str, dict[str, int]]:
    """By project: how many tasks are ``open``, ``completed``, ``failed`` and ``cancelled``."""
    return _by_part("project")


def delayed() -> dict[tuple[str, str], int]:
    """The part of :func:`pending` that waits for a later time; at most :data:`MOST_DELAYED`
    in all."""
    rows = fetch_all(DELAYED, {"most": MOST_DELAYED})
    return {(row["category"], row["priority"]): row["n"] for row in rows}


def revision_of_experts() -> int:
    """Grows with every statement that changed an expert."""
    # The sum grows also before a fold, when the changes stand beside the count.
    return sum(row["n"] for row in _now("revision"))


def fold() -> None:
    """Add the changes to the counts. Cheap; needed about once a second while tasks change."""
    fetch_all(FOLD, {"lock": FOLD_LOCK})


def recount() -> int:
    """Correct the counts; returns how many were wrong. Reads every task."""
    wrong = len(fetch_all(RECOUNT))
    fetch_all(FORGET_EMPTY)
    return wrong


def _by_part(kind: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in _now(kind):
        found.setdefault(row["name"], {})[row["part"]] = row["n"]
    return found


def _now(kind: str) -> list[Row]:
    return fetch_all(NOW, {"kind": kind})
