"""Submitting tasks: lines are checked one by one and inserted a page at a time.

A line that is wrong is refused with its number and reason; everything else goes in. A page is one
transaction, so a file that broke off half way is simply submitted again: a ``custom_id`` that is
there already counts as a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg2

from console.operations.errors import ServiceUnreachable, near
from console.operations.files import allowed_file
from console.operations.ids import is_whole
from console.operations.known_models import Known, unknown_model
from console.operations.submission_lines import Line, RejectedLine
from jobs.policy.metadata import Submission, check_submission
from jobs.process.tracing import span
from jobs.upkeep.health.refusals import remedy
from models import task_views
from models.database import DatabaseUnavailable, session
from models.expert import Expert
from models.task import NewTask, Task

PAGE_LINES = 1000
BACK = "run `kos up`, or check DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a line may refer to. ``base`` is where relative ``files`` start; ``models`` is called
    once, for the first line that names a model, and None checks no model."""

    base: Path
    file_roots: tuple[Path, ...] = ()
    backends: tuple[str, ...] = ()
    models: Callable[[], Known] | None = None


@dataclass(slots=True)
class Report:
    """What became of the lines: ``ids`` of the new tasks in order, and ``known_ids`` of those whose
    key was there already."""

    duplicates: int = 0
    rejected: list[RejectedLine] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    known_ids: list[str] = field(default_factory=list)

    @property
    def task_ids(self) -> list[str]:
        """The task ids of all lines, without repetition."""
        return list(dict.fromkeys([*self.ids, *self.known_ids]))

    @property
    def submitted(self) -> int:
        return len(self.ids)

    def document(self) -> dict[str, Any]:
        """What ``--json`` and the HTTP API say."""
        return {
            "submitted": self.submitted,
            "duplicates": self.duplicates,
            "rejected": sorted(self.rejected),
            "ids": self.ids,
        }


def submit(
    lines: Iterable[Line], *, rules: Rules, on_line: Callable[[Line], None] | None = None
) -> Report:
    """Check and insert ``lines``; memory does not grow with their number but for the report.

    Raises:
        ServiceUnreachable: Postgres went away; what went in before stays in.
    """
    submitter = _Submitter(rules)
    try:
        with session():
            submitter.experts = _experts()
            for line in lines:
                submitter.add(line)
                if on_line is not None:
                    on_line(line)
            submitter.flush()
    except (DatabaseUnavailable, psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise ServiceUnreachable(
            f"Postgres took {submitter.report.submitted} tasks and then failed "
            f"({str(error).strip().splitlines()[0]}): {remedy(error, BACK)}; then submit the same "
            "again; a custom_id is never submitted twice"
        ) from error
    return submitter.report


def problem_of(value: object, *, rules: Rules) -> str | None:
    """Why :func:`submit` would refuse this line now; None: it would not. Writes nothing."""
    problems = problems_of([Line(1, value=value)], rules=rules)
    return problems[0].error if problems else None


def problems_of(lines: Iterable[Line], *, rules: Rules) -> list[RejectedLine]:
    """Those that :func:`submit` would refuse now. Writes nothing, so a line
    that waits for another one of ``lines`` is a problem, too."""
    submitter = _Submitter(rules, experts=_experts())
    for line in lines:
        submitter.add(line)
        submitter.take_page()
    return sorted(submitter.report.rejected)


@dataclass(frozen=True, slots=True)
class _Known:
    """An expert that lines may name."""

    id: str
    name: str
    active: bool


@dataclass(slots=True)
class _Submitter:
    rules: Rules
    experts: dict[str, _Known] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    _page: list[tuple[int, Submission]] = field(default_factory=list)
    _page_keys: set[str] = field(default_factory=set)
    _known_models: Known | None = None
    _refused_keys: dict[str, int] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        if line.error is not None:
            self.report.rejected.append(RejectedLine(line.number, line.error))
            return
        checked = check_submission(line.value)
        if not isinstance(checked, Submission):
            self._refuse(line.number, line.value, "; ".join(map(str, checked)))
            return
        submission, problem = self._with_references(checked)
        if problem is not None:
            self._refuse(line.number, line.value, problem)
            return
        if any(key in self._page_keys for key in submission.after):
            self.flush()
        self._page.append((line.number, submission))
        if submission.custom_id:
            self._page_keys.add(submission.custom_id)
        if len(self._page) >= PAGE_LINES:
            self.flush()

    def flush(self) -> None:
        """Insert the page: its dependencies are in the database already, or nowhere."""
        if rows := self.take_page():
            self._insert(rows)

    def take_page(self) -> list[tuple[int, NewTask]]:
        """The rows of the page, which is empty then; lines without their dependencies are
        refused."""
        page, self._page, self._page_keys = self._page, [], set()
        known = _known_parents({key for _, submission in page for key in submission.after})
        rows: list[tuple[int, NewTask]] = []
        for number, submission in page:
            missing = [key for key in submission.after if key not in known]
            if missing:
                self._refuse_missing(number, submission, missing[0])
            else:
                rows.append((number, self._row(submission, known)))
        return rows

    def _insert(self, rows: list[tuple[int, NewTask]]) -> None:
        try:
            ids = Task.submit([task for _, task in rows])
        except (psycopg2.DataError, psycopg2.IntegrityError) as error:
            if len(rows) == 1:
                message = f"line: the database refuses it ({_first_line(error)})"
                self.report.rejected.append(RejectedLine(rows[0][0], message))
                return
            for row in rows:
                self._insert([row])
            return
        for submitted in filter(None, ids):
            with span("submit", submitted):
                pass
        self.report.ids += filter(None, ids)
        inserted = zip(rows, ids, strict=True)
        keys = [task.idempotency_key for (_, task), task_id in inserted if task_id is None]
        self.report.duplicates += len(keys)
        self.report.known_ids += task_views.ids_by_key([key for key in keys if key]).values()

    def _with_references(self, submission: Submission) -> tuple[Submission, str | None]:
        """Files made absolute; or what the line refers to and does not exist."""
        paths: list[str] = []
        for name in submission.files:
            path, problem = allowed_file(name, base=self.rules.base, roots=self.rules.file_roots)
            if path is None:
                return submission, problem
            paths.append(str(path))
        problem = (
            self._unknown_expert(submission)
            or self._unknown_backend(submission)
            or self._unknown_model(submission)
        )
        metadata = dict(submission.metadata)
        if paths:
            metadata["file_paths"] = paths
        if submission.backend:
            metadata.setdefault("preferred_source", submission.backend)
        return replace(submission, files=tuple(paths), metadata=metadata), problem

    def _unknown_expert(self, submission: Submission) -> str | None:
        if submission.expert is None:
            return None
        expert = self.experts.get(submission.expert.casefold())
        if expert is None:
            names = [known.name for known in self.experts.values()]
            return f"expert: {submission.expert!r} is unknown; {near(submission.expert, names)}"
        if not expert.active:
            return f"expert: {submission.expert!r} is not active; name another one"
        return None

    def _unknown_backend(self, submission: Submission) -> str | None:
        if submission.backend is None or submission.backend in self.rules.backends:
            return None
        hint = near(submission.backend, self.rules.backends)
        return f"backend: {submission.backend!r} is not configured; {hint}"

    def _unknown_model(self, submission: Submission) -> str | None:
        if submission.model is None or self.rules.models is None:
            return None
        if self._known_models is None:
            self._known_models = self.rules.models()
        return unknown_model(submission.model, submission.backend, self._known_models)

    def _row(self, submission: Submission, known: dict[str, str]) -> NewTask:
        expert = self.experts[submission.expert.casefold()].id if submission.expert else None
        return NewTask(
            title=submission.title,
            description=submission.description,
            priority=submission.priority.value,
            category=submission.category.value if submission.category else None,
            assignee_expert_id=expert,
            metadata=submission.metadata,
            idempotency_key=submission.custom_id,
            after=tuple(dict.fromkeys(known[key] for key in submission.after)),
        )

    def _refuse(self, number: int, value: object, error: str) -> None:
        self.report.rejected.append(RejectedLine(number, error))
        key = value.get("custom_id") if isinstance(value, dict) else None
        if isinstance(key, str):
            self._refused_keys.setdefault(key, number)

    def _refuse_missing(self, number: int, submission: Submission, key: str) -> None:
        if key in self._refused_keys:
            why = f"stands in line {self._refused_keys[key]}, which was refused"
        else:
            why = "stands neither earlier in the file nor in the database; put its line first"
        self._refuse(number, {"custom_id": submission.custom_id}, f"after: {key!r} {why}")


def _experts() -> dict[str, _Known]:
    """By folded name."""
    rows = Expert.select(Expert.id, Expert.name, Expert.is_active).where(Expert.name.is_null(False))
    known = [_Known(str(row.id), str(row.name), row.is_active is not False) for row in rows]
    return {expert.name.casefold(): expert for expert in known}


def _known_parents(keys: set[str]) -> dict[str, str]:
    """Task id by what ``after`` names: a custom_id, or a whole task id."""
    if not keys:
        return {}
    known = task_views.ids_by_key(sorted(keys))
    whole = sorted(key for key in keys - set(known) if is_whole(key))
    if whole:
        existing = task_views.statuses_of([key.lower() for key in whole])
        known |= {key: key.lower() for key in whole if key.lower() in existing}
    return known


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
