"""A light HTTP client that keeps a number of chat requests in flight.

Written on bare asyncio streams: on a small machine a heavier client would take the very processor
time it is to measure. One connection per request, because the stock server closes them.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

FIRST_TEXT = re.compile(rb'"content": ?"[^"]')  # not the role event, not a keep-alive comment


@dataclass(slots=True)
class LoadResult:
    """What a run of requests came to. Times in seconds."""

    completion_tokens: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    retry_after: int = 0

    @property
    def tokens_per_second(self) -> float:
        return self.completion_tokens / self.seconds

    @property
    def median_latency(self) -> float:
        return statistics.median(self.latencies)

    @property
    def median_first_token(self) -> float:
        return statistics.median(self.first_token)


def chat_body(model: str, text: str, *, max_tokens: int, stream: bool) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "temperature": 0.0,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    }


def answer_tokens(number: int) -> int:
    """The length of an answer, 32 to 96 tokens and 64 on average.

    Answers of one length would all end in one step: then the next requests come as a crowd, and
    what is measured is how fast a crowd gets in.
    """
    return 32 + number * 37 % 65


async def run_load(port: int, bodies: Iterable[dict[str, Any]], *, in_flight: int) -> LoadResult:
    """Send every body, at most ``in_flight`` at once, and wait for all answers."""
    result = LoadResult()
    waiting = iter(bodies)
    started = time.perf_counter()
    await asyncio.gather(*(_worker(port, waiting, result) for _ in range(in_flight)))
    result.seconds = time.perf_counter() - started
    return result


async def _worker(port: int, waiting: Any, result: LoadResult) -> None:
    for body in waiting:
        await one_request(port, body, result)


async def one_request(port: int, body: dict[str, Any], result: LoadResult) -> None:
    """One request over a connection of its own; the outcome is added to ``result``."""
    started = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(_http(body))
            head, rest = await _read_all(reader, lambda: _note_first(result, started))
        finally:
            writer.close()
    except (OSError, asyncio.IncompleteReadError) as error:
        result.failures.append(type(error).__name__)
        return
    _note(result, head, rest, body, started)


def _http(body: dict[str, Any]) -> bytes:
    payload = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


async def _read_all(
    reader: asyncio.StreamReader, on_first: Callable[[], None]
) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    parts: list[bytes] = []
    seen = False
    while chunk := await reader.read(65_536):
        parts.append(chunk)
        if not seen and FIRST_TEXT.search(chunk):
            seen = True
            on_first()
    return head, b"".join(parts)


def _note_first(result: LoadResult, started: float) -> None:
    result.first_token.append(time.perf_counter() - started)


def _note(
    result: LoadResult, head: bytes, rest: bytes, body: dict[str, Any], started: float
) -> None:
    status = int(head.split(b" ", 2)[1])
    result.statuses[status] = result.statuses.get(status, 0) + 1
    if b"retry-after:" in head.lower():
        result.retry_after += 1
    if status != 200:
        return
    result.latencies.append(time.perf_counter() - started)
    mark = b'"completion_tokens":'
    at = rest.rfind(mark)
    if at < 0:
        result.failures.append("no usage in the answer")
        return
    digits = rest[at + len(mark) : at + len(mark) + 12].split(b",")[0].strip(b" }")
    result.completion_tokens += int(digits)
