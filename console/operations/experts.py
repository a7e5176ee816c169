"""Experts: list, show, add, change, import, and preview the match for a text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from console.operations.errors import InvalidInput, UnknownName, near
from console.operations.expert_fields import KNOWN_FIELDS, problem_of
from console.operations.ids import is_whole
from console.operations.submission_lines import Line
from jobs.planning.roster import expert_view
from jobs.policy.assignment import AssignTask, assign
from jobs.policy.complexity import assess
from jobs.policy.sampling import SAMPLING_KEYS
from jobs.policy.team import Team
from models import expert_history
from models.base import Row
from models.expert import Expert


def listed() -> list[Row]:
    """``{"id", "name", "role", "department", "active", "open", "completed", "failed"}`` each."""
    return Expert.overview()


def details(name: str) -> dict[str, Any]:
    """One expert whole: its fields, figures, ``recent`` tasks, and ``versions`` of its prompt.

    ``versions`` are newest first, each with the ``diff`` to the one before it. Raises UnknownName.
    """
    expert = _named(name)
    settings = _metadata(expert)
    return {
        "id": str(expert.id),
        **_fields(expert),
        "preferred_model": settings.get("preferred_model"),
        "category": settings.get("category"),
        "language": settings.get("language"),
        "sampling": {key: settings[key] for key in SAMPLING_KEYS if key in settings},
        "created_at": expert.created_at,
        **expert_history.figures(str(expert.id)),
        "recent": expert_history.recent_tasks(str(expert.id)),
        "versions": with_diffs(expert_history.versions(str(expert.id))),
    }


def with_diffs(versions: Sequence[Row]) -> list[Row]:
    """``versions``, newest first, each with ``diff``: the lines that it changed."""
    before = [*(row["system_prompt"] for row in versions[1:]), ""]
    return [
        {**row, "diff": _diff(old, row["system_prompt"])}
        for row, old in zip(versions, before, strict=False)
    ]


def add(lines: Iterable[Line], *, author: str = "") -> dict[str, Any]:
    """Add the experts that are not there yet, by name.

    ``{"added", "existing", "rejected": [{"line", "error"}]}``. Existing ones are left as they are.
    """
    experts, rejected = _checked(lines, last_wins=False)
    added = Expert.add_missing(
        ({**expert, "metadata": expert.get("metadata") or {}} for expert in experts.values()),
        author=author,
    )
    return {"added": added, "existing": len(experts) - added, "rejected": rejected}


def bring_in(lines: Iterable[Line], *, author: str = "") -> dict[str, Any]:
    """Add the experts that are missing and change those that differ, by name.

    ``{"added": [name], "changed": [{"name", "fields"}], "unchanged": [name], "rejected"}``. What
    a line leaves out stays as it is.
    """
    experts, rejected = _checked(lines, last_wins=True)
    existing = {expert.name: expert for expert in Expert.by_name()}
    document: dict[str, Any] = {"added": [], "changed": [], "unchanged": [], "rejected": rejected}
    for name, values in experts.items():
        expert = existing.get(name)
        if expert is None:
            Expert.add({"metadata": {}, **values}, author=author)
            document["added"].append(name)
        elif fields := _apply(expert, values, author=author):
            document["changed"].append({"name": name, "fields": fields})
        else:
            document["unchanged"].append(name)
    return document


def exported() -> list[dict[str, Any]]:
    """Every expert as a line that ``bring_in`` reads."""
    return [
        {name: value for name, value in _fields(expert).items() if value is not None}
        for expert in Expert.by_name()
    ]


def edit(
    name: str,
    changes: Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
    author: str = "",
) -> dict[str, Any]:
    """Change fields of one expert, and single keys of its metadata (None takes one away).

    ``{"name", "fields"}``: the fields that changed. Raises UnknownName and InvalidInput.
    """
    expert = _named(name)
    values = dict(changes)
    if settings:
        merged = {**_metadata(expert), **settings}
        values["metadata"] = {key: value for key, value in merged.items() if value is not None}
    _refuse_wrong({"name": expert.name, "system_prompt": "-", **values})
    return {"name": expert.name, "fields": _apply(expert, values, author=author)}


def restore(name: str, version: int, *, author: str = "") -> dict[str, Any]:
    """Make the prompt of ``version`` the present one, as a new version; result as of ``edit``."""
    expert = _named(name)
    prompt = expert_history.version(str(expert.id), version)
    if prompt is None:
        raise UnknownName(f"{expert.name} has no version {version}; see kos experts show")
    return {
        "name": expert.name,
        "fields": _apply(expert, {"system_prompt": prompt}, author=author),
    }


def add_one(values: Mapping[str, Any], *, author: str = "") -> dict[str, Any]:
    """Add one expert: ``{"name", "fields"}``. Raises InvalidInput where the name is in use."""
    _refuse_wrong(values)
    if Expert.named(values["name"]) is not None:
        raise InvalidInput(f"an expert named {values['name']!r} exists; use kos experts edit")
    Expert.add({"metadata": {}, **values}, author=author)
    return {"name": values["name"], "fields": list(values)}


def match(text: str, *, hint: str | None = None) -> dict[str, Any]:
    """The expert that the assignment would choose for this text; nothing is written.

    ``{"expert", "preferred_source", "category", "reason", "rejected": [{"option", "reason"}]}``.
    """
    title, _, description = text.strip().partition("\n")
    assessed = assess(title, description, {}, has_dependencies=False)
    task = AssignTask(title, description, category=assessed.category, assignee_hint=hint)
    views = [expert_view(expert) for expert in Expert.by_name()]
    choice = assign(task, Team(views, loads=Expert.open_tasks()))
    names = {view.id: view.name for view in views}
    return {
        "expert": names.get(choice.expert_id or ""),
        "preferred_source": choice.preferred_source,
        "category": assessed.category.value,
        "reason": f"{choice.reason}; {assessed.reason}",
        "rejected": [{"option": one.option, "reason": one.reason} for one in choice.rejected],
    }


def _checked(
    lines: Iterable[Line], *, last_wins: bool
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The good lines by name, and what is wrong with the others."""
    rejected: list[dict[str, Any]] = []
    experts: dict[str, dict[str, Any]] = {}
    for line in lines:
        problem = line.error or problem_of(line.value)
        if problem is not None:
            rejected.append({"line": line.number, "error": problem})
        elif isinstance(line.value, dict):
            name = line.value["name"].strip()
            present = {key: value for key, value in line.value.items() if value is not None}
            if last_wins or name not in experts:
                experts[name] = {**present, "name": name}
    return experts, rejected


def _apply(expert: Expert, values: Mapping[str, Any], *, author: str) -> list[str]:
    """Write the values that differ; their names."""
    now = _fields(expert)
    changes = {name: value for name, value in values.items() if now[name] != value}
    if changes:
        Expert.change(str(expert.id), changes, author=author)
    return list(changes)


def _fields(expert: Expert) -> dict[str, Any]:
    fields = {name: getattr(expert, name) for name in KNOWN_FIELDS}
    return {**fields, "is_active": expert.is_active is not False, "metadata": _metadata(expert)}


def _metadata(expert: Expert) -> dict[str, Any]:
    # A stranger's row may hold any JSON there.
    return expert.metadata if isinstance(expert.metadata, dict) else {}


def _named(name: str) -> Expert:
    """The expert of that name, or of that id."""
    if is_whole(name):
        expert = Expert.get_or_none(Expert.id == name)
    else:
        expert = Expert.named(name.strip()) if name.isprintable() else None
    if expert is None:
        known = [one.name or "" for one in Expert.by_name()]
        raise UnknownName(f"no expert is named {name[:60]!r}: {near(name, known)}")
    return expert


def _refuse_wrong(values: Mapping[str, Any]) -> None:
    problem = problem_of(dict(values))
    if problem is not None:
        raise InvalidInput(problem)


def _diff(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))
