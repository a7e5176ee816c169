"""What strangers send to a door of ours: connections left half open, and requests of odd form."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

ANSWER_SECONDS = 60.0
HALF_OPEN = 300
NEIGHBOUR_SECONDS = 5.0
"""A light request is answered within this, on a machine that runs other tests meanwhile."""

ODD_IDS = (
    "%00", "a%00b", "%FF%FE", "%ED%A0%80", "..%2F..%2Fetc%2Fpasswd", "%2E%2E", "%", "%zz",
    "x" * 5000,
    "%0D%0AX-Odd:%201", "%27%3B--", "%C2%B2" * 36, "%D9%A1" * 32, "0" * 400, "-" * 36,
    "urn:uuid:00000000-0000-4000-8000-00000000dead", "%7B00000000-0000-4000-8000-00000000dead%7D",
    "0-0000000000000000000000000000000", "0_0000000000000000000000000000000",
    "00000000-0000-4000-8000-00000000DEAD",
)  # fmt: skip
ODD_HEADERS = (
    b"X-Long: " + b"a" * 60_000, b"\r\n".join(b"X-Many: %d" % n for n in range(200)),
    b"X-Odd: \xff\xfe\xe9", b"X-Odd: a\x00b", b"X Odd: 1", b"no colon", b": no name",
    b" folded: 1",
    b"Host: localhost\r\nHost: elsewhere.example", b"Host: [", b"Host: \xff",
    b"Host: " + b"a" * 9000,
    b"Authorization: Bearer \xff\xfe", b"Authorization: Bearer " + b"a" * 30_000,
    b"Authorization: \xe9", b"Authorization: Bearer a\r\nAuthorization: Bearer b",
    b"Cookie: \xff=\xff; ;;=; kos_session_1=\x7f", b"Cookie: " + b"a=b; " * 9000,
    b"Origin: http://[", b"Origin: \xff", b"Sec-Fetch-Site: \xff", b"X-CSRF-Token: \xff\xfe",
    b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: -1", b"Content-Length: \xb2",
    b"Content-Length: " + b"9" * 5000, b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Transfer-Encoding: gzip", b"Expect: 200-maybe", b"Upgrade: websocket\r\nConnection: upgrade",
    b"Connection: \xff", b"Range: bytes=99999999999999999999-", b"If-None-Match: \xff",
    b"If-Modified-Since: Never, 99 Foo 99999 99:99:99 GMT", b"Last-Event-ID: \xff\xfe",
    b"Accept: \xff/*;q=nan", b"Accept-Language: \xff;q=nan, ru;q=" + b"9" * 5000,
    b"X-Forwarded-For: \xff, " + b"1.1.1.1, " * 2000, b"X-Forwarded-Proto: \xff",
    b"X-KOS-Caller: \xff\xfe" + b"c" * 9000, b"X-KOS-Task: \xff",
    b"X-KOS-Task: urn:uuid:00000000-0000-4000-8000-00000000dead",
)  # fmt: skip
ODD_TYPES = (
    b"\xff/\xff", b"application/json; charset=utf-7", b"application/json; charset=\xff",
    b"text/plain",
    b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=x",
    b"multipart/form-data; boundary=" + b"x" * 9000, b"application/x-www-form-urlencoded", b"",
    b";" * 999,
)  # fmt: skip
ODD_BODIES = (
    b"", b"\x00", b"\xef\xbb\xbf{}", '{"model": "x"}'.encode("utf-16"), b"NaN", b"Infinity", b"-",
    b'{"a": 1, "a": 2}', b'{"model": "fast", "model": [], "model": "fast"}', b'"', b'"\\ud800"',
    b'{"description": "x", "description": "y\\u0000"}',
    b'{"description": "\\ud800\\udc00 \\udc00"}',
    b"[1e99999]", b"[" + b"9" * 4000 + b"]", b'{"' + b"k" * 100_000 + b'": 1}',
    b"--x\r\n\r\n--x--",
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xff\x00"\r\n\r\n\xff\r\n--x--',
    b"{" + b",".join(b'"k%d": NaN' % n for n in range(20_000)) + b"}", b"a=%00&b=%ff&a&&=;" * 999,
)  # fmt: skip
ODD_QUERIES = (
    "%00", "limit=%00", "limit=" + "9" * 5000, "limit=1e999", "offset=%C2%B2", "after=%00",
    "since=%FF",
    "search=%ED%A0%80", "tag=%00", "status=%00&status=%FF", "&".join(["a=b"] * 5000), "lang=%00",
    "page=NaN", "limit=1&limit=2", "x" * 30_000, "backend=%00&model=%00&expert=%00&category=%00",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Door:
    """``light`` is answered 200 at once. In paths, ``{}`` stands for an id. ``head`` is sent with
    every request that gives no such header itself."""

    url: str
    light: str
    reads: Sequence[str]
    posts: Sequence[str]
    head: bytes = b""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    def light_seconds(self) -> float:
        """How long a light request takes on a connection of its own."""
        begun = time.monotonic()
        requests.get(self.url + self.light, timeout=ANSWER_SECONDS).raise_for_status()
        return time.monotonic() - begun

    def request(self, method: str, path: str, *, header: bytes = b"", body: bytes = b"") -> bytes:
        lines = [f"{method} {path} HTTP/1.1".encode(), b"Connection: close", self.head, header]
        own = header.lower()
        if b"host:" not in own:
            lines.append(b"Host: localhost")
        if method == "POST" and b"content-length:" not in own and b"transfer-" not in own:
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(filter(None, lines)) + b"\r\n\r\n" + body


def odd_requests(door: Door) -> Iterator[bytes]:
    """Each kind of oddness at every path where it may matter."""
    json_type = b"Content-Type: application/json"
    for path in (*door.reads, *door.posts):
        method = "POST" if path in door.posts else "GET"
        for odd_id in ODD_IDS if "{}" in path else ():
            yield door.request(method, path.replace("{}", odd_id), header=json_type, body=b"{}")
    for query in ODD_QUERIES:
        for path in door.reads:
            yield door.request("GET", f"{path.replace('{}', 'x')}?{query}")
    for header in ODD_HEADERS:
        yield door.request("GET", door.light, header=header)
        yield door.request("GET", door.reads[0].replace("{}", "x"), header=header)
        body = b"2\r\n{}\r\n0\r\n\r\n" if b"chunked" in header else b"{}"
        yield door.request("POST", door.posts[0].replace("{}", "x"), header=header, body=body)
    for path in door.posts:
        for body in ODD_BODIES:
            yield door.request("POST", path.replace("{}", "x"), header=json_type, body=body)
        for kind in ODD_TYPES:
            header = b"Content-Type: " + kind
            yield door.request("POST", path.replace("{}", "x"), header=header, body=ODD_BODIES[-3])


def status_of(door: Door, raw: bytes) -> int:
    """The status of the answer; 0 where the connection ends without one. Raises TimeoutError where
    it stays open."""
    answer = b""
    with (
        socket.create_connection(door.address, timeout=ANSWER_SECONDS) as stranger,
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
    ):
        stranger.sendall(raw)
        while b" " not in answer[9:] and (piece := stranger.recv(65_536)):
            answer += piece
    return int(answer.split(b" ", 2)[1]) if answer else 0


@contextmanager
def half_open(door: Door, count: int = HALF_OPEN) -> Iterator[list[socket.socket]]:
    """Connections that went silent: without a word, in the header, and in the body."""
    said = (b"", b"GET / HTTP/1.1\r\nHost: loc", half_body(door))
    with contextlib.ExitStack() as held:
        halves = []
        for number in range(count):
            half = held.enter_context(
                socket.create_connection(door.address, timeout=ANSWER_SECONDS)
            )
            half.sendall(said[number % len(said)])
            halves.append(half)
        yield halves


def half_body(door: Door) -> bytes:
    header = b"Content-Type: application/json\r\nContent-Length: 100"
    return door.request(
        "POST", door.posts[0].replace("{}", "x"), header=header, body=b'{"model": "'
    )


@contextmanager
def neighbour(ask: Callable[[], float]) -> Iterator[list[float]]:
    """Ask on and on in a thread; the list holds the seconds that each request took."""
    seconds: list[float] = []
    over = threading.Event()

    def ask_on() -> None:
        while not over.wait(0.05):
            seconds.append(ask())

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        yield seconds
    finally:
        over.set()
        asking.join(2 * ANSWER_SECONDS)
