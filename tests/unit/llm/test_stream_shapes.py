"""Streams as proxies and less careful servers send them, through the real adapters."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from llm import errors
from llm.backends.registry import build
from llm.thinking import split_thinking
from llm.types import BackendKind, BackendSpec, Completion, Deadlines, GenerateRequest, Message
from tests.unit.llm.raw_server import EVENTS, HEAD, NDJSON, chunk, raw_server, sends

DEADLINES = Deadlines(first_token_seconds=20.0, between_tokens_seconds=20.0, total_seconds=30.0)
REQUEST = GenerateRequest("m", (Message("user", "Is it safe to delete?"),), max_tokens=50)
BOM = b"\xef\xbb\xbf"
DONE = b"data: [DONE]\n\n"


def event(text: object, *, name: str = "delta", index: int = 0, reason: str | None = None) -> bytes:
    choice = {"index": index, name: {"content": text}, "finish_reason": reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def read(
    data: bytes, content_type: bytes = EVENTS, kind: BackendKind = BackendKind.OPENAI
) -> Completion:
    with raw_server(sends(HEAD % content_type + chunk(data) + b"0\r\n\r\n")) as server:
        backend = build(BackendSpec("raw", kind, server.url), environ={})
        try:
            return backend.generate(REQUEST, deadlines=DEADLINES)
        finally:
            backend.close()


def test_a_byte_order_mark_hides_no_word() -> None:
    assert read(BOM + event("Not ") + event("safe.", reason="stop") + DONE).text == "Not safe."


def test_a_byte_order_mark_before_lines_of_json_hides_no_word() -> None:
    line = {"message": {"content": "Not safe."}, "done": True, "done_reason": "stop"}

    found = read(BOM + json.dumps(line).encode() + b"\n", NDJSON, BackendKind.OLLAMA)

    assert found.text == "Not safe."


@pytest.mark.parametrize("end", [b"", DONE], ids=["cut", "marked"])
def test_an_answer_without_a_finish_reason_is_not_taken_for_whole(end: bytes) -> None:
    with pytest.raises(errors.TruncatedStream):
        read(event("Not ") + event("safe.") + end)


@pytest.mark.parametrize("content_type", [b"text/plain; charset=utf-8", b"application/json"])
def test_an_event_stream_by_another_name_is_read(content_type: bytes) -> None:
    assert read(event("Not safe.", reason="stop") + DONE, content_type).text == "Not safe."


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("content_type", [b"application/json", EVENTS, b"text/plain"])
def test_one_whole_answer_is_read_where_a_stream_was_wanted(
    content_type: bytes, indent: int | None
) -> None:
    choice = {"index": 0, "message": {"content": "Not safe."}, "finish_reason": "stop"}
    body: dict[str, Any] = {"choices": [choice], "usage": {"prompt_tokens": 7}}

    found = read(b"\n\n  " + json.dumps(body, indent=indent).encode(), content_type)

    assert (found.text, found.prompt_tokens) == ("Not safe.", 7)


def test_a_whole_answer_that_was_cut_is_truncated() -> None:
    choice = {"index": 0, "message": {"content": "Not safe."}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice]}, indent=2).encode()

    with pytest.raises(errors.TruncatedStream):
        read(body[:-9], b"application/json")


def test_messages_in_place_of_deltas_are_read() -> None:
    data = event("Not ", name="message") + event("safe.", name="message", reason="stop") + DONE

    assert read(data).text == "Not safe."


def test_a_second_choice_is_not_mixed_into_the_first() -> None:
    data = event("Not ") + event("Quite ", index=1) + event("safe.", reason="stop")

    assert read(data + event("safe!", index=1, reason="length") + DONE).text == "Not safe."


def test_content_in_parts_is_split_into_thinking_and_answer() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm. "}]}
    data = event([thought]) + event([{"type": "text", "text": "Not safe."}], reason="stop")

    found = read(data + DONE)

    assert (found.text, found.thinking) == ("Not safe.", "Hm. ")


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("STOP", "stop"),
        ("eos_token", "stop"),
        ("FINISH_REASON_STOP", "stop"),
        ("end-turn", "stop"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
    ],
)
def test_a_finish_reason_is_read_in_any_spelling(spelling: str, expected: str) -> None:
    assert read(event("Not safe.", reason=spelling) + DONE).finish_reason == expected


@pytest.mark.parametrize("spelling", ["SAFETY", "content_filter"])
def test_a_filtered_answer_speaks_against_the_request_alone(spelling: str) -> None:
    with pytest.raises(errors.BadRequest):
        read(event("Not", reason=spelling) + DONE)


def delta(**fields: object) -> bytes:
    choice = {"index": 0, "delta": {"content": None, **fields}, "finish_reason": None}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def test_a_refusal_is_told_in_the_models_words() -> None:
    data = delta(role="assistant", refusal="I cannot ") + delta(refusal="help with that.")

    with pytest.raises(errors.RefusedAnswer, match="the model refused: I cannot help with that"):
        read(data + event(None, reason="stop") + DONE)


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_calls": [{"index": 0, "function": {"name": "get_weather", "arguments": "{}"}}]},
        {"function_call": {"name": "get_weather", "arguments": "{}"}},
        {"reasoning": "Hm.", "tool_calls": [{"function": {"name": "get_weather"}}]},
    ],
)
def test_a_tool_call_in_place_of_an_answer_is_named(fields: dict[str, object]) -> None:
    with pytest.raises(errors.UnwantedToolCall, match="called the tool 'get_weather'"):
        read(delta(**fields) + event(None, reason="tool_calls") + DONE)


def test_ollamas_tool_call_in_place_of_an_answer_is_named() -> None:
    message = {"content": "", "tool_calls": [{"function": {"name": "get_weather"}}]}
    line = {"message": message, "done": True, "done_reason": "stop"}

    with pytest.raises(errors.UnwantedToolCall, match="called the tool 'get_weather'"):
        read(json.dumps(line).encode() + b"\n", NDJSON, BackendKind.OLLAMA)


@pytest.mark.parametrize("calls", [[], [None], ["x"], [{}], [{"function": 5}], "x", {"name": 7}, 7])
def test_words_beside_a_tool_call_of_any_shape_are_the_answer(calls: object) -> None:
    data = delta(content="Not safe.", tool_calls=calls) + event(None, reason="stop")

    assert read(data + DONE).text == "Not safe."


@pytest.mark.parametrize(
    "data",
    [
        b'{"hello": "world"}',
        b'{"detail": "Welcome to this proxy"}\n',
        b'data: {"status": "queued"}\n\n',
        b": ping\n\nevent: hello\ndata:\n\n",
        b"Service is fine.\n",
    ],
)
def test_a_body_that_is_no_chat_is_told_with_its_beginning(data: bytes) -> None:
    with pytest.raises(errors.StreamBroken, match="the server answered no chat: '") as caught:
        read(data)

    assert data.decode().strip().splitlines()[0] in str(caught.value)


def test_lines_of_json_that_are_no_chat_are_told_with_their_beginning() -> None:
    with pytest.raises(errors.StreamBroken, match=r"the server answered no chat: .*pulling"):
        read(b'{"status": "pulling"}\n', NDJSON, BackendKind.OLLAMA)


@pytest.mark.parametrize("size", [b"-5", b"zz", b"", b"0x5", b"99999999999999999999"])
def test_a_chunk_size_that_makes_no_sense_is_a_broken_stream(size: bytes) -> None:
    def handler(sock: socket.socket) -> None:
        sends(HEAD % EVENTS + chunk(event("Not ")) + size + b"\r\n" + event("x"))(sock)

    with raw_server(handler) as server:
        backend = build(BackendSpec("raw", BackendKind.OPENAI, server.url), environ={})
        with pytest.raises((errors.StreamBroken, errors.TruncatedStream)):
            backend.generate(REQUEST, deadlines=DEADLINES)
        backend.close()


@pytest.mark.parametrize(
    "text",
    [
        "<think>Hm.</think>\nYes.",
        "<reasoning>Hm.</reasoning>Yes.",
        "<seed:think>Hm.</seed:think>Yes.",
        "[THINK]Hm.[/THINK]Yes.",
        "◁think▷Hm.◁/think▷Yes.",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
        "<|channel|>analysis<|message|>Hm.<|end|><|channel|>final<|message|>Yes.<|return|>",
        "Hm.\n[/THINK]\nYes.",
        "Hm.</think>\n\nYes.",
    ],
)
def test_thinking_is_told_from_the_answer(text: str) -> None:
    assert split_thinking(text) == ("Hm.", "Yes.")


@pytest.mark.parametrize(
    "text",
    [
        "Use [THINK] tags.",
        "The tag <reasoning> opens it.",
        "Write <|channel|> first.",
        "Close it with </think>\nand go on.",
        "Close it with `x.</think>`.\nGo on.",
        "[THINKING]",
    ],
)
def test_marks_inside_an_answer_are_text(text: str) -> None:
    assert split_thinking(text) == ("", text)


def test_a_thought_that_never_ends_is_no_answer() -> None:
    assert split_thinking("<|channel|>analysis<|message|>Hm.") == ("Hm.", "")
