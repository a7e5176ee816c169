"""The MLX API server on a real model: sense, structure, a kept prefix; a task and a chat on it.

Without network and without the cached file these tests are skipped by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from console.home import free_port
from models import database
from tests.support.mlx_servers import RunningMLXServer, mlx_server
from tests.support.real_model import NAME, real_models
from tests.support.system import running_system

CALL_SECONDS = 120.0
PERSON = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 30}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningMLXServer]:
    with mlx_server(real_models()) as running:
        yield running


def ask(server: RunningMLXServer, text: str, *, system: str = "", **further: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}] if system else []
    body = {
        "model": NAME,
        "stream": False,
        "messages": [*messages, {"role": "user", "content": text}],
        "options": {"temperature": 0, "num_predict": 32},
        **further,
    }
    said: dict[str, Any] = server.post("/api/chat", body, timeout=CALL_SECONDS).json()
    return said


def test_it_knows_a_capital_and_ends_by_itself(server: RunningMLXServer) -> None:
    said = ask(server, "What is the capital of France?")

    assert said["message"]["content"] == "The capital of France is Paris."
    assert said["done_reason"] == "stop"


def test_a_schema_holds_what_it_says(server: RunningMLXServer) -> None:
    said = ask(server, "Extract the city: Maria lives in Lisbon.", format=PERSON)

    found = json.loads(said["message"]["content"])
    assert list(found) == ["city"]
    assert isinstance(found["city"], str)


def test_a_kept_prefix_changes_no_answer(server: RunningMLXServer) -> None:
    system = "You are a helpful assistant who answers in one short sentence. " * 4
    question = "What is the capital of Italy?"

    first = ask(server, question, system=system)
    ask(server, "Name a fruit.", system=system)
    again = ask(server, question, system=system)

    assert "Rome" in first["message"]["content"]
    assert again["message"]["content"] == first["message"]["content"]
    assert server.health()["models"][0]["prefix_cache_bytes"] > 0


def test_a_task_is_judged_and_a_chat_passes_the_gateway(
    server: RunningMLXServer, migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    door = f"http://127.0.0.1:{free_port()}"
    with running_system(
        migrated_url, redis_url, tmp_path, MLX_API_URL=server.url, OLLAMA_API_URL="disabled",
        KOS_GATEWAY_PORT=door.rpartition(":")[2],
    ) as system:  # fmt: skip
        system.start("control", "listener", "llm-mlx", "gateway")
        asked = {"system": "You answer in one short sentence.", "temperature": 0, "max_tokens": 32}
        task_id = system.insert("Capital", "What is the capital of France?", metadata=asked)

        done = system.wait_status(task_id, "completed", deadline_seconds=CALL_SECONDS)
        client = openai.OpenAI(base_url=f"{door}/v1", api_key="none", timeout=CALL_SECONDS)
        chat = client.chat.completions.create(
            model=NAME,
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            max_tokens=32,
            temperature=0,
        )

    assert (done["backend"], done["model"]) == ("mlx", NAME)
    assert done["result"] == chat.choices[0].message.content == "The capital of France is Paris."
    database.close_all()
