"""When a model server counts as one that no worker serves."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from typing import Any, cast

import redis

from jobs.admission.consumers import GRACE_SECONDS, Consumers
from jobs.process.owners import process_owner
from jobs.queues.broker import WakingBroker
from jobs.queues.broker_heartbeat import BrokerHeartbeat
from jobs.queues.names import WORKERS
from jobs.queues.worker_register import consumed_queues, registered


def test_a_starting_system_has_time_to_register_its_workers(client: redis.Redis) -> None:
    clock = [1000.0]
    consumers = Consumers(client, clock=lambda: clock[0])
    assert consumers.missing("mlx") is None

    clock[0] += GRACE_SECONDS + 1
    assert consumers.missing("mlx") is not None
    consumers.start_anew()

    assert consumers.missing("mlx") is None


def test_all_processes_agree_since_when_a_queue_has_no_consumer(client: redis.Redis) -> None:
    clock = [1000.0]
    first = Consumers(client, clock=lambda: clock[0])
    assert first.missing("mlx") is None
    clock[0] += GRACE_SECONDS + 1

    assert Consumers(client, clock=lambda: clock[0]).missing("mlx") is not None


def test_a_consumer_counts_while_it_lives_and_beats(client: redis.Redis) -> None:
    clock = [time.time()]
    consumers = Consumers(client, clock=lambda: clock[0])
    line = {"queues": ["llm-mlx"], "beat_at": clock[0]}
    dead = f"{process_owner().rsplit('/', 2)[0]}/{os.getpid()}/1"
    client.hset(WORKERS, dead, json.dumps(line))
    assert consumers.changed(["mlx"]) is False
    clock[0] += GRACE_SECONDS + 1
    assert consumers.changed(["mlx"]) is True

    client.hset(WORKERS, process_owner(), json.dumps({**line, "beat_at": clock[0]}))
    clock[0] += 2

    assert consumers.changed(["mlx"]) is True
    assert consumers.missing("mlx") is None


def test_a_worker_consumes_its_queues_until_it_drains(redis_url: str) -> None:
    with (
        closing(redis.Redis.from_url(redis_url)) as client,
        closing(redis.Redis.from_url(redis_url)) as blocking,
    ):
        broker = WakingBroker(client, blocking)
        heartbeat = BrokerHeartbeat(owner=process_owner(), about={"queues": ["llm-mlx"]})
        seen = []

        heartbeat.after_worker_boot(broker, cast(Any, None))
        seen.append(consumed_queues(registered(client), now=time.time()))
        heartbeat.leave_queues(broker)
        seen.append(consumed_queues(registered(client), now=time.time()))
        heartbeat.after_worker_shutdown(broker, cast(Any, None))

        assert seen == [{"llm-mlx"}, frozenset()]
        assert registered(client) == []
