"""``/api/v1``: backends, queues, experts, status, and events as they happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import redis
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from console.operations import backends, experts, projects, queues, verdict
from console.operations import status as statuses
from console.operations.errors import UnknownName
from console.operations.plan_request import request_plan
from console.web.api.answers import ApiError, Json, query_text, whole_number
from console.web.live import event
from console.web.pages.plumbing import site_of
from console.web.site import Site
from jobs.process.clock import utc_now
from models import attempt
from models.attempt import Ended
from models.database import DatabaseUnavailable, session

EVENT_SECONDS = 1.0
EVENTS_A_LOOK = 5000
PLACES = ("ready", "delayed", "dead")


def backends_listed(request: Request) -> Response:
    site = site_of(request)
    return Json({"backends": backends.overview(site.settings, site.redis)})


def backend_paused(request: Request, body: Any) -> Response:
    return _steered(request, pausing=True)


def backend_resumed(request: Request, body: Any) -> Response:
    return _steered(request, pausing=False)


def _steered(request: Request, *, pausing: bool) -> Response:
    site = site_of(request)
    try:
        name = backends.checked_name(site.settings, request.path_params["backend"])
    except UnknownName as error:
        raise ApiError(404, str(error), code="not_found") from None
    if pausing:
        backends.pause(site.redis, name)
    else:
        backends.resume(site.redis, name)
        with session():
            request_plan("resume")
    site.changed()
    return Json({"backend": name, "paused": pausing})


def queues_listed(request: Request) -> Response:
    site = site_of(request)
    rows = queues.overview(site.redis, queues.names(site.settings), now=utc_now())
    return Json({"queues": rows})


def queue_messages(request: Request) -> Response:
    site = site_of(request)
    try:
        name = queues.checked_name(request.path_params["queue"], queues.names(site.settings))
    except UnknownName as error:
        raise ApiError(404, str(error), code="not_found") from None
    where = query_text(request, "where") or "ready"
    if where not in PLACES:
        raise ApiError(422, f"where: write one of {', '.join(PLACES)}", param="where")
    limit = whole_number(request, "limit", default=50, low=1, high=1000)
    rows = queues.messages(site.redis, name, where=where, limit=limit, now=utc_now())  # type: ignore[arg-type]
    return Json({"queue": name, "where": where, "messages": rows})


def experts_listed(request: Request) -> Response:
    with session():
        return Json({"experts": experts.listed()})


def projects_listed(request: Request) -> Response:
    with session():
        return Json({"projects": projects.listed()})


def status(request: Request) -> Response:
    """What the first screen shows, and where it is served."""
    site = site_of(request)
    overview = site.overviews.fresh()
    return Json(
        {
            "at": overview.at,
            "tasks": overview.counts,
            "verdict": verdict.document(overview.verdict, now=overview.at),
            "health": overview.health,
            "urls": statuses.urls(site.settings),
            "lanes": overview.lanes,
            "backlog": overview.backlog,
            "reloads": overview.reloads,
            "per_minute": overview.per_minute,
            "failures": overview.failures,
        }
    )


async def events(request: Request) -> Response:
    """Server-sent events: ``status`` when a count changed, ``attempt`` for each one that ended."""
    return StreamingResponse(_events(site_of(request)), media_type="text/event-stream")


async def _events(site: Site) -> AsyncIterator[str]:
    last, sent, quiet = utc_now(), None, 0
    yield "retry: 2000\n\n"
    while True:
        try:
            counts, ended = await run_in_threadpool(_look, site, last)
        except (DatabaseUnavailable, redis.RedisError):
            counts, ended = sent, []
        quiet += 1
        if counts != sent:
            sent, quiet = counts, 0
            yield event("status", {"tasks": counts})
        for one in ended:
            last, quiet = max(last, one.finished_at), 0
            yield event("attempt", _attempt_event(one))
        if quiet >= 15:
            quiet = 0
            yield ": still here\n\n"
        await asyncio.sleep(EVENT_SECONDS)


def _look(site: Site, last: datetime) -> tuple[dict[str, int] | None, list[Ended]]:
    with session():
        ended = attempt.ended_since(last, newest=EVENTS_A_LOOK)
    return site.overviews.fresh().counts, ended


def _attempt_event(ended: Ended) -> dict[str, Any]:
    return {
        "task": ended.task_id,
        "number": ended.number,
        "backend": ended.backend,
        "model": ended.model,
        "outcome": ended.outcome,
        "error_code": ended.error_code,
        "finished_at": ended.finished_at.isoformat(),
    }
