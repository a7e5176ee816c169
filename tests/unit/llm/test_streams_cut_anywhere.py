"""Whatever bytes come, and wherever they end: a whole answer or an error of ours."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm import errors
from llm.backends.base import BackendAdapter
from llm.backends.registry import build
from llm.types import BackendKind, BackendSpec, Completion, Deadlines, GenerateRequest, Message
from llm.wire import ollama, openai
from llm.wire.values import GenerationUsage
from tests.unit.llm.raw_server import EVENTS, HEAD, NDJSON, RawServer, chunk, raw_server, sends

DEADLINES = Deadlines(
    connect_seconds=2.0, first_token_seconds=5.0, between_tokens_seconds=5.0, total_seconds=10.0
)
REQUEST = GenerateRequest("m", (Message("user", "How does a lighthouse work?"),), max_tokens=100)
WORDS = ["The ", "lamp ", "свет ", "🚀 ", "\n", '"quoted" ', "turns", "."]
TEXT = "".join(WORDS)
AT = datetime(2026, 1, 1, tzinfo=UTC)
MARKS = {BackendKind.OLLAMA: b'"done":true', BackendKind.OPENAI: b"data: [DONE]"}


def ollama_stream() -> list[bytes]:
    parts = [ollama.line(ollama.chat_chunk(model="m", at=AT, text=word)) for word in WORDS]
    usage = GenerationUsage(prompt_tokens=9, completion_tokens=8, total_seconds=1.0)
    return [*parts, ollama.line(ollama.chat_final(model="m", at=AT, reason="stop", usage=usage))]


def openai_stream() -> list[bytes]:
    common: dict[str, Any] = {"completion_id": "c", "model": "m", "at": AT}
    parts = [b": ping\n\n", openai.event(openai.chunk(**common, text="", role="assistant"))]
    parts += [openai.event(openai.chunk(**common, text=word)) for word in WORDS]
    parts += [openai.event(openai.chunk(**common, finish_reason="stop"))]
    usage = GenerationUsage(prompt_tokens=9, completion_tokens=8)
    return [*parts, openai.event(openai.usage_chunk(**common, usage=usage)), openai.DONE]


STREAMS = {BackendKind.OLLAMA: ollama_stream(), BackendKind.OPENAI: openai_stream()}
TYPES = {BackendKind.OLLAMA: NDJSON, BackendKind.OPENAI: EVENTS}


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with raw_server(sends()) as running:
        yield running


@pytest.fixture(scope="module", params=[BackendKind.OLLAMA, BackendKind.OPENAI])
def backend(request: pytest.FixtureRequest, server: RawServer) -> Iterator[BackendAdapter]:
    adapter = build(BackendSpec("raw", request.param, server.url), environ={})
    yield adapter
    adapter.close()


def outcome(
    backend: BackendAdapter, server: RawServer, *parts: bytes
) -> Completion | errors.LLMError:
    server.handler = sends(*parts)
    try:
        return backend.generate(REQUEST, deadlines=DEADLINES)
    except errors.PoisonedCall as exc:
        raise AssertionError(f"an exception nobody mapped: {exc!r}") from exc
    except errors.LLMError as exc:
        return exc


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(edges)]


def wire_bytes(kind: BackendKind) -> bytes:
    return HEAD % TYPES[kind] + b"".join(map(chunk, STREAMS[kind])) + b"0\r\n\r\n"


over_sockets = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@over_sockets
@given(places=st.lists(st.integers(0, 5000), max_size=12))
def test_an_answer_is_the_same_however_its_bytes_are_cut(
    backend: BackendAdapter, server: RawServer, places: list[int]
) -> None:
    result = outcome(backend, server, *cut(wire_bytes(backend.spec.kind), places))

    assert isinstance(result, Completion), repr(result)
    assert (result.text, result.finish_reason) == (TEXT, "stop")


@over_sockets
@given(end=st.integers(0, 5000), chunked=st.booleans())
def test_a_stream_that_ends_anywhere_is_whole_or_an_error(
    backend: BackendAdapter, server: RawServer, end: int, chunked: bool
) -> None:
    kind = backend.spec.kind
    if chunked:
        data = wire_bytes(kind)
    else:
        data = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n" % TYPES[kind] + b"".join(
            STREAMS[kind]
        )
    kept = data[: end % (len(data) + 1)]

    result = outcome(backend, server, kept)

    if isinstance(result, Completion):
        assert MARKS[kind] in kept
        assert result.text == TEXT
    else:
        assert isinstance(result, errors.TransientError), repr(result)


@over_sockets
@given(
    damage=st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=0, max_size=6)), max_size=4),
    places=st.lists(st.integers(0, 5000), max_size=4),
)
def test_damaged_bytes_give_an_answer_or_a_mapped_error(
    backend: BackendAdapter, server: RawServer, damage: list[tuple[int, bytes]], places: list[int]
) -> None:
    data = wire_bytes(backend.spec.kind)
    for place, junk in damage:
        place %= len(data)
        data = data[:place] + junk + data[place + len(junk) :]

    result = outcome(backend, server, *cut(data, places))

    if isinstance(result, Completion):
        assert result.finish_reason in ("stop", "length")


@over_sockets
@given(body=st.binary(max_size=400))
def test_any_body_gives_a_mapped_error(
    backend: BackendAdapter, server: RawServer, body: bytes
) -> None:
    head = HEAD % TYPES[backend.spec.kind]

    result = outcome(backend, server, head, chunk(body) if body else b"", b"0\r\n\r\n")

    assert isinstance(result, errors.LLMError)


FIELDS = [
    *("message", "content", "thinking", "done", "done_reason", "error", "choices", "delta"),
    *("finish_reason", "usage", "reasoning", "prompt_eval_count", "eval_count", "load_duration"),
    *("prompt_tokens", "object"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@over_sockets
@given(values=st.lists(json_values, max_size=6))
def test_any_json_gives_an_answer_or_a_mapped_error(
    backend: BackendAdapter, server: RawServer, values: list[object]
) -> None:
    lines = [json.dumps(value).encode() for value in values]
    if backend.spec.kind is BackendKind.OPENAI:
        lines = [b"data: " + line + b"\n" for line in lines]
    body = b"".join(line + b"\n" for line in lines)

    outcome(backend, server, HEAD % TYPES[backend.spec.kind], body and chunk(body), b"0\r\n\r\n")


def test_bytes_after_the_marker_are_not_part_of_the_answer(
    backend: BackendAdapter, server: RawServer
) -> None:
    kind = backend.spec.kind
    late = chunk(STREAMS[kind][0])

    result = outcome(
        backend, server, HEAD % TYPES[kind], *map(chunk, STREAMS[kind]), late, b"0\r\n\r\n"
    )

    assert isinstance(result, Completion)
    assert result.text == TEXT


def test_a_silent_server_ends_at_the_stall_deadline(
    backend: BackendAdapter, server: RawServer
) -> None:
    release = threading.Event()
    kind = backend.spec.kind

    def handler(sock: socket.socket) -> None:
        sends(HEAD % TYPES[kind], *map(chunk, STREAMS[kind][:3]))(sock)
        release.wait(10.0)

    server.handler = handler
    try:
        with pytest.raises(errors.StallTimeout) as caught:
            backend.generate(REQUEST, deadlines=replace(DEADLINES, between_tokens_seconds=0.2))
    finally:
        release.set()
    assert caught.value.partial_text


def test_a_server_that_goes_on_after_the_marker_holds_nobody_up(
    backend: BackendAdapter, server: RawServer
) -> None:
    kind = backend.spec.kind
    left = threading.Event()

    def handler(sock: socket.socket) -> None:
        sends(HEAD % TYPES[kind], *map(chunk, STREAMS[kind]))(sock)
        try:
            while not left.wait(0.02):
                sock.sendall(b"0")  # an endless chunk size, digit by digit
        except OSError:
            left.set()

    server.handler = handler

    completion = backend.generate(REQUEST, deadlines=DEADLINES)

    assert completion.text == TEXT
    assert left.wait(5.0)
