from __future__ import annotations

from datetime import UTC, datetime

from console.operations.connections import Connections
from console.operations.watching import Look, look
from jobs.settings.load import from_environment
from models.base import fetch_all
from models.database import database, session
from tests.integration.cli.command_line import Kos


def now_look(held: str = "") -> Look:
    connections = Connections(from_environment())
    try:
        if held:
            assert connections.slots.acquire("mlx", held, limit=4).granted
        connections.use_database()
        with session():
            return look(connections, now=datetime.now(UTC))
    finally:
        connections.close()


def test_in_flight_are_held_slots_and_not_the_hand(kos: Kos) -> None:
    kos.submit({"description": "one"}, {"description": "two"})
    with session():
        database.execute_sql("UPDATE tasks SET status = 'queued', backend = 'mlx'")

    lane = next(lane for lane in now_look("task:1").lanes if lane.backend == "mlx")

    assert lane.in_flight == 1


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
