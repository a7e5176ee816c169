"""One API in the words of another, and streams that tell whether they ended."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls import Api, Call, read_call
from gateway.dialects.route import route
from gateway.dialects.stream import BrokenStream, EventStreamAsIs, JsonLinesAsIs
from gateway.dialects.values import Route
from gateway.errors import BadCall
from llm.types import BackendKind

USER = [{"role": "user", "content": "Hello"}]
OLLAMA_STREAM = (
    b'{"model":"m","message":{"role":"assistant","content":"Hel"},"done":false}\n'
    b'{"model":"m","message":{"role":"assistant","content":"lo"},"done":false}\n'
    b'{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"length",'
    b'"prompt_eval_count":7,"eval_count":2}\n'
)
OPENAI_STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}\r\n\r\n'
    b": a comment\n\n"
    b'data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\n"
)


def call(api: Api, **body: Any) -> Call:
    return read_call(api, json.dumps({"model": "m", **body}).encode())


def way(api: Api, kind: BackendKind, *, num_ctx: int | None = None, **body: Any) -> Route:
    return route(call(api, **body), kind, model="m", num_ctx=num_ctx)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[a:b] for a, b in pairwise(marks)]


def test_a_chat_to_ollama_names_the_context_that_tasks_use() -> None:
    chosen = way(
        Api.OPENAI_CHAT, BackendKind.OLLAMA, num_ctx=8192, messages=USER, temperature=0.2,
        stop="END", max_completion_tokens=50, stream=True,
    )  # fmt: skip
    assert chosen.path == "/api/chat"
    assert chosen.body["options"] == {
        "num_ctx": 8192, "temperature": 0.2, "stop": ["END"], "num_predict": 50,
    }  # fmt: skip


def test_what_ollama_cannot_say_itself_goes_to_its_openai_face_as_it_came() -> None:
    chosen = way(Api.OPENAI_CHAT, BackendKind.OLLAMA, num_ctx=8192, messages=USER, logprobs=True)
    assert chosen.path == "/v1/chat/completions"
    assert chosen.body["logprobs"] is True


def test_a_completion_to_ollama_names_the_context_that_tasks_use() -> None:
    chosen = way(
        Api.OPENAI_COMPLETIONS, BackendKind.OLLAMA, num_ctx=8192, prompt=["Once"], max_tokens=3
    )
    assert (chosen.path, chosen.body["prompt"]) == ("/api/generate", "Once")
    assert chosen.body["options"] == {"num_ctx": 8192, "num_predict": 3}
    reader = way(
        Api.OPENAI_COMPLETIONS, BackendKind.OLLAMA, num_ctx=8192, prompt="Once", stream=True
    ).reader()
    out = reader.feed(b'{"response":" upon","done":false}\n{"response":"","done":true}\n')
    first, *_, end = out.split(b"\n\n")[:-1]
    assert json.loads(first[6:])["choices"][0]["text"] == " upon"
    assert end == b"data: [DONE]"


@pytest.mark.parametrize("field", [{"n": 2}, {"logit_bias": {"1": 2}}, {"echo": True}])
def test_a_choice_that_ollama_does_not_have_is_refused_by_name(field: dict[str, Any]) -> None:
    with pytest.raises(BadCall, match=next(iter(field))):
        way(Api.OPENAI_CHAT, BackendKind.OLLAMA, num_ctx=8192, messages=USER, **field)
    elsewhere = way(Api.OPENAI_CHAT, BackendKind.OPENAI, messages=USER, **field)
    assert field.items() <= elsewhere.body.items()


def test_unknown_fields_do_not_lead_past_the_context_of_tasks() -> None:
    chosen = way(Api.OPENAI_CHAT, BackendKind.OLLAMA, num_ctx=8192, messages=USER, chat_id="7")
    assert chosen.path == "/api/chat"
    assert "chat_id" not in chosen.body


@pytest.mark.parametrize("api", [Api.OLLAMA_CHAT, Api.OLLAMA_GENERATE])
def test_no_caller_decides_what_stays_in_memory(api: Api) -> None:
    body = call(api, messages=USER, keep_alive=0)
    assert "keep_alive" not in route(body, BackendKind.OLLAMA, model="m", num_ctx=1).body
    chosen = route(body, BackendKind.OLLAMA, model="m", num_ctx=1, keep_alive="30m")
    assert chosen.body["keep_alive"] == "30m"


def test_chats_and_tasks_share_a_few_contexts() -> None:
    chosen = way(Api.OLLAMA_CHAT, BackendKind.OLLAMA, num_ctx=8192, messages=USER)
    assert chosen.body["options"] == {"num_ctx": 8192}
    own = way(
        Api.OLLAMA_CHAT, BackendKind.OLLAMA, num_ctx=8192, messages=USER, options={"num_ctx": 2048}
    )
    assert own.body["options"] == {"num_ctx": 8192}


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_ollamas_lines_become_openais_events_wherever_they_are_cut(places: list[int]) -> None:
    chosen = way(
        Api.OPENAI_CHAT, BackendKind.OLLAMA, num_ctx=8192, messages=USER, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    reader = chosen.reader()
    out = b"".join(reader.feed(piece) for piece in cut(OLLAMA_STREAM, places))
    events = [json.loads(line[6:]) for line in out.split(b"\n\n") if line.startswith(b"data: {")]
    text = "".join(e["choices"][0]["delta"].get("content", "") for e in events if e["choices"])
    assert text == "Hello"
    assert events[-2]["choices"][0]["finish_reason"] == "length"
    assert events[-1]["usage"] == {
        "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9,
    }  # fmt: skip
    assert out.endswith(b"data: [DONE]\n\n")
    assert reader.finished


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_openais_events_become_ollamas_lines_wherever_they_are_cut(places: list[int]) -> None:
    reader = way(Api.OLLAMA_CHAT, BackendKind.OPENAI, messages=USER).reader()
    out = b"".join(reader.feed(piece) for piece in cut(OPENAI_STREAM, places))
    lines = [json.loads(line) for line in out.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "Hello"
    assert lines[-1]["done"] is True
    assert (lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == (7, 2)
    assert reader.finished


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_bytes_pass_unchanged_where_both_speak_the_same(places: list[int]) -> None:
    for reader, data in ((EventStreamAsIs(), OPENAI_STREAM), (JsonLinesAsIs(), OLLAMA_STREAM)):
        pieces = cut(data, places)
        assert [reader.feed(piece) for piece in pieces] == pieces
        assert reader.finished
        assert (reader.tokens.prompt, reader.tokens.completion) == (7, 2)


@pytest.mark.parametrize(("data", "reader"), [
    (OPENAI_STREAM.removesuffix(b"data: [DONE]\n\n"), EventStreamAsIs()),
    (OLLAMA_STREAM.rpartition(b'{"model"')[0], JsonLinesAsIs()),
])  # fmt: skip
def test_a_stream_without_its_end_mark_has_not_finished(
    data: bytes, reader: EventStreamAsIs | JsonLinesAsIs
) -> None:
    reader.feed(data)
    assert not reader.finished


def test_an_error_line_breaks_the_stream() -> None:
    chosen = way(Api.OPENAI_CHAT, BackendKind.OLLAMA, num_ctx=8192, messages=USER, stream=True)
    with pytest.raises(BrokenStream, match="out of memory"):
        chosen.reader().feed(b'{"error":"out of memory"}\n')


def test_tool_calls_cross_both_ways() -> None:
    line = {
        "message": {"content": "", "tool_calls": [
            {"function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
        "done": True, "done_reason": "stop",
    }  # fmt: skip
    chosen = way(Api.OPENAI_CHAT, BackendKind.OLLAMA, num_ctx=8192, messages=USER)
    answer, _ = chosen.whole(json.dumps(line).encode())
    choice = json.loads(answer)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {
        "city": "Rome"
    }

    reader = way(Api.OLLAMA_CHAT, BackendKind.OPENAI, messages=USER).reader()
    pieces = (
        {"index": 0, "id": "c", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Rome"}'}},
    )
    for piece in pieces:
        event = {"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]}
        reader.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    last = json.loads(reader.feed(b"data: [DONE]\n\n"))
    assert last["message"]["tool_calls"] == [
        {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
    ]


def test_images_cross_to_ollama_and_foreign_addresses_are_refused() -> None:
    def chat(url: str) -> Route:
        part = {"type": "image_url", "image_url": {"url": url}}
        return way(
            Api.OPENAI_CHAT, BackendKind.OLLAMA, num_ctx=8192,
            messages=[{"role": "user", "content": [{"type": "text", "text": "What?"}, part]}],
        )  # fmt: skip

    sent = chat("data:image/png;base64,QUJD").body["messages"][0]
    assert sent == {"role": "user", "content": "What?", "images": ["QUJD"]}
    with pytest.raises(BadCall, match="send the image itself"):
        chat("http://elsewhere.example/cat.png")


@pytest.mark.parametrize("raw", [
    b"", b"[]", b"nonsense", b'{"model":1}', b'{"model":"m"}', b'{"model":"m","messages":{}}',
    b'{"model":"m","messages":[1]}', b'{"model":"m","messages":[{"role":1}],"stream":"yes"}',
    b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":1}',
    b'{"model":"m","messages":' + b"[" * 500 + b"]" * 500 + b"}",
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
])  # fmt: skip
def test_a_wrong_body_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises(BadCall):
        read_call(Api.OPENAI_CHAT, raw)


def test_a_load_inside_a_chat_is_read_from_ollamas_figures() -> None:
    load = b'"load_duration":5200000000,"prompt_eval_count"'
    line = OLLAMA_STREAM.replace(b'"prompt_eval_count"', load)
    for api in (Api.OPENAI_CHAT, Api.OLLAMA_CHAT):
        reader = way(api, BackendKind.OLLAMA, num_ctx=8192, messages=USER, stream=True).reader()
        reader.feed(line)
        assert reader.tokens.load_seconds == 5.2
        whole = way(api, BackendKind.OLLAMA, num_ctx=8192, messages=USER, stream=False).whole
        assert whole(line.splitlines()[-1])[1].load_seconds == 5.2


def test_a_last_line_with_a_long_context_ends_a_stream_wherever_it_is_cut() -> None:
    last = json.dumps({"response": "", "done": True, "context": list(range(20_000))}).encode()
    data = b'{"response":"true","done":false}\n' + last + b"\n"
    reader = JsonLinesAsIs()
    ends = []
    for piece in cut(data, list(range(0, len(data), 4096))):
        reader.feed(piece)
        ends.append(reader.finished)
    assert ends == [*[False] * (len(ends) - 1), True]
