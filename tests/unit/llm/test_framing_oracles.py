"""The framing against the official clients: what they read from a stream, we read."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import ollama
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from llm.errors import StreamBroken
from llm.framing import LineSplitter, ndjson_objects, sse_objects

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
OBJECTS = st.dictionaries(WORDS, st.one_of(WORDS, st.integers(), st.lists(WORDS, max_size=2)))
LINE_ENDS = ["\n", "\r\n", "\r"]
NOISE = [": keep-alive", "event: message", "id: 7", "retry: 10", "unknown: x"]


@st.composite
def event_streams(draw: st.DrawFn) -> bytes:
    """Events of one data line or several, between comments and other fields."""
    end = draw(st.sampled_from(LINE_ENDS))
    lines: list[str] = []
    for value in draw(st.lists(OBJECTS, min_size=1, max_size=4)):
        lines += draw(st.lists(st.sampled_from(NOISE), max_size=2))
        pretty = draw(st.booleans())
        text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=1 if pretty else None)
        space = draw(st.sampled_from(["", " "]))
        lines += [f"data:{space}{line}" for line in text.split("\n")]
        lines.append("")
    lines += ["data: [DONE]", ""]
    return "".join(line + end for line in lines).encode()


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@settings(max_examples=300)
@given(st.data())
def test_an_event_stream_reads_as_the_official_client_reads_it(data: st.DataObject) -> None:
    stream = data.draw(event_streams())
    chunks = data.draw(cuts(stream))

    official = [
        None if event.data == "[DONE]" else json.loads(event.data)
        for event in SSEDecoder().iter_bytes(iter([stream]))
        if event.data
    ]

    assert list(sse_objects(chunks)) == official


@settings(max_examples=150)
@given(st.data())
def test_lines_of_json_read_as_the_official_client_reads_them(data: st.DataObject) -> None:
    words = data.draw(st.lists(WORDS, min_size=1, max_size=4))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    lines = [{"message": {"role": "assistant", "content": word}, "done": False} for word in words]
    stream = "".join(json.dumps(line) + end for line in lines).encode()
    chunks = data.draw(cuts(stream))

    ours = [chunk["message"]["content"] for chunk in ndjson_objects(chunks)]

    assert ours == _read_by_ollama(chunks) == words


def _read_by_ollama(chunks: list[bytes]) -> list[str | None]:
    def body() -> Iterator[bytes]:
        yield from chunks

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body()))
    client = ollama.Client(transport=transport)
    return [part.message.content for part in client.chat("m", stream=True)]


@pytest.mark.parametrize("piece", [1, 7, 1000, 5000])
def test_a_line_without_end_is_refused_however_it_is_cut(piece: int) -> None:
    lines = LineSplitter(max_line_bytes=2000)

    for _ in range(2000 // piece):
        lines.feed(b"x" * piece)

    with pytest.raises(StreamBroken, match="longer than 2000 bytes"):
        lines.feed(b"x" * (piece + 1))
