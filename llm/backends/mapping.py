"""The one border where foreign exceptions and HTTP answers become errors of ours."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3.exceptions

from llm import errors
from llm.watch import Watch

_LOAD_FAILURE = re.compile(
    r"error loading model|failed to load|unable to load|load(ing)? (request )?failed|"
    r"requires more system memory|out of memory|cudaMalloc|"
    r"runner process has terminated|waiting for .*(runner|server) to start|insufficient memory",
    re.IGNORECASE,
)
_BUSY = re.compile(r"server busy|overloaded|too many|rate limit|maximum pending", re.IGNORECASE)
_NO_MODEL = re.compile(r"model", re.IGNORECASE)
_CANNOT_CHAT = re.compile(r"does not support (chat|generate|completion)", re.IGNORECASE)
_NO_CREDIT = "insufficient_quota"
_SCHEMA = re.compile(
    r"response_format|json_schema|schema|grammar|structured|guided|\bformat\b", re.IGNORECASE
)


@contextmanager
def border(*, backend: str, watch: Watch, model: str | None = None) -> Iterator[None]:
    """Only `LLMError`s leave it, each naming its backend and model.

    What broke after the watch had ended the call is the end's doing: its verdict is raised.
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
    """What an exception of requests, urllib3 or the socket means; PoisonedCall where nothing."""
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
    status: int, headers: Mapping[str, str], body: bytes, *, with_schema: bool = False
) -> errors.LLMError:
    """What an HTTP status other than 2xx means."""
    told = _told_in(body)
    message = _message_of(told)
    error = _status_error(status, told, message, with_schema)
    words = message or "no explanation"
    return error(
        f"HTTP {status}: {words[: errors.BODY_EXCERPT_CHARS]}",
        status=status,
        retry_after_seconds=retry_after(headers),
        body_excerpt=body.decode("utf-8", "replace"),
    )


def from_error_line(value: object) -> errors.LLMError:
    """What an error inside a stream that began well means."""
    message = _message_of(value) or "no explanation"
    kind: type[errors.LLMError] = errors.ServerFailed
    if _LOAD_FAILURE.search(message):
        kind = errors.LoadFailed
    elif _BUSY.search(message):
        kind = errors.Overloaded
    return kind(f"the server broke off: {message}", body_excerpt=message)


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


def _told_in(body: bytes) -> object:
    """What an error body holds: ``{"error": "..."}``, ``{"error": {"message"}}``, FastAPI's
    ``{"detail"}`` or plain text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict):
        for name in ("error", "message", "detail"):
            if value.get(name):
                return value[name]
    return text


def _is_out_of_credit(told: object) -> bool:
    """OpenAI says so with the status of a rate limit, but no waiting helps."""
    return isinstance(told, dict) and _NO_CREDIT in (told.get("code"), told.get("type"))


def _status_error(
    status: int, told: object, message: str, with_schema: bool
) -> type[errors.LLMError]:
    if status in (401, 402, 403, 407) or _is_out_of_credit(told):
        return errors.NotAuthorized
    if status == 404 and _NO_MODEL.search(message):
        return errors.ModelNotFound
    if status in (404, 405) or 300 <= status < 400:
        return errors.BackendUnreachable  # something answers, but no model server of this kind
    if status in (408, 425, 499):
        return errors.ServerFailed
    if status in (429, 503):
        return errors.LoadFailed if _LOAD_FAILURE.search(message) else errors.Overloaded
    if status >= 500:
        if _BUSY.search(message):
            return errors.Overloaded
        return errors.LoadFailed if _LOAD_FAILURE.search(message) else errors.ServerFailed
    if _CANNOT_CHAT.search(message):
        return errors.ModelNotFound
    if with_schema and _SCHEMA.search(message):
        return errors.SchemaUnsupported
    return errors.BadRequest


def _message_of(value: object) -> str:
    if isinstance(value, dict):
        message = value.get("message") or value.get("error") or value
        return message if isinstance(message, str) else json.dumps(message, default=str)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _ended_early(exc: BaseException) -> bool:
    """Did the other side close in the middle of a body, in good order?"""
    for reason in _causes(exc):
        if isinstance(reason, http.client.IncompleteRead):
            return True
        if isinstance(reason, urllib3.exceptions.InvalidChunkLength):
            return not reason.length
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
    """The words of the first cause: the outer ones repeat URLs and object ids."""
    *_, first = (getattr(reason, "reason", None) or reason for reason in _causes(exc))
    return f"{type(first).__name__}: {first}"[: errors.BODY_EXCERPT_CHARS]
