"""Blocks: each is a planned series of tasks at one backend with one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from uuid import uuid4

from psycopg2.extras import Json

from models.base import fetch_all, fetch_one


@dataclass(frozen=True, slots=True)
class BlockRoute:
    """Why tasks are in a block; ``rejected`` holds ``{"option", "reason"}`` of the alternatives."""

    reason: str
    rejected: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A planned block.

    ``route_of`` holds each task's index into ``routes``: tasks of a group share one reason, which
    is written and read once. ``groups``: of each task, by what its prompt begins with; none where
    the tasks are sent in their order.
    """

    backend: str
    model: str
    num_ctx: int
    heavy: bool
    task_ids: tuple[str, ...]
    reason: str
    routes: Sequence[BlockRoute] = ()
    route_of: Sequence[int] = ()
    urgent: bool = False
    needs_load: bool = True
    expected_load_seconds: float = 0.0
    expected_start_seconds: float = 0.0
    expected_finish_seconds: float = 0.0
    drains: bool = True
    task_seconds: float = 0.0
    task_variation: float = 0.5
    slots: int = 1
    groups: Sequence[int] = ()


def replace_plan(blocks: Sequence[NewBlock], *, policy: str) -> str:
    """Replace every open block by ``blocks``, in one statement; returns the id of the plan.

    A block that has begun keeps its sent tasks and loses its routes; one that has not begun is
    deleted.
    """
    plan_id = str(uuid4())
    lines = [
        {**asdict(block), "lane_order": order, "task_ids": list(block.task_ids)}
        for order, block in enumerate(blocks)
    ]
    fetch_all(_REPLACE, {"plan": plan_id, "policy": policy, "blocks": Json(lines)})
    return plan_id


_REPLACE = """
WITH unused AS (
  DELETE FROM kos_blocks WHERE state IN ('planned', 'active') AND started_at IS NULL
), closed AS (
  UPDATE kos_blocks SET state = 'done', finished_at = now(), task_ids = task_ids[1:next_index],
    groups = groups[1:next_index], routes = '[]', route_of = '{}'
  WHERE state IN ('planned', 'active') AND started_at IS NOT NULL
)
INSERT INTO kos_blocks (plan_id, policy, backend, model, num_ctx, heavy, lane_order, task_ids,
  reason, routes, route_of, urgent, needs_load, expected_load_seconds, expected_start_seconds,
  expected_finish_seconds, drains, task_seconds, task_variation, slots, groups)
SELECT %(plan)s::uuid, %(policy)s, backend, model, num_ctx, heavy, lane_order, task_ids, reason,
  routes, route_of, urgent, needs_load, expected_load_seconds, expected_start_seconds,
  expected_finish_seconds, drains, task_seconds, task_variation, slots, groups
FROM jsonb_to_recordset(%(blocks)s) AS b(backend text, model text, num_ctx integer, heavy boolean,
  lane_order integer, task_ids uuid[], reason text, routes jsonb, route_of integer[],
  urgent boolean, needs_load boolean, expected_load_seconds real, expected_start_seconds real,
  expected_finish_seconds real, drains boolean, task_seconds double precision,
  task_variation double precision, slots integer, groups bigint[])
"""


# Blocks of replaced plans count too while tasks of theirs are in flight: they hold their model.
OPEN = """
WITH busy AS (
  SELECT block_id, count(*) AS n, array_agg(id) AS ids FROM tasks
  WHERE status IN ('queued', 'in_progress') AND block_id IS NOT NULL GROUP BY 1
), wanted AS (
  SELECT id FROM kos_blocks WHERE state IN ('planned', 'active')
  UNION SELECT block_id FROM busy
)
SELECT b.id::text, b.plan_id::text, b.backend, b.model, b.num_ctx, b.heavy, b.state,
  b.next_index, cardinality(b.task_ids) AS size,
  CASE WHEN b.state IN ('planned', 'active')
    THEN cardinality(b.task_ids) - b.next_index ELSE 0 END AS remaining,
  coalesce(busy.n, 0) AS in_flight, b.lane_order, b.reason, b.urgent, b.created_at,
  b.expected_start_seconds, b.expected_finish_seconds, b.started_at, b.needs_load, b.drains,
  b.expected_load_seconds, b.task_seconds, b.task_variation, b.slots,
  CASE WHEN b.state IN ('planned', 'active')
    THEN b.groups[b.next_index + 1 : b.next_index + %(most)s] ELSE '{}' END AS waiting_groups,
  CASE WHEN b.groups = '{}' THEN '{}' ELSE ARRAY(
    SELECT b.groups[array_position(b.task_ids, id)] FROM unnest(busy.ids) AS id
    WHERE id = ANY(b.task_ids)) END AS running_groups
FROM wanted JOIN kos_blocks b ON b.id = wanted.id LEFT JOIN busy ON busy.block_id = b.id
ORDER BY b.created_at, b.lane_order
"""


@dataclass(frozen=True, slots=True)
class BlockInForce:
    """A block with tasks to send (``remaining``) or in flight. Expected times count from its plan.

    ``next_index`` of its ``size`` tasks were sent or skipped; ``state`` is ``done`` where a newer
    plan has replaced it. ``waiting_groups`` and ``running_groups``: of its next tasks and of those
    in flight, where it has groups.
    """

    id: str
    backend: str
    model: str
    size: int
    remaining: int
    in_flight: int
    lane_order: int
    plan_id: str = ""
    num_ctx: int = 0
    heavy: bool = False
    state: str = "planned"
    next_index: int = 0
    reason: str = ""
    urgent: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    needs_load: bool = False
    drains: bool = True
    expected_load_seconds: float = 0.0
    expected_start_seconds: float = 0.0
    expected_finish_seconds: float = 0.0
    task_seconds: float = 0.0
    task_variation: float = 0.5
    slots: int = 1
    waiting_groups: list[int] = field(default_factory=list)
    running_groups: list[int] = field(default_factory=list)


def open_blocks(*, groups: int = 0) -> list[BlockInForce]:
    """Blocks in lane order that have tasks to send or in flight, with the groups of at most
    ``groups`` tasks to send."""
    return [BlockInForce(**row) for row in fetch_all(OPEN, {"most": groups})]


def is_heavy(block_id: str | None) -> bool:
    """Whether the tasks of a block count against the limit of heavy models."""
    row = fetch_one("SELECT heavy FROM kos_blocks WHERE id = %s::uuid", (block_id,))
    return row is not None and bool(row["heavy"])


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """What a plan expected of each task at a backend."""

    backend: str
    slots: int
    task_seconds: float
    task_variation: float


def last_planned() -> TaskTimes | None:
    """Of the newest block, None where there never was one."""
    row = fetch_one(
        "SELECT backend, slots, task_seconds, task_variation FROM kos_blocks "
        "ORDER BY created_at DESC, lane_order DESC LIMIT 1"
    )
    return TaskTimes(**row) if row is not None else None


@dataclass(frozen=True, slots=True)
class BlockPosition:
    """A waiting task's position in a block in force: ``before`` tasks of it start earlier."""

    block_id: str
    backend: str
    model: str
    before: int


def places_of(task_ids: Sequence[str]) -> dict[str, BlockPosition]:
    """Task id -> its position in a block in force; tasks that were sent or are in no block are
    absent."""
    rows = fetch_all(_PLACES, {"ids": list(task_ids)})
    return {row.pop("task_id"): BlockPosition(**row) for row in rows}


_PLACES = """
SELECT DISTINCT ON (place.task_id) place.task_id::text, b.id::text AS block_id, b.backend, b.model,
  (place.number - 1 - b.next_index)::int AS before
FROM kos_blocks b
CROSS JOIN LATERAL unnest(b.task_ids) WITH ORDINALITY AS place (task_id, number)
WHERE b.state IN ('planned', 'active') AND place.number > b.next_index
  AND place.task_id = ANY(%(ids)s::uuid[])
ORDER BY place.task_id, b.created_at DESC
"""


@dataclass(frozen=True, slots=True)
class PlacedKind:
    """``count`` tasks of one category and priority in a block; ``before`` tasks of the block start
    before the last of them."""

    category: str
    priority: str
    block_id: str
    before: int
    count: int


def last_places() -> list[PlacedKind]:
    """The last unsent task of each kind in each block of the plan in force."""
    rows = fetch_all(_LAST_PLACES)
    return [PlacedKind(**row) for row in rows]


_LAST_PLACES = """
SELECT coalesce(t.category, '') AS category, coalesce(t.priority, 'medium') AS priority,
  b.id::text AS block_id, (max(place.number) - b.next_index - 1)::int AS before,
  count(*)::int AS count
FROM kos_blocks b
CROSS JOIN LATERAL unnest(b.task_ids) WITH ORDINALITY AS place (task_id, number)
JOIN tasks t ON t.id = place.task_id
WHERE b.state IN ('planned', 'active') AND place.number > b.next_index AND t.status = 'pending'
GROUP BY 1, 2, b.id, b.next_index
"""


def prune(keep_days: float) -> int:
    """Delete closed blocks older than ``keep_days``."""
    rows = fetch_all(
        "WITH gone AS (DELETE FROM kos_blocks WHERE state = 'done' "
        "AND created_at < now() - %s * interval '1 day' RETURNING 1) "
        "SELECT count(*) AS n FROM gone",
        (keep_days,),
    )
    return int(rows[0]["n"])


@dataclass(frozen=True, slots=True)
class StartedBlock:
    """``tasks`` of the block were sent; ``finished_at`` is None while it is in force."""

    id: str
    backend: str
    model: str
    tasks: int
    started_at: datetime
    finished_at: datetime | None


def started_since(moment: datetime, *, newest: int) -> list[StartedBlock]:
    """The newest ``newest`` blocks started since then, oldest first."""
    rows = fetch_all(
        "SELECT id::text, backend, model, next_index AS tasks, started_at, finished_at "
        "FROM kos_blocks WHERE started_at > %s ORDER BY started_at DESC LIMIT %s",
        (moment, newest),
    )
    return [StartedBlock(**row) for row in reversed(rows)]
