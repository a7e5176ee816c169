"""What assigning and planning read does not grow with the backlog: buffers touched, not seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from models import backlog, expert, task_figures
from models.base import Row, fetch_all
from models.expert import Expert
from models.waiting import patience

pytestmark = pytest.mark.usefixtures("database_here")

FEW, MANY = 1_000, 100_000
PAGE = 100
SLACK = 2.0
"""An index of more rows is a level deeper."""

ROWS = """
INSERT INTO tasks (title, description, status, category, priority, complexity, assignee_expert_id,
  created_at)
SELECT 't', 'd', 'pending', (ARRAY['coding', 'fast', 'general'])[n %% 3 + 1], 'medium', 0.5,
  CASE WHEN n %% 4 > 0 THEN (SELECT id FROM experts ORDER BY name OFFSET n %% 2 LIMIT 1) END,
  now() - n * interval '1 second'
FROM generate_series(1, %(rows)s) n
"""


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Buffers that each statement touched, by its text."""
    touched: dict[str, int] = {}

    def explained(sql: str, parameters: Any = ()) -> list[Row]:
        (row,) = fetch_all(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
        (document,) = row["QUERY PLAN"]
        top: Mapping[str, int] = document["Plan"]
        touched[sql] = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
        return fetch_all(sql, parameters)

    for module in (backlog, expert, task_figures):
        monkeypatch.setattr(module, "fetch_all", explained)
    return touched


def fill(rows: int) -> None:
    with patience(None):
        fetch_all("DELETE FROM tasks RETURNING id")
        fetch_all(ROWS + " RETURNING id", {"rows": rows})
        fetch_all("ANALYZE tasks; SELECT 1 AS one")


def read_the_path() -> None:
    backlog.window(PAGE)
    backlog.unassigned(PAGE)
    backlog.unclassified(PAGE)
    backlog.in_flight()
    Expert.open_tasks()
    backlog.window_of_all_kinds(PAGE, least=10)


def test_assigning_and_planning_touch_as_much_of_a_long_backlog_beyond_their_bounds(
    buffers: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bounds below the short backlog: what is bounded is then as full there as in the long one.
    monkeypatch.setattr(expert, "MOST_OPEN", 100)
    monkeypatch.setattr(backlog, "MOST_COUNTED", 100)
    fill(FEW)
    read_the_path()
    short = dict(buffers)
    buffers.clear()
    fill(MANY)
    read_the_path()

    grown = {
        sql: (short[sql], buffers[sql]) for sql in short if buffers[sql] > short[sql] * SLACK + PAGE
    }
    assert len(short) > 5
    assert not grown
