"""Projects: totals, and who does the tasks that name nobody."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from console.operations.errors import InvalidInput, near
from jobs.policy.metadata import MAX_WORD_CHARS
from jobs.settings.load import Settings
from models import project
from models.expert import Expert
from models.project import Defaults


def listed() -> list[dict[str, Any]]:
    """``{"name", "expert", "backend", "open", "completed", "failed", "cancelled"}`` each."""
    return [{"name": one.name, **asdict(one.defaults), **one.tasks} for one in project.listed()]


def keep(name: str, *, expert: str | None, backend: str | None, settings: Settings) -> None:
    """Keep the defaults of a project; none of both forgets them. Raises InvalidInput."""
    if not 0 < len(name.strip()) <= MAX_WORD_CHARS or not name.isprintable():
        raise InvalidInput(f"name: write 1 to {MAX_WORD_CHARS} characters in one line")
    found = Expert.named(expert) if expert else None
    if expert and (found is None or found.is_active is False):
        names = [one.name for one in Expert.roster() if one.name]
        raise InvalidInput(f"expert: {expert!r} is unknown or not active; {near(expert, names)}")
    backends = [spec.name for spec in settings.backends]
    if backend and backend not in backends:
        raise InvalidInput(f"backend: {backend!r} is not configured; {near(backend, backends)}")
    project.keep(name, Defaults(expert or None, backend or None))
