"""``knowledge_nodes`` of Knowledge OS: read for prompts, extended by answers (``KOS_COMPAT``).

The table belongs to another system and columns may be missing, so callers must handle
``peewee.DatabaseError``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.base import Row, fetch_all, fetch_one

CONFIDENCE = 0.85
SOURCE = "autonomous_worker"
"""Both as their worker writes them; their leaderboards and searches look for the second."""
VECTOR = re.compile(r"vector\((\d+)\)")

BEST = """
SELECT n.id::text, n.content, n.source_ref, n.confidence_score,
  coalesce(n.is_verified, false) AS is_verified
FROM tasks t JOIN knowledge_nodes n ON n.domain_id = t.domain_id
WHERE t.id = %(task)s::uuid AND (n.is_verified OR n.confidence_score > 0.75)
  AND length(n.content) > 20 AND n.metadata->>'task_id' IS DISTINCT FROM t.id::text
ORDER BY coalesce(n.is_verified, false) DESC, n.confidence_score DESC NULLS LAST,
  n.created_at DESC NULLS LAST
LIMIT %(limit)s
"""

KEEP = """
INSERT INTO knowledge_nodes (domain_id, content, metadata, confidence_score, source_ref)
SELECT t.domain_id, %(content)s, jsonb_build_object('task_id', t.id, 'expert', %(expert)s::text,
    'fallback_used', false, 'department', %(department)s::text), %(confidence)s, %(source)s
FROM tasks t WHERE t.id = %(task)s::uuid AND t.status = 'completed'
RETURNING id::text
"""

# Only nodes of ours: those of other programs may lack a vector for reasons of their own.
WITHOUT_VECTOR = """
SELECT n.id::text, n.content FROM knowledge_nodes n
WHERE n.source_ref = %(source)s AND n.embedding IS NULL
  AND n.created_at > now() - interval '1 day'
  AND EXISTS (SELECT FROM kos_attempts a
    WHERE a.task_id::text = n.metadata->>'task_id' AND a.outcome = 'completed')
ORDER BY n.created_at LIMIT %(limit)s
"""

# An answer whose worker died before it could be kept as a node.
LOST = """
SELECT t.id::text, coalesce(t.title, '') AS title, t.result, e.name AS expert, e.department
FROM kos_attempts a JOIN tasks t ON t.id = a.task_id AND t.status = 'completed'
  LEFT JOIN experts e ON e.id = t.assignee_expert_id
WHERE a.outcome = 'completed' AND a.finished_at > now() - interval '1 hour'
  AND a.finished_at < now() - interval '1 minute' AND t.result IS NOT NULL
  AND NOT EXISTS (SELECT FROM knowledge_nodes n
    WHERE n.metadata @> jsonb_build_object('task_id', t.id))
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """An answer without a node: ``id`` is its task's, ``expert`` a name."""

    id: str
    title: str
    result: str
    expert: str | None
    department: str | None


@dataclass(frozen=True, slots=True)
class NodeText:
    """A node of ours that has no vector yet."""

    id: str
    content: str


def best(task_id: str, *, limit: int) -> list[Row]:
    """The most trusted nodes of the task's domain, best first."""
    return fetch_all(BEST, {"task": task_id, "limit": limit})


def keep(task_id: str, content: str, *, expert: str | None, department: str | None) -> str | None:
    """Insert an answer; returns the id of its node, None where the task does not exist or is not
    completed."""
    row = fetch_one(
        KEEP,
        {
            "task": task_id, "content": content, "expert": expert, "department": department,
            "confidence": CONFIDENCE, "source": SOURCE,
        },
    )  # fmt: skip
    return row["id"] if row is not None else None


def lost(*, limit: int) -> list[LostAnswer]:
    """Answers of the last hour that have no node."""
    return [LostAnswer(**row) for row in fetch_all(LOST, {"limit": limit})]


def vector_size() -> int | None:
    """The dimension of ``embedding``; None where there is no column of that type."""
    row = fetch_one(
        "SELECT format_type(atttypid, atttypmod) AS type FROM pg_attribute "
        "WHERE attrelid = to_regclass('knowledge_nodes') AND attname = 'embedding' "
        "AND NOT attisdropped"
    )
    found = VECTOR.search(row["type"]) if row is not None else None
    return int(found.group(1)) if found is not None else None


def without_vector(*, limit: int) -> list[NodeText]:
    """Nodes of ours of the last day that have none."""
    rows = fetch_all(WITHOUT_VECTOR, {"source": SOURCE, "limit": limit})
    return [NodeText(**row) for row in rows]


def set_vector(node_id: str, numbers: Sequence[float]) -> None:
    """Set the vector. Postgres casts the text to the type of the column, in whatever schema that
    type is."""
    text = "[" + ",".join(format(number, ".8g") for number in numbers) + "]"
    fetch_all(
        "UPDATE knowledge_nodes SET embedding = %(vector)s WHERE id = %(id)s::uuid",
        {"vector": text, "id": node_id},
    )
