"""Schedules: list, add, change, run now. What a command or a page shows of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from console.operations.documents import fields_of
from console.operations.errors import InvalidInput, UnknownName, near
from console.operations.submission import Rules, problem_of
from console.operations.templates import MAX_NAME_CHARS
from jobs.policy.recurrence import Recurrence, RecurrenceError, plain_to_cron
from jobs.policy.templates import filled, variables
from jobs.upkeep import recurring
from models import schedule, template
from models.schedule import Schedule, ScheduleRun

NEXT_RUNS = 5
RUNS_SHOWN = 20
KEEP = 1000
MOST_KEPT = 1_000_000
OWN_VARIABLES = ("date", "time", "last_result")
DEFAULTS: dict[str, Any] = {
    "zone": "UTC",
    "template": None,
    "variables": {},
    "catch_up": False,
    "keep": KEEP,
}


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run of a schedule, or a due time without one: ``outcome`` says which. ``status`` is that of
    its task; ``passed`` due times went by before it."""

    due_at: datetime
    outcome: str
    passed: int
    task_id: str | None
    status: str | None
    problem: str | None

    def in_words(self) -> str:
        """``completed``, ``failed: timeout``, ``missed (3 before it)``."""
        words = (self.status if self.outcome == "run" else self.outcome) or "deleted"
        words += f": {self.problem}" if self.problem else ""
        return words + (f" ({self.passed} before it)" if self.passed else "")


@dataclass(frozen=True, slots=True)
class ShownSchedule:
    """A schedule with its time in words and its next due times, in its zone. ``problem`` says why
    its time cannot be read."""

    name: str
    cron: str
    zone: str
    template: str | None
    catch_up: bool
    keep: int
    paused: bool
    words: str
    problem: str | None
    next: list[datetime]
    last: ShownRun | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDetails(ShownSchedule):
    """A schedule with the line of its task and its last runs, newest first."""

    task: dict[str, Any]
    runs: list[ShownRun]


def listed(*, now: datetime) -> list[ShownSchedule]:
    return [_shown(row, last, now) for row, last in schedule.listed()]


def details(name: str, *, now: datetime) -> ScheduleDetails:
    """One schedule with its task's line and its last runs. Raises UnknownName."""
    row = _row(name)
    runs = schedule.runs(row.id, limit=RUNS_SHOWN)
    return ScheduleDetails(
        **fields_of(_shown(row, runs[0] if runs else None, now)),
        task=recurring.line_of(row),
        runs=[_run(run) for run in runs],
    )


def add(name: str, values: dict[str, Any], *, rules: Rules, now: datetime) -> ScheduleDetails:
    """Add a schedule; ``values`` by column, and ``every`` for plain words in place of ``cron``.

    Raises:
        InvalidInput: the name is taken, or the time, the template or the task's line is wrong.
    """
    if not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidInput(f"name: write 1 to {MAX_NAME_CHARS} characters in one line")
    stored = _checked({**DEFAULTS, **_with_cron(values)}, rules, now)
    if not schedule.add(name, stored, now=now):
        raise InvalidInput(f"name: {name!r} is there already; `kos schedules edit` changes it")
    return details(name, now=now)


def edit(name: str, values: dict[str, Any], *, rules: Rules, now: datetime) -> ScheduleDetails:
    """Change what ``values`` names; a new time counts from ``now``. None removes a field of the
    task's line. Raises as :func:`add`."""
    row, changes = _row(name), _with_cron(values)
    if not changes:
        raise InvalidInput("nothing to change: name an option, such as --every")
    if "line" in changes:
        whole = {**row.line, **changes["line"]}
        changes["line"] = {name: value for name, value in whole.items() if value is not None}
    if changes.get("template"):
        changes["line"] = {k: v for k, v in row.line.items() if k != "description"}
    current = {column: getattr(row, column) for column in schedule.CHANGEABLE}
    _checked({**current, **changes}, rules, now)
    moved = {"cron", "zone"} & set(changes)
    schedule.change(name, changes, now=now if moved else None)
    return details(name, now=now)


def pause(name: str) -> None:
    """Due times pass without a run until :func:`resume`. Raises UnknownName."""
    _row(name)
    schedule.change(name, {"paused": True})


def resume(name: str, *, now: datetime) -> None:
    """Due times count from ``now`` again. Raises UnknownName."""
    if _row(name).paused:
        schedule.change(name, {"paused": False}, now=now)


def run(name: str, *, now: datetime) -> str:
    """Start one run now, besides the due times; the task's id. Raises InvalidInput."""
    task_id, problem = recurring.start_now(_row(name), now=now)
    if task_id is None:
        raise InvalidInput(f"{name}: {problem}")
    return task_id


def remove(name: str) -> None:
    """The schedule and the list of its runs; the tasks stay. Raises UnknownName."""
    _row(name)
    schedule.remove(name)


def _row(name: str) -> Schedule:
    row = schedule.get(name)
    if row is None:
        names = [known.name for known, _ in schedule.listed()]
        raise UnknownName(f"no schedule {name!r}: {near(name, names)}")
    return row


def _shown(row: Schedule, last: ScheduleRun | None, now: datetime) -> ShownSchedule:
    """A row whose time cannot be read (SQL wrote it) says so and hides no other."""
    recurrence, problem = recurring.recurrence_of(row), None
    times: list[datetime] = []
    words = row.cron
    try:
        times = [recurrence.local(at) for at in recurrence.next_times(now, NEXT_RUNS)]
        words = recurrence.words()
    except RecurrenceError as error:
        problem = str(error)
    return ShownSchedule(
        name=row.name,
        cron=row.cron,
        zone=row.zone,
        template=row.template,
        catch_up=row.catch_up,
        keep=row.keep,
        paused=row.paused,
        words=words,
        problem=problem,
        next=[] if row.paused else times,
        last=_run(last) if last else None,
    )


def _run(run: ScheduleRun) -> ShownRun:
    failed = run.status in {"failed", "cancelled"}
    problem = run.problem or (run.last_error if failed else None)
    return ShownRun(run.due_at, run.outcome, run.passed, run.task_id, run.status, problem)


def _with_cron(values: dict[str, Any]) -> dict[str, Any]:
    changes = dict(values)
    every = changes.pop("every", None)
    if every is not None:
        try:
            changes["cron"] = plain_to_cron(every)
        except RecurrenceError as error:
            raise InvalidInput(str(error)) from None
    return changes


def _checked(values: dict[str, Any], rules: Rules, now: datetime) -> dict[str, Any]:
    try:
        if not Recurrence(values["cron"], values["zone"]).next_times(now, 1):
            raise InvalidInput(f"cron: {values['cron']!r} never comes")
    except RecurrenceError as error:
        raise InvalidInput(str(error)) from None
    if not 1 <= values["keep"] <= MOST_KEPT:
        raise InvalidInput(f"keep: write a number from 1 to {MOST_KEPT}")
    _check_line(values, rules)
    return values


def _check_line(values: dict[str, Any], rules: Rules) -> None:
    name = values["template"]
    found = template.get(name) if name else None
    if name and found is None:
        names = [known.name for known in template.listed()]
        raise InvalidInput(f"template: {name!r} is unknown; {near(name, names)}")
    line = {**(found.line if found else {}), **values["line"]}
    known = {**dict.fromkeys(OWN_VARIABLES, "1"), **values["variables"]}
    missing = sorted(variables(line) - set(known))
    if missing:
        raise InvalidInput(f"no value for {', '.join(missing)}; write --var {missing[0]}=VALUE")
    if problem := problem_of(filled(line, known), rules=rules):
        raise InvalidInput(problem)
