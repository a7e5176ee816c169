"""Files and batches through the official client, on real workers."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.integration.web.dashboards import Dashboard, running_dashboard
from tests.support.system import System

DEADLINE_SECONDS = 180.0
ENDED = {"completed", "failed", "cancelled", "expired"}


@pytest.fixture
def client(dashboard: Dashboard) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{dashboard.url}/v1", api_key="not-needed", max_retries=0
    ) as opened:
        yield opened


def _line(number: int, **body: Any) -> dict[str, Any]:
    asked = {"role": "user", "content": f"Name {number} things that a lease is good for."}
    return {
        "custom_id": f"request-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "auto", "messages": [asked], "max_tokens": 200, **body},
    }


def _run(client: openai.OpenAI, lines: list[Any]) -> Any:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    uploaded = client.files.create(file=("in.jsonl", io.BytesIO(text.encode())), purpose="batch")
    return client.batches.create(
        input_file_id=uploaded.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"made_by": "a test"},
    )


def _ended(client: openai.OpenAI, batch_id: str) -> Any:
    end = time.monotonic() + DEADLINE_SECONDS
    while (batch := client.batches.retrieve(batch_id)).status not in ENDED:
        assert time.monotonic() < end, batch
        time.sleep(0.2)
    return batch


def _read(client: openai.OpenAI, file_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_many_lines_run_to_the_end(client: openai.OpenAI, system: System) -> None:
    system.start()

    batch = _ended(client, _run(client, [_line(n) for n in range(150)]).id)

    assert batch.status == "completed", batch
    assert batch.request_counts.total == 150
    assert batch.request_counts.completed == 150
    assert batch.metadata == {"made_by": "a test"}
    answers = _read(client, batch.output_file_id)
    assert [one["custom_id"] for one in answers] == [f"request-{n}" for n in range(150)]
    body = answers[0]["response"]["body"]
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"]
    assert body["usage"]["completion_tokens"] > 0
    assert batch.error_file_id is None


def test_a_line_is_a_request_as_it_is(client: openai.OpenAI, system: System) -> None:
    system.start()

    lines = [_line(1, max_tokens=1, temperature=0, seed=7), {**_line(2), "custom_id": 2}]
    batch = _ended(client, _run(client, lines).id)

    assert batch.request_counts.completed == 2, batch
    first, second = _read(client, batch.output_file_id)
    body = first["response"]["body"]
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 1
    assert second["custom_id"] == "2"
    (sent,) = system.sql(
        "SELECT a.messages, a.options FROM kos_attempts a JOIN kos_batch_lines l "
        "ON l.task_id = a.task_id WHERE l.line = 1"
    )
    assert [message["role"] for message in sent["messages"]] == ["user"]
    assert sent["options"]["max_tokens"] == 1
    assert (sent["options"]["temperature"], sent["options"]["seed"]) == (0, 7)
    assert "top_p" not in sent["options"]


def test_bad_lines_go_to_the_error_file_and_the_rest_goes_through(
    client: openai.OpenAI, system: System
) -> None:
    system.start()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    lines: list[Any] = [
        _line(1, response_format=wanted),
        "{broken",
        {**_line(3), "url": "/v1/embeddings"},
        _line(4, model="nobody-has-this:1b"),
        _line(5, messages=[]),
        _line(6, stream=True),
        _line(7, max_tokens="many"),
    ]

    client.models.list()
    batch = _ended(client, _run(client, lines).id)

    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 6)
    errors = {one["custom_id"]: one["error"]["code"] for one in _read(client, batch.error_file_id)}
    assert errors == {
        None: "invalid_json_line",
        "request-3": "invalid_url",
        "request-4": "model_not_found",
        "request-5": "invalid_messages",
        "request-6": "invalid_parameter",
        "request-7": "invalid_parameter",
    }
    answer = _read(client, batch.output_file_id)[0]["response"]["body"]["choices"][0]
    assert isinstance(json.loads(answer["message"]["content"])["n"], int)


def test_a_file_that_repeats_a_custom_id_is_refused_whole(
    client: openai.OpenAI, system: System
) -> None:
    batch = _ended(client, _run(client, [_line(1), _line(1)]).id)

    assert batch.status == "failed"
    assert batch.errors.data[0].code == "duplicate_custom_id"
    assert system.counts() == {}


def test_a_batch_goes_on_after_the_dashboard_was_killed(
    client: openai.OpenAI, dashboard: Dashboard, system: System
) -> None:
    started = _run(client, [_line(n) for n in range(600)])
    system.wait(lambda: system.counts().get("pending", 0) > 0, what="the first tasks")
    dashboard.process.kill()
    dashboard.process.wait()

    system.start()
    with running_dashboard(system.environ, system.directory) as another:
        follower = openai.OpenAI(base_url=f"{another.url}/v1", api_key="x", max_retries=0)
        batch = _ended(follower, started.id)
        answers = _read(follower, batch.output_file_id)
        follower.close()

    assert batch.request_counts.completed == 600
    assert [one["custom_id"] for one in answers] == [f"request-{n}" for n in range(600)]
    assert system.counts() == {"completed": 600}


def test_a_cancelled_batch_stops_and_tells_what_was_cancelled(
    client: openai.OpenAI, system: System
) -> None:
    started = _run(client, [_line(n) for n in range(5)])
    system.wait(lambda: system.counts().get("pending", 0) == 5, what="five tasks")

    client.batches.cancel(started.id)

    batch = _ended(client, started.id)
    assert batch.status == "cancelled"
    assert system.counts() == {"cancelled": 5}
    assert len(_read(client, batch.error_file_id)) == 5


def test_a_batch_expires_with_its_window_and_tells_which_lines_did_not_run(
    client: openai.OpenAI, system: System
) -> None:
    started = _run(client, [_line(n) for n in range(3)])
    system.wait(lambda: system.counts().get("pending", 0) == 3, what="three tasks")
    system.sql(
        "UPDATE tasks SET status = 'completed', result = 'a lease ends', completed_at = now() "
        "WHERE idempotency_key = %s",
        (f"{started.id}:1",),
    )
    system.sql("UPDATE kos_batches SET created_at = created_at - interval '1 day'")

    batch = _ended(client, started.id)

    assert batch.status == "expired"
    assert batch.expired_at == batch.expires_at == batch.created_at + 86_400
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 1, 2)
    assert [line["custom_id"] for line in _read(client, batch.output_file_id)] == ["request-0"]
    refused = _read(client, batch.error_file_id)
    assert [line["custom_id"] for line in refused] == ["request-1", "request-2"]
    assert {line["error"]["code"] for line in refused} == {"batch_expired"}
    assert system.counts() == {"completed": 1, "cancelled": 2}


def test_files_are_listed_read_and_deleted(client: openai.OpenAI) -> None:
    uploaded = client.files.create(file=("a.jsonl", io.BytesIO(b'{"a": 1}')), purpose="batch")

    assert client.files.content(uploaded.id).read() == b'{"a": 1}'
    assert [one.id for one in client.files.list()] == [uploaded.id]
    assert client.files.delete(uploaded.id).deleted

    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(uploaded.id)


def test_models_of_the_servers_are_listed(client: openai.OpenAI, system: System) -> None:
    system.start()
    system.wait_status(system.insert("T", "Explain what a lease is."), "completed")

    names = [model.id for model in client.models.list()]

    assert names[0] == "auto"
    assert len(names) > 3
