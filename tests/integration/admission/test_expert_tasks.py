"""Who works a row that also stands in another system's stream: one script decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from jobs.admission.expert_tasks import ExpertTasks

GROUP, TASK, OTHER = "expert_workers", "0b9c4a6e-1", "77d1c0de-2"
OLD = 60.0


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as found:
        yield found


def delegated(client: Any, *task_ids: str, stream: str = "expert_tasks") -> None:
    """Entries as its orchestrator adds them, each with a payload."""
    client.xgroup_create(stream, GROUP, id="0", mkstream=True)
    for task_id in task_ids:
        client.xadd(stream, {"payload": json.dumps({"task_id": task_id, "expert_name": "Anna"})})


def works(client: Any, *, silent_seconds: float = 900.0) -> bool:
    return ExpertTasks(client, silent_seconds=silent_seconds).works(TASK, age_seconds=OLD)


def test_without_a_stream_the_row_is_ours_at_once(client: Any) -> None:
    assert not ExpertTasks(client, silent_seconds=1).works(TASK, age_seconds=0)


@pytest.mark.parametrize("stream", ["expert_tasks", "stream:expert_tasks"])
def test_an_entry_that_nobody_has_is_taken_out(client: Any, stream: str) -> None:
    delegated(client, OTHER, TASK, stream=stream)

    assert not works(client)

    ((_, ((_, fields),)),) = client.xreadgroup(GROUP, "their", {stream: ">"}, count=9)
    assert OTHER in fields["payload"]


def test_an_entry_that_a_consumer_has_is_the_consumers_until_it_is_done(client: Any) -> None:
    delegated(client, TASK)
    ((_, ((entry, _),)),) = client.xreadgroup(GROUP, "their", {"expert_tasks": ">"})

    assert works(client)
    client.xack("expert_tasks", GROUP, entry)
    assert not works(client)


def test_a_consumer_that_says_nothing_loses_it_for_good(client: Any) -> None:
    delegated(client, TASK)
    client.xreadgroup(GROUP, "their", {"expert_tasks": ">"})

    assert not works(client, silent_seconds=0)

    assert client.xlen("expert_tasks") == 0
    assert client.xpending("expert_tasks", GROUP)["pending"] == 0


def test_a_young_row_waits_for_the_entry_that_may_come(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    delegated(client, OTHER)
    waits: list[float] = []

    def the_entry_comes_meanwhile(seconds: float) -> None:
        waits.append(seconds)
        client.xadd("expert_tasks", {"task_id": TASK})
        client.xreadgroup(GROUP, "their", {"expert_tasks": ">"}, count=9)

    monkeypatch.setattr("time.sleep", the_entry_comes_meanwhile)

    assert ExpertTasks(client, silent_seconds=900).works(TASK, age_seconds=0.25)
    assert waits == [0.75]
