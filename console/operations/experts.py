"""Experts: list, show, add, change, import, and preview the match for a text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from console.operations.errors import InvalidInput, UnknownName, near
from console.operations.expert_fields import KNOWN_FIELDS, problem_of
from console.operations.ids import is_whole
from console.operations.submission_lines import Line, RejectedLine
from jobs.planning.roster import expert_view
from jobs.policy.assignment import AssignTask, assign
from jobs.policy.complexity import assess
from jobs.policy.sampling import SAMPLING_KEYS
from jobs.policy.team import Team
from jobs.policy.types import Rejected
from models import expert_history
from models.expert import Expert, ListedExpert
from models.expert_history import PromptVersion, RecentTask


@dataclass(frozen=True, slots=True)
class ChangedPrompt:
    """A version of a prompt; ``diff`` holds the lines that it changed."""

    version: int
    at: datetime
    author: str
    system_prompt: str
    diff: str


@dataclass(frozen=True, slots=True)
class ExpertDetails:
    """An expert with its figures (as `ExpertFigures`), its last tasks, and the versions of its
    prompt, newest first. ``preferred_model`` to ``sampling`` come from ``metadata``, in which other
    programs may have written any JSON."""

    id: str
    name: str | None
    role: str | None
    department: str | None
    system_prompt: str | None
    is_active: bool
    metadata: dict[str, Any]
    preferred_model: Any
    category: Any
    language: Any
    sampling: dict[str, Any]
    created_at: datetime | None
    open: int
    completed: int
    failed: int
    average_score: float | None
    acceptance_rate: float | None
    recent: Sequence[RecentTask]
    versions: Sequence[ChangedPrompt]


@dataclass(frozen=True, slots=True)
class AddedExperts:
    """How many experts were added, and how many existed before."""

    added: int
    existing: int
    rejected: Sequence[RejectedLine]


@dataclass(frozen=True, slots=True)
class EditedExpert:
    """The name of an expert, and the fields that changed."""

    name: str | None
    fields: Sequence[str]


@dataclass(frozen=True, slots=True)
class ImportedExperts:
    """The experts of a file by what became of them, by name."""

    added: list[str] = field(default_factory=list)
    changed: list[EditedExpert] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    rejected: Sequence[RejectedLine] = ()


@dataclass(frozen=True, slots=True)
class ExpertMatch:
    """The expert that the assignment would choose, None for nobody, and the alternatives."""

    expert: str | None
    preferred_source: str | None
    category: str
    reason: str
    rejected: Sequence[Rejected]


def listed() -> list[ListedExpert]:
    return Expert.overview()


def details(name: str) -> ExpertDetails:
    """Raises UnknownName."""
    expert = _named(name)
    settings = _metadata(expert)
    return ExpertDetails(
        id=str(expert.id),
        **_fields(expert),
        preferred_model=settings.get("preferred_model"),
        category=settings.get("category"),
        language=settings.get("language"),
        sampling={key: settings[key] for key in SAMPLING_KEYS if key in settings},
        created_at=expert.created_at,
        **asdict(expert_history.figures(str(expert.id))),
        recent=expert_history.recent_tasks(str(expert.id)),
        versions=_with_diffs(expert_history.versions(str(expert.id))),
    )


def add(lines: Iterable[Line], *, author: str = "") -> AddedExperts:
    """Add the experts that are not there yet, by name. Existing ones are left as they are."""
    experts, rejected = _checked(lines, last_wins=False)
    added = Expert.add_missing(
        ({**expert, "metadata": expert.get("metadata") or {}} for expert in experts.values()),
        author=author,
    )
    return AddedExperts(added, len(experts) - added, rejected)


def bring_in(lines: Iterable[Line], *, author: str = "") -> ImportedExperts:
    """Add the experts that are missing and change those that differ, by name. What a line leaves
    out stays as it is."""
    experts, rejected = _checked(lines, last_wins=True)
    existing = {expert.name: expert for expert in Expert.by_name()}
    done = ImportedExperts(rejected=rejected)
    for name, values in experts.items():
        expert = existing.get(name)
        if expert is None:
            Expert.add({"metadata": {}, **values}, author=author)
            done.added.append(name)
        elif fields := _apply(expert, values, author=author):
            done.changed.append(EditedExpert(name, fields))
        else:
            done.unchanged.append(name)
    return done


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
) -> EditedExpert:
    """Change fields of one expert, and single keys of its metadata (None removes one).

    Raises UnknownName and InvalidInput.
    """
    expert = _named(name)
    values = dict(changes)
    if settings:
        merged = {**_metadata(expert), **settings}
        values["metadata"] = {key: value for key, value in merged.items() if value is not None}
    _refuse_wrong({"name": expert.name, "system_prompt": "-", **values})
    return EditedExpert(expert.name, _apply(expert, values, author=author))


def restore(name: str, version: int, *, author: str = "") -> EditedExpert:
    """Make the prompt of ``version`` the present one, as a new version."""
    expert = _named(name)
    prompt = expert_history.version(str(expert.id), version)
    if prompt is None:
        raise UnknownName(f"{expert.name} has no version {version}; see kos experts show")
    return EditedExpert(expert.name, _apply(expert, {"system_prompt": prompt}, author=author))


def add_one(values: Mapping[str, Any], *, author: str = "") -> EditedExpert:
    """Add one expert. Raises InvalidInput where the name is in use."""
    _refuse_wrong(values)
    if Expert.named(values["name"]) is not None:
        raise InvalidInput(f"an expert named {values['name']!r} exists; use kos experts edit")
    Expert.add({"metadata": {}, **values}, author=author)
    return EditedExpert(values["name"], list(values))


def match(text: str, *, hint: str | None = None) -> ExpertMatch:
    """The expert that the assignment would choose for this text; nothing is written."""
    title, _, description = text.strip().partition("\n")
    assessed = assess(title, description, {}, has_dependencies=False)
    task = AssignTask(title, description, category=assessed.category, assignee_hint=hint)
    views = [expert_view(expert) for expert in Expert.by_name()]
    choice = assign(task, Team(views, loads=Expert.open_tasks()))
    names = {view.id: view.name for view in views}
    return ExpertMatch(
        expert=names.get(choice.expert_id or ""),
        preferred_source=choice.preferred_source,
        category=assessed.category.value,
        reason=f"{choice.reason}; {assessed.reason}",
        rejected=choice.rejected,
    )


def _checked(
    lines: Iterable[Line], *, last_wins: bool
) -> tuple[dict[str, dict[str, Any]], list[RejectedLine]]:
    """The good lines by name, and what is wrong with the others."""
    rejected: list[RejectedLine] = []
    experts: dict[str, dict[str, Any]] = {}
    for line in lines:
        problem = line.error or problem_of(line.value)
        if problem is not None:
            rejected.append(RejectedLine(line.number, problem))
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


def _with_diffs(versions: Sequence[PromptVersion]) -> list[ChangedPrompt]:
    before = [*(one.system_prompt for one in versions[1:]), ""]
    return [
        ChangedPrompt(**asdict(one), diff=_diff(old, one.system_prompt))
        for one, old in zip(versions, before, strict=False)
    ]


def _diff(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))
