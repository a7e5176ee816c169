"""Experts: personas with a department and a system prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import peewee
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField

from models import counts
from models.base import BaseRow, Row, fetch_all
from models.database import database


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
    def add(cls, values: Mapping[str, Any], *, author: str) -> None:
        """Insert an expert; ``values`` holds columns by name."""
        columns = ("name", "role", "department", "system_prompt", "metadata")
        row = {name: values.get(name) for name in columns}
        row["id"] = uuid4()  # An adopted table may have no default.
        row["is_active"] = values.get("is_active", True)
        with written_by(author):
            cls.insert(**row).execute()

    @classmethod
    def add_missing(cls, experts: Iterable[Mapping[str, Any]], *, author: str = "") -> int:
        """Insert experts whose name is new; returns how many."""
        added = 0
        for expert in experts:
            if not cls.select().where(cls.name == expert["name"]).exists():
                cls.add(expert, author=author)
                added += 1
        return added

    @classmethod
    def named(cls, name: str) -> Expert | None:
        """The expert of that name; case is decisive only where several match."""
        same = list(cls.select().where(peewee.fn.lower(cls.name) == peewee.fn.lower(name)))
        return next((one for one in same if one.name == name), same[0] if same else None)

    @classmethod
    def by_name(cls) -> list[Expert]:
        """Every expert that has a name, in its order."""
        return list(cls.select().where(cls.name.is_null(False)).order_by(cls.name))

    @classmethod
    def change(cls, expert_id: str, values: Mapping[str, Any], *, author: str) -> None:
        """Set columns of one expert. A new prompt becomes a new version of ``author``."""
        with written_by(author):
            cls.update(**values).where(cls.id == expert_id).execute()

    @classmethod
    def add_assistant(cls) -> bool:
        """Insert the built-in assistant where no expert is active; True if inserted.

        If a person deactivated it, it stays so: then nobody is meant to take tasks.
        """
        return bool(fetch_all(ADD_ASSISTANT, ASSISTANT))

    @classmethod
    def active(cls) -> list[Expert]:
        """Experts that may take work. A null in ``is_active`` counts as active."""
        return list(cls.select().where(cls.is_active.is_null() | cls.is_active))

    @classmethod
    def roster(cls) -> list[Expert]:
        """Active experts with only the columns that assignment needs, because every page reads all
        of them."""
        columns = (cls.id, cls.name, cls.role, cls.department)
        return list(cls.select(*columns).where(cls.is_active.is_null() | cls.is_active))

    @classmethod
    def open_tasks(cls) -> dict[str, int]:
        """How many unfinished tasks each expert has, by id (absent: none)."""
        return counts.open_by_expert()

    @classmethod
    def overview(cls) -> list[ListedExpert]:
        """Every expert with its load, for display."""
        loads = counts.by_expert()
        return [_listed(row, loads.get(row["id"], {})) for row in fetch_all(OVERVIEW)]


@dataclass(frozen=True, slots=True)
class ListedExpert:
    """An expert and its tasks by state."""

    id: str
    name: str | None
    role: str | None
    department: str | None
    active: bool
    open: int
    completed: int
    failed: int


def _listed(row: Row, tasks: Mapping[str, int]) -> ListedExpert:
    return ListedExpert(
        **row,
        open=tasks.get("open", 0),
        completed=tasks.get("completed", 0),
        failed=tasks.get("failed", 0),
    )


@contextmanager
def written_by(author: str) -> Iterator[None]:
    """A transaction whose prompt changes are recorded under ``author`` (empty: the database
    role)."""
    with database.atomic():
        database.execute_sql("SELECT set_config('kos.author', %s, true)", (author,))
        yield


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
SELECT id::text, name, role, department, coalesce(is_active, true) AS active
FROM experts ORDER BY department NULLS LAST, name
"""
