"""Error responses for pages and programs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import peewee
import psycopg2
import redis
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from console.operations.errors import LIST_TOO_LONG, InvalidInput, ServiceUnreachable, UnknownName
from console.web.api.answers import ApiError, error_answer
from console.web.pages.plumbing import page
from console.web.security.guard import FOR_PROGRAMS
from jobs.upkeep.health.refusals import remedy
from models.database import RUN_MIGRATIONS, DatabaseUnavailable, TookTooLong, lacks_tables

DOCTOR_SAYS = "`kos doctor` says what to do"
logger = logging.getLogger(__name__)


async def _respond(request: Request, status: int, message: str) -> Response:
    if request.url.path.startswith(FOR_PROGRAMS):
        code = "not_found" if status == 404 else None
        return error_answer(ApiError(status, message, code=code))
    try:
        return await run_in_threadpool(
            page, request, "error.html", status=status, code=status, message=message
        )
    except Exception:
        logger.exception("error_page_broke path=%s", request.url.path)
        return PlainTextResponse(f"{message}\n", status_code=status)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_answer(error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = await _respond(request, error.status_code, error.detail)
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


async def _not_found(request: Request, error: Exception) -> Response:
    return await _respond(request, 404, str(error))


async def _bad_input(request: Request, error: Exception) -> Response:
    return await _respond(request, 422, str(error))


async def _unreachable(request: Request, error: Exception) -> Response:
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    logger.warning("unreachable path=%s error=%s", request.url.path, line)
    return await _respond(request, 503, f"{line}; {remedy(error, DOCTOR_SAYS)}")


async def _too_long(request: Request, error: Exception) -> Response:
    logger.warning("too_long path=%s", request.url.path)
    return await _respond(request, 503, LIST_TOO_LONG)


async def _database(request: Request, error: Exception) -> Response:
    """A value that no column holds is the caller's; a missing table wants a migration."""
    line = str(error).strip().splitlines()[0]
    if isinstance(error, peewee.DataError | psycopg2.DataError):
        return await _respond(request, 422, line)
    if lacks_tables(error):
        return await _respond(request, 503, f"{line}; {RUN_MIGRATIONS}")
    logger.error("query_broke path=%s", request.url.path, exc_info=error)
    return await _respond(request, 503, line)


async def _cut_off(request: Request, error: Exception) -> Response:
    """The client disconnected, or its body was too large or too slow: what is left of it is not
    read."""
    status = request.scope.get("kos_cut_off", 413)
    why = "it came too slowly" if status == 408 else "it is too large"
    answer = await _respond(request, status, f"the body was cut off: {why}")
    answer.headers["connection"] = "close"
    return answer


async def _broke(request: Request, error: Exception) -> Response:
    logger.error("page_broke path=%s", request.url.path, exc_info=error)
    return await _respond(request, 500, "something broke here; the dashboard's log says what")


HANDLERS: Mapping[Any, Callable[[Request, Exception], Any]] = {
    ApiError: _api_error,
    HTTPException: _http,
    UnknownName: _not_found,
    InvalidInput: _bad_input,
    ServiceUnreachable: _unreachable,
    DatabaseUnavailable: _unreachable,
    TookTooLong: _too_long,
    redis.RedisError: _unreachable,
    peewee.PeeweeException: _database,
    psycopg2.Error: _database,
    ClientDisconnect: _cut_off,
    Exception: _broke,
}
