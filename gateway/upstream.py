"""Calls to model servers: one request, its first byte, its stream, and what its failure means."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from gateway.calls import JsonObject
from llm import errors
from llm.types import BackendSpec
from llm.wire.values import dump

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
CONNECT_SECONDS = 3.05
IDLE_SECONDS = 1.0
"""How long a connection is kept for the next request: less than any server keeps it, so that none
is used that the server has just closed."""
LAST_BYTES_SECONDS = 0.05
READ_BYTES = 64 * 1024
ANOTHER_SERVER_MAY_DO = frozenset({404, 408, 429, 500, 502, 503, 504})
"""Statuses that say something of the server, not of the request."""


class Refusal(Exception):
    """The server says that the request is wrong: its answer is the caller's answer."""

    def __init__(self, status: int, body: bytes, content_type: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        self.content_type = content_type

    @property
    def message(self) -> str:
        """The server's own sentence, where one can be found."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return self.body[:500].decode("utf-8", "replace")
        error = found.get("error") if isinstance(found, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        return str(message or found)[:2000]


@dataclass(frozen=True, slots=True)
class Upstream:
    """An answer whose head has come. ``first`` are the bytes that came first."""

    response: aiohttp.ClientResponse
    first: bytes

    @property
    def is_object(self) -> bool:
        """Whether one object comes, also where a stream was asked for."""
        return self.response.content_type == "application/json" and self.first[:1] == b"{"

    async def rest(self, stall_seconds: float) -> AsyncIterator[bytes]:
        """The bytes after the first, as they come; raises LLMError."""
        content = self.response.content
        patience = _StallTimer(content, stall_seconds)
        try:
            while True:
                patience.waits_since = time.monotonic()
                chunk = await content.readany()
                patience.waits_since = None
                if not chunk:
                    return
                yield chunk
        except aiohttp.ClientError as error:
            raise errors.TruncatedStream(f"the server broke off: {error}") from error
        finally:
            patience.end()

    async def drain(self) -> None:
        """Read what follows the end mark, for a moment: only then the connection is used again."""
        try:
            async with asyncio.timeout(LAST_BYTES_SECONDS):
                while await self.response.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError):
            return

    async def whole(self, seconds: float) -> bytes:
        """All of an unstreamed answer; raises LLMError."""
        body = bytearray(self.first)
        async for chunk in self.rest(seconds):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise errors.StreamBroken(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)


class _StallTimer:
    """Ends a read that waits too long. A timer of its own for each chunk would cost more than the
    chunk; a caller that reads slowly is not the server's stall."""

    def __init__(self, content: aiohttp.StreamReader, seconds: float) -> None:
        self.waits_since: float | None = None
        self._content = content
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        waited = time.monotonic() - (self.waits_since or time.monotonic())
        if waited >= self._seconds:
            message = f"no further byte within {self._seconds:g} s"
            self._content.set_exception(errors.StallTimeout(message))
        else:
            self._timer = self._loop.call_later(self._seconds - waited, self._look)


class UpstreamClient:
    """One pool of connections for all servers. Proxies of the environment are not used."""

    def __init__(self, specs: tuple[BackendSpec, ...], environ: Mapping[str, str]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._environ = environ
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ttl_dns_cache=60, keepalive_timeout=IDLE_SECONDS
            ),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_BYTES,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def post(
        self, backend: str, path: str, body: JsonObject, *, first_byte_seconds: float
    ) -> AsyncIterator[Upstream]:
        """The answer from its first byte on.

        Raises Refusal where the request is wrong, and LLMError where the server is.
        """
        assert self._session is not None
        spec = self._specs[backend]
        data = dump(body)
        request = self._session.post(
            f"{spec.url}{path}", data=data, headers=self._headers(spec), allow_redirects=False
        )
        try:
            async with asyncio.timeout(first_byte_seconds):
                response = await request
                first = await response.content.readany()
        except TimeoutError as error:
            raise errors.FirstTokenTimeout(f"no byte within {first_byte_seconds:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise errors.BackendUnreachable(f"{spec.url} cannot be reached: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise errors.BackendUnreachable(f"{spec.url} broke off: {error}") from error
        try:
            if response.status != 200:
                await _raise_failure(response, first)
            yield Upstream(response, first)
        finally:
            # Closing, not releasing: a connection with an unread answer must not be used again,
            # and a server that still computes sees at once that nobody listens. Where the answer
            # was read to its end, the connection is back in the pool already.
            response.close()

    def _headers(self, spec: BackendSpec) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        key = self._environ.get(spec.api_key_env, "").strip() if spec.api_key_env else ""
        if key:
            headers["authorization"] = f"Bearer {key}"
        elif spec.basic_auth is not None:
            headers["authorization"] = aiohttp.BasicAuth(*spec.basic_auth).encode()
        return headers


async def _raise_failure(response: aiohttp.ClientResponse, first: bytes) -> None:
    body = bytearray(first)
    while len(body) < MAX_ERROR_BYTES and (chunk := await response.content.readany()):
        body += chunk
    content_type = response.headers.get("content-type", "application/json")
    refusal = Refusal(response.status, bytes(body[:MAX_ERROR_BYTES]), content_type)
    if response.status not in ANOTHER_SERVER_MAY_DO:
        raise refusal
    message = f"HTTP {response.status}: {refusal.message}"
    if response.status == 404:
        raise errors.ModelNotFound(message)
    if response.status in (429, 503):
        raise errors.Overloaded(message)
    raise errors.ServerFailed(message)
