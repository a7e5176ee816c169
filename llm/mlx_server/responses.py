"""HTTP in and out: reads bounded bodies, and stops work when the caller disconnects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llm.mlx_server.errors import BodyTooLarge, BodyTooSlow, ServerError
from llm.mlx_server.service import AnswerStream
from llm.wire import ollama, openai
from llm.wire.values import JsonObject, dump

T = TypeVar("T")

CALLER_DISCONNECTED = 499


def json_response(
    body: JsonObject, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(dump(body), status, headers, media_type="application/json")


def error_response(error: ServerError, *, path: str) -> Response:
    """``error`` in the wire format that ``path`` belongs to."""
    # What is left of a body that was cut off is not read.
    headers = {"Connection": "close"} if isinstance(error, BodyTooLarge | BodyTooSlow) else {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    return json_response(error_body(error, path=path), status=error.status, headers=headers)


def error_body(error: ServerError, *, path: str) -> JsonObject:
    if path.startswith("/v1/"):
        return openai.error(str(error), kind=error.kind, code=error.status)
    return ollama.error(str(error))


async def read_body(request: Request, *, max_bytes: int, seconds: float) -> bytes:
    """The whole body. Raises BodyTooLarge as soon as the limit is exceeded, and BodyTooSlow if it
    is not complete within ``seconds``."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise BodyTooLarge(f"the body has more than {max_bytes} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise BodyTooLarge(f"the body has more than {max_bytes} bytes")
    except TimeoutError as error:
        raise BodyTooSlow(f"the body did not come within {seconds:g} s") from error
    return bytes(body)


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``. If the caller disconnects, ``work`` is cancelled and ClientDisconnect
    raised."""
    working = asyncio.ensure_future(work)
    hanging_up = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((working, hanging_up), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        hanging_up.cancel()
        await asyncio.gather(working, hanging_up, return_exceptions=True)


class StreamedAnswer(Response):
    """Sends ``chunks`` as they come and always closes ``answer``. A disconnect is not an error."""

    def __init__(
        self, answer: AnswerStream, chunks: AsyncIterator[bytes], *, media_type: str
    ) -> None:
        super().__init__(media_type=media_type, headers={"Cache-Control": "no-cache"})
        del self.headers["content-length"]
        self._answer = answer
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with contextlib.suppress(ClientDisconnect):
                await until_disconnect(receive, self._send(send))
        finally:
            self._answer.close()

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
