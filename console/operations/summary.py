"""What became of a set of tasks, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.base import Row, fetch_all


@dataclass(frozen=True, slots=True)
class Summary:
    """``rows`` count tasks by status, backend and model, with tokens and model loads."""

    rows: list[Row]
    failures: list[Row]
    blocks: int

    @property
    def loads(self) -> int:
        return sum(row["loads"] or 0 for row in self.rows)

    @property
    def models(self) -> int:
        return len({(row["backend"], row["model"]) for row in self.rows if row["model"]})


def summarise(task_ids: Sequence[str]) -> Summary:
    """Needs an open session."""
    ids = (list(task_ids),)
    rows = fetch_all(
        """
        SELECT t.status, t.backend, t.model, count(DISTINCT t.id) AS tasks,
          sum(a.completion_tokens) AS tokens,
          count(*) FILTER (WHERE a.load_seconds > 0.01) AS loads
        FROM tasks t LEFT JOIN kos_attempts a ON a.task_id = t.id
        WHERE t.id = ANY(%s::uuid[]) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        ids,
    )
    failures = fetch_all(
        "SELECT title, last_error FROM tasks WHERE id = ANY(%s::uuid[]) AND status = 'failed' "
        "ORDER BY created_at LIMIT 20",
        ids,
    )
    blocks = fetch_all(
        "SELECT count(DISTINCT block_id) AS n FROM kos_attempts WHERE task_id = ANY(%s::uuid[])",
        ids,
    )
    return Summary(rows=rows, failures=failures, blocks=blocks[0]["n"])
