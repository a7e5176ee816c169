"""Rows of projects. A project exists as soon as a task names it; a row holds its defaults."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from models import counts
from models.base import fetch_all

PARTS = ("open", "completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Defaults:
    """The defaults for tasks of a project: names of the expert, backend and model."""

    expert: str | None = None
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """A project with its defaults and its tasks by ``PARTS``."""

    name: str
    defaults: Defaults
    tasks: dict[str, int]


NO_DEFAULTS = Defaults()


def listed() -> list[Totals]:
    """Every project that has tasks or defaults, by name."""
    known, totals = _defaults(None), counts.by_project()
    return [
        Totals(
            name,
            known.get(name, NO_DEFAULTS),
            {part: totals.get(name, {}).get(part, 0) for part in PARTS},
        )
        for name in sorted(known.keys() | totals.keys())
    ]


def defaults(names: Collection[str]) -> dict[str, Defaults]:
    """Defaults by name, for the projects that have some."""
    return _defaults(names) if names else {}


def keep(name: str, chosen: Defaults) -> None:
    """Store the defaults of a project; empty ones delete its row."""
    if chosen == NO_DEFAULTS:
        fetch_all("DELETE FROM kos_projects WHERE name = %s", (name,))
        return
    fetch_all(
        "INSERT INTO kos_projects (name, expert, backend) VALUES (%s, %s, %s) "
        "ON CONFLICT (name) DO UPDATE SET expert = EXCLUDED.expert, backend = EXCLUDED.backend",
        (name, chosen.expert, chosen.backend),
    )


def _defaults(names: Collection[str] | None) -> dict[str, Defaults]:
    rows = fetch_all(
        "SELECT name, expert, backend FROM kos_projects "
        "WHERE %(names)s::text[] IS NULL OR name = ANY(%(names)s)",
        {"names": None if names is None else list(names)},
    )
    return {row["name"]: Defaults(row["expert"], row["backend"]) for row in rows}
