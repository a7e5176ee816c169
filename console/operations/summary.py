"""What became of a set of tasks, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models import task_figures
from models.task_figures import EndedGroup, Failure

FAILURES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """``rows`` count tasks by status, backend and model, with tokens and model loads."""

    rows: list[EndedGroup]
    failures: list[Failure]
    blocks: int

    @property
    def loads(self) -> int:
        return sum(row.loads or 0 for row in self.rows)

    @property
    def models(self) -> int:
        return len({(row.backend, row.model) for row in self.rows if row.model})


def summarise(task_ids: Sequence[str]) -> Summary:
    """Needs an open session."""
    return Summary(
        rows=task_figures.ended_groups(task_ids),
        failures=task_figures.failures_among(task_ids, limit=FAILURES_SHOWN),
        blocks=task_figures.blocks_used(task_ids),
    )
