"""What servers of the OpenAI kind do differently from one another."""

from __future__ import annotations

import json
import socket

import pytest

from llm import errors
from llm.backends.base import BackendAdapter
from llm.backends.registry import build
from llm.types import BackendKind, BackendSpec, Completion, Deadlines, GenerateRequest, Message
from tests.unit.llm.raw_server import EVENTS, HEAD, chunk, raw_server, read_request, sends

DEADLINES = Deadlines(
    connect_seconds=5.0, first_token_seconds=20.0, between_tokens_seconds=20.0, total_seconds=30.0
)
REQUEST = GenerateRequest("m", (Message("user", "Hello?"),), max_tokens=50)


def event(delta: dict[str, object], **fields: object) -> bytes:
    line = json.dumps({"choices": [{"index": 0, "delta": delta, **fields}]})
    return chunk(f"data: {line}\n\n".encode())


END = event({}, finish_reason="stop") + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def backend_at(url: str) -> BackendAdapter:
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


def refusal(line: str, **error: str) -> bytes:
    body = json.dumps({"error": error}).encode()
    return f"HTTP/1.1 {line}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "reply",
    [
        refusal("402 Payment Required", message="Insufficient Balance"),
        refusal(
            "429 Too Many Requests",
            message="You exceeded your current quota, please check your plan and billing details.",
            type="insufficient_quota",
            code="insufficient_quota",
        ),
    ],
)
def test_an_account_without_credit_is_not_authorized(reply: bytes) -> None:
    with raw_server(sends(reply)) as server:
        backend = backend_at(server.url)
        with pytest.raises(errors.NotAuthorized):
            backend.generate(REQUEST, deadlines=DEADLINES)
        backend.close()


OLD_NAME_REFUSED = refusal(
    "400 Bad Request",
    message="Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead.",
    code="unsupported_parameter",
)
LIMIT_REACHED = refusal(
    "400 Bad Request",
    message="Could not finish the message because max_tokens or model output limit was reached. "
    "Please try again with higher max_tokens.",
)


def test_a_model_that_takes_only_the_newer_token_limit_is_asked_again() -> None:
    seen: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        seen.append(read_request(sock))
        sock.sendall(OLD_NAME_REFUSED)
        seen.append(read_request(sock))
        sock.sendall(HEAD % EVENTS + event({"content": "hi"}) + END)

    with raw_server(handler) as server:
        backend = backend_at(server.url)
        completion = backend.generate(REQUEST, deadlines=DEADLINES)
        backend.close()

    assert completion.text == "hi"
    assert [b'"max_tokens": 50' in request for request in seen] == [True, False]
    assert [b'"max_completion_tokens": 50' in request for request in seen] == [False, True]


def test_a_newer_token_limit_that_is_refused_too_is_not_tried_for_ever() -> None:
    def handler(sock: socket.socket) -> None:
        while read_request(sock):
            sock.sendall(OLD_NAME_REFUSED)

    with raw_server(handler) as server:
        backend = backend_at(server.url)
        with pytest.raises(errors.BadRequest):
            backend.generate(REQUEST, deadlines=DEADLINES)
        backend.close()


def test_one_token_too_few_for_a_thinking_model_still_proves_that_it_generates() -> None:
    def handler(sock: socket.socket) -> None:
        while read_request(sock):
            sock.sendall(LIMIT_REACHED)

    with raw_server(handler) as server:
        backend = backend_at(server.url)
        assert backend.preload("gpt", deadlines=DEADLINES) >= 0.0
        backend.canary("gpt")
        backend.close()


def figures(*lines: str) -> bytes:
    body = "\n".join(lines).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )


NO_MODELS = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"data": []}'
)
NODE = (
    'ray_vllm_num_requests_running{WorkerId="a",model_name="m"} 3.0',
    'ray_vllm_num_requests_waiting{WorkerId="a",model_name="m"} 2.0',
    'ray_vllm_num_requests_waiting_by_reason{reason="capacity"} 2.0',
)


def load_at(url: str, *metrics_urls: str) -> tuple[int | None, int | None]:
    spec = BackendSpec("ray", BackendKind.OPENAI, url, metrics_urls=metrics_urls)
    backend = build(spec, environ={})
    health = backend.health()
    backend.close()
    assert health.reachable, health.error
    return health.active_requests, health.queue_size


def test_the_load_of_a_cluster_is_that_of_its_nodes_together() -> None:
    with (
        raw_server(sends(NO_MODELS)) as door,
        raw_server(sends(figures(*NODE))) as first,
        raw_server(sends(figures(*NODE))) as second,
    ):
        assert load_at(door.url, first.url, second.url) == (6, 4)


def test_a_node_that_does_not_answer_leaves_the_load_unknown() -> None:
    with raw_server(sends(NO_MODELS)) as door, raw_server(sends(figures(*NODE))) as first:
        assert load_at(door.url, first.url, "http://127.0.0.1:9") == (None, None)
