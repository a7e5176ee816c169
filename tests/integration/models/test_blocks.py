"""Blocks of the plan in force, and what is left of those that a newer plan replaced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models import block, decision
from models.base import fetch_all
from models.block import BlockRoute, NewBlock
from models.task import NewTask, Task

pytestmark = pytest.mark.usefixtures("database_here")


def submit(count: int) -> list[str]:
    ids = Task.submit([NewTask(f"T{n}", "D") for n in range(count)])
    return [task_id for task_id in ids if task_id is not None]


def planned(backend: str, task_ids: list[str]) -> NewBlock:
    routes, of_each = (BlockRoute("it fits"),), (0,) * len(task_ids)
    return NewBlock(backend, "m", 0, False, tuple(task_ids), "r", routes, of_each)


def plan(*blocks: NewBlock) -> None:
    block.replace_plan(blocks, policy="reload_aware")


def send(block_id: str, count: int) -> list[tuple[str, int]]:
    return Task.queue(block_id, count, reason="a slot was free")


def remaining() -> dict[str, int]:
    return {row.backend: row.remaining for row in block.open_blocks()}


def test_a_task_given_back_stands_where_it_stood_in_its_block() -> None:
    ids = submit(3)
    plan(planned("ollama", ids))
    (opened,) = block.open_blocks()
    sent = send(opened.id, 3)

    Task.give_back(*sent[1])

    assert remaining() == {"ollama": 2}
    assert [task_id for task_id, _ in send(opened.id, 1)] == [ids[1]]


@pytest.mark.parametrize("sent_before", [1, 4])
def test_a_task_given_back_does_not_bring_back_a_plan_that_was_replaced(sent_before: int) -> None:
    ids = submit(4)
    plan(planned("ollama", ids))
    sent = send(block.open_blocks()[0].id, sent_before)
    plan(planned("mlx", ids[1:]))

    assert Task.give_back(*sent[0])

    assert {name: n for name, n in remaining().items() if n} == {"mlx": 3}


def test_of_a_plan_that_was_replaced_only_what_was_sent_is_kept() -> None:
    ids = submit(6)
    plan(planned("ollama", ids[:3]), planned("mlx", ids[3:]))
    begun = next(row for row in block.open_blocks() if row.backend == "ollama")
    send(begun.id, 1)

    plan(planned("mlx", ids[1:]))

    rows = fetch_all(
        "SELECT backend, state, task_ids::text[], routes FROM kos_blocks ORDER BY state"
    )
    assert [(row["backend"], row["state"]) for row in rows] == [
        ("ollama", "done"),
        ("mlx", "planned"),
    ]
    assert rows[0]["task_ids"] == ids[:1]
    assert rows[0]["routes"] == []


def test_a_replaced_block_is_shown_while_its_tasks_run() -> None:
    ids = submit(3)
    plan(planned("ollama", ids))
    send(block.open_blocks()[0].id, 2)

    plan()

    (shown,) = block.open_blocks()
    assert (shown.remaining, shown.in_flight) == (0, 2)


def test_open_blocks_are_found_without_reading_the_closed_ones() -> None:
    plan(planned("ollama", submit(3)))
    fetch_all(
        "INSERT INTO kos_blocks (plan_id, backend, model, lane_order, task_ids, policy, reason, "
        "state, started_at) SELECT gen_random_uuid(), 'ollama', 'm', 0, '{}', 'p', 'r', 'done', "
        "now() FROM generate_series(1, 5000) RETURNING 1"
    )
    fetch_all("ANALYZE kos_blocks")

    rows = fetch_all(f"EXPLAIN {block.OPEN}", {"most": 0})
    steps = "\n".join(row["QUERY PLAN"] for row in rows)

    assert "Index Scan" in steps
    assert "Seq Scan on kos_blocks" not in steps


class TestABlockWithGroups:
    def test_sends_the_chosen_tasks_and_keeps_the_others_in_their_order(self) -> None:
        ids = submit(5)
        routes = tuple(BlockRoute(f"reason {number}") for number in range(5))
        plan(
            replace(
                planned("llama", ids),
                routes=routes,
                route_of=tuple(range(5)),
                groups=tuple(range(5)),
            )
        )
        opened = block.open_blocks()[0].id
        send(opened, 1)

        sent = Task.queue(opened, 2, reason="a slot was free", chosen=(3, 1))

        assert [task_id for task_id, _ in sent] == [ids[4], ids[2]]
        assert [decision.of_task(i)[0].reason for i, _ in sent] == ["reason 4", "reason 2"]
        (shown,) = block.open_blocks(groups=9)
        assert (shown.remaining, shown.waiting_groups) == (2, [1, 3])
        assert sorted(shown.running_groups) == [0, 2, 4]
        assert [task_id for task_id, _ in send(opened, 2)] == [ids[1], ids[3]]

    def test_takes_a_chosen_task_back_to_the_place_from_which_it_was_sent(self) -> None:
        ids = submit(3)
        plan(replace(planned("llama", ids), groups=(7, 8, 9)))
        opened = block.open_blocks()[0].id
        (sent,) = Task.queue(opened, 1, reason="a slot was free", chosen=(2,))

        Task.give_back(*sent)

        assert block.open_blocks(groups=2)[0].waiting_groups == [9, 7]

    def test_says_what_runs_after_a_newer_plan_has_replaced_it(self) -> None:
        ids = submit(3)
        plan(replace(planned("llama", ids), groups=(7, 8, 9)))
        Task.queue(block.open_blocks()[0].id, 1, reason="a slot was free", chosen=(1,))

        plan(replace(planned("llama", [ids[0], ids[2]]), groups=(7, 9)))

        found = [(row.waiting_groups, row.running_groups) for row in block.open_blocks(groups=9)]
        assert found == [([], [8]), ([7, 9], [])]


def test_each_task_is_sent_with_the_reason_of_its_group() -> None:
    ids = submit(3)
    routes = (BlockRoute("soonest"), BlockRoute("urgent", [{"option": "mlx/m", "reason": "full"}]))
    plan(NewBlock("ollama", "m", 0, False, tuple(ids), "r", routes, (1, 0, 0)))
    opened = block.open_blocks()[0].id
    send(opened, 1)

    send(opened, 2)

    lines = [[(d.stage, d.chosen, d.reason) for d in decision.of_task(i)] for i in ids]
    sent = ("plan", "ollama/m", "a slot was free")
    assert lines == [
        [("route", "ollama/m", "urgent"), sent],
        [("route", "ollama/m", "soonest"), sent],
        [("route", "ollama/m", "soonest"), sent],
    ]
    assert decision.of_task(ids[0])[0].rejected == [{"option": "mlx/m", "reason": "full"}]
    assert len(fetch_all("SELECT jsonb_array_elements(routes) FROM kos_blocks")) == len(routes)


def test_a_row_that_may_not_run_any_more_is_passed_over() -> None:
    ids = submit(3)
    plan(planned("ollama", ids))
    Task.cancel([ids[0]])

    sent = send(block.open_blocks()[0].id, 2)

    assert [task_id for task_id, _ in sent] == [ids[1]]
    assert remaining() == {"ollama": 1}
