from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker

from jobs.queues.names import WORKERS
from tests.integration.cli.command_line import Kos
from tests.integration.cli.steps import queue, rows


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as found:
        yield found


@pytest.fixture
def broker(redis_url: str) -> Iterator[RedisBroker]:
    made = RedisBroker(url=redis_url, namespace="kos", middleware=[])
    made.declare_queue("llm-mlx")
    yield made
    made.close()


def send(broker: RedisBroker, task_id: object = "not an id", **options: Any) -> None:
    kwargs = {"task_id": task_id, "epoch": 1, "backend": "mlx"}
    broker.enqueue(
        dramatiq.Message(
            queue_name="llm-mlx", actor_name="run_task", args=(), kwargs=kwargs, options=options
        )
    )


def bury(broker: RedisBroker, count: int) -> None:
    """Let a consumer take ``count`` messages and reject them: they become dead letters."""
    consumer = broker.consume("llm-mlx", prefetch=count, timeout=10)
    for _ in range(count):
        message = next(consumer)
        assert message is not None
        consumer.nack(message)
    consumer.close()


def take(broker: RedisBroker) -> Any:
    consumer = broker.consume("llm-mlx", prefetch=1, timeout=10)
    assert next(consumer) is not None
    return consumer


def of(kos: Kos, name: str = "llm-mlx") -> dict[str, Any]:
    found: dict[str, Any] = next(
        row for row in kos("queues", "--json").json if row["queue"] == name
    )
    return found


def test_every_queue_is_counted_from_its_keys(
    kos: Kos, broker: RedisBroker, client: redis.Redis
) -> None:
    for _ in range(3):
        send(broker)
    consumer = take(broker)
    worker = {"queues": ["llm-mlx"], "beat_at": time.time()}
    client.hset(WORKERS, "host/1/1", json.dumps(worker))
    client.hset(WORKERS, "host/2/1", json.dumps({**worker, "beat_at": time.time() - 3600}))
    client.hset(WORKERS, "host/3/1", "not json")

    listed = kos("queues", "--json").json

    assert [row["queue"] for row in listed] == ["control", "maintenance", "llm-ollama", "llm-mlx"]
    assert of(kos) == {
        "queue": "llm-mlx", "ready": 2, "in_flight": 1, "delayed": 0, "dead": 0, "consumers": 1,
    }  # fmt: skip
    consumer.close()


def test_messages_are_shown_with_their_tasks(kos: Kos, broker: RedisBroker) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    send(broker, task_id)
    send(broker, "00000000-0000-0000-0000-000000000000")

    ready = kos("queues", "show", "mlx", "--json").json

    assert [row["task_status"] for row in ready] == ["pending", None]
    assert ready[0]["task"] == task_id
    assert ready[0]["actor"] == "run_task"
    assert ready[0]["where"] == "ready"
    assert task_id[:8] in kos("queues", "show", "llm-mlx").out


def test_what_is_no_message_of_ours_is_shown_as_such(kos: Kos, client: redis.Redis) -> None:
    client.rpush("kos:llm-mlx", "strange")
    client.hset("kos:llm-mlx.msgs", "strange", "\x1b[2J")

    (row,) = kos("queues", "show", "llm-mlx", "--json").json

    assert row["id"] == "strange"
    assert "not a message of ours" in row["error"]


def test_dead_letters_are_sent_again_as_new_messages(
    kos: Kos, broker: RedisBroker, client: redis.Redis
) -> None:
    for _ in range(3):
        send(broker, retries=4, traceback="Traceback\nValueError: boom", eta=1)
    bury(broker, 3)
    dead = kos("queues", "show", "llm-mlx", "--dead", "--json").json

    one = kos("queues", "requeue", "llm-mlx", dead[0]["id"], "--json")
    rest = kos("queues", "requeue", "llm-mlx", "--json")

    assert {row["error"] for row in dead} == {"ValueError: boom"}
    assert (one.json, rest.json) == (
        {"queue": "llm-mlx", "requeued": 1},
        {"queue": "llm-mlx", "requeued": 2},
    )
    assert (of(kos)["ready"], of(kos)["dead"]) == (3, 0)
    assert client.llen("kos:wake:llm-mlx") == 3
    for text in client.hvals("kos:llm-mlx.msgs"):
        message = dramatiq.Message.decode(str(text).encode())
        assert set(message.options) == {"redis_message_id"}
    consumer = take(broker)
    consumer.close()


def test_a_named_message_that_is_not_there_is_told(kos: Kos, broker: RedisBroker) -> None:
    send(broker)

    ran = kos("queues", "requeue", "llm-mlx", "no-such-message")

    assert ran.code == 2
    assert "1 of the named messages" in ran.err


def test_ready_and_dead_messages_can_be_deleted(kos: Kos, broker: RedisBroker) -> None:
    send(broker)
    bury(broker, 1)
    send(broker)
    ids = [row["id"] for row in kos("queues", "show", "llm-mlx", "--json").json]

    ran = kos("queues", "delete", "llm-mlx", *ids, "--json")

    assert ran.json == {"queue": "llm-mlx", "deleted": 2}
    assert (of(kos)["ready"], of(kos)["dead"]) == (0, 0)


def test_what_is_in_flight_cannot_be_deleted(
    kos: Kos, broker: RedisBroker, client: redis.Redis
) -> None:
    send(broker)
    (message_id,) = client.hkeys("kos:llm-mlx.msgs")
    consumer = take(broker)

    ran = kos("queues", "delete", "llm-mlx", str(message_id))

    assert ran.code == 2
    assert of(kos)["in_flight"] == 1
    consumer.close()


def test_a_purge_asks_first_and_takes_only_its_part(kos: Kos, broker: RedisBroker) -> None:
    send(broker)
    bury(broker, 1)
    for _ in range(1200):
        send(broker)

    refused = kos("queues", "purge", "llm-mlx", "--ready", stdin="n\n")
    kept = of(kos)["ready"]
    done = kos("queues", "purge", "llm-mlx", "--ready", "--yes", "--json")

    assert (refused.code, kept) == (130, 1200)
    assert done.json == {"queue": "llm-mlx", "deleted": 1200}
    assert (of(kos)["ready"], of(kos)["dead"]) == (0, 1)
    assert kos("queues", "purge", "llm-mlx", "--dead", "--yes", "--json").json["deleted"] == 1


def test_rows_without_a_message_are_named(kos: Kos, postgres_url: str) -> None:
    (task_id,) = kos.submit({"description": "a"})["ids"]
    with rows(postgres_url):
        queue(task_id)

    ran = kos("queues")

    assert "1 rows are queued in Postgres and 0 messages are in Redis" in ran.err


def test_an_unknown_queue_is_named_with_a_near_one(kos: Kos) -> None:
    ran = kos("queues", "show", "llm-mxl")

    assert ran.code == 2
    assert "did you mean llm-mlx?" in ran.err


def test_a_redis_that_refuses_the_password_is_not_answered_with_kos_up(
    kos: Kos, redis_url: str
) -> None:
    parts = urlsplit(redis_url)
    wrong = parts._replace(netloc=f":wrong@{parts.hostname}:{parts.port}")
    kos.setenv("REDIS_URL", urlunsplit(wrong))

    refused = kos("queues")

    assert refused.code == 4
    assert "write its user and password in REDIS_URL" in refused.err
