"""Gives every unassigned row an expert, a category and a preferred source."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from jobs.policy import metadata
from jobs.policy.assignment import AssignTask, ExpertView, assign
from jobs.policy.complexity import Assessment, assess
from models import backlog, decision
from models.base import Row
from models.database import database, session
from models.decision import NewDecision
from models.expert import Expert
from models.task import Task

logger = logging.getLogger(__name__)

PAGE = 500


def assign_all() -> int:
    """Assign what waits without an expert, a page at a time; how many rows found one."""
    assigned = 0
    with session():
        _classify_chosen()
        while page := backlog.unassigned(PAGE):
            done = _assign_page(page)
            assigned += done
            if done < PAGE:
                break
    if assigned:
        logger.info("assigned tasks=%d", assigned)
    return assigned


def _assign_page(page: Sequence[Row]) -> int:
    experts = [_view(expert) for expert in Expert.active()]
    loads = Expert.open_tasks()
    decisions: list[NewDecision] = []
    assigned = 0
    with database.atomic():
        for row in page:
            line = _assign_row(row, experts, loads)
            decisions += line
            assigned += bool(line)
        decision.record(decisions)
    return assigned


def _assign_row(
    row: Row, experts: Sequence[ExpertView], loads: dict[str, int]
) -> list[NewDecision]:
    options = metadata.read(row["metadata"])
    if options.problems:
        problems = "; ".join(str(problem) for problem in options.problems)
        if any(problem.field == "category" for problem in options.problems):
            Task.refuse(row["id"], error=f"invalid metadata: {problems}")
            return [NewDecision(row["id"], "assign", None, f"refused: {problems}")]
    assessed = _assess(row)
    chosen = assign(
        AssignTask(
            title=row["title"] or "",
            description=row["description"] or "",
            category=assessed.category,
            assignee_hint=options.assignee_hint,
            preferred_source=options.preferred_source,
        ),
        experts,
        loads=loads,
    )
    if chosen.expert_id is None:
        return []
    Task.assign(
        row["id"],
        expert_id=chosen.expert_id,
        category=assessed.category.value,
        complexity=assessed.complexity,
        source=chosen.preferred_source,
    )
    loads[chosen.expert_id] = loads.get(chosen.expert_id, 0) + 1
    name = next(expert.name for expert in experts if expert.id == chosen.expert_id)
    rejected = [{"option": other.option, "reason": other.reason} for other in chosen.rejected]
    reason = f"{chosen.reason}; {assessed.category.value}: {assessed.reason}"
    return [NewDecision(row["id"], "assign", name, reason, rejected)]


def _classify_chosen() -> None:
    """Rows whose creator chose the expert still need a category and a complexity."""
    for row in backlog.unclassified(PAGE):
        assessed = _assess(row)
        Task.classify(row["id"], category=assessed.category.value, complexity=assessed.complexity)


def _assess(row: Row) -> Assessment:
    given = row["metadata"] if isinstance(row["metadata"], dict) else {}
    if row["category"]:
        given = {**given, "category": row["category"]}
    return assess(
        row["title"] or "",
        row["description"] or "",
        given,
        has_dependencies=row["has_dependencies"],
    )


def _view(expert: Expert) -> ExpertView:
    return ExpertView(
        id=str(expert.id),
        name=expert.name or str(expert.id),
        role=expert.role or "",
        department=expert.department or "",
        active=expert.is_active is not False,
    )
