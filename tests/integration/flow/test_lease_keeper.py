"""The lease keeper of a worker against a real Postgres: it beats on, whatever a beat met."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import psycopg2
import pytest
import redis

from jobs.attempt.lease_keeper import LEASE_LOST, SLOT_LOST, LeaseKeeper
from jobs.queues.clients import client_for
from llm.types import CancelToken
from models import orphans
from models.base import fetch_all, fetch_one
from models.bounded_connection import ANSWER_SECONDS
from models.database import configure, database, session
from models.task import NewTask, Task
from tests.support.freezing_proxy import freezing_proxy
from tests.support.queued import queue_rows

OWNER = "here/1/1"
SHORT_LEASE_SECONDS = 5.0
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


@contextmanager
def keeper(slots: Any, *, lease_seconds: float = 60) -> Iterator[LeaseKeeper]:
    database.close()
    beating = LeaseKeeper(
        owner=OWNER,
        slots=slots,
        live=cast(Any, NobodyWatches()),
        demand=cast(Any, NobodyWants()),
        lease_seconds=lease_seconds,
        heartbeat_seconds=0,
    )
    beating.start()
    yield beating
    beating.stop()


@pytest.fixture
def lease_keeper(database_here: str, slots: KeptSlots) -> Iterator[LeaseKeeper]:
    with keeper(slots) as beating:
        yield beating


def claimed(task_id: str) -> int:
    """Queue and claim it anew; its epoch."""
    ((_, epoch),) = queue_rows([task_id], backend="b", model="m")
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


@pytest.fixture
def four(database_here: str, slots: KeptSlots) -> Iterator[tuple[list[str], list[CancelToken]]]:
    """Four running tasks, whose leases last :data:`SHORT_LEASE_SECONDS`."""
    tokens = [CancelToken() for _ in range(4)]
    with keeper(slots, lease_seconds=SHORT_LEASE_SECONDS) as beating:
        with session():
            ids = [str(i) for i in Task.submit([NewTask("T", "D")] * 4)]
            for task_id, token in zip(ids, tokens, strict=True):
                beating.add(task_id, claimed(task_id), backend="b", token=token)
        yield ids, tokens


def test_a_row_that_somebody_locked_costs_no_lease(
    four: tuple[list[str], list[CancelToken]], database_here: str
) -> None:
    (locked, *_), tokens = four
    with closing(psycopg2.connect(database_here)) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT id FROM tasks WHERE id = %s FOR UPDATE", (locked,))
        end = time.monotonic() + 2 * SHORT_LEASE_SECONDS
        while time.monotonic() < end:
            with session():
                assert orphans.return_expired() == []
                assert Task.cancel([locked]) == {locked: None}

    renewed = f"SELECT 1 FROM tasks WHERE id = '{locked}' AND lease_expires_at > now()"
    wait(lambda: has(renewed), "the lease renewed as soon as the row is free")
    with session():
        rows = fetch_all("SELECT status, crash_count FROM tasks")
    assert rows == [{"status": "in_progress", "crash_count": 0}] * 4
    assert [token.reason for token in tokens] == [None] * 4


def test_what_outlasts_a_drain_is_given_back_and_counts_no_crash(
    lease_keeper: LeaseKeeper,
) -> None:
    with session():
        ids = [str(i) for i in Task.submit([NewTask("T", "D")] * 2)]
        for task_id in ids:
            lease_keeper.add(task_id, claimed(task_id), backend="b", token=CancelToken())
        Task.cancel(ids[:1])

    lease_keeper.interrupt_all()

    with session():
        assert orphans.return_of_dead([OWNER], max_crashes=3) == []
        rows = fetch_all("SELECT status, crash_count, attempt_count FROM tasks ORDER BY status")
    assert rows == [
        {"status": "cancelled", "crash_count": 0, "attempt_count": 0},
        {"status": "pending", "crash_count": 0, "attempt_count": 0},
    ]


class FrozenSlots:
    """A Redis that does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def renew(self, holders: dict[str, list[str]]) -> tuple[str, ...]:
        self._client.get("slots")
        return ()


def test_a_frozen_redis_does_not_hold_up_row_leases(database_here: str, redis_url: str) -> None:
    token = CancelToken()
    with (
        freezing_proxy(redis_url) as (proxy, through),
        closing(client_for(through)) as client,
        keeper(FrozenSlots(client), lease_seconds=SHORT_LEASE_SECONDS) as beating,
    ):
        proxy.freeze()
        with session():
            (task_id,) = Task.submit([NewTask("T", "D")])
            beating.add(str(task_id), claimed(str(task_id)), backend="b", token=token)
        end = time.monotonic() + 2 * SHORT_LEASE_SECONDS
        while time.monotonic() < end:
            with session():
                assert fetch_one("SELECT 1 FROM tasks WHERE lease_expires_at > now()")
            time.sleep(0.1)
        assert not token.cancelled


def test_a_frozen_postgres_does_not_hold_up_slots(database_here: str, slots: KeptSlots) -> None:
    with freezing_proxy(database_here) as (proxy, through):
        with session():
            (task_id,) = Task.submit([NewTask("T", "D")])
            epoch = claimed(str(task_id))
        configure(through, pool_size=2)
        with keeper(slots) as beating:
            beating.add(str(task_id), epoch, backend="b", token=CancelToken())
            wait(lambda: has("SELECT 1 FROM tasks WHERE progress IS NOT NULL"), "a renewed lease")
            proxy.freeze()
            for _ in range(3):
                slots.renewed = {}
                began = time.monotonic()
                wait(lambda: bool(slots.renewed), "renewed slots")
                assert time.monotonic() - began < ANSWER_SECONDS / 2
            proxy.thaw()
