"""Experts: personas with a department and a system prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

import peewee
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField

from models.base import BaseRow, Row, fetch_all


class Expert(BaseRow):
    id = peewee.UUIDField(primary_key=True)
    name = peewee.CharField(null=True)
    role = peewee.CharField(null=True)
    department = peewee.CharField(null=True)
    system_prompt = peewee.TextField(null=True)
    is_active = peewee.BooleanField(null=True)
    metadata = BinaryJSONField(null=True, index=False)
    created_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "experts"

    @classmethod
    def add_missing(cls, experts: Iterable[Mapping[str, Any]]) -> int:
        """Insert experts whose name is not there yet; how many were added."""
        added = 0
        for expert in experts:
            exists = cls.select().where(cls.name == expert["name"]).exists()
            if not exists:
                columns = ("name", "role", "department", "system_prompt", "metadata")
                values = {name: expert.get(name) for name in columns}
                values["id"] = uuid4()  # an adopted table may have no default
                values["is_active"] = expert.get("is_active", True)
                cls.insert(**values).execute()
                added += 1
        return added

    @classmethod
    def add_assistant(cls) -> bool:
        """Insert the built-in assistant where no expert is active; whether it was inserted.

        One that somebody deactivated stays so: then nobody is meant to take tasks.
        """
        return bool(fetch_all(ADD_ASSISTANT, ASSISTANT))

    @classmethod
    def active(cls) -> list[Expert]:
        """Experts that may be given work; no word on it counts as active."""
        return list(cls.select().where(cls.is_active.is_null() | cls.is_active))

    @classmethod
    def open_tasks(cls) -> dict[str, int]:
        """How many unfinished tasks each expert has, by id."""
        rows = fetch_all(
            "SELECT assignee_expert_id::text AS id, count(*) AS n FROM tasks "
            "WHERE status IN ('pending', 'queued', 'in_progress') "
            "AND assignee_expert_id IS NOT NULL GROUP BY 1"
        )
        return {row["id"]: row["n"] for row in rows}

    @classmethod
    def overview(cls) -> list[Row]:
        """Every expert with its load, for people to look at."""
        return fetch_all(OVERVIEW)


ASSISTANT = {
    "name": "Assistant",
    "role": "General assistant",
    "department": "General",
    "system_prompt": "You are a careful assistant. Do what the task asks and nothing else. "
    "Answer in the language of the task. Where something is missing, say what.",
}

ADD_ASSISTANT = """
INSERT INTO experts (name, role, department, system_prompt, is_active, metadata)
SELECT %(name)s, %(role)s, %(department)s, %(system_prompt)s, true, '{"built_in": true}'
WHERE NOT EXISTS (SELECT FROM experts WHERE is_active IS NOT FALSE OR name = %(name)s)
ON CONFLICT DO NOTHING RETURNING id
"""

OVERVIEW = """
SELECT e.id::text, e.name, e.role, e.department, coalesce(e.is_active, true) AS active,
  count(t.id) FILTER (WHERE t.status IN ('pending', 'queued', 'in_progress')) AS open,
  count(t.id) FILTER (WHERE t.status = 'completed') AS completed,
  count(t.id) FILTER (WHERE t.status = 'failed') AS failed
FROM experts e LEFT JOIN tasks t ON t.assignee_expert_id = e.id
GROUP BY e.id ORDER BY e.department NULLS LAST, e.name
"""
