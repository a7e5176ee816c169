"""Rows of templates: a task's JSON line with variables, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extras import Json

from models.base import fetch_all, fetch_one, value_of


@dataclass(frozen=True, slots=True)
class Template:
    name: str
    line: dict[str, Any]
    created_at: datetime


def add(name: str, line: Mapping[str, Any]) -> bool:
    """Insert a template; False if one of that name exists."""
    rows = fetch_all(
        "INSERT INTO kos_templates (name, line) VALUES (%s, %s) ON CONFLICT DO NOTHING "
        "RETURNING name",
        (name, Json(dict(line))),
    )
    return bool(rows)


def get(name: str) -> Template | None:
    row = fetch_one("SELECT name, line, created_at FROM kos_templates WHERE name = %s", (name,))
    return value_of(Template, row) if row else None


def listed() -> list[Template]:
    rows = fetch_all("SELECT name, line, created_at FROM kos_templates ORDER BY name")
    return [value_of(Template, row) for row in rows]


def used_by(name: str) -> list[str]:
    """The names of the schedules that use it."""
    rows = fetch_all("SELECT name FROM kos_schedules WHERE template = %s ORDER BY name", (name,))
    return [row["name"] for row in rows]


def remove(name: str) -> bool:
    return bool(fetch_all("DELETE FROM kos_templates WHERE name = %s RETURNING name", (name,)))
