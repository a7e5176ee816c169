"""HTTP to one server: one pooled session for all threads, every call watched.

The session reads nothing from the environment (see `llm.direct`) and follows no redirects.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from llm import errors
from llm.backends import mapping
from llm.backends.connections import WatchedAdapter, serving
from llm.direct import direct_session
from llm.framing import JsonObject
from llm.types import BackendSpec
from llm.watch import CallWatch

READ_BYTES = 1 << 16
MAX_BODY_BYTES = 16 << 20
MAX_ERROR_BYTES = 1 << 16
MIN_POOL_CONNECTIONS = 64
BACKSTOP_SECONDS = 5.0
CONNECT_ATTEMPT_SECONDS = 0.75
MIN_CONNECT_SECONDS = 0.05
DRAIN_SECONDS = 0.25
MAX_DRAIN_CHUNKS = 16
STREAM_TYPES = frozenset(
    {
        "text/event-stream",
        "application/x-ndjson",
        "application/jsonl",
        "application/json",
        "application/octet-stream",
        "text/plain",
    }
)


class HttpTransport:
    """GET and POST of JSON to ``spec.url``. Use it inside `mapped_errors`, so that only `LLMError`s
    get out."""

    def __init__(
        self, spec: BackendSpec, *, api_key: str | None = None, ca_bundle: str | None = None
    ) -> None:
        self._spec = spec
        self._secret = api_key or (spec.basic_auth[1] if spec.basic_auth else None)
        self._session = _session(max(MIN_POOL_CONNECTIONS, 2 * spec.max_concurrent))
        self._session.headers.update(_headers(spec, api_key))
        if ca_bundle:
            self._session.verify = ca_bundle

    def close(self) -> None:
        self._session.close()

    def get(self, path: str, *, watch: CallWatch, connect_seconds: float = 3.05) -> bytes:
        """The whole body of a GET."""
        with self._open("GET", path, None, watch, connect_seconds) as response:
            self._raise_for_status(response)
            return _body(response, MAX_BODY_BYTES)

    def post(
        self, path: str, body: Mapping[str, Any], *, watch: CallWatch, connect_seconds: float = 3.05
    ) -> bytes:
        """The whole body of a POST that is not streamed."""
        with self._open("POST", path, encode(body), watch, connect_seconds) as response:
            self._raise_for_status(response)
            return _body(response, MAX_BODY_BYTES)

    @contextmanager
    def stream(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        watch: CallWatch,
        connect_seconds: float,
        with_schema: bool = False,
        optional: Collection[str] = (),
        request_id: str | None = None,
    ) -> Iterator[Stream]:
        """POST and read the answer as it comes. Any early exit closes the connection."""
        data = encode(body)
        with self._open("POST", path, data, watch, connect_seconds, request_id) as response:
            self._raise_for_status(response, with_schema=with_schema, fields=optional)
            _require_stream(response)
            yield Stream(response, watch)

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        data: bytes | None,
        watch: CallWatch,
        connect_seconds: float,
        request_id: str | None = None,
    ) -> Iterator[requests.Response]:
        headers = {} if data is None else {"Content-Type": "application/json"}
        if request_id is not None and request_id.isascii() and request_id.isprintable():
            headers["X-Task-Id"] = request_id.strip()
        send = partial(self._send_once, method, path, data, headers, watch)
        response = _connected(send, watch, connect_seconds)
        try:
            yield response
        finally:
            watch.detach()
            response.close()

    def _send_once(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str],
        watch: CallWatch,
        connect_seconds: float,
    ) -> requests.Response:
        watch.check()
        attempt_seconds = min(connect_seconds, CONNECT_ATTEMPT_SECONDS)
        with serving(watch, connect_seconds=connect_seconds):
            return self._session.request(
                method,
                self._spec.url + path,
                data=data,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(attempt_seconds, watch.longest_wait_seconds + BACKSTOP_SECONDS),
            )

    def _raise_for_status(
        self,
        response: requests.Response,
        *,
        with_schema: bool = False,
        fields: Collection[str] = (),
    ) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            target = response.headers.get("Location", "elsewhere")
            raise errors.BackendUnreachable(
                f"the server redirects to {target}: set that URL", status=status
            )
        body = _body(response, MAX_ERROR_BYTES, cut=True)
        if self._secret:
            body = body.replace(self._secret.encode("utf-8"), b"***")
        raise mapping.from_status(
            status,
            response.headers,
            body,
            kind=self._spec.kind,
            with_schema=with_schema,
            fields=fields,
        )


class Stream:
    """The chunks of an answer in order of arrival."""

    def __init__(self, response: requests.Response, watch: CallWatch) -> None:
        self._response = response
        self._watch = watch
        self.chunks = _chunks(response)

    def drain(self) -> None:
        """Read the bytes after the terminal marker, so that the connection can be reused. If they
        do not come at once, the connection is closed."""
        self._watch.expect(_not_drained, DRAIN_SECONDS)
        try:
            for _ in range(MAX_DRAIN_CHUNKS):
                if not next(self.chunks, b""):
                    return
        except (requests.exceptions.RequestException, HTTPError, HTTPException, OSError):
            self._response.raw.close()  # The answer is complete; only the connection is lost.
        finally:
            self._watch.complete()


def encode(body: Mapping[str, Any]) -> bytes:
    """``body`` as JSON in UTF-8; raises BadRequest where it cannot be written."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as exc:
        raise errors.BadRequest(f"the request cannot be written as JSON in UTF-8: {exc}") from exc


def decode(body: bytes) -> JsonObject:
    """The JSON object of an answer; raises StreamBroken."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise errors.StreamBroken("the answer is not JSON", body_excerpt=_excerpt(body)) from exc
    if not isinstance(value, dict):
        raise errors.StreamBroken("the answer is not a JSON object", body_excerpt=_excerpt(body))
    return value


def _connected(
    send: Callable[[float], requests.Response], watch: CallWatch, connect_seconds: float
) -> requests.Response:
    """Send the request. Connection attempts are short, so that a cancelled call does not wait for a
    long one. Retries once if the server closed an idle pooled connection just as it was reused."""
    until = time.monotonic() + connect_seconds
    may_be_stale = True
    while True:
        try:
            return send(max(until - time.monotonic(), MIN_CONNECT_SECONDS))
        except requests.exceptions.ConnectTimeout:
            if watch.verdict is not None or until - time.monotonic() <= MIN_CONNECT_SECONDS:
                raise
        except requests.exceptions.ConnectionError:
            if watch.verdict is not None or not (watch.reused_connection and may_be_stale):
                raise
            may_be_stale = False
            until = time.monotonic() + connect_seconds


def _session(pool_size: int) -> requests.Session:
    session = direct_session()
    adapter = WatchedAdapter(pool_connections=2, pool_maxsize=pool_size, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _headers(spec: BackendSpec, api_key: str | None) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "knowledge-os-jobs"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    elif spec.basic_auth is not None:
        pair = ":".join(spec.basic_auth).encode("utf-8")
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    return headers


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The body in chunks. Framing errors that the HTTP library does not foresee, such as a negative
    chunk size, are reported as server errors."""
    raw = response.raw
    try:
        if raw.chunked and raw.supports_chunked_reads():
            yield from raw.read_chunked(READ_BYTES, decode_content=True)
        else:
            yield from iter(lambda: raw.read1(READ_BYTES, decode_content=True) or b"", b"")
    except (ValueError, TypeError, AttributeError, AssertionError, OverflowError) as exc:
        raise errors.StreamBroken(f"the body's framing is broken: {exc}") from exc


def _body(response: requests.Response, limit: int, *, cut: bool = False) -> bytes:
    """The body up to ``limit`` bytes. A longer one is cut, or raises StreamBroken."""
    body = bytearray()
    for chunk in _chunks(response):
        body += chunk
        if len(body) > limit:
            if cut:
                break
            raise errors.StreamBroken(f"the answer is longer than {limit} bytes")
    return bytes(body[:limit])


def _require_stream(response: requests.Response) -> None:
    """Raise if the server answered with a web page. The content type is not decisive: proxies send
    streams as text/plain, and some servers send one whole JSON object."""
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not content_type or content_type in STREAM_TYPES:
        return
    body = _body(response, MAX_ERROR_BYTES, cut=True)
    raise errors.StreamBroken(
        f"the server answered {content_type!r} in place of a stream", body_excerpt=_excerpt(body)
    )


def _not_drained(seconds: float) -> errors.LLMError:
    return errors.StreamBroken(f"the stream went on after its terminal marker for {seconds:g} s")


def _excerpt(body: bytes) -> str:
    return body[: errors.BODY_EXCERPT_CHARS].decode("utf-8", "replace")
