"""Maps foreign exceptions and HTTP errors to our errors. No other module does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3.exceptions

from llm import errors
from llm.signatures import IN_STREAM, ServerRefusal, refused_field, signature_of
from llm.types import BackendKind
from llm.watch import CallWatch


@contextmanager
def mapped_errors(*, backend: str, watch: CallWatch, model: str | None = None) -> Iterator[None]:
    """Only `LLMError`s leave this block; each names its backend and model.

    An error that follows an interruption by the watch is caused by it, so the watch's own error is
    raised instead.
    """
    try:
        yield
    except Exception as exc:
        mapped = exc if isinstance(exc, errors.LLMError) else from_exception(exc)
        if watch.verdict is not None and not isinstance(mapped, errors.BadAnswer):
            mapped = watch.verdict
        mapped.backend = mapped.backend or backend
        mapped.model = mapped.model or model
        if mapped is exc:
            raise
        raise mapped from exc


def from_exception(exc: Exception) -> errors.LLMError:
    """The LLMError for an exception of requests, urllib3 or the socket; PoisonedCall for an unknown
    one."""
    text = _innermost(exc)
    if isinstance(exc, requests.exceptions.ConnectTimeout):
        return errors.ConnectTimeout(f"no connection in time: {text}")
    if isinstance(exc, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return errors.StallTimeout(f"the server went silent: {text}")
    if isinstance(exc, requests.exceptions.SSLError):
        return errors.BackendUnreachable(f"TLS failed: {text}")
    if isinstance(exc, requests.exceptions.ConnectionError):
        return errors.BackendUnreachable(f"cannot reach the server: {text}")
    if isinstance(exc, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return errors.BackendUnreachable(f"the server's URL is not usable: {text}")
    if isinstance(exc, requests.exceptions.InvalidHeader):
        return errors.NotAuthorized("the API key holds characters that no header can carry")
    if _ended_early(exc):
        return errors.TruncatedStream(f"the stream ended early: {text}")
    if isinstance(
        exc,
        requests.exceptions.RequestException
        | urllib3.exceptions.HTTPError
        | http.client.HTTPException
        | OSError,
    ):
        return errors.StreamBroken(f"the connection broke: {text}")
    return errors.PoisonedCall(f"unexpected {type(exc).__name__}: {exc}")


def from_status(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    kind: BackendKind | None = None,
    with_schema: bool = False,
    fields: Collection[str] = (),
) -> errors.LLMError:
    """The LLMError for an HTTP status other than 2xx, by the table of `llm.signatures`."""
    refusal = ServerRefusal(status, _error_in(body), kind, with_schema, fields)
    words = refusal.message or "no explanation"
    return _error(
        refusal,
        f"HTTP {status}: {words[: errors.BODY_EXCERPT_CHARS]}",
        retry_after_seconds=retry_after(headers),
        body_excerpt=body.decode("utf-8", "replace"),
    )


def from_error_line(value: object) -> errors.LLMError:
    """The LLMError for an error inside a stream that began well. Its own code counts as the
    status."""
    code = value.get("code") if isinstance(value, Mapping) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else IN_STREAM
    refusal = ServerRefusal(status, value)
    words = refusal.message or "no explanation"
    return _error(refusal, f"the server broke off: {words}", body_excerpt=words)


def from_no_chat(body: bytes) -> errors.LLMError:
    """The LLMError for a body that came with status 200 and is no chat: the error it tells of."""
    told = _told_in(body, "error")
    if told is not None:
        return from_error_line(told)
    seen = body[: errors.BODY_EXCERPT_CHARS].decode("utf-8", "replace")
    return errors.StreamBroken(f"the server answered no chat: {seen!r}", body_excerpt=seen)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of the Retry-After header, a number or a date; None where there is none."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, min(float(value), 86_400.0))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, min((moment - datetime.now(UTC)).total_seconds(), 86_400.0))


def _error_in(body: bytes) -> object:
    """The error object in a body: ``{"error": "..."}``, ``{"error": {"message"}}``, FastAPI's
    ``{"detail"}`` or plain text."""
    return _told_in(body, "error", "message", "detail") or body.decode("utf-8", "replace").strip()


def _told_in(body: bytes, *names: str) -> object:
    """What the JSON of ``body`` says of an error under one of ``names``; None where it says
    nothing. Google's servers put the object into a list."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        for name in names:
            if value.get(name):
                return value[name]
    return None


def _error(
    refusal: ServerRefusal,
    message: str,
    *,
    retry_after_seconds: float | None = None,
    body_excerpt: str,
) -> errors.LLMError:
    row = signature_of(refusal)
    return row.error(
        message,
        status=None if refusal.status == IN_STREAM else refusal.status,
        retry_after_seconds=retry_after_seconds,
        body_excerpt=body_excerpt,
        concerns=row.concerns,
        field=refused_field(refusal) if row.needs == "field" else None,
    )


def _ended_early(exc: BaseException) -> bool:
    """Did the other side close the connection in the middle of a body without a reset?"""
    for reason in _causes(exc):
        # A kind of IncompleteRead, but a length that is no number is no early end.
        if isinstance(reason, urllib3.exceptions.InvalidChunkLength):
            return not reason.length
        if isinstance(reason, http.client.IncompleteRead):
            return True
        if isinstance(reason, urllib3.exceptions.ProtocolError) and "prematurely" in str(reason):
            return True
    return False


def _causes(exc: BaseException) -> Iterator[BaseException]:
    reason: BaseException | None = exc
    for _ in range(8):
        if reason is None:
            return
        yield reason
        inner = [arg for arg in reason.args if isinstance(arg, BaseException)]
        reason = inner[-1] if inner else reason.__cause__


def _innermost(exc: BaseException) -> str:
    """The text of the innermost cause. The outer ones repeat URLs and object ids."""
    *_, first = (getattr(reason, "reason", None) or reason for reason in _causes(exc))
    return f"{type(first).__name__}: {first}"[: errors.BODY_EXCERPT_CHARS]
