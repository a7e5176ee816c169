"""Reclaims rows whose worker is gone, in one statement per cause, and records the reason.

Reclaiming spends no attempt. The rows that a dead process ran together become suspects, and each
runs alone next: only a death while alone counts as its crash. ``max_crashes`` of them quarantine
the task as ``failed: poison``; a requested cancel takes precedence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models import cycles
from models.base import fetch_all
from models.marks import MARKED, Marks
from models.states import TaskState

OLDEST_ROWS = 10_000
EDGES = 50_000
ORPHAN_EDGES = 20_000


@dataclass(frozen=True, slots=True)
class Returned:
    """A reclaimed task and its present state."""

    id: str
    state: TaskState


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that runs rows: ``owner`` as in ``kos_attempts.worker``."""

    owner: str
    tasks: int


def holders() -> list[Holder]:
    """Every owner of a running row, so that a host can find its own dead ones."""
    rows = fetch_all(
        "SELECT lease_owner AS owner, count(*) AS tasks FROM tasks "
        "WHERE status = 'in_progress' AND lease_owner IS NOT NULL GROUP BY 1"
    )
    return [Holder(owner=row["owner"], tasks=row["tasks"]) for row in rows]


def return_expired(*, alive: Sequence[str] = (), grace_seconds: float = 0.0) -> list[Returned]:
    """Return running rows whose lease has expired. That proves no death, so it counts as no crash.

    Owners in ``alive`` are known to run; their rows are returned ``grace_seconds`` later, because a
    process or database that was frozen renews as soon as it continues.
    """
    return _reclaim(
        "status = 'in_progress' AND lease_owner IS NOT NULL AND lease_expires_at < now() - "
        "CASE WHEN lease_owner = ANY(%(alive)s) THEN %(grace)s ELSE 0 END * interval '1 second'",
        reason="lease expired: no heartbeat from its worker",
        crash=0,
        max_crashes=0,
        alive=list(alive),
        grace=grace_seconds,
    )


def return_of_dead(owners: Sequence[str], *, max_crashes: int) -> list[Returned]:
    """Return running rows of processes that are known to be dead, before their leases run out."""
    if not owners:
        return []
    return _reclaim(
        "status = 'in_progress' AND lease_owner = ANY(%(owners)s)",
        reason="its worker process died",
        crash=1,
        max_crashes=max_crashes,
        owners=list(owners),
    )


def return_foreign(*, stuck_minutes: float) -> list[Returned]:
    """Return rows that a worker of another kind claimed and last changed ``stuck_minutes`` ago."""
    return _reclaim(
        "status = 'in_progress' AND lease_owner IS NULL "
        "AND (updated_at IS NULL OR updated_at < now() - %(minutes)s * interval '1 minute')",
        reason=f"not touched for {stuck_minutes:g} minutes",
        crash=0,
        max_crashes=0,
        minutes=stuck_minutes,
    )


def return_without_message(known: Sequence[str], *, grace_seconds: float) -> list[Returned]:
    """Return ``queued`` rows whose message Redis no longer has. ``known`` holds ``id:epoch``."""
    return _reclaim(
        "status = 'queued' AND queued_at < now() - %(grace)s * interval '1 second' "
        "AND NOT (id::text || ':' || epoch) = ANY(%(known)s)",
        reason="its message was lost from Redis",
        crash=0,
        max_crashes=0,
        known=list(known),
        grace=grace_seconds,
    )


def return_queued_at(backend: str, *, reason: str, model: str | None = None) -> list[Returned]:
    """Return ``queued`` rows of a backend that can no longer take them, or of a model there."""
    return _reclaim(
        "status = 'queued' AND backend = %(backend)s "
        "AND (%(model)s::text IS NULL OR model = %(model)s)",
        reason=reason,
        crash=0,
        max_crashes=0,
        backend=backend,
        model=model,
    )


def close_taken_over() -> int:
    """Close attempts that look running although their row is gone, ended or in a newer epoch;
    returns how many.

    A trigger closes them at once; this covers disabled triggers.
    """
    return len(fetch_all(CLOSE_TAKEN_OVER))


def finish_cancels() -> int:
    """Cancel waiting rows whose cancel was requested. Running ones are cancelled when their lease
    ends."""
    rows = fetch_all(
        "UPDATE tasks SET status = 'cancelled', completed_at = now(), last_error = 'cancelled' "
        "WHERE id IN (SELECT id FROM tasks WHERE cancel_requested_at IS NOT NULL "
        "AND status IN ('pending', 'queued') FOR UPDATE SKIP LOCKED) RETURNING id"
    )
    return len(rows)


def adopt_stateless() -> int:
    """Set rows without a status to pending: they were inserted before our triggers existed."""
    rows = fetch_all(
        "UPDATE tasks SET status = 'pending' WHERE id IN (SELECT id FROM tasks "
        "WHERE status IS NULL FOR UPDATE SKIP LOCKED) RETURNING id"
    )
    return len(rows)


def fail_cycles(*, oldest: int = OLDEST_ROWS) -> list[str]:
    """Fail pending rows that wait for each other in a cycle, or for themselves; returns their ids.

    Checks only the ``oldest`` pending rows, which bounds the cost: rows that can run leave, so rows
    in a cycle become the oldest.
    """
    edges = fetch_all(WAITING_FOR_PENDING, {"oldest": oldest, "edges": EDGES})
    found = cycles.find_cycles((row["task"], row["parent"]) for row in edges)
    # Each row of a cycle gets a reason that begins with itself.
    turned = [cycle[at:] + cycle[:at] for cycle in found for at in range(len(cycle))]
    if not turned:
        return []
    rows = fetch_all(
        FAIL_CYCLES,
        {
            "ids": [cycle[0] for cycle in turned],
            "parents": [cycle[1 % len(cycle)] for cycle in turned],
            "reasons": [cycles.describe(cycle) for cycle in turned],
        },
    )
    return [row["id"] for row in rows]


def fail_orphans_of_dependencies() -> list[str]:
    """Fail pending rows that wait for a task that will never complete, and all that depend on
    them."""
    rows = fetch_all(FAIL_ORPHANS, {"edges": ORPHAN_EDGES})
    return [row["id"] for row in rows]


def mark_failed(task_ids: Sequence[str], marks: Marks) -> None:
    """Write keys into the metadata of failed rows."""
    parameters = {"ids": list(task_ids), **marks.parameters()}
    fetch_all(MARK_FAILED, parameters)


def _reclaim(
    condition: str, *, reason: str, crash: int, max_crashes: int, **parameters: Any
) -> list[Returned]:
    rows = fetch_all(
        RECLAIM.format(condition=condition),
        {"reason": reason, "crash": crash, "max_crashes": max_crashes, **parameters},
    )
    return [Returned(id=row["id"], state=TaskState(row["status"])) for row in rows]


# Only rows that wait for pending ones can be in a cycle; all others will become free or fail.
WAITING_FOR_PENDING = """
WITH oldest AS (
  SELECT id FROM tasks WHERE status = 'pending' ORDER BY created_at LIMIT %(oldest)s
)
SELECT d.task_id::text AS task, d.depends_on_id::text AS parent
FROM oldest o JOIN kos_dependencies d ON d.task_id = o.id
JOIN tasks p ON p.id = d.depends_on_id AND p.status = 'pending'
LIMIT %(edges)s
"""

FAIL_CYCLES = """
WITH failed AS (
  UPDATE tasks t SET status = 'failed', completed_at = now(), last_error = cyclic.reason
  FROM unnest(%(ids)s::uuid[], %(parents)s::uuid[], %(reasons)s::text[])
    AS cyclic(id, parent, reason), LATERAL (
    SELECT 1 FROM tasks l WHERE l.id = cyclic.id AND l.status = 'pending' FOR UPDATE SKIP LOCKED
  ) AS free
  WHERE t.id = cyclic.id AND t.status = 'pending' AND EXISTS (
    SELECT 1 FROM kos_dependencies d
    WHERE d.task_id = cyclic.id AND d.depends_on_id = cyclic.parent)
  RETURNING t.id, cyclic.reason
), why AS (
  INSERT INTO kos_decisions (task_id, stage, chosen, reason)
  SELECT id, 'plan', NULL, reason FROM failed
)
SELECT id::text FROM failed
"""

FAIL_ORPHANS = """
WITH RECURSIVE doomed(id, reason) AS (
  SELECT t.id, 'dependency ' || p.id || ' is ' || p.status
  FROM kos_dependencies d JOIN tasks p ON p.id = d.depends_on_id JOIN tasks t ON t.id = d.task_id
  WHERE t.status = 'pending' AND p.status IN ('failed', 'cancelled')
  UNION
  SELECT t.id, 'dependency ' || doomed.id || ' is failed'
  FROM doomed JOIN kos_dependencies d ON d.depends_on_id = doomed.id
  JOIN tasks t ON t.id = d.task_id AND t.status = 'pending'
), chosen AS (
  SELECT DISTINCT ON (id) id, reason FROM (SELECT * FROM doomed LIMIT %(edges)s) AS first
)
UPDATE tasks t SET status = 'failed', completed_at = now(), last_error = chosen.reason
FROM chosen, LATERAL (
  SELECT 1 FROM tasks l WHERE l.id = chosen.id AND l.status = 'pending' FOR UPDATE SKIP LOCKED
) AS free
WHERE t.id = chosen.id AND t.status = 'pending' RETURNING t.id::text
"""

MARK_FAILED = f"""
UPDATE tasks SET metadata = {MARKED} WHERE id = ANY(%(ids)s::uuid[]) AND status = 'failed'
"""

# Bounded, because after a disabled trigger there may be many; the next round takes the rest.
CLOSE_TAKEN_OVER = """
WITH stale AS (
  SELECT a.id FROM kos_attempts a LEFT JOIN tasks t ON t.id = a.task_id
  WHERE a.outcome IS NULL AND (t.status = 'in_progress' AND t.epoch = a.epoch) IS NOT TRUE
  LIMIT 1000 FOR UPDATE OF a SKIP LOCKED
), closed AS (
  UPDATE kos_attempts a SET outcome = 'taken_over', finished_at = now(),
    error = 'taken over: another program changed the task', error_code = 'taken_over',
    duration_seconds = extract(epoch FROM now() - a.started_at)
  FROM stale WHERE a.id = stale.id RETURNING a.task_id, a.error
)
INSERT INTO kos_decisions (task_id, stage, chosen, reason)
SELECT task_id, 'retry', NULL, error FROM closed RETURNING id
"""

# A row is the cause of a death where it ran alone: marked as alone, or the only one of its process.
RECLAIM = """
WITH held AS MATERIALIZED (
  SELECT lease_owner, count(*) AS n FROM tasks
  WHERE %(crash)s > 0 AND status = 'in_progress' AND lease_owner IS NOT NULL GROUP BY 1
), stuck AS (
  SELECT id FROM tasks WHERE {condition} FOR UPDATE SKIP LOCKED
), found AS (
  SELECT t.id, least(t.crash_count, 1000000) + evidence.crash AS crashes,
    %(crash)s > 0 AND evidence.crash > 0
      AND least(t.crash_count, 1000000) + 1 >= %(max_crashes)s AS poison
  FROM stuck JOIN tasks t ON t.id = stuck.id LEFT JOIN held h ON h.lease_owner = t.lease_owner
  CROSS JOIN LATERAL (SELECT CASE WHEN %(crash)s > 0 AND (t.suspicion = 'alone' OR h.n = 1)
    THEN 1 ELSE 0 END AS crash) AS evidence
), back AS (
  UPDATE tasks t SET
    status = CASE
      WHEN t.cancel_requested_at IS NOT NULL THEN 'cancelled'
      WHEN found.poison THEN 'failed'
      ELSE 'pending' END,
    completed_at = CASE WHEN t.cancel_requested_at IS NOT NULL OR found.poison THEN now() END,
    last_error = CASE
      WHEN found.poison THEN 'poison: ' || found.crashes || ' crashes, last: ' || %(reason)s
      ELSE %(reason)s END,
    crash_count = found.crashes,
    suspicion = CASE WHEN %(crash)s > 0 OR t.suspicion IS NOT NULL THEN 'suspect' END,
    lease_owner = NULL, lease_expires_at = NULL, queued_at = NULL, progress = NULL
  FROM found WHERE t.id = found.id
  RETURNING t.id, t.epoch, t.status
), ledger AS (
  UPDATE kos_attempts a SET outcome = 'lost', finished_at = now(), error = %(reason)s,
    error_code = 'lost', duration_seconds = extract(epoch FROM now() - a.started_at)
  FROM back WHERE a.task_id = back.id AND a.epoch = back.epoch AND a.outcome IS NULL
), why AS (
  INSERT INTO kos_decisions (task_id, stage, chosen, reason)
  SELECT id, 'retry', status, %(reason)s FROM back
)
SELECT id::text, status FROM back
"""
