from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from console.operations.connections import Connections
from console.operations.slowness import BETWEEN_TRIES
from console.operations.watching import Look, look
from console.web.figures.overview import Overviews
from jobs.queues.names import HEALTH
from jobs.settings.load import from_environment
from models.base import fetch_all
from models.database import database, session
from models.pool import BoundedPool
from tests.integration.cli.command_line import Kos


def now_look() -> Look:
    connections = Connections(from_environment())
    try:
        connections.use_database()
        with session():
            return look(connections, now=datetime.now(UTC))
    finally:
        connections.close()


def test_what_runs_is_one_number_however_many_slots_wait_for_their_task(kos: Kos) -> None:
    first, _ = kos.submit({"description": "one"}, {"description": "two"})["ids"]
    with session():
        database.execute_sql("UPDATE tasks SET status = 'queued', backend = 'mlx'")
        database.execute_sql("UPDATE tasks SET status = 'in_progress' WHERE id = %s", (first,))

    connections = Connections(from_environment())
    try:
        for holder in ("task:1", "task:2"):
            assert connections.slots.acquire("mlx", holder, limit=4).granted
        found = now_look()
        page = Overviews(connections.settings, connections.redis).fresh()
    finally:
        connections.close()

    by_command = [lane.running for lane in found.lanes if lane.backend == "mlx"]
    by_page = [lane.running_now for lane in page.lanes if lane.backend == "mlx"]
    assert by_command == by_page == [1]
    assert found.counts["in_progress"] == page.counts["in_progress"] == len(found.running) == 1


def test_the_present_block_is_the_one_in_flight_however_old_the_others(kos: Kos) -> None:
    new = kos.submit({"description": "one"}, {"description": "two"})["ids"]
    with session():
        fetch_all(
            """
            INSERT INTO kos_blocks (plan_id, backend, model, heavy, lane_order, task_ids, policy,
              reason, created_at)
            SELECT gen_random_uuid(), 'mlx', model, false, lane, ARRAY[%s::uuid], 'fifo', '', at
            FROM (VALUES ('later', 2, now() - interval '2 min'),
              ('next', 1, now() - interval '1 min'), ('present', 3, now()))
              AS given(model, lane, at)
            """,
            (new[1],),
        )
        database.execute_sql(
            "UPDATE tasks SET status = 'in_progress', backend = 'mlx', progress = %s, "
            "block_id = (SELECT id FROM kos_blocks WHERE model = 'present') WHERE id = %s",
            ('{"phase": "decoding", "tokens": 7}', new[0]),
        )

    found = now_look()

    lane = next(lane for lane in found.lanes if lane.backend == "mlx")
    assert (lane.present.split()[0], lane.following.split()[0]) == ("present", "next")
    assert [(one.progress.phase, one.progress.tokens) for one in found.running] == [("decoding", 7)]


def test_a_look_executes_each_statement_once(kos: Kos, monkeypatch: pytest.MonkeyPatch) -> None:
    kos.submit({"description": "one"})
    executed: Counter[tuple[str, str]] = Counter()
    execute = BoundedPool.execute_sql

    def counted(self: BoundedPool, sql: str, parameters: Any = None) -> Any:
        if sql.lstrip().startswith(("SELECT", "WITH")):
            executed[sql, str(parameters)] += 1
        return execute(self, sql, parameters)

    monkeypatch.setattr(BoundedPool, "execute_sql", counted)

    now_look()

    assert [sql for (sql, _), n in executed.items() if n > 1] == []


def test_the_command_and_the_page_name_the_same_cause(kos: Kos) -> None:
    with session():
        fetch_all(
            "INSERT INTO tasks (description, status, attempt_count, next_attempt_at) "
            "SELECT 'd', 'pending', 1, now() + interval '1 hour' "
            "FROM generate_series(1, 1200) RETURNING 1"
        )
    connections = Connections(from_environment())
    try:
        report = {"at": 0, "checks": [{"name": "disk", "ok": True}]}
        connections.redis.set(HEALTH, json.dumps(report))
        connections.use_database()
        with session():
            by_command = look(connections, now=datetime.now(UTC)).verdict.cause
        by_page = Overviews(connections.settings, connections.redis).fresh().verdict.cause
    finally:
        connections.close()

    assert by_command is not None
    assert by_command.what == BETWEEN_TRIES
    assert by_command == by_page
