"""One chat from its body to its last byte, over servers that answer what the test says."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
import redis
from starlette.types import Message

from gateway.calls import Api, read_call
from gateway.interactive_slots import Slot
from gateway.names import Place, Target
from gateway.relay import Relay
from gateway.request_log import Record
from gateway.upstream import UpstreamClient
from llm import errors
from llm.types import BackendKind, BackendSpec

DEADLINE_SECONDS = 20.0
LENGTH = re.compile(rb"(?i)content-length: (\d+)")
HEAD = b"HTTP/1.1 %d X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return chunk(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")


DONE, END = chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n"
GOOD = (HEAD % 200, event("good"), DONE + END)
CUT = (HEAD % 200, event("begun"))
"""The connection breaks."""
UNENDED = (HEAD % 200, event("begun"), END)
"""The body ends well, and its end mark is missing."""


def refused(status: int) -> tuple[bytes, ...]:
    return (b"HTTP/1.1 %d X\r\ncontent-length: 14\r\n\r\n" % status, b'{"error": "x"}')


@dataclass
class Servers:
    """Servers ``a`` and ``b``; each sends its parts to every request and closes. ``None`` is a
    server that says nothing until its caller has left."""

    answers: dict[str, Sequence[bytes] | None]
    asked: list[str] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[UpstreamClient]:
        listeners, specs = [], []
        for name in self.answers:
            listener = await asyncio.start_server(self._serve(name), "127.0.0.1", 0)
            port = listener.sockets[0].getsockname()[1]
            specs.append(BackendSpec(name, BackendKind.OPENAI, f"http://127.0.0.1:{port}"))
            listeners.append(listener)
        client = UpstreamClient(tuple(specs), {})
        await client.start()
        try:
            yield client
        finally:
            await client.close()
            for listener in listeners:
                listener.close()

    def _serve(self, name: str) -> Callable[[Any, Any], Any]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            parts = self.answers[name]
            whole = parts is not None and parts[-1].endswith(END)
            while head := await _head(reader):
                await reader.readexactly(int(LENGTH.findall(head)[0]))
                self.asked.append(name)
                for part in parts or ():
                    writer.write(part)
                    await writer.drain()
                if parts is None:
                    while await reader.read(65_536):
                        pass
                    self.left.set()
                if not whole:
                    break
            writer.close()

        return serve


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The head of the next request; empty where the caller has left."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


@dataclass
class Told:
    """What the breakers are told."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    outage: bool = False

    def succeeded(self, backend: str, model: str) -> None:
        if self.outage:
            raise redis.ConnectionError("gone")
        self.lines.append((backend, "answered"))

    def failed(self, backend: str, model: str, error: errors.LLMError) -> bool:
        self.lines.append((backend, error.code))
        return False


class Desk:
    """Two places in this order, whose models are in memory."""

    def __init__(self, told: Told) -> None:
        self.breakers = told
        self.demand = self
        self.settings = SimpleNamespace(
            gateway_log_texts=False, ollama_keep_alive=None, llm_timeout_seconds=DEADLINE_SECONDS,
            heavy_model_timeout_multiplier=1.0,
            backend=lambda name: SimpleNamespace(kind=BackendKind.OPENAI),
        )  # fmt: skip

    async def target(self, call: Any) -> Target:
        return Target((Place("a", "m", heavy=False), Place("b", "m", heavy=False)))

    async def in_order(self, places: Any, waiting: Any, take: Any) -> list[tuple[Place, bool]]:
        return [(place, True) for place in places]

    def num_ctx(self, place: Place, call: Any) -> None:
        return None

    @contextmanager
    def request(self, *wanted: Any, resident: bool) -> Iterator[Any]:
        yield SimpleNamespace(loaded=lambda seconds: None, answered=lambda: None)

    async def ensure_loaded(self, *place: Any, resident: bool) -> float:
        return 0.0

    async def loaded_inside(self, *place: Any, **seconds: float) -> float:
        return 0.0

    def used(self, *place: Any) -> None:
        return


class FreeSlots:
    def waiting(self, backend: str) -> int:
        return 0

    @asynccontextmanager
    async def first_slot(self) -> AsyncIterator[Any]:
        yield SimpleNamespace(take=None)

    @asynccontextmanager
    async def slot(self, place: Place, *more: Any) -> AsyncIterator[Slot]:
        yield Slot(place.backend, "chat:1", 0.0, asyncio.Event())


@dataclass
class Outcome:
    status: int
    body: bytes
    record: Record
    ended: bool


def chat(
    servers: Servers,
    told: Told,
    *,
    stream: bool = True,
    times: int = 1,
    hang_up_when: asyncio.Event | None = None,
) -> Outcome:
    """What the caller receives, at the last of so many times."""
    sent: list[Message] = []
    records: list[Record] = []

    async def ask() -> None:
        complete = asyncio.Event()

        async def receive() -> Message:
            if hang_up_when is None:
                # The HTTP server says the same of a response that is complete.
                await complete.wait()
            while not servers.asked:
                await anyio.sleep(0.005)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message.get("more_body") is False:
                complete.set()

        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        async with servers.running() as client:
            for _ in range(times):
                sent.clear()
                complete.clear()
                relay = Relay(
                    read_call(Api.OPENAI_CHAT, json.dumps(body).encode()),
                    "me",
                    desk=cast(Any, Desk(told)),
                    interactive_slots=cast(Any, FreeSlots()),
                    client=client,
                    request_log=cast(Any, SimpleNamespace(add=records.append)),
                )
                with anyio.fail_after(DEADLINE_SECONDS):
                    await relay({"type": "http"}, receive, send)
                    if hang_up_when is not None:
                        await hang_up_when.wait()

    anyio.run(ask)
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    ends = [number for number, part in enumerate(bodies) if not part["more_body"]]
    assert ends in ([], [len(bodies) - 1]), "nothing follows the end"
    return Outcome(
        sent[0]["status"] if sent else 0,
        b"".join(part["body"] for part in bodies),
        records[-1],
        bool(ends),
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "model_not_found"), (429, "overloaded"), (503, "overloaded"), (500, "server_failed")],
)
def test_another_server_answers_where_the_first_cannot(status: int, code: str) -> None:
    servers, told = Servers({"a": refused(status), "b": GOOD}), Told()

    got = chat(servers, told)

    assert (got.status, b"good" in got.body, b"[DONE]" in got.body) == (200, True, True)
    assert told.lines == [("a", code), ("b", "answered")]
    assert (got.record.status, got.record.backend) == (200, "b")


def test_a_request_that_is_wrong_is_not_tried_elsewhere() -> None:
    servers, told = Servers({"a": refused(400), "b": GOOD}), Told()

    got = chat(servers, told)

    assert (got.status, servers.asked, told.lines) == (400, ["a"], [])


@pytest.mark.parametrize("answer", [CUT, UNENDED], ids=["cut", "unended"])
def test_an_answer_that_breaks_off_is_an_error_and_no_other_server_goes_on(
    answer: Sequence[bytes],
) -> None:
    servers, told = Servers({"a": answer, "b": GOOD}), Told()

    got = chat(servers, told)

    assert servers.asked == ["a"]
    assert b"begun" in got.body
    assert b'"error"' in got.body
    assert b"[DONE]" not in got.body
    assert got.ended
    assert told.lines == [("a", "truncated_stream")]
    assert got.record.status == 502


@pytest.mark.parametrize("outage", [False, True])
def test_a_whole_answer_is_one_whatever_happens_after_it(outage: bool) -> None:
    servers, told = Servers({"a": GOOD, "b": GOOD}), Told(outage=outage)

    got = chat(servers, told)

    assert b'"error"' not in got.body
    assert (got.status, got.ended, got.record.status) == (200, True, 200)
    assert told.lines == ([] if outage else [("a", "answered")])


def test_a_caller_that_hangs_up_ends_the_call_at_the_server() -> None:
    servers, told = Servers({"a": None, "b": GOOD}), Told()

    got = chat(servers, told, hang_up_when=servers.left)

    assert (got.record.status, servers.asked, told.lines) == (499, ["a"], [])


def test_the_next_chat_uses_the_connection_of_a_whole_answer() -> None:
    # The end of the body comes after the end mark of the stream.
    servers, told = Servers({"a": (*GOOD[:-1], DONE, END), "b": GOOD}), Told()

    chat(servers, told, times=3)

    assert (servers.asked, servers.connections) == (["a"] * 3, 1)
