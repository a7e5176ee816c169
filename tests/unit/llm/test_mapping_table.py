"""What every foreign exception, status and header means to us."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests.exceptions as theirs
import urllib3.exceptions

from llm import errors
from llm.backends.mapping import (
    from_error_line,
    from_exception,
    from_status,
    mapped_errors,
    retry_after,
)
from llm.types import CancelToken
from llm.watch import CallWatch


def in_body(cause: Exception) -> Exception:
    """An error while a body is read, as requests tells of it."""
    return theirs.ChunkedEncodingError(urllib3.exceptions.ProtocolError(f"broken: {cause}", cause))


def chunk_length(length: bytes) -> Exception:
    response = SimpleNamespace(tell=lambda: 5, length_remaining=None)
    return in_body(urllib3.exceptions.InvalidChunkLength(cast(Any, response), length))


EXCEPTIONS: list[tuple[Exception, type[errors.LLMError], str]] = [
    (theirs.ConnectTimeout("x"), errors.ConnectTimeout, "no connection in time: ConnectTimeout: x"),
    (theirs.ReadTimeout("x"), errors.StallTimeout, "the server went silent: ReadTimeout: x"),
    (
        urllib3.exceptions.TimeoutError("x"),
        errors.StallTimeout,
        "the server went silent: TimeoutError: x",
    ),
    (theirs.SSLError("x"), errors.BackendUnreachable, "TLS failed: SSLError: x"),
    (
        theirs.ConnectionError("x"),
        errors.BackendUnreachable,
        "cannot reach the server: ConnectionError: x",
    ),
    (
        theirs.InvalidURL("x"),
        errors.BackendUnreachable,
        "the server's URL is not usable: InvalidURL: x",
    ),
    (
        theirs.InvalidSchema("x"),
        errors.BackendUnreachable,
        "the server's URL is not usable: InvalidSchema: x",
    ),
    (theirs.InvalidHeader("x"), errors.NotAuthorized, "the API key holds characters"),
    (
        theirs.ChunkedEncodingError("x"),
        errors.StreamBroken,
        "the connection broke: ChunkedEncodingError: x",
    ),
    (urllib3.exceptions.HTTPError("x"), errors.StreamBroken, "the connection broke: HTTPError: x"),
    (http.client.HTTPException("x"), errors.StreamBroken, "the connection broke: HTTPException: x"),
    (OSError("x"), errors.StreamBroken, "the connection broke: OSError: x"),
    (ValueError("x"), errors.PoisonedCall, "unexpected ValueError: x"),
    (http.client.IncompleteRead(b"x"), errors.TruncatedStream, "the stream ended early"),
    (in_body(urllib3.exceptions.IncompleteRead(5, 7)), errors.TruncatedStream, "the stream ended"),
    (in_body(OSError("reset")), errors.StreamBroken, "the connection broke"),
    (chunk_length(b""), errors.TruncatedStream, "the stream ended early"),
    (chunk_length(b"zz"), errors.StreamBroken, "the connection broke"),
    (
        theirs.ChunkedEncodingError(urllib3.exceptions.ProtocolError("Response ended prematurely")),
        errors.TruncatedStream,
        "the stream ended early",
    ),
]


@pytest.mark.parametrize(
    ("foreign", "kind", "words"), EXCEPTIONS, ids=[repr(row[0])[:40] for row in EXCEPTIONS]
)
def test_a_foreign_exception_becomes_one_of_ours(
    foreign: Exception, kind: type[errors.LLMError], words: str
) -> None:
    found = from_exception(foreign)

    assert type(found) is kind
    assert str(found).startswith(words)


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        (" 2.5 ", 2.5, 2.5),
        ("-3", 0, 0),
        ("1e9", 86_400, 86_400),
        ("nan", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 0),
    ],
)
def test_retry_after_is_a_number_or_a_date_within_a_day(
    value: str, least: float, most: float
) -> None:
    found = retry_after({"Retry-After": value})

    assert found is not None
    assert least <= found <= most


@pytest.mark.parametrize(
    ("seconds", "least", "most"), [(3600, 3300, 3601), (-3600, 0, 0), (1e6, 86_400, 86_400)]
)
def test_retry_after_may_be_a_date_of_today(seconds: float, least: float, most: float) -> None:
    found = retry_after({"Retry-After": in_seconds(seconds)})

    assert found is not None
    assert least <= found <= most


@pytest.mark.parametrize("value", ["", "  ", "soon", "Wed, 99 Oct"])
def test_a_retry_after_that_says_nothing_is_none(value: str) -> None:
    assert retry_after({"Retry-After": value} if value else {}) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "full"}', "full"),
        (b'{"error": {"message": "full"}}', "full"),
        (b'{"message": "full"}', "full"),
        (b'{"detail": "full"}', "full"),
        (b'{"error": "", "detail": "full"}', "full"),
        (b" full ", "full"),
        (b"", "no explanation"),
        (b"\xff", "\ufffd"),
    ],
)
def test_the_words_of_an_error_are_found_in_every_usual_body(body: bytes, words: str) -> None:
    found = from_status(503, {"Retry-After": "4"}, body)

    assert str(found).startswith(f"HTTP 503: {words}")
    assert (found.status, found.retry_after_seconds) == (503, 4.0)


@pytest.mark.parametrize(
    ("code", "status"),
    [(400, 400), (599, 599), (399, None), (600, None), ("400", None), (None, None)],
)
def test_a_code_in_a_stream_counts_where_it_is_a_status(code: object, status: int | None) -> None:
    found = from_error_line({"message": "it broke", "code": code})

    assert str(found) == "the server broke off: it broke"
    assert found.status == status


def test_an_error_names_its_backend_and_model_and_keeps_those_it_has() -> None:
    def raised(error: Exception) -> errors.LLMError:
        with (
            pytest.raises(errors.LLMError) as caught,
            CallWatch(total_seconds=30.0, cancel=CancelToken()) as watch,
            mapped_errors(backend="mlx", model="small", watch=watch),
        ):
            raise error
        return caught.value

    mapped = raised(OSError("x"))
    assert (mapped.backend, mapped.model) == ("mlx", "small")
    assert isinstance(mapped.__cause__, OSError)
    own = raised(errors.ServerFailed("x", backend="ollama", model="big"))
    assert (own.backend, own.model, own.__cause__) == ("ollama", "big", None)
