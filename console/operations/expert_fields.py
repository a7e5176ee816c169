"""What a line of experts may hold, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.policy import metadata
from jobs.policy.fields import unstorable

TEXT_FIELDS = ("name", "role", "department", "system_prompt")
REQUIRED_FIELDS = ("name", "system_prompt")
KNOWN_FIELDS = (*TEXT_FIELDS, "is_active", "metadata")
MAX_CHARS = {"name": 255, "role": 255, "department": 255, "system_prompt": 100_000}


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
    wrong = metadata.read(value.get("metadata") or {}).problems
    return f"metadata.{wrong[0]}" if wrong else None


def _problem_of_text(line: Mapping[str, object], name: str) -> str | None:
    text = line.get(name)
    if text is not None and not isinstance(text, str):
        return f"{name}: must be text in quotes"
    if name in REQUIRED_FIELDS and not (text or "").strip():
        return f'{name}: is missing; write "{name}": "..."'
    if text is not None and len(text) > MAX_CHARS[name]:
        return f"{name}: has {len(text)} characters; at most {MAX_CHARS[name]} are kept"
    return None
