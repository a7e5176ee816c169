from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2

from models import batch, block
from models.base import fetch_all
from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import add_expert, complete, fail, rows


def test_waiting_for_what_has_ended_returns_at_once(kos: Kos, postgres_url: str) -> None:
    good, bad = kos.submit({"description": "a"}, {"description": "b"})["ids"]
    with rows(postgres_url):
        complete(good)
        fail(bad)

    assert kos("wait", good).code == 0
    assert kos("wait", good, bad).code == 1
    assert kos("wait", "--all").code == 1
    assert kos("wait", "--all", "--since", "2099-01-01").code == 0


def test_time_up_is_code_3_and_says_how_it_stands(kos: Kos) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]

    ran = kos("wait", task_id, "--timeout", "0.2", "--json")

    assert ran.code == 3
    assert ran.json == {"ended": False, "tasks": {"pending": 1}, "eta": None}


def test_waiting_is_silent_where_there_is_no_terminal(kos: Kos) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]

    ran = kos("wait", task_id, "--timeout", "0.1")

    assert ran.out == ""
    assert ran.err == "time is up: 1 pending\n"


def test_an_end_is_noticed(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    ended = threading.Event()

    def end_it() -> None:
        with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
            cursor.execute("UPDATE tasks SET status = 'completed' WHERE id = %s", (task_id,))
        ended.set()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(end_it)
        ran = kos("wait", task_id, "--timeout", "30")

    assert ended.is_set()
    assert ran.code == 0


def test_an_unknown_id_is_wrong_input(kos: Kos) -> None:
    assert kos("wait", "no-such-task").code == 2


def test_submit_and_wait_shows_the_answer(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a", "custom_id": "k"})["ids"]
    with rows(postgres_url):
        complete(task_id, result="42")

    ran = kos("submit", "a", "--key", "k", "--wait")
    document = kos("submit", "a", "--key", "k", "--wait", "--json").json

    assert ran.code == 0
    assert ran.out == f"there already: {task_id}\n42\n"
    assert document["duplicates"] == 1
    assert document["tasks"][0]["result"] == "42"


def test_a_file_that_is_there_already_is_waited_for(kos: Kos, postgres_url: str) -> None:
    old, other = {"description": "a", "custom_id": "k"}, {"description": "b", "custom_id": "m"}
    old_id, other_id = kos.submit(old, other)["ids"]
    text = "".join(json.dumps(line) + "\n" for line in (old, other, old))

    early = kos("submit", "--from", "-", "--wait", "--timeout", "0", "--json", stdin=text)
    with rows(postgres_url):
        complete(old_id, result="42")
        complete(other_id)
    late = kos("submit", "--from", "-", "--wait", "--json", stdin=text)

    assert (early.code, late.code) == (3, 0)
    assert (late.json["ids"], late.json["duplicates"]) == ([], 3)
    assert {task["id"] for task in late.json["tasks"]} == {old_id, other_id}


def test_rows_of_a_foreign_status_are_waited_for_by_nobody(kos: Kos, postgres_url: str) -> None:
    good, _ = kos.submit({"description": "a"}, {"description": "b"})["ids"]
    with rows(postgres_url):
        complete(good)
        fetch_all("UPDATE tasks SET status = 'on_hold' WHERE id <> %s RETURNING 1", (good,))

    ran = kos("wait", "--all", "--timeout", "0", "--json")

    assert ran.code == 0
    assert ran.json == {"ended": True, "tasks": {"completed": 1}, "eta": None}


def test_submit_and_wait_gives_up_in_time(kos: Kos) -> None:
    ran = kos("submit", "a", "--wait", "--timeout", "0.1")

    assert ran.code == 3
    assert "no answer yet" in ran.err


def batch_of(*task_ids: str) -> str:
    kept = batch.add_file(batch.new_id("file-"), filename="f", purpose="batch", size_bytes=1)
    row = batch.add_batch(
        input_file_id=kept.id, endpoint="/v1", completion_window="24h", metadata=None
    )
    batch.add_lines(row.id, [(n, None, one, None) for n, one in enumerate(task_ids, 1)])
    return row.id


def test_a_batch_is_waited_for_by_its_id_and_knows_when_it_is_done(
    kos: Kos, postgres_url: str
) -> None:
    """One in the plan ends with its last task there, one that is in no block yet with all."""
    soon, later, unplanned = kos.submit(*({"description": x} for x in "abc"))["ids"]
    with rows(postgres_url):
        add_expert()
        fetch_all("UPDATE tasks SET assignee_expert_id = (SELECT id FROM experts) RETURNING 1")
        block.replace_plan(
            [block.NewBlock(backend="mlx", model="qwen", num_ctx=0, heavy=False,
                            task_ids=(soon, later), reason="r", task_seconds=3600.0)],
            policy="fifo",
        )  # fmt: skip
        batches = [batch_of(soon), batch_of(soon, later), batch_of(soon, unplanned)]

    ran = [kos("wait", one, "--timeout", "0", "--json") for one in batches]

    assert [one.code for one in ran] == [3, 3, 3]
    assert [one.json["tasks"] for one in ran] == [{"pending": 1}, {"pending": 2}, {"pending": 2}]
    ends = [one.json["eta"]["to"] for one in ran]
    assert ends[0] < ends[1] < ends[2]
    assert all(one.json["eta"]["from"] < one.json["eta"]["to"] for one in ran)


def test_a_batch_that_nobody_knows_is_wrong_input(kos: Kos) -> None:
    ran = kos("wait", "batch_gone")

    assert ran.code == 2
    assert "batch_gone has no tasks" in ran.err
