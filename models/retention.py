"""Deletes tasks that ended long ago, with all rows about them."""

from __future__ import annotations

from collections.abc import Sequence

from models.base import fetch_all
from models.states import FINAL_STATES

# Rows about a task are deleted with it.
_DELETE = """
), gone AS (
  DELETE FROM tasks t USING old WHERE t.id = old.id RETURNING t.id
), lines AS (
  DELETE FROM kos_batch_lines l USING gone WHERE l.task_id = gone.id
), waited AS (
  DELETE FROM kos_dependencies d USING gone WHERE gone.id IN (d.task_id, d.depends_on_id)
), worked AS (
  DELETE FROM kos_attempts a USING gone WHERE a.task_id = gone.id
), thumbs AS (
  DELETE FROM kos_feedback f USING gone WHERE f.task_id = gone.id
), why AS (
  DELETE FROM kos_decisions d USING gone WHERE d.task_id = gone.id
)
SELECT count(*) AS n FROM gone
"""

_BY_ID = (
    """
WITH old AS MATERIALIZED (
  SELECT t.id FROM tasks t WHERE t.id = ANY(%(ids)s::uuid[]) AND t.status = ANY(%(final)s)
    AND NOT EXISTS (SELECT 1 FROM kos_dependencies d JOIN tasks w ON w.id = d.task_id
      WHERE d.depends_on_id = t.id AND (w.status = ANY(%(final)s)) IS NOT TRUE)
  FOR UPDATE OF t SKIP LOCKED
"""
    + _DELETE
)

# A task is deleted only when all tasks that waited for it can be deleted too, so that a retried one
# still finds its input. An open batch has not written its results yet.
_PRUNE = (
    """
WITH old AS MATERIALIZED (
  SELECT t.id FROM tasks t
  WHERE t.status = ANY(%(final)s) AND t.created_at < now() - %(days)s * interval '1 day'
    AND coalesce(t.completed_at, t.updated_at) < now() - %(days)s * interval '1 day'
    AND NOT EXISTS (
      SELECT 1 FROM kos_dependencies d JOIN tasks w ON w.id = d.task_id
      WHERE d.depends_on_id = t.id AND (w.status = ANY(%(final)s)
        AND coalesce(w.completed_at, w.updated_at) < now() - %(days)s * interval '1 day')
        IS NOT TRUE)
    AND NOT EXISTS (
      SELECT 1 FROM kos_batch_lines l JOIN kos_batches b ON b.id = l.batch_id
      WHERE l.task_id = t.id
        AND b.status IN ('validating', 'in_progress', 'finalizing', 'cancelling'))
  LIMIT %(limit)s FOR UPDATE OF t SKIP LOCKED
"""
    + _DELETE
)


def prune(keep_days: float, *, limit: int) -> int:
    """Delete up to ``limit`` tasks that ended more than ``keep_days`` ago; returns how many.

    Raises peewee.IntegrityError where a table of the site refers to one of them; nothing is deleted
    then.
    """
    final = [state.value for state in FINAL_STATES]
    rows = fetch_all(_PRUNE, {"days": keep_days, "limit": limit, "final": final})
    return int(rows[0]["n"])


def delete_tasks(task_ids: Sequence[str]) -> int:
    """Delete those of ``task_ids`` that ended and that no open task waits for; how many."""
    if not task_ids:
        return 0
    final = [state.value for state in FINAL_STATES]
    return int(fetch_all(_BY_ID, {"ids": list(task_ids), "final": final})[0]["n"])
