"""A backlog at full tilt gives way to a person's request for another model, and loses nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from console.home import free_port
from models import database
from tests.support.system import System, running_system

Deploy = Callable[..., tuple[System, str]]

MODEL = {
    "size_bytes": 4_000_000_000, "parameters": 7_000_000_000, "context_tokens": 32_768,
    "capabilities": ["completion"], "load_seconds": 0.5,
    "prefill_tokens_per_second": 5000, "decode_tokens_per_second": 15,
}  # fmt: skip
SLOW = {
    "max_resident_models": 1,
    "slots": 2,
    "models": [{"name": "long", **MODEL}, {"name": "chat", **MODEL}],
}


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=1).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def deployed(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[Deploy]:
    """Prepare a system whose gateway has a port: the system and the gateway's address."""
    with ExitStack() as stack:

        def prepare(**options: Any) -> tuple[System, str]:
            port = free_port()
            running = running_system(
                migrated_url, redis_url, tmp_path, KOS_GATEWAY_PORT=str(port), **options
            )
            return stack.enter_context(running), f"http://127.0.0.1:{port}"

        yield prepare
    database.close_all()


def start(system: System, url: str, *programs: str) -> None:
    system.start(*programs, "gateway")
    system.wait(lambda: answers(url), what="gateway answers", deadline_seconds=120)


def test_a_person_gets_another_model_and_the_tasks_go_on_afterwards(deployed: Deploy) -> None:
    system, url = deployed(
        time_scale=1.0,
        profile=SLOW,
        MLX_API_URL="disabled",
        KOS_INTERACTIVE_PATIENCE_SECONDS="1",
        KOS_INTERACTIVE_KEEP_SECONDS="2",
        KOS_HEARTBEAT_SECONDS="0.5",
    )
    ids = [
        system.insert(f"t{n}", f"Count the stars, part {n}", metadata={"preferred_model": "long"})
        for n in range(6)
    ]
    start(system, url, "control", "llm-ollama", "listener")
    system.wait(lambda: decoding(system), what="a task is answered")

    began = time.monotonic()
    answer = requests.post(
        f"{url}/v1/chat/completions",
        json={
            "model": "chat",
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 4,
        },
        timeout=60,
    )

    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began < 15
    for task_id in ids:
        system.wait_status(task_id, "completed", deadline_seconds=120)
    interrupted = [
        attempt
        for task_id in ids
        for attempt in system.attempts(task_id)
        if attempt["error"] and "gave way" in attempt["error"]
    ]
    assert interrupted
    assert all(system.task(task_id)["crash_count"] == 0 for task_id in ids)
    assert all(system.task(task_id)["attempt_count"] <= 1 for task_id in ids)


def decoding(system: System) -> bool:
    rows = system.sql("SELECT progress->>'phase' AS phase FROM tasks WHERE status = 'in_progress'")
    return any(row["phase"] == "decoding" for row in rows)


def test_a_killed_gateway_holds_no_slot_and_reserves_no_server_for_long(deployed: Deploy) -> None:
    system, url = deployed(
        time_scale=1.0, profile=SLOW, MLX_API_URL="disabled", KOS_LEASE_SECONDS="3"
    )
    start(system, url, "control", "llm-ollama", "listener")
    with requests.post(
        f"{url}/v1/chat/completions",
        json={
            "model": "chat",
            "messages": [{"role": "user", "content": "Count"}],
            "stream": True,
            "max_tokens": 400,
        },
        stream=True,
        timeout=60,
    ) as stream:
        pieces = stream.iter_content(10)
        next(pieces)
        system.kill("gateway")
        with pytest.raises(requests.RequestException):
            list(pieces)
    task_id = system.insert("after", "Count", metadata={"preferred_model": "long"})
    system.wait_status(task_id, "completed", deadline_seconds=60)


def test_a_killed_server_is_an_error_at_once_and_a_stop_lets_answers_end(deployed: Deploy) -> None:
    system, url = deployed(
        time_scale=1.0, profile={**SLOW, "min_answer_tokens": 40, "max_answer_tokens": 40}
    )
    start(system, url)
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)

    def stream(model: str) -> Iterator[str]:
        for chunk in client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Count"}], stream=True
        ):
            yield chunk.choices[0].delta.content or ""

    cut = stream("ollama/chat")
    assert any(next(cut) for _ in range(3))
    os.kill(system.ollama.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    with pytest.raises(openai.APIError):
        list(cut)
    assert time.monotonic() - killed_at < 5
    whole = stream("chat")
    assert next(whole) is not None, "the other server answers"

    system.kill("gateway", with_signal=signal.SIGTERM)
    assert len("".join(whole)) > 40
    assert system.programs["gateway"].wait(30) is not None


def test_a_flexible_request_is_a_task_that_outlives_the_gateway(deployed: Deploy) -> None:
    system, url = deployed(MLX_API_URL="disabled")
    start(system, url)
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    begun = client.responses.create(
        model="fast", input="Name a colour", instructions="Be brief.", background=True
    )
    assert begun.status == "queued"

    system.kill("gateway")
    start(system, url, "control", "llm-ollama", "listener")
    system.wait_status(begun.id.removeprefix("resp_"), "completed")

    found = client.responses.retrieve(begun.id)
    assert (found.status, bool(found.output_text)) == ("completed", True)
    waited = client.chat.completions.with_raw_response.create(
        model="expert/Anna",
        messages=[{"role": "user", "content": "Name a colour"}],
        service_tier="flex",
    )
    task_id = waited.headers["x-kos-task"]
    assert waited.parse().choices[0].message.content == system.task(task_id)["result"]
    assert system.task(task_id)["priority"] == "low"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_" + system.insert("foreign", "Not through the door"))
