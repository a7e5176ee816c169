"""The official `openai` and `ollama` packages through the gateway, by changing the address alone:
in front of a simulated Ollama and of our own MLX server with tiny models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ollama
import openai
import pytest
import requests

from console.home import free_port
from models import database
from tests.support.embedded import Server, drop_database, fresh_database
from tests.support.mlx_servers import build_models, mlx_server
from tests.support.system import System, running_system

PROMPT = "Explain how database indexes speed up queries"
MESSAGES: Any = [{"role": "user", "content": PROMPT}]
IMAGE: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
PLACES = {"simulator": "ollama/phi3.5:3.8b", "mlx": "mlx/llama"}


@dataclass(frozen=True)
class Gateway:
    system: System
    openai: openai.OpenAI
    ollama: ollama.Client


@pytest.fixture(scope="module")
def gateway(
    shared_postgres: Server, shared_redis: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    directory, port = tmp_path_factory.mktemp("clients"), free_port()
    services = (
        fresh_database(shared_postgres.url, migrated=True),
        f"{shared_redis.url.rsplit('/', 1)[0]}/14",
    )
    with (
        mlx_server(build_models(directory / "models")) as mlx,
        running_system(
            *services, directory, KOS_GATEWAY_PORT=str(port), MLX_API_URL=mlx.url
        ) as system,
    ):
        system.start("gateway")
        url = f"http://127.0.0.1:{port}"
        system.wait(lambda: answers(url), what="gateway answers", deadline_seconds=120)
        yield Gateway(
            system,
            openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60),
            ollama.Client(host=url, timeout=60),
        )
    database.close_all()
    drop_database(shared_postgres.url, services[0])


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=1).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(params=PLACES.values(), ids=list(PLACES))
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_openai_chats_whole_and_streamed(gateway: Gateway, model: str) -> None:
    chats = gateway.openai.chat.completions
    whole = chats.create(model=model, messages=MESSAGES, max_tokens=8, temperature=0)
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 8

    stream = chats.create(
        model=model, messages=MESSAGES, max_tokens=8, temperature=0, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_openai_hears_why_a_request_is_wrong(gateway: Gateway, model: str) -> None:
    with pytest.raises(openai.NotFoundError, match="missing"):
        gateway.openai.chat.completions.create(model=f"{model}-missing", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError, match="messages"):
        gateway.openai.chat.completions.create(model=model, messages=[])
    with pytest.raises(openai.BadRequestError, match="vision"):
        gateway.openai.chat.completions.create(
            model=model, messages=[{"role": "user", "content": [IMAGE]}]
        )


def test_openai_gets_json_of_a_schema(gateway: Gateway, model: str) -> None:
    schema = {
        "type": "object",
        "properties": {"good": {"type": "boolean"}},
        "required": ["good"],
        "additionalProperties": False,
    }
    answer = gateway.openai.chat.completions.create(
        model=model, messages=MESSAGES, max_tokens=64,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
    )  # fmt: skip
    assert set(json.loads(answer.choices[0].message.content or "")) == {"good"}


def test_openai_completes_a_prompt_where_the_server_does(gateway: Gateway) -> None:
    create = gateway.openai.completions.create
    whole = create(model=PLACES["simulator"], prompt=PROMPT, max_tokens=8)
    assert whole.choices[0].text
    stream = create(model=PLACES["simulator"], prompt=PROMPT, max_tokens=8, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text
    with pytest.raises(openai.BadRequestError, match="chats only"):
        create(model=PLACES["mlx"], prompt=PROMPT)


def test_openai_lists_models_experts_and_categories(gateway: Gateway) -> None:
    names = {found.id for found in gateway.openai.models.list()}
    assert {"phi3.5:3.8b", "llama", "fast", "auto", "expert/anna"} <= names
    assert gateway.openai.models.retrieve("expert/anna").owned_by == "kos"
    with pytest.raises(openai.NotFoundError):
        gateway.openai.models.retrieve("nobody")


def test_openai_follows_and_cancels_a_background_response(gateway: Gateway) -> None:
    begun = gateway.openai.responses.create(model="fast", input=PROMPT, background=True)
    assert (begun.status, begun.background) == ("queued", True)
    assert gateway.openai.responses.retrieve(begun.id).status == "queued"
    assert gateway.openai.responses.cancel(begun.id).status == "cancelled"
    with pytest.raises(openai.NotFoundError):
        gateway.openai.responses.retrieve("resp_none")


def test_ollama_chats_and_generates_whole_and_streamed(gateway: Gateway, model: str) -> None:
    options = {"num_predict": 8, "temperature": 0}
    whole = gateway.ollama.chat(model, MESSAGES, options=options)
    pieces = list(gateway.ollama.chat(model, MESSAGES, options=options, stream=True))
    assert pieces[-1].done
    assert "".join(p.message.content or "" for p in pieces) == whole.message.content
    assert whole.eval_count is not None
    assert 0 < whole.eval_count <= 8
    written = list(gateway.ollama.generate(model, PROMPT, options=options, stream=True))
    assert written[-1].done
    assert "".join(piece.response or "" for piece in written)


def test_ollama_lists_shows_and_hears_what_is_wrong(gateway: Gateway) -> None:
    assert {"phi3.5:3.8b", "llama"} <= {found.model for found in gateway.ollama.list().models}
    assert gateway.ollama.show("llama").details is not None
    assert gateway.ollama.ps().models is not None
    with pytest.raises(ollama.ResponseError, match="nobody") as failed:
        gateway.ollama.chat("nobody", MESSAGES)
    assert failed.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="embedding"):
        gateway.ollama.embed("llama", "x")
