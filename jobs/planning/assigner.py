"""Gives unassigned rows an expert, a category and a preferred source, a page at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import peewee

from jobs.planning.roster import Roster
from jobs.policy import metadata
from jobs.policy.assignment import Assignment, AssignTask, assign
from jobs.policy.complexity import Assessment, assess
from jobs.policy.fields import literal
from jobs.policy.metadata import TaskOptions
from jobs.policy.team import Team
from models import backlog, decision, project
from models.database import FAULTS_OF_ROWS, database, session
from models.decision import NewDecision
from models.project import NO_DEFAULTS, Defaults
from models.states import Priority
from models.task import Assigned, Task
from models.task_rows import UnassignedTask

logger = logging.getLogger(__name__)

PAGE = 500
REST_SHARE = 20.0
"""A rest takes this times as long as the page before it."""
PRIORITIES = frozenset({None, *Priority})


class Assigner:
    """Owned by a control process; its threads may call it at once.

    Assignment takes the processor from dispatching. So while tasks run and the plan has rows enough
    (``fed``), it rests between two pages, and a million rows do not slow down the tasks before
    them. Urgent and high rows are assigned at once all the same.
    """

    def __init__(self, roster: Roster, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._roster = roster
        self._clock = clock
        self._turn = threading.Lock()
        self._rests_until = float("-inf")
        self._has_more = False

    def assign_new(self, *, fed: bool) -> None:
        """Assign a page of what came in."""
        with self._turn:
            self._page(only_soonest=fed and self._rests())

    def go_on(self, *, fed: bool) -> bool:
        """Assign a further page after a rest, or say that the next one shall follow at once."""
        if not self._has_more or not fed:
            return self._has_more
        # A thread that works on a page rests afterwards for all of them.
        if not self._rests() and self._turn.acquire(blocking=False):
            try:
                self._page(only_soonest=False)
            finally:
                self._turn.release()
        return False

    def _rests(self) -> bool:
        return self._clock() < self._rests_until

    def _page(self, *, only_soonest: bool) -> None:
        began = self._clock()
        more = assign_page(self._roster, only_soonest=only_soonest)
        if not only_soonest:
            ended = self._clock()
            self._has_more, self._rests_until = more, ended + REST_SHARE * (ended - began)


def assign_page(roster: Roster, *, only_soonest: bool = False) -> bool:
    """Assign up to a page of rows; True where more may wait. One thread at a time: two would read
    the same page, and choose the same expert with the fewest tasks."""
    with session():
        waiting = backlog.unassigned(PAGE, only_soonest=only_soonest)
        chosen = backlog.unclassified(PAGE, only_soonest=only_soonest)
        assigned = bool(waiting) and _assign(waiting, roster.team())
        if chosen:
            _classify(chosen)
    return (assigned and len(waiting) == PAGE) or len(chosen) == PAGE


def _assign(rows: Sequence[UnassignedTask], team: Team) -> bool:
    """Assign ``rows``; False where there is no expert, so that another page would not help
    either."""
    if not team:
        logger.warning("nobody_to_assign: no expert is active; add some with `kos experts add`")
        return False
    assignments: list[Assigned] = []
    reasons: dict[str, NewDecision] = {}
    for row, options, defaults in _read(rows):
        if _refused(row, options):
            continue
        assessed = _assess(row)
        choice = assign(_task(row, options, assessed, defaults), team)
        if choice.expert_id is None:
            logger.warning("not_assigned task=%s: %s", row.id, choice.reason)
            continue
        # The next row of this page must see this load, which Postgres has not counted yet.
        team.add_load(choice.expert_id)
        assignments.append(_assigned(row, assessed, choice))
        reasons[row.id] = _why(row, team.expert(choice.expert_id).name, options, assessed, choice)
    _write(assignments, reasons)
    return True


def _classify(rows: Sequence[UnassignedTask]) -> None:
    """Rows whose creator chose the expert still need a category and a complexity."""
    assignments: list[Assigned] = []
    reasons: dict[str, NewDecision] = {}
    for row, options, defaults in _read(rows):
        if _refused(row, options):
            continue
        assessed = _assess(row)
        category, complexity = assessed.category.value, assessed.complexity
        assignments.append(Assigned(row.id, None, category, complexity, defaults.backend))
        reason = f"its creator chose the expert; {assessed.reason}"
        reason += _left_out(row, options)
        if row.expert is None:
            reason += "; assignee_expert_id names no expert, so the task runs without a persona"
        reasons[row.id] = NewDecision(row.id, "assign", row.expert, reason)
    _write(assignments, reasons)


def _read(
    rows: Sequence[UnassignedTask],
) -> list[tuple[UnassignedTask, TaskOptions, Defaults]]:
    """Each row with its options and with the defaults of its project."""
    read = [(row, metadata.read(row.metadata)) for row in rows]
    known = project.defaults({options.project for _, options in read if options.project})
    return [(row, options, known.get(options.project or "", NO_DEFAULTS)) for row, options in read]


def _write(assignments: Sequence[Assigned], reasons: dict[str, NewDecision]) -> None:
    """Write all rows in one statement. If a row makes it fail, write them one by one, so that only
    that row fails."""
    try:
        moved = Task.assign(assignments, [reasons[one.id] for one in assignments])
    except FAULTS_OF_ROWS as error:
        if len(assignments) == 1:
            _cannot_be_written(assignments[0].id, str(error).strip().splitlines()[0])
        # Where one row fails in a bulk statement, Postgres does not say which one.
        for one in assignments if len(assignments) > 1 else ():
            _write([one], reasons)
        return
    if moved:
        logger.info("assigned tasks=%d", len(moved))


def _cannot_be_written(task_id: str, fault: str) -> None:
    """Refuse a row that Postgres does not accept, because of a constraint or a trigger of the
    site."""
    logger.warning("not_assigned task=%s: %s", task_id, fault)
    try:
        with database.atomic():
            backlog.refuse({task_id: f"cannot be assigned: {fault}"})
    except peewee.DatabaseError as error:
        logger.warning("not_refused task=%s: %s", task_id, error)


def _refused(row: UnassignedTask, options: TaskOptions) -> bool:
    """Refuse a row with a misspelled category: it would run as another kind of task.

    Programs of a site may use ``metadata.category`` for words of their own. Those are ignored, and
    the text decides. The column ``category`` is ours and accepts our words only.
    """
    column = metadata.read({"category": row.category or None}).problems
    theirs = [p for p in options.problems if p.field == "category" and not p.foreign]
    if not column and not theirs:
        return False
    where = "invalid metadata: " if theirs else ""
    reason = where + "; ".join(map(str, theirs or column))
    Task.refuse(row.id, error=reason)
    decision.record([NewDecision(row.id, "assign", None, f"refused: {reason}")])
    return True


def _left_out(row: UnassignedTask, options: TaskOptions) -> str:
    """What was ignored in a row, as the end of a reason."""
    left = [f"left out of metadata: {'; '.join(map(str, options.problems))}"]
    notes = left if options.problems else []
    if row.priority not in PRIORITIES:
        notes.append(f"priority: {literal(row.priority)} is unknown and counts as medium")
    if row.unknown_parents:
        notes.append(f"depends_on_id: {row.unknown_parents[0]} is no task, so it is not waited for")
    return "".join(f"; {line}" for line in notes)


def _task(
    row: UnassignedTask, options: TaskOptions, assessed: Assessment, defaults: Defaults
) -> AssignTask:
    return AssignTask(
        title=row.title or "",
        description=row.description or "",
        domain=row.domain,
        category=assessed.category,
        assignee_hint=options.assignee_hint,
        preferred_source=options.preferred_source,
        default_expert=defaults.expert,
        default_source=defaults.backend,
    )


def _assigned(row: UnassignedTask, assessed: Assessment, choice: Assignment) -> Assigned:
    return Assigned(
        id=row.id,
        expert_id=choice.expert_id,
        category=assessed.category.value,
        complexity=assessed.complexity,
        source=choice.preferred_source,
    )


def _why(
    row: UnassignedTask, name: str, options: TaskOptions, assessed: Assessment, choice: Assignment
) -> NewDecision:
    rejected = [{"option": other.option, "reason": other.reason} for other in choice.rejected]
    reason = f"{choice.reason}; {assessed.reason}"
    return NewDecision(row.id, "assign", name, reason + _left_out(row, options), rejected)


def _assess(row: UnassignedTask) -> Assessment:
    known = row.metadata if isinstance(row.metadata, dict) else {}
    if row.category:
        known = {**known, "category": row.category}
    return assess(
        row.title or "",
        row.description or "",
        known,
        has_dependencies=row.has_dependencies,
    )
