"""Reads waiting rows in the order of the backlog, a bounded window at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models import counts
from models.base import Row, fetch_all, fetch_one, value_of
from models.foreign import MAX_METADATA_BYTES, fault_of, share
from models.states import Priority
from models.task_rows import InFlightTask, PendingTask, UnassignedTask

_UNKNOWN_PARENTS = """
ARRAY(SELECT d.depends_on_id::text FROM kos_dependencies d WHERE d.task_id = t.id
  AND NOT EXISTS (SELECT 1 FROM tasks p WHERE p.id = d.depends_on_id)) AS unknown_parents
"""
# A parent that was deleted holds nothing up: the join finds no row for it.
_NO_OPEN_DEPENDENCY = """
NOT EXISTS (
  SELECT 1 FROM kos_dependencies d JOIN tasks p ON p.id = d.depends_on_id
  WHERE d.task_id = t.id AND p.status <> 'completed')
"""

# octet_length does not read the text itself.
_PROMPT_PARTS = """
coalesce(octet_length(t.description), 0) + coalesce(octet_length(t.metadata->>'system'), 0)
  AS text_bytes,
(SELECT coalesce(sum(octet_length(p.result)), 0) FROM kos_dependencies d
  JOIN tasks p ON p.id = d.depends_on_id WHERE d.task_id = t.id) AS earlier_bytes,
CASE WHEN t.epoch = 0 THEN '{}' ELSE ARRAY(SELECT a.error_code FROM kos_attempts a
  WHERE a.task_id = t.id AND a.error_code IS NOT NULL) END AS faults
"""


CHARS_READ = 20_000
"""Assignment reads only this much of a description: its beginning shows the category, and memory
stays bounded."""
_BEGINNINGS = f"left(t.title, 1000) AS title, left(t.description, {CHARS_READ}) AS description"

# Metadata above the limit is measured, not read.
_MEASURED = f"""
CASE WHEN octet_length(t.metadata::text) <= {MAX_METADATA_BYTES} THEN t.metadata END AS metadata,
octet_length(t.metadata::text) AS metadata_bytes,
octet_length(t.description) AS description_bytes, t.epoch, t.attempt_count, t.crash_count
"""

_SOONEST = "AND kos_priority_rank(t.priority::text) <= kos_priority_rank('high')"
AGED_SHARE = 5
"""One row of so many is chosen by the order of plans, in which waiting counts, too."""

# The order of plans is found by merging the oldest rows of each priority: one index serves both.
_NEXT = """
WITH aged AS (
  SELECT a.id, row_number() OVER (ORDER BY a.place) AS n
  FROM unnest(ARRAY['urgent', 'high', 'medium', 'low']) AS p(priority), LATERAL (
    SELECT t.id, kos_plan_order(t.priority::text, t.created_at) AS place FROM tasks t
    WHERE {condition} AND kos_priority_rank(t.priority::text) = kos_priority_rank(p.priority)
    ORDER BY t.created_at LIMIT %(aged)s) AS a
  ORDER BY a.place LIMIT %(aged)s
), soonest AS (
  SELECT t.id, %(aged)s + row_number()
    OVER (ORDER BY kos_priority_rank(t.priority::text), t.created_at) AS n
  FROM tasks t WHERE {condition} {soonest}
  ORDER BY kos_priority_rank(t.priority::text), t.created_at LIMIT %(limit)s
), chosen AS (
  SELECT id, min(n) AS n FROM (SELECT * FROM aged UNION ALL SELECT * FROM soonest) AS found
  GROUP BY id ORDER BY n LIMIT %(limit)s
)
"""

_MAY_RUN = f"""
SELECT t.id::text, t.priority, t.created_at, t.category, t.complexity, {_MEASURED},
  t.avoid, t.assignee_expert_id::text, t.idempotency_key, {_PROMPT_PARTS}
FROM tasks t
WHERE t.status = 'pending' AND t.assignee_expert_id IS NOT NULL
  AND t.cancel_requested_at IS NULL
  AND (t.next_attempt_at IS NULL OR t.next_attempt_at <= now())
  AND {_NO_OPEN_DEPENDENCY}
"""


@dataclass(frozen=True, slots=True)
class Unservable:
    """Requirements that no server can meet now.

    ``backends`` are values of ``required_backend``; ``pairs`` are values of ``required_backend``
    (empty: none) and ``preferred_model`` together.
    """

    backends: frozenset[str] = frozenset()
    pairs: frozenset[tuple[str, str]] = frozenset()


NOTHING_UNSERVABLE = Unservable()


def window(limit: int, *, unservable: Unservable = NOTHING_UNSERVABLE) -> list[PendingTask]:
    """Up to ``limit`` rows that may run now, most urgent first, without unservable ones.

    One step of priority counts as fifteen minutes of waiting (``kos_plan_order``). The index
    ``kos_tasks_backlog`` has that order, so the cost grows with ``limit`` and the skipped rows, not
    with the backlog.
    """
    return _pending(
        f"{_MAY_RUN} {_not(unservable)} "
        "ORDER BY kos_plan_order(t.priority::text, t.created_at) LIMIT %(limit)s",
        {"limit": limit, **_parameters(unservable)},
    )


def _pending(sql: str, parameters: Mapping[str, Any]) -> list[PendingTask]:
    return [value_of(PendingTask, row) for row in _without_faulty(sql, parameters)]


def _without_faulty(sql: str, parameters: Mapping[str, Any]) -> list[Row]:
    """Read a page. Rows that can never run are refused, and the page is read again without them."""
    while True:
        rows = fetch_all(sql, parameters)
        faults = {row["id"]: fault for row in rows if (fault := fault_of(row)) is not None}
        # Where none could be refused (all locked), reading again would find the same page.
        if not faults or not refuse(faults):
            return [
                {**row, "complexity": share(row.get("complexity"))}
                for row in rows
                if row["id"] not in faults
            ]


def refuse(reasons: Mapping[str, str]) -> list[str]:
    """``pending -> failed`` for rows that can never run, each with its reason; returns the ids.

    Rows locked by other transactions are skipped.
    """
    rows = fetch_all(_REFUSE, {"ids": list(reasons), "reasons": list(reasons.values())})
    return [row["id"] for row in rows]


_REFUSE = """
WITH found AS (
  SELECT t.id, refused.reason
  FROM unnest(%(ids)s::uuid[], %(reasons)s::text[]) AS refused(id, reason)
  JOIN tasks t ON t.id = refused.id WHERE t.status = 'pending' FOR UPDATE OF t SKIP LOCKED
), failed AS (
  UPDATE tasks t SET status = 'failed', last_error = found.reason, completed_at = now()
  FROM found WHERE t.id = found.id RETURNING t.id, found.reason
), why AS (
  INSERT INTO kos_decisions (task_id, stage, chosen, reason)
  SELECT id, 'assign', NULL, CASE WHEN reason LIKE 'refused: %%' THEN reason
    ELSE 'refused: ' || reason END FROM failed
)
SELECT id::text FROM failed
"""


def _not(unservable: Unservable) -> str:
    conditions = ""
    if unservable.backends:
        conditions += (
            "AND coalesce(t.metadata->>'required_backend', '') <> ALL(%(barred_backends)s) "
        )
    if unservable.pairs:
        conditions += (
            "AND (coalesce(t.metadata->>'required_backend', ''), "
            "coalesce(t.metadata->>'preferred_model', '')) NOT IN "
            "(SELECT * FROM unnest(%(paired_backends)s::text[], %(paired_models)s::text[])) "
        )
    return conditions


def _parameters(unservable: Unservable) -> dict[str, Any]:
    pairs = sorted(unservable.pairs)
    return {
        "barred_backends": sorted(unservable.backends),
        "paired_backends": [backend for backend, _ in pairs],
        "paired_models": [model for _, model in pairs],
    }


def window_of_all_kinds(
    limit: int, *, least: int, unservable: Unservable = NOTHING_UNSERVABLE
) -> tuple[list[PendingTask], dict[str, int]]:
    """The window, and how many rows of each category wait in all.

    In a backlog longer than the window, whole categories or urgent rows may be behind the first
    rows; the first ``least`` of each are added. The counts are empty where the window holds
    everything, else upper bounds: they include rows that wait for others and unservable ones.
    """
    rows = window(limit, unservable=unservable)
    # The window holds all that may run, so counts would only cost time.
    if len(rows) < limit:
        return rows, {}
    known = {row.id for row in rows}
    rows += [row for row in _first_urgent(least, unservable) if row.id not in known]
    known = {row.id for row in rows}
    totals = _pending_by_category()
    seen = Counter(row.category for row in rows)
    for category, total in totals.items():
        if seen[category] < min(least, total):
            rows += [row for row in _first_of(category, least, unservable) if row.id not in known]
    return rows, totals


def _pending_by_category() -> dict[str, int]:
    """Rows that may run, by category, as far as known."""
    waiting, later = counts.pending(), counts.delayed()
    totals: Counter[str] = Counter()
    for (category, priority), n in waiting.items():
        totals[category] += max(0, n - later.get((category, priority), 0))
    return {category: n for category, n in totals.items() if category and n}


def _first_urgent(least: int, unservable: Unservable) -> list[PendingTask]:
    """Urgent rows, oldest first, read from the index ``kos_tasks_urgent``."""
    return _pending(
        f"{_MAY_RUN} {_not(unservable)} AND t.priority = 'urgent' "
        "ORDER BY t.created_at LIMIT %(least)s",
        {"least": least, **_parameters(unservable)},
    )


def _first_of(category: str, least: int, unservable: Unservable) -> list[PendingTask]:
    """The first rows of a category: the oldest of each priority, then in the order of the
    backlog."""
    of_a_priority = f"""
        {_MAY_RUN} {_not(unservable)}
        AND left(coalesce(t.category::text, ''), 100) = %(category)s
        AND t.priority::text = p.priority
        ORDER BY t.created_at LIMIT %(least)s
    """
    return _pending(
        f"SELECT t.* FROM unnest(%(priorities)s) AS p(priority), LATERAL ({of_a_priority}) t "
        "ORDER BY kos_plan_order(t.priority::text, t.created_at) LIMIT %(least)s",
        {
            "category": category,
            "least": least,
            "priorities": [p.value for p in Priority],
            **_parameters(unservable),
        },
    )


def unassigned(limit: int, *, only_soonest: bool = False) -> list[UnassignedTask]:
    """Up to ``limit`` pending rows without an expert, with the domain's name.

    Most are the most urgent; one in :data:`AGED_SHARE` is the first in the order of plans, so that
    no stream of new rows holds up an older one for ever. ``only_soonest``: only urgent and high
    ones.
    """
    rows = _next(
        "t.status = 'pending' AND t.assignee_expert_id IS NULL",
        f"""
        SELECT t.id::text, {_BEGINNINGS}, t.priority, t.category, t.complexity, {_MEASURED},
          t.domain_id::text, {_UNKNOWN_PARENTS},
          EXISTS (SELECT 1 FROM kos_dependencies d WHERE d.task_id = t.id) AS has_dependencies
        FROM chosen JOIN tasks t ON t.id = chosen.id ORDER BY chosen.n
        """,
        limit,
        only_soonest=only_soonest,
    )
    names = _domain_names({row["domain_id"] for row in rows if row["domain_id"]})
    return [
        value_of(UnassignedTask, {**row, "domain": names.get(row["domain_id"])}) for row in rows
    ]


def _next(condition: str, reading: str, limit: int, *, only_soonest: bool) -> list[Row]:
    """Read up to ``limit`` of the rows that meet ``condition``; ``reading`` selects from
    ``chosen``."""
    chosen = _NEXT.format(condition=condition, soonest=_SOONEST if only_soonest else "")
    aged = 0 if only_soonest else limit // AGED_SHARE
    return _without_faulty(chosen + reading, {"limit": limit, "aged": aged})


def _domain_names(ids: set[str]) -> dict[str, str]:
    """Names by id from a ``domains`` table, where the site has one."""
    if not ids:
        return {}
    named = fetch_one(
        "SELECT 1 AS one FROM information_schema.columns "
        "WHERE table_name = 'domains' AND column_name = 'name' LIMIT 1"
    )
    if named is None:
        return {}
    rows = fetch_all("SELECT id::text, name FROM domains WHERE id::text = ANY(%s)", (list(ids),))
    return {row["id"]: row["name"] for row in rows}


def unclassified(limit: int, *, only_soonest: bool = False) -> list[UnassignedTask]:
    """Up to ``limit`` pending rows whose creator chose the expert and which have no
    complexity yet, chosen like those of :func:`unassigned`."""
    rows = _next(
        "t.status = 'pending' AND t.assignee_expert_id IS NOT NULL AND t.complexity IS NULL",
        f"""
        SELECT t.id::text, {_BEGINNINGS}, t.priority, t.category, {_MEASURED},
          e.name AS expert, {_UNKNOWN_PARENTS},
          EXISTS (SELECT 1 FROM kos_dependencies d WHERE d.task_id = t.id) AS has_dependencies
        FROM chosen JOIN tasks t ON t.id = chosen.id
          LEFT JOIN experts e ON e.id = t.assignee_expert_id ORDER BY chosen.n
        """,
        limit,
        only_soonest=only_soonest,
    )
    return [value_of(UnassignedTask, row) for row in rows]


def in_flight() -> list[InFlightTask]:
    """Queued and running rows."""
    rows = fetch_all(
        "SELECT id::text, status, backend, model, started_at FROM tasks "
        "WHERE status IN ('queued', 'in_progress')"
    )
    return [value_of(InFlightTask, row) for row in rows]


def next_due_times() -> tuple[datetime | None, datetime | None, datetime | None]:
    """When the next waiting row becomes eligible, when the next lease of a running row expires, and
    since when the oldest unclaimed row is queued."""
    row = fetch_one(
        "SELECT (SELECT min(next_attempt_at) FROM tasks WHERE status = 'pending' "
        "AND next_attempt_at > now()) AS eligible, (SELECT min(lease_expires_at) FROM tasks "
        "WHERE status = 'in_progress' AND lease_owner IS NOT NULL) AS lease, "
        "(SELECT min(queued_at) FROM tasks WHERE status = 'queued') AS queued"
    )
    return (row["eligible"], row["lease"], row["queued"]) if row else (None, None, None)


def anything_eligible(*, unservable: Unservable = NOTHING_UNSERVABLE) -> bool:
    """Whether at least one assigned row could be planned now."""
    return bool(window(1, unservable=unservable))
