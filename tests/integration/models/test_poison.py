"""Poison by evidence: only a death while alone counts, and neighbours of a crasher complete."""

from __future__ import annotations

import pytest

from models import orphans
from models.base import Row, fetch_all, fetch_one
from models.task import Claimed, Ending, NewTask, Task
from tests.support.queued import queue_rows

ROWS = 1000
CRASHERS = 20
THREADS = 10
MAX_CRASHES = 3


pytestmark = pytest.mark.usefixtures("database_here")


def claim(owner: str, most: int) -> list[Claimed]:
    rows = fetch_all(
        "SELECT id::text FROM tasks WHERE status = 'pending' ORDER BY created_at, id LIMIT %s",
        (most,),
    )
    queued = queue_rows([row["id"] for row in rows], backend="b", model="m")
    claimed = [Task.claim(i, epoch, owner=owner, lease_seconds=60) for i, epoch in queued]
    return [one for one in claimed if one is not None]


def rows() -> list[Row]:
    return fetch_all("SELECT title, status, crash_count, suspicion FROM tasks ORDER BY title")


def work(running: list[Claimed], owner: str) -> None:
    """One process of some threads: suspects wait for the others to leave, then run alone."""
    together = [one for one in running if one.row.suspicion is None]
    if any("crasher" in str(one.row.title) for one in together):
        orphans.return_of_dead([owner], max_crashes=MAX_CRASHES)
        return
    for one in together:
        assert Task.complete(one.id, one.epoch, Ending(), result="r", score=1.0)
    for one in running:
        if one.row.suspicion is not None:
            Task.mark_alone(one.id, one.epoch)
            if "crasher" in str(one.row.title):
                orphans.return_of_dead([owner], max_crashes=MAX_CRASHES)
                return
            assert Task.complete(one.id, one.epoch, Ending(), result="r", score=1.0)


def test_twenty_crashers_among_a_thousand_are_poison_and_all_others_complete() -> None:
    every = ROWS // CRASHERS
    Task.submit(
        [
            NewTask(title=f"{'crasher' if n % every == 7 else 'task'} {n:04}", description="d")
            for n in range(ROWS)
        ]
    )
    process = 0
    while running := claim(f"host/{process}/1", THREADS):
        work(running, f"host/{process}/1")
        process += 1

    found = rows()
    poison = [row for row in found if row["status"] == "failed"]
    done = [row for row in found if row["status"] == "completed"]
    assert (len(poison), len(done)) == (CRASHERS, ROWS - CRASHERS)
    assert all("crasher" in row["title"] for row in poison)
    assert max(row["crash_count"] for row in done) <= 1
    assert {row["suspicion"] for row in done} == {None}


def test_a_lease_that_ran_out_is_no_crash_and_a_live_owner_gets_a_grace() -> None:
    (task_id,) = Task.submit([NewTask(title="t", description="d")])
    claim("host/1/1", 1)
    fetch_all(
        "UPDATE tasks SET lease_expires_at = now() - interval '5 s' WHERE id = %s", (task_id,)
    )

    assert orphans.return_expired(alive=["host/1/1"], grace_seconds=60) == []
    assert len(orphans.return_expired()) == 1
    row = fetch_one("SELECT status, crash_count, suspicion FROM tasks WHERE id = %s", (task_id,))
    assert row == {"status": "pending", "crash_count": 0, "suspicion": None}


def test_only_an_outcome_ends_the_suspicion_of_a_row() -> None:
    """However else it comes back, a suspect runs alone again, and only a death makes one."""
    befores: tuple[str | None, ...] = (None, "suspect", "alone")
    ways = ("death", "lease", "closed server", "drain", "outcome")
    found = {(way, before): _suspicion_after(way, before) for way in ways for before in befores}

    kept = {(way, before): before and "suspect" for way in ways[1:4] for before in befores}
    death = {("death", before): "suspect" for before in befores}
    outcome = {("outcome", before): None for before in befores}
    assert found == death | kept | outcome


def _suspicion_after(way: str, before: str | None) -> str | None:
    (task_id,) = Task.submit([NewTask(title="t", description="d")])
    assert task_id is not None
    ((_, epoch),) = queue_rows([task_id], backend="b", model="m")
    if way != "closed server":
        assert Task.claim(task_id, epoch, owner="host/9/1", lease_seconds=60)
    fetch_all("UPDATE tasks SET suspicion = %s WHERE id = %s", (before, task_id))
    if way == "death":
        orphans.return_of_dead(["host/9/1"], max_crashes=MAX_CRASHES)
    elif way == "lease":
        past = "UPDATE tasks SET lease_expires_at = now() - interval '5 s' WHERE id = %s"
        fetch_all(past, (task_id,))
        orphans.return_expired()
    elif way == "closed server":
        orphans.return_queued_at("b", reason="paused")
    else:
        ending = Ending(error_code="interrupted" if way == "drain" else "timeout")
        assert Task.retry(task_id, epoch, ending, at=None, spend_attempt=way != "drain")
    row = fetch_one("SELECT status, suspicion FROM tasks WHERE id = %s", (task_id,))
    assert row is not None
    assert row["status"] == "pending"
    return str(row["suspicion"]) if row["suspicion"] else None
