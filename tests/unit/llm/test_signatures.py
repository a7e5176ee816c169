"""What other servers answer, tried on the real adapters: each row of llm/signatures.toml."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from llm import breaker, errors
from llm.backends.registry import build
from llm.signatures import ServerRefusal, signature_of, table
from llm.types import BackendKind, BackendSpec, Completion, Deadlines, GenerateRequest, Message
from tests.unit.llm.raw_server import EVENTS, HEAD, NDJSON, chunk, raw_server, read_request

DEADLINES = Deadlines(first_token_seconds=20.0, between_tokens_seconds=20.0, total_seconds=30.0)
REQUEST = GenerateRequest("m", (Message("user", "Hello?"),), max_tokens=50)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
OLLAMA, OPENAI = BackendKind.OLLAMA, BackendKind.OPENAI


def refusal(status: int, body: object) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} No\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def answer(text: str, kind: BackendKind = OPENAI) -> bytes:
    if kind is OLLAMA:
        line = {"message": {"content": text}, "done": True, "done_reason": "stop"}
        return HEAD % NDJSON + chunk(json.dumps(line).encode() + b"\n") + b"0\r\n\r\n"
    event = {"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}
    data = b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n"
    return HEAD % EVENTS + chunk(data) + b"0\r\n\r\n"


@dataclass
class Server:
    """Answers each request by ``reply`` and keeps what was asked."""

    reply: Callable[[dict[str, Any]], bytes]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, sock: socket.socket) -> None:
        while request := read_request(sock):
            body = json.loads(request.partition(b"\r\n\r\n")[2])
            self.asked.append(body)
            sock.sendall(self.reply(body))


def error_of(reply: bytes, kind: BackendKind = OPENAI) -> errors.LLMError:
    with raw_server(Server(lambda _: reply)) as server:
        backend = build(BackendSpec("raw", kind, server.url), environ={})
        with pytest.raises(errors.LLMError) as caught:
            backend.generate(REQUEST, deadlines=DEADLINES)
        backend.close()
    return caught.value


def ask(server: Server, *requests: GenerateRequest, kind: BackendKind = OPENAI) -> list[Completion]:
    with raw_server(server) as raw:
        backend = build(BackendSpec("raw", kind, raw.url), environ={})
        found = [backend.generate(request, deadlines=DEADLINES) for request in requests]
        backend.close()
    return found


def stream_error(error: object) -> bytes:
    data = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    return HEAD % EVENTS + chunk(data) + b"0\r\n\r\n"


TOO_LONG = "request (5000 tokens) exceeds the available context size (2048 tokens)"
OVERFLOW = (
    "Trying to keep the first 4892 tokens when context the overflows. However, the model is "
    "loaded with context length of only 4096 tokens"
)
CONTEXT_TYPE = {"code": 400, "type": "exceed_context_size_error"}
CONTEXT_CODE = {"code": "context_length_exceeded"}
REFUSALS: list[tuple[int, str, dict[str, Any], type[errors.LLMError]]] = [
    (400, 'Failed to load model "x". Error: no memory', {}, errors.LoadFailed),
    (400, "No models loaded. Please load a model", {}, errors.LoadFailed),
    (400, "The model has crashed without additional information.", {}, errors.LoadFailed),
    (400, "Model unloaded.", {}, errors.LoadFailed),
    (400, "Model has been unloaded or an error occurred.", {}, errors.LoadFailed),
    (500, "llama runner process no longer running: 2", {}, errors.LoadFailed),
    (500, 'POST predict: Post "http://127.0.0.1:4123/completion": EOF', {}, errors.LoadFailed),
    (400, "Cannot truncate prompt with n_keep (5000) >= n_ctx (4096)", {}, errors.PromptTooLong),
    (400, "you must provide a chat template", {}, errors.ModelUnsuitable),
    (400, 'Model "bge" is an embedding model', {}, errors.ModelUnsuitable),
    (400, 'Invalid model identifier "m"', {"code": "model_not_found"}, errors.ModelNotFound),
    (400, "Invalid model: m", {"type": "invalid_model"}, errors.ModelNotFound),
    (400, TOO_LONG, CONTEXT_TYPE, errors.PromptTooLong),
    (400, "This model's maximum context length is 4096.", CONTEXT_CODE, errors.PromptTooLong),
    (400, OVERFLOW, {}, errors.PromptTooLong),
    (400, "9000 tokens or more, and the context holds 8192", {}, errors.PromptTooLong),
    (413, "<html>413 Request Entity Too Large</html>", {}, errors.PromptTooLong),
    (502, "<html>502 Bad Gateway</html>", {}, errors.BackendUnreachable),
    (200, "too long", CONTEXT_TYPE, errors.PromptTooLong),
    (200, "This model's maximum context length is 4096 tokens", {}, errors.PromptTooLong),
    (200, "the runner died", {"type": "server_error"}, errors.ServerFailed),
]
CONCERNS = {
    errors.LoadFailed: "model",
    errors.ModelUnsuitable: "model",
    errors.ModelNotFound: "model",
    errors.PromptTooLong: "request",
    errors.BackendUnreachable: "server",
    errors.ServerFailed: "server",
}


@pytest.mark.parametrize(("status", "message", "more", "expected"), REFUSALS)
def test_what_a_server_says_is_understood(
    status: int, message: str, more: dict[str, Any], expected: type[errors.LLMError]
) -> None:
    error = {"message": message, **more}
    body = message.encode() if message.startswith("<") else {"error": error}

    found = error_of(stream_error(error) if status == 200 else refusal(status, body))

    assert (type(found), found.concerns) == (expected, CONCERNS[expected])
    assert breaker.counts_against_backend(found) is (found.concerns == "server")


@pytest.mark.parametrize(
    "told",
    [
        {"message": "stream_options: Extra inputs are not permitted", "type": "invalid_request"},
        {"message": "parameter stream_options is not permitted"},
        [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}],
    ],
)
def test_a_field_that_a_server_refuses_is_left_out_from_then_on(told: object) -> None:
    def reply(body: dict[str, Any]) -> bytes:
        key = "detail" if isinstance(told, list) else "error"
        return refusal(422, {key: told}) if "stream_options" in body else answer("fine")

    server = Server(reply)

    completions = ask(server, REQUEST, replace(REQUEST, model="another"))

    assert [completion.text for completion in completions] == ["fine", "fine"]
    assert ["stream_options" in body for body in server.asked] == [True, False, False]


def test_a_token_limit_of_the_older_name_is_renamed_for_this_model_alone() -> None:
    told = "Unsupported parameter: 'max_tokens' is not supported with this model."

    def reply(body: dict[str, Any]) -> bytes:
        if body["model"] == "m" and "max_tokens" in body:
            return refusal(400, {"error": {"message": told}})
        return answer("fine")

    server = Server(reply)

    ask(server, REQUEST, REQUEST, replace(REQUEST, model="another"))

    limits = [
        sorted(body.keys() & {"max_tokens", "max_completion_tokens"}) for body in server.asked
    ]
    assert limits == [
        ["max_tokens"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
        ["max_tokens"],
    ]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, "System role not supported"),
        (500, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
    ],
)
def test_a_model_without_a_system_role_is_told_the_same_by_the_user(status: int, told: str) -> None:
    def reply(body: dict[str, Any]) -> bytes:
        leads = body["messages"][0]["role"] == "system"
        return refusal(status, {"error": {"message": told}}) if leads else answer("fine")

    server = Server(reply)
    request = replace(REQUEST, messages=(Message("system", "Be terse."), *REQUEST.messages))

    ask(server, request, replace(request, response_schema=SCHEMA), replace(request, model="n"))

    roles = [[message["role"] for message in body["messages"]] for body in server.asked]
    assert roles == [["system", "user"], ["user"], ["user"], ["system", "user"], ["user"]]
    assert server.asked[1]["messages"][0]["content"] == "Be terse.\n\nHello?"


@pytest.mark.parametrize(
    ("told", "room"),
    [
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum "
            "context length is 4096 tokens and your request has 3000 input tokens",
            1096,
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5548 "
            "tokens (3500 in the messages, 2048 in the completion).",
            596,
        ),
    ],
)
def test_an_answer_gets_the_room_that_the_server_says_is_left(told: str, room: int) -> None:
    def reply(body: dict[str, Any]) -> bytes:
        fits = body["max_tokens"] <= room
        return answer("fine") if fits else refusal(400, {"error": {"message": told}})

    server = Server(reply)

    ask(server, replace(REQUEST, max_tokens=2048))

    assert [body["max_tokens"] for body in server.asked] == [2048, room]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([{"error": {"code": 503, "message": "The model is overloaded."}}], errors.Overloaded),
        ({"models": []}, errors.StreamBroken),
    ],
)
def test_an_error_that_came_as_a_success_is_read(body: object, expected: type[Exception]) -> None:
    assert (
        type(error_of(HEAD % EVENTS + chunk(json.dumps(body).encode()) + b"0\r\n\r\n")) is expected
    )


def test_a_refusal_that_names_no_field_is_a_bad_request() -> None:
    error = error_of(refusal(400, {"error": {"message": "roles must alternate"}}))

    assert type(error) is errors.BadRequest


class TestStructuredOutput:
    def test_it_goes_down_from_schema_to_json_to_prompt_and_stays_there(self) -> None:
        def reply(body: dict[str, Any]) -> bytes:
            if "response_format" in body:
                told = "This response_format type is unavailable now"
                return refusal(400, {"error": {"message": told, "type": "invalid_request_error"}})
            return answer('{"city": "Paris"}')

        server = Server(reply)
        request = replace(REQUEST, response_schema=SCHEMA)

        ask(server, request, request)

        kinds = [body.get("response_format", {}).get("type") for body in server.asked]
        assert kinds == ["json_schema", "json_object", None, None]
        assert [json.dumps(SCHEMA) in str(body["messages"][0]) for body in server.asked] == [
            False, True, True, True,
        ]  # fmt: skip
        assert all(body["messages"][-1]["content"] == "Hello?" for body in server.asked)

    def test_a_server_that_ignores_the_schema_gets_it_in_the_prompt_next_time(self) -> None:
        server = Server(lambda _: answer("The city is Paris."))
        request = replace(REQUEST, response_schema=SCHEMA)

        ask(server, request, request)

        assert [body["messages"][0]["role"] for body in server.asked] == ["user", "system"]

    @pytest.mark.parametrize(
        ("told", "learned"),
        [
            ("invalid JSON schema in format", False),
            ("failed to load model vocabulary required for format", True),
        ],
    )
    def test_ollamas_grammar_faults_concern_the_schema_or_the_model(
        self, told: str, learned: bool
    ) -> None:
        def reply(body: dict[str, Any]) -> bytes:
            if "format" in body:
                return refusal(500, {"error": told})
            return answer('{"city": "Paris"}', OLLAMA)

        server = Server(reply)
        request = replace(REQUEST, response_schema=SCHEMA)

        ask(server, request, request, replace(request, model="another"), kind=OLLAMA)

        formats = [body.get("format") for body in server.asked]
        down = [SCHEMA, "json", None]
        assert formats == [*down, *([None] if learned else down), *down]


def test_every_row_has_a_source_and_the_last_one_takes_all() -> None:
    rows = table()

    assert all(row.source for row in rows)
    assert rows[-1].fits(ServerRefusal(418, "I am a teapot"))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (418, errors.BadRequest),
        (450, errors.BadRequest),
        (200, errors.ServerFailed),
        (599, errors.ServerFailed),
        (600, errors.ServerFailed),
        (999, errors.ServerFailed),
    ],
)
def test_only_a_4xx_blames_the_request(status: int, error: type[errors.LLMError]) -> None:
    assert signature_of(ServerRefusal(status, "Request denied")).error is error


def test_no_pattern_is_so_wide_that_it_takes_ordinary_words() -> None:
    ordinary = "The request could not be processed. Please try again later."

    assert [row.source for row in table() if row.text and re.search(row.text, ordinary)] == []
