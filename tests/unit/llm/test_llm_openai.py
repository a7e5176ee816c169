"""What servers of the OpenAI kind do differently from one another."""

from __future__ import annotations

import json

import pytest

from llm.backends.base import Backend
from llm.backends.registry import build
from llm.types import BackendKind, BackendSpec, Completion, Deadlines, GenerateRequest, Message
from tests.unit.llm.raw_server import EVENTS, HEAD, chunk, raw_server, sends

DEADLINES = Deadlines(
    connect_seconds=5.0, first_token_seconds=20.0, between_tokens_seconds=20.0, total_seconds=30.0
)
REQUEST = GenerateRequest("m", (Message("user", "Hello?"),), max_tokens=50)


def event(delta: dict[str, object], **fields: object) -> bytes:
    line = json.dumps({"choices": [{"index": 0, "delta": delta, **fields}]})
    return chunk(f"data: {line}\n\n".encode())


END = event({}, finish_reason="stop") + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def backend_at(url: str) -> Backend:
    return build(BackendSpec("raw", BackendKind.OPENAI, url), environ={})


def completion_of(*events: bytes) -> Completion:
    with raw_server(sends(HEAD % EVENTS, *events, END)) as server:
        backend = backend_at(server.url)
        completion = backend.generate(REQUEST, deadlines=DEADLINES)
        backend.close()
    return completion


def test_an_empty_finish_reason_is_none() -> None:
    pieces = [event({"content": word}, finish_reason="") for word in ("hi ", "there")]

    completion = completion_of(*pieces)

    assert (completion.text, completion.finish_reason) == ("hi there", "stop")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_thought_and_text_in_one_chunk_both_arrive(name: str) -> None:
    completion = completion_of(event({name: "so"}), event({name: " then", "content": "hi"}))

    assert (completion.text, completion.thinking) == ("hi", "so then")
