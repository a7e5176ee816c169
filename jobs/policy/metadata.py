"""What a task's metadata and a submitted line ask for, as typed values.

A stranger wrote both. Nothing here raises for what they hold: a wrong field is left at its
default and named in ``problems``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from jobs.policy.fields import FieldProblem, FieldReader, hint, literal, unstorable
from jobs.policy.sampling import SAMPLING_KEYS, read_sampling
from jobs.policy.schemas import schema_problem
from llm.types import SERVER_DEFAULTS, Category, Sampling
from models.states import Priority

MAX_TITLE_CHARS = 255
MAX_ID_CHARS = 255
MAX_WORD_CHARS = 100
"""Of a tag and of the name of a project."""
MAX_TAGS = 50
DERIVED_TITLE_CHARS = 80
SUBMIT_KEYS = (
    "title", "description", "custom_id", "priority", "category", "expert", "backend", "model",
    "after", "schema", "files", "tags", "project", "metadata", *SAMPLING_KEYS,
)  # fmt: skip


class Delegate(StrEnum):
    """An outside agent; ``auto`` sends one-step requests to Veronica and the rest to Victoria."""

    VICTORIA = "victoria"
    VERONICA = "veronica"
    AUTO = "auto"


class SecondOpinion(StrEnum):
    """Who judges an answer: the rules alone, or the rules and then another model."""

    RULES = "rules"
    LLM = "llm"


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The metadata keys that are read. ``file_paths`` also holds ``file_path``, first.

    ``required_backend`` is the only backend that the creator accepts, and ``required_model`` the
    only model; its key is ``preferred_model``, a name that other programs chose. The backend of
    ``preferred_source`` is merely preferred. The answer must have ``language`` (``en`` or ``ru``)
    and ``required_parts``. ``verbatim`` sends the request unchanged, without an expert's prompt,
    and accepts any answer.
    """

    preferred_source: str | None = None
    required_model: str | None = None
    required_backend: str | None = None
    category: Category | None = None
    source: str | None = None
    file_paths: tuple[str, ...] = ()
    files_required: bool = False
    keywords: tuple[str, ...] = ()
    bug_probability: float | None = None
    assignee_hint: str | None = None
    response_schema: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    num_ctx: int | None = None
    sampling: Sampling = SERVER_DEFAULTS
    verbatim: bool = False
    complex: bool | None = None
    delegate: Delegate | None = None
    validator: SecondOpinion = SecondOpinion.RULES
    language: str | None = None
    required_parts: tuple[str, ...] = ()
    project: str | None = None
    problems: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """One line of ``kos submit``, checked. ``title`` falls back to the description's first line.

    ``metadata`` is what to store on the row: the line's own metadata and, over it, what the
    line's fields ask for.
    """

    title: str
    description: str
    custom_id: str | None = None
    priority: Priority = Priority.MEDIUM
    category: Category | None = None
    expert: str | None = None
    backend: str | None = None
    model: str | None = None
    after: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    files: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    project: str | None = None
    sampling: Sampling = SERVER_DEFAULTS
    metadata: Mapping[str, object] = field(default_factory=dict)


def read(metadata: object) -> TaskOptions:
    """The options in a row's ``metadata`` column: an object, null, or anything a stranger put."""
    source, odd = _as_object(metadata)
    reader = FieldReader(source, odd)
    single = reader.text("file_path")
    several = reader.texts("file_paths")
    return TaskOptions(
        preferred_source=_lowered(reader.text("preferred_source")),
        required_model=reader.text("preferred_model"),
        required_backend=reader.text("required_backend"),
        category=reader.choice("category", Category),
        source=_lowered(reader.text("source")),
        file_paths=tuple(dict.fromkeys(((single,) if single else ()) + several)),
        files_required=reader.flag("files_required") is True,
        keywords=reader.texts("keywords"),
        bug_probability=reader.number("bug_probability", low=0, high=1),
        assignee_hint=reader.text("assignee_hint"),
        response_schema=_schema(reader, "response_schema"),
        max_tokens=reader.whole("max_tokens", low=1, high=1_000_000),
        num_ctx=reader.whole("num_ctx", low=128, high=4_194_304),
        sampling=read_sampling(reader),
        verbatim=reader.flag("verbatim") or False,
        complex=reader.flag("complex"),
        delegate=_delegate(reader),
        validator=reader.choice("validator", SecondOpinion) or SecondOpinion.RULES,
        language=_language(reader),
        required_parts=reader.texts("required_parts"),
        project=reader.text("project"),
        problems=tuple(reader.problems),
    )


def own_system(metadata: object) -> str:
    """The system message of a batch line, which replaces its expert's persona; "" for none."""
    text = metadata.get("system") if isinstance(metadata, Mapping) else None
    return text if isinstance(text, str) else ""


def check_submission(line: object) -> Submission | tuple[FieldProblem, ...]:
    """A submitted line as a value, or everything that is wrong with it."""
    if not isinstance(line, Mapping):
        return (
            FieldProblem(
                "line", f'expected an object, got {literal(line)}; write {{"description": ...}}'
            ),
        )
    reader = FieldReader(line)
    _refuse_unknown_keys(reader)
    _refuse_unstorable(reader)
    if reader.problems:
        return tuple(reader.problems)
    submission = _submission(reader)
    return tuple(reader.problems) if reader.problems else submission


def _submission(reader: FieldReader) -> Submission:
    if reader.source.get("description") is None:
        reader.refuse("description", 'is missing; write "description": "what to do"')
    description = reader.text("description") or ""
    title = reader.text("title", max_chars=MAX_TITLE_CHARS)
    custom_id = reader.text("custom_id", max_chars=MAX_ID_CHARS)
    after = reader.texts("after")
    if custom_id is not None and custom_id in after:
        reader.refuse("after", f"names the task itself ({literal(custom_id)}); remove it")
    submission = Submission(
        title=title or _title_of(description),
        description=description,
        custom_id=custom_id,
        priority=reader.choice("priority", Priority) or Priority.MEDIUM,
        category=reader.choice("category", Category),
        expert=reader.text("expert", max_chars=MAX_ID_CHARS),
        backend=reader.text("backend", max_chars=MAX_ID_CHARS),
        model=reader.text("model", max_chars=MAX_ID_CHARS),
        after=after,
        schema=_schema(reader, "schema"),
        files=reader.texts("files"),
        tags=_tags(reader),
        project=reader.text("project", max_chars=MAX_WORD_CHARS),
        sampling=read_sampling(reader),
    )
    return _with_metadata(submission, reader)


def _with_metadata(submission: Submission, reader: FieldReader) -> Submission:
    own = dict(reader.mapping("metadata") or {})
    theirs = read(own)
    for problem in theirs.problems:
        reader.refuse(f"metadata.{problem.field}", problem.message)
    own_fields: dict[str, object] = {
        "category": submission.category.value if submission.category else None,
        "assignee_hint": submission.expert,
        "required_backend": submission.backend,
        "preferred_model": submission.model,
        "response_schema": submission.schema,
        "file_paths": list(dict.fromkeys(submission.files + theirs.file_paths)) or None,
        "tags": list(submission.tags) or None,
        "project": submission.project,
    }
    own.update({key: value for key, value in own_fields.items() if value is not None})
    own.update(submission.sampling.values())
    return replace(submission, metadata=own)


def _refuse_unknown_keys(reader: FieldReader) -> None:
    for key in reader.source:
        if key not in SUBMIT_KEYS:
            reader.refuse(str(key)[:60], f"is not a known key{hint(str(key), SUBMIT_KEYS)}")


def _refuse_unstorable(reader: FieldReader) -> None:
    for key in SUBMIT_KEYS:
        problem = unstorable(reader.source.get(key), key)
        if problem is not None:
            reader.problems.append(problem)


def _as_object(metadata: object) -> tuple[Mapping[str, object], list[FieldProblem]]:
    if metadata is None:
        return {}, []
    if isinstance(metadata, Mapping):
        return metadata, []
    if isinstance(metadata, str):
        inner = _decoded(metadata)
        if inner is not None:
            return inner, [FieldProblem("metadata", "is an object in quotes; write it unquoted")]
    return {}, [
        FieldProblem("metadata", f"expected an object, got {literal(metadata)}; write {{...}}")
    ]


def _decoded(text: str) -> Mapping[str, object] | None:
    # A client that dumps JSON into a jsonb column twice is common enough to be understood.
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Mapping) else None


def _tags(reader: FieldReader) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(tag.strip() for tag in reader.texts("tags")))
    if len(tags) > MAX_TAGS:
        reader.refuse("tags", f"has {len(tags)} tags; at most {MAX_TAGS} are kept")
    for tag in tags:
        if not 0 < len(tag) <= MAX_WORD_CHARS:
            reader.refuse("tags", f"{literal(tag)}: write 1 to {MAX_WORD_CHARS} characters")
    return tags


def _schema(reader: FieldReader, name: str) -> Mapping[str, Any] | None:
    value = reader.source.get(name)
    if value is None:
        return None
    problem = schema_problem(value)
    if problem is not None:
        reader.refuse(name, problem)
        return None
    return reader.mapping(name)


def _delegate(reader: FieldReader) -> Delegate | None:
    value = reader.source.get("delegate")
    if isinstance(value, bool):
        return Delegate.AUTO if value else None
    return reader.choice("delegate", Delegate)


_LANGUAGES = {
    "ru": "ru", "russian": "ru", "русский": "ru",
    "en": "en", "english": "en", "английский": "en",
}  # fmt: skip


def _language(reader: FieldReader) -> str | None:
    value = reader.text("language")
    if value is None:
        return None
    name = _LANGUAGES.get(value.strip().lower())
    if name is None:
        reader.refuse("language", f"unknown value {literal(value)}; write ru or en")
    return name


def _lowered(text: str | None) -> str | None:
    return text.strip().lower() if text is not None else None


def _title_of(description: str) -> str:
    first = next((row.strip() for row in description.splitlines() if row.strip()), "")
    if len(first) <= DERIVED_TITLE_CHARS:
        return first
    return first[: DERIVED_TITLE_CHARS - 1].rstrip() + "…"
