"""Requests are read whatever the pieces they come in, and wrong ones are refused."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.simulator.http_request import BadRequestError, HttpRequest, RequestReader

PLAIN = b"GET /api/tags?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"
SIZED = b"POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;note=1\r\nde\r\n0\r\n\r\n"
)


def read(pieces: list[bytes]) -> list[HttpRequest]:
    reader, found = RequestReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (request := reader.next()) is not None:
            found.append(request)
    assert reader.is_empty
    return found


@given(cuts=st.lists(st.integers(0, len(PLAIN + SIZED + CHUNKED)), max_size=12))
def test_requests_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    data = PLAIN + SIZED + CHUNKED
    edges = [0, *sorted(cuts), len(data)]
    requests = read([data[a:b] for a, b in itertools.pairwise(edges)])
    assert [request.path for request in requests] == ["/api/tags", "/api/chat", "/v1/x"]
    assert [request.body for request in requests] == [b"", b"hello", b"abcde"]
    assert requests[0].query == "x=1"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000,
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestError):
        read([data])


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    reader = RequestReader()
    reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + data)
    with contextlib.suppress(BadRequestError):
        reader.next()


def test_connections_are_kept_as_the_version_says() -> None:
    modern, closing = read([PLAIN, PLAIN.replace(b"Host: a", b"Host: a\r\nConnection: close")])
    (old,) = read([b"GET / HTTP/1.0\r\n\r\n"])
    assert [modern.keep_alive, closing.keep_alive, old.keep_alive] == [True, False, False]
    assert not old.may_chunk
