"""Experts: who there is with what load, and adding more from a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from console.operations.submission_lines import Line
from jobs.policy.fields import unstorable
from models.base import Row
from models.expert import Expert

TEXT_FIELDS = ("name", "role", "department", "system_prompt")
REQUIRED_FIELDS = ("name", "system_prompt")
KNOWN_FIELDS = (*TEXT_FIELDS, "is_active", "metadata")
MAX_CHARS = {"name": 255, "role": 255, "department": 255, "system_prompt": 100_000}


def listed() -> list[Row]:
    """``{"id", "name", "role", "department", "active", "open", "completed", "failed"}`` each."""
    return Expert.overview()


def add(lines: Iterable[Line]) -> dict[str, Any]:
    """Add the experts that are not there yet, by name.

    ``{"added", "existing", "rejected": [{"line", "error"}]}``. Existing ones are left as they are.
    """
    rejected: list[dict[str, Any]] = []
    experts: dict[str, dict[str, Any]] = {}
    for line in lines:
        problem = line.error or problem_of(line.value)
        if problem is not None:
            rejected.append({"line": line.number, "error": problem})
        elif isinstance(line.value, dict):
            experts.setdefault(line.value["name"].strip(), {**line.value, "metadata": {}})
            experts[line.value["name"].strip()]["metadata"] = line.value.get("metadata") or {}
    added = Expert.add_missing({**expert, "name": name} for name, expert in experts.items())
    return {"added": added, "existing": len(experts) - added, "rejected": rejected}


def problem_of(value: object) -> str | None:
    """What is wrong with a line of experts, beginning with the field; None for a good one."""
    if not isinstance(value, dict):
        return 'line: is not an object; write {"name": "...", "department": "..."}'
    unstored = unstorable(value, "line")
    if unstored is not None:
        return str(unstored)
    unknown = [str(key) for key in value if key not in KNOWN_FIELDS]
    if unknown:
        return f"{unknown[0][:60]}: is not a known key; write one of {', '.join(KNOWN_FIELDS)}"
    problem = next(filter(None, (_problem_of_text(value, name) for name in TEXT_FIELDS)), None)
    if problem is not None:
        return problem
    if not isinstance(value.get("is_active", True), bool):
        return "is_active: must be true or false"
    if not isinstance(value.get("metadata") or {}, dict):
        return "metadata: must be an object"
    return None


def _problem_of_text(line: Mapping[str, object], name: str) -> str | None:
    text = line.get(name)
    if text is not None and not isinstance(text, str):
        return f"{name}: must be text in quotes"
    if name in REQUIRED_FIELDS and not (text or "").strip():
        return f'{name}: is missing; write "{name}": "..."'
    if text is not None and len(text) > MAX_CHARS[name]:
        return f"{name}: has {len(text)} characters; at most {MAX_CHARS[name]} are kept"
    return None
