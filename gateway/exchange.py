"""The response to one caller: its head, its stream, and its errors before and during the stream."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.types import Send

from gateway.calls import Call
from gateway.errors import GatewayError
from gateway.upstream import Refusal
from llm.wire import ollama, openai

logger = logging.getLogger(__name__)


class Exchange:
    """Sends at most one head. ``begun`` says whether it is out: then errors go into the stream.
    ``ended`` is true from the last part of the body on."""

    def __init__(self, call: Call, send: Send) -> None:
        self._call = call
        self._send = send
        self.begun = False
        self.ended = False

    async def note(self, text: str) -> None:
        """Keeps a streaming caller and the proxies between from giving up: a comment, which every
        reader of server-sent events passes over. Ollama's lines have no comments."""
        if self._call.stream and not self._call.api.is_ollama:
            await self._head_of_stream({})
            await self.piece(f": {text}\n\n".encode())

    async def note_wait(self, position: int, expected_seconds: float) -> None:
        await self.note(f"queue position={position + 1} expected_seconds={expected_seconds:.0f}")

    async def begin_stream(self, headers: Mapping[str, str]) -> None:
        """``headers`` say where the answer comes from; where the head is out already, a comment."""
        if self.begun:
            await self.note("answered " + " ".join(f"{n}={v}" for n, v in headers.items()))
        await self._head_of_stream(headers)

    async def _head_of_stream(self, headers: Mapping[str, str]) -> None:
        if self.begun:
            return
        media = ollama.NDJSON if self._call.api.is_ollama else openai.EVENT_STREAM
        await self._head(200, {"content-type": media, "x-accel-buffering": "no", **headers})

    async def piece(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._last(b"")

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        await self._head(status, {"content-length": str(len(body)), **headers})
        await self._last(body)

    async def fail(self, error: GatewayError) -> None:
        body = error.body(ollama=self._call.api.is_ollama)
        if self.begun:
            await self._fail_in_stream(body)
            return
        await self.whole(
            error.status,
            json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
            {"content-type": "application/json", **error.headers},
        )

    async def refuse(self, refusal: Refusal, headers: Mapping[str, str]) -> None:
        """The server's own answer where its API is the caller's, else its sentence."""
        error = GatewayError(refusal.message)
        error.kind = "invalid_request_error"
        body = error.body(ollama=self._call.api.is_ollama)
        if self.begun:
            await self._fail_in_stream(body)
            return
        text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        await self.whole(refusal.status, text, {"content-type": "application/json", **headers})

    async def _fail_in_stream(self, body: Mapping[str, Any]) -> None:
        """Send an error and no end mark, so that no client takes the partial answer for a whole
        one."""
        line = ollama.line if self._call.api.is_ollama else openai.event
        await self.piece(line(dict(body)))
        await self.end()

    async def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.begun = True
        pairs = [
            (name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def _last(self, body: bytes) -> None:
        self.ended = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
