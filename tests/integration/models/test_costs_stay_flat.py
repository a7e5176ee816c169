"""What a plan, a task and a first screen cost does not grow with the backlog.

Buffers that each statement touches are compared, not seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models import (
    attempt,
    backlog,
    block,
    counts,
    decision,
    model_loads,
    orphans,
    task_figures,
    task_views,
)
from models.block import BlockRoute, NewBlock
from models.bounded_connection import statement_limit
from models.database import database
from models.decision import NewDecision
from models.expert import Expert
from models.pool import BoundedPool
from models.task import Assigned, Ending, Task
from models.task_filter import TaskFilter
from models.task_views import facets, listing, newest_ids, one

pytestmark = pytest.mark.usefixtures("database_here")

FEW, MANY = 1_000, 100_000
PAGE = 100
FACETED = 25
SLACK = 2.0
"""An index of more rows is a level deeper."""
EXPLAINED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")

# Of twenty rows one has ended, and one waits for a time to come.
ROWS = """
INSERT INTO tasks (title, description, status, category, priority, complexity, assignee_expert_id,
  created_at, completed_at, next_attempt_at)
SELECT 't', 'd', CASE n %% 20 WHEN 7 THEN 'completed' ELSE 'pending' END,
  (ARRAY['coding', 'fast', 'general'])[n %% 3 + 1], 'medium', 0.5,
  CASE WHEN n %% 4 > 0 THEN e.ids[n %% 2 + 1] END,
  now() - n * interval '1 second', CASE n %% 20 WHEN 7 THEN now() END,
  CASE WHEN n <= 50 THEN now() + interval '1 hour' END
FROM generate_series(%(first)s, %(last)s) n, (SELECT array_agg(id) AS ids FROM experts) e
"""


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Buffers that each statement touched, by its text."""
    touched: dict[str, int] = {}
    execute = type(database).execute_sql

    def explained(self: BoundedPool, sql: str, parameters: Any = None) -> Any:
        if sql.split()[0].upper() in EXPLAINED:
            with self.atomic() as look:
                plan = execute(self, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
                ((((document,),),)) = plan.fetchall()
                look.rollback()
            top: Mapping[str, int] = document["Plan"]
            touched[sql] = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
        return execute(self, sql, parameters)

    monkeypatch.setattr(type(database), "execute_sql", explained)
    return touched


def fill(first: int, last: int) -> None:
    with statement_limit(60):
        database.cursor().execute(ROWS, {"first": first, "last": last})
        database.cursor().execute("VACUUM (ANALYZE) tasks")
    counts.fold()


def read_for_a_plan() -> None:
    backlog.window(PAGE)
    backlog.unassigned(PAGE)
    backlog.unclassified(PAGE)
    backlog.unassigned(PAGE, only_soonest=True)
    backlog.unclassified(PAGE, only_soonest=True)
    backlog.in_flight()
    backlog.next_due_times()
    backlog.window_of_all_kinds(PAGE, least=10)
    block.open_blocks()
    counts.fold()
    Expert.roster()
    Expert.open_tasks()


def read_for_a_first_screen() -> None:
    now = datetime.now(UTC)
    counts.by_status()
    task_figures.pending_groups()
    attempt.by_minute(now - timedelta(hours=1))
    attempt.completed_between(now - timedelta(minutes=1), now)
    model_loads.of_last_day()
    task_figures.running(50)
    task_figures.running_since()
    task_figures.running_leases()
    task_figures.queued_by_backend()
    task_figures.oldest_pending()
    task_figures.oldest_untried_seconds()
    task_figures.since_last_moves()
    Expert.overview()
    listing()
    listing(TaskFilter(statuses=("failed",)), limit=20)
    listing(TaskFilter(search="nowhere"))
    facets(newest_ids(TaskFilter(statuses=("pending",)), limit=FACETED), ["priority"])


def run_a_task() -> None:
    """From a row without an expert to its outcome, and what recovery looks for meanwhile."""
    (row,) = backlog.unassigned(1)
    task_id, expert = row.id, str(Expert.roster()[0].id)
    Task.assign([Assigned(task_id, expert, "fast", 0.5)])
    decision.record([NewDecision(task_id, "assign", "Anna", "it fits")])
    block.replace_plan(
        [NewBlock("b", "m", 0, False, (task_id,), "r", (BlockRoute("r"),), (0,))], policy="fifo"
    )
    ((_, epoch),) = Task.queue(block.open_blocks()[0].id, 1, reason="a slot was free")
    Task.claim(task_id, epoch, owner="o", lease_seconds=60)
    Task.heartbeat("o", [(task_id, epoch, {})], lease_seconds=60)
    Task.held_leases("o", [task_id])
    orphans.return_expired()
    orphans.return_without_message([], grace_seconds=60)
    orphans.finish_cancels()
    Task.complete(task_id, epoch, Ending(), result="r", score=1.0)
    one(task_id)
    decision.of_task(task_id)


def test_no_statement_of_a_plan_a_task_or_a_first_screen_touches_more_of_a_long_backlog(
    buffers: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bounds below the short backlog: what is bounded is then as full there as in the long one.
    monkeypatch.setattr(counts, "MOST_DELAYED", 40)
    monkeypatch.setattr(task_views, "SEARCHED_FIRST", (200, 400))
    work = (read_for_a_plan, read_for_a_first_screen, run_a_task)
    fill(1, FEW)
    for part in work:
        part()
    short = dict(buffers)
    buffers.clear()
    fill(FEW + 1, MANY)
    for part in work:
        part()

    grown = {
        sql: (short[sql], buffers[sql]) for sql in short if buffers[sql] > short[sql] * SLACK + PAGE
    }
    assert len(short) > 35
    assert not grown
