from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from jobs.queues.leadership import KEY, Leadership

pytest_plugins = ["tests.support.embedded"]
ELSEWHERE, THIRD = "studio:1:1/10/20", "mini:1:1/10/20"
LONG, SHORT = 60.0, 0.05


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        yield client


def test_one_leads_and_the_others_stand_by(client: redis.Redis) -> None:
    first = Leadership(client, "scheduler", LONG, owner=ELSEWHERE)
    second = Leadership(client, "scheduler", LONG, owner=THIRD)

    assert first.holds()
    assert not second.holds()
    assert first.holds()
    assert Leadership(client, "health", LONG, owner=THIRD).holds()


def test_a_standby_takes_over_when_the_lease_of_a_host_that_is_cut_off_ran_out(
    client: redis.Redis,
) -> None:
    cut_off = Leadership(client, "scheduler", SHORT, owner=ELSEWHERE)
    standby = Leadership(client, "scheduler", LONG, owner=THIRD)
    assert cut_off.holds()

    deadline = time.monotonic() + 30
    while not standby.holds():
        assert time.monotonic() < deadline
        time.sleep(SHORT)

    assert not cut_off.holds()


def test_a_dead_process_of_this_host_is_replaced_at_once(client: redis.Redis) -> None:
    present = Leadership(client, "scheduler", LONG)
    host, _, started = present.owner.rsplit("/", 2)
    dead = Leadership(client, "scheduler", LONG, owner=f"{host}/999999999/{started}")
    assert dead.holds()

    assert present.holds()


def test_a_lease_that_redis_forgot_is_taken_again(client: redis.Redis) -> None:
    leader = Leadership(client, "scheduler", LONG, owner=ELSEWHERE)
    assert leader.holds()
    client.delete(KEY.format(duty="scheduler"))

    assert leader.holds()
