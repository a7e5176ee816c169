"""JSON in and out: bodies read with care, errors in one shape.

``{"error": {"message", "type", "code", "param"}}``, as OpenAI's clients expect it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console.operations.documents import document

Handler = Callable[[Request, Any], Response]


class ApiError(Exception):
    """Becomes an answer with ``status``."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


class Json(JSONResponse):
    """Dataclasses as objects, times as ISO 8601; text that came in broken goes out escaped."""

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, default=_written, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def error_answer(error: ApiError) -> Response:
    return Json(
        {
            "error": {
                "message": str(error),
                "type": "server_error" if error.status >= 500 else "invalid_request_error",
                "code": error.code,
                "param": error.param,
            }
        },
        status_code=error.status,
    )


def takes_json(handler: Handler, *, optional: bool = False) -> Callable[[Request], Any]:
    """An endpoint whose body is JSON, run in a thread. A browser's plain form is not JSON."""

    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        if not raw.strip() and optional:
            return await run_in_threadpool(handler, request, {})
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "send the header Content-Type: application/json")
        return await run_in_threadpool(handler, request, _parsed(raw))

    return endpoint


def whole_number(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    """A query parameter; raises ApiError with what to write."""
    text = request.query_params.get(name)
    if text is None:
        return default
    good = text.isascii() and text.isdigit() and len(text) < 12
    if not good or not low <= int(text) <= high:
        raise ApiError(422, f"{name}: write a whole number from {low} to {high}", param=name)
    return int(text)


def query_text(request: Request, name: str, *, max_chars: int = 200) -> str | None:
    text = request.query_params.get(name)
    if text is None or text == "":
        return None
    if "\x00" in text or len(text) > max_chars:
        raise ApiError(422, f"{name}: at most {max_chars} characters and no NUL", param=name)
    return text


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8 (byte {error.start + 1})") from None
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON ({error})") from None


def _written(value: object) -> object:
    fields = document(value)
    if fields is not None:
        return fields
    return value.isoformat() if isinstance(value, datetime) else str(value)
