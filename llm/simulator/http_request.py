"""Parses HTTP/1.1 requests from bytes: strict, incremental, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 256 * 1024 * 1024
_HEX = b"0123456789abcdefABCDEF"
_TOKEN_EXTRA = frozenset("!#$%&'*+-.^_`|~")


class BadRequestError(Exception):
    """The bytes are not an acceptable request; `status` is the response before closing."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class HttpRequest:
    """One complete request. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    keep_alive: bool
    may_chunk: bool
    body: bytes = b""


class RequestReader:
    """Feed it bytes; `next` returns a request as soon as it is complete, pipelined ones in
    order."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._request: HttpRequest | None = None
        self._length = 0
        self._chunks: list[bytes] | None = None
        self.wants_continue = False

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    @property
    def is_empty(self) -> bool:
        """True between two requests, when no byte of the next has arrived."""
        return not self._buffer and self._request is None

    @property
    def buffered_bytes(self) -> int:
        """The bytes received and not yet parsed."""
        return len(self._buffer)

    def next(self) -> HttpRequest | None:
        """The next whole request, or None while bytes are missing. Raises BadRequestError."""
        if self._request is None and not self._read_head():
            return None
        if not self._read_body():
            return None
        request, self._request, self._chunks = self._request, None, None
        return request

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequestError(431, "request head too large")
            return False
        head = bytes(self._buffer[:end]).decode("latin-1")
        del self._buffer[: end + 4]
        self._request = request = parse_head(head)
        self._length = _body_length(request.headers)
        if "transfer-encoding" in request.headers:
            self._chunks = []
        self.wants_continue = request.headers.get("expect", "").lower() == "100-continue"
        return True

    def _read_body(self) -> bool:
        assert self._request is not None
        if self._chunks is not None:
            return self._read_chunks(self._chunks)
        if len(self._buffer) < self._length:
            return False
        if self._length:
            self._request.body = bytes(self._buffer[: self._length])
            del self._buffer[: self._length]
        return True

    def _read_chunks(self, chunks: list[bytes]) -> bool:
        while (end := self._buffer.find(b"\r\n")) >= 0:
            size = _chunk_size(bytes(self._buffer[:end]))
            self._length += size
            if self._length > MAX_BODY_BYTES:
                raise BadRequestError(413, "request body too large")
            if len(self._buffer) < end + 2 + size + 2:
                self._length -= size
                return False
            chunks.append(bytes(self._buffer[end + 2 : end + 2 + size]))
            del self._buffer[: end + 2 + size + 2]
            if size == 0:
                assert self._request is not None
                self._request.body = b"".join(chunks)
                return True
        return False


def parse_head(head: str) -> HttpRequest:
    """The request line and headers of `head` (without its last blank line)."""
    first, *lines = head.split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0") or not parts[1].startswith("/"):
        raise BadRequestError(400, "malformed request line")
    headers = _parse_headers(lines)
    is_modern = parts[2] == "HTTP/1.1"
    if is_modern and "host" not in headers:
        raise BadRequestError(400, "missing Host header")
    connection = headers.get("connection", "").lower()
    path, _, query = parts[1].partition("?")
    return HttpRequest(
        method=parts[0],
        path=unquote(path),
        query=query,
        headers=headers,
        keep_alive=connection != "close" if is_modern else connection == "keep-alive",
        may_chunk=is_modern,
    )


def _parse_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or not _is_token(name):
            raise BadRequestError(400, "malformed header line")
        key = name.lower()
        if key in headers and key in ("content-length", "host", "transfer-encoding"):
            raise BadRequestError(400, f"repeated {name} header")
        headers[key] = value.strip()
    return headers


def _is_token(name: str) -> bool:
    return name.replace("-", "").isalnum() or all(
        char.isalnum() or char in _TOKEN_EXTRA for char in name
    )


def _body_length(headers: dict[str, str]) -> int:
    encoding = headers.get("transfer-encoding")
    text = headers.get("content-length")
    if encoding is not None:
        if text is not None or encoding.lower() != "chunked":
            raise BadRequestError(400, "unsupported transfer encoding")
        return 0
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise BadRequestError(400, "malformed Content-Length")
    length = int(text)
    if length > MAX_BODY_BYTES:
        raise BadRequestError(413, "request body too large")
    return length


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    if not digits or len(digits) > 8 or digits.strip(_HEX):
        raise BadRequestError(400, "malformed chunk size")
    return int(digits, 16)
