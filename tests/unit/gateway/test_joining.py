"""Servers that stream where nobody asked for it, and those that do not where somebody did."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.joining import as_events, joined
from gateway.dialects.stream import EventStreamAsIs
from llm import errors


def stream(*choices: dict[str, Any], more: dict[str, Any] | None = None, end: bool = True) -> bytes:
    head = {"id": "c1", "object": "chat.completion.chunk", "model": "m"}
    chunks = [{**head, "choices": [{"index": 0, **choice}]} for choice in choices]
    chunks += [{**head, "choices": [], **more}] if more else []
    events = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)
    return b": hello\n\n" + events + (b"data: [DONE]\n\n" if end else b"")


def test_a_stream_that_nobody_asked_for_is_one_answer() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    data = stream(
        {"delta": {"role": "assistant", "content": "Hel"}, "finish_reason": None},
        {"delta": {"content": "lo"}, "finish_reason": "stop"},
        more={"usage": usage},
    )

    found = json.loads(joined(data))

    (choice,) = found["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello"}
    assert (choice["finish_reason"], found["object"]) == ("stop", "chat.completion")
    assert found["usage"] == usage


def test_tool_calls_in_pieces_are_put_together_by_their_index() -> None:
    first = {"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"x"'}}
    second = {"index": 1, "id": "b", "function": {"name": "go", "arguments": "{}"}}
    data = stream(
        {"delta": {"role": "assistant", "content": None, "tool_calls": [first]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}},
        {"delta": {"tool_calls": [second]}, "finish_reason": "tool_calls"},
    )

    calls = json.loads(joined(data))["choices"][0]["message"]["tool_calls"]

    assert [(call["id"], call["function"]) for call in calls] == [
        ("a", {"name": "look", "arguments": '{"x": 1}'}),
        ("b", {"name": "go", "arguments": "{}"}),
    ]


def test_lines_that_nobody_asked_for_are_one_answer() -> None:
    lines = [
        {"message": {"role": "assistant", "content": "Hel"}, "done": False},
        {"message": {"role": "assistant", "content": "lo"}, "done": False},
        {"message": {"content": ""}, "done": True, "eval_count": 2},
    ]

    found = json.loads(joined(b"\n".join(json.dumps(line).encode() for line in lines)))

    assert found["message"] == {"role": "assistant", "content": "Hello"}
    assert (found["done"], found["eval_count"]) == (True, 2)


@pytest.mark.parametrize("answer", [b'{"choices": []}', b' {\n "embeddings": [[1.0]]}\n'])
def test_one_object_stays_as_it_came(answer: bytes) -> None:
    assert joined(answer) == answer


@pytest.mark.parametrize("answer", [b"", b"Service is fine.", b"<html></html>", b"[1, 2]"])
def test_what_is_neither_is_the_servers_fault(answer: bytes) -> None:
    with pytest.raises(errors.StreamBroken, match="neither JSON nor a stream"):
        joined(answer)


def test_a_stream_that_broke_off_is_no_answer() -> None:
    with pytest.raises(errors.TruncatedStream):
        joined(stream({"delta": {"content": "Hel"}}, end=False))
    with pytest.raises(errors.ServerFailed, match="it broke"):
        joined(stream({"delta": {"content": "Hel"}}) + b'data: {"error": {"message": "it broke"}}')


def test_a_whole_answer_is_a_stream_of_one_event() -> None:
    message = {"role": "assistant", "content": "Hello"}
    answer = {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}

    data = as_events(json.dumps(answer).encode())

    reader = EventStreamAsIs()
    reader.feed(data)
    assert reader.finished
    chunk = json.loads(data.split(b"\n")[0].removeprefix(b"data: "))
    assert chunk["object"] == "chat.completion.chunk"
    assert chunk["choices"] == [{"index": 0, "delta": message}]


def test_an_error_in_place_of_a_stream_is_an_error() -> None:
    with pytest.raises(errors.LLMError, match="it broke"):
        as_events(b'{"error": {"message": "it broke"}}')


def test_a_stream_under_the_name_of_an_object_stays_as_it_came() -> None:
    data = stream({"delta": {"content": "Hello"}})
    assert as_events(data) == data
