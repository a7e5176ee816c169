"""The lease keeper of a worker against a real Postgres: it beats on, whatever a beat met."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from jobs.attempt.lease_keeper import LEASE_LOST, SLOT_LOST, LeaseKeeper
from llm.types import CancelToken
from models.base import fetch_all, fetch_one
from models.database import database, session
from models.task import NewTask, Task

OWNER = "here/1/1"
DEADLOCKED = """
CREATE SEQUENCE deadlocks;
CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM nextval('deadlocks');
  RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01';
END $$;
CREATE TRIGGER deadlock BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION deadlock()
"""


class KeptSlots:
    """Remembers what was renewed last; ``lost`` is what a test took away."""

    def __init__(self) -> None:
        self.renewed: dict[str, list[str]] = {}
        self.lost: tuple[str, ...] = ()

    def renew(self, holders: dict[str, list[str]]) -> tuple[str, ...]:
        self.renewed = holders
        return self.lost


class NobodyWatches:
    def show(self, running: Any) -> None:
        return


class NobodyWants:
    """No person's request makes anything give way."""

    def preempted(self, backends: list[str]) -> dict[str, frozenset[str]]:
        return {}


@pytest.fixture
def slots() -> KeptSlots:
    return KeptSlots()


@pytest.fixture
def lease_keeper(database_here: str, slots: KeptSlots) -> Iterator[LeaseKeeper]:
    database.close()
    beating = LeaseKeeper(
        owner=OWNER,
        slots=cast(Any, slots),
        live=cast(Any, NobodyWatches()),
        demand=cast(Any, NobodyWants()),
        lease_seconds=60,
        heartbeat_seconds=0,
    )
    beating.start()
    yield beating
    beating.stop()


def claimed(task_id: str) -> int:
    """Queue and claim it anew; its epoch."""
    ((_, epoch),) = Task.queue([task_id], block_id=str(uuid.uuid4()), backend="b", model="m")
    assert Task.claim(task_id, epoch, owner=OWNER, lease_seconds=60)
    return epoch


def wait(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end, f"{what} not so in 15 s"
        time.sleep(0.02)


def has(statement: str) -> bool:
    with session():
        return bool(fetch_all(statement))


def test_a_heart_whose_beat_met_a_deadlock_renews_at_the_next(lease_keeper: LeaseKeeper) -> None:
    with session():
        (task_id,) = Task.submit([NewTask("T", "D")])
        assert task_id
        epoch = claimed(task_id)
        database.execute_sql(DEADLOCKED)
    lease_keeper.add(task_id, epoch, backend="b", token=CancelToken())

    wait(lambda: has("SELECT 1 FROM deadlocks WHERE is_called"), "a deadlock")
    with session():
        database.execute_sql("DROP TRIGGER deadlock ON tasks")

    wait(lambda: has("SELECT 1 FROM tasks WHERE progress IS NOT NULL"), "a renewed lease")
    assert lease_keeper.alive


def test_a_task_claimed_anew_in_the_same_process_ends_the_call_of_its_old_claim(
    lease_keeper: LeaseKeeper,
) -> None:
    old, new = CancelToken(), CancelToken()
    with session():
        (task_id,) = Task.submit([NewTask("T", "D")])
        assert task_id
        first = lease_keeper.add(task_id, claimed(task_id), backend="b", token=old)
        fetch_one("UPDATE tasks SET status = 'pending', lease_owner = NULL RETURNING id")
        second = lease_keeper.add(task_id, claimed(task_id), backend="b", token=new)

    wait(lambda: old.reason == LEASE_LOST, "the end of the old call")
    wait(lambda: has("SELECT 1 FROM tasks WHERE progress IS NOT NULL"), "a renewed lease")

    lease_keeper.remove(first)
    assert not new.cancelled
    assert lease_keeper.running == 1
    lease_keeper.remove(second)


def test_a_slot_held_for_an_opinion_is_kept_and_its_loss_ends_the_call(
    lease_keeper: LeaseKeeper, slots: KeptSlots
) -> None:
    token = CancelToken()
    with session():
        (task_id,) = Task.submit([NewTask("T", "D")])
        assert task_id
        epoch = claimed(task_id)
    task = lease_keeper.add(task_id, epoch, backend="b", token=token)
    own, side = f"{task_id}:{epoch}", f"opinion:{task_id}:{epoch}"
    task.side_slots = (("other", side),)

    wait(lambda: slots.renewed == {"b": [own], "other": [side]}, "both slots renewed")
    slots.lost = (side,)

    wait(lambda: token.reason == SLOT_LOST, "the end of the call")
    lease_keeper.remove(task)


def test_the_lease_of_a_thread_that_died_is_not_renewed(
    lease_keeper: LeaseKeeper, slots: KeptSlots
) -> None:
    with session():
        ids = Task.submit([NewTask("T", "D"), NewTask("T", "D")])
        dead, alive = (str(task_id) for task_id in ids)
        epochs = {task_id: claimed(task_id) for task_id in (dead, alive)}

    def take(task_id: str) -> None:
        lease_keeper.add(task_id, epochs[task_id], backend="b", token=CancelToken())

    thread = threading.Thread(target=take, args=(dead,))
    thread.start()
    thread.join()
    with session():
        fetch_one("UPDATE tasks SET progress = NULL WHERE id = %s RETURNING id", (dead,))
    take(alive)

    renewed = "SELECT 1 FROM tasks WHERE progress IS NOT NULL AND id = '{}'"
    wait(lambda: has(renewed.format(alive)), "a renewed lease")
    wait(lambda: bool(slots.renewed), "renewed slots")
    assert not has(renewed.format(dead))
    assert all(dead not in holder for held in slots.renewed.values() for holder in held)
