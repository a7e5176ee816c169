"""Backends, queues and health."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import backends, queue_actions, queue_differences, queues, status
from console.operations.health_report import last_round
from console.operations.plan_request import request_plan
from console.operations.problems import program_of
from console.services.errors import ServiceError
from console.web.figures import scan
from console.web.pages.plumbing import back_to, field, in_time, known_verb, page, site_of
from jobs.process.clock import utc_now
from jobs.upkeep.health.checks import supervised_servers
from models import task_figures
from models.database import session

MESSAGES_SHOWN = 50
PARTS = ("ready", "dead", "all")


def backends_page(request: Request) -> Response:
    site = site_of(request)
    lanes = site.overviews.get().lanes
    found = scan.last(site.redis)
    servers = {server.backend: server for server in found.servers} if found else {}
    return page(request, "backends.html", lanes=lanes, servers=servers, sizes=scan.sizes)


def steer_backend(request: Request, form: FormData) -> Response:
    site = site_of(request)
    name = backends.checked_name(site.settings, request.path_params["backend"])
    pausing = known_verb(request, ("pause", "resume")) == "pause"
    (backends.pause if pausing else backends.resume)(site.redis, name)
    if not pausing:
        _request_plan("resume")
    site.changed()
    return back_to("/backends", "paused" if pausing else "resumed")


def queues_page(request: Request) -> Response:
    site = site_of(request)
    now = utc_now()
    names = queues.names(site.settings)
    rows = queues.overview(site.redis, names, now=now)
    oldest = {name: queues.oldest_ready_seconds(site.redis, name, now=now) for name in names}
    queued = in_time(request, "the comparison with Postgres", task_figures.queued_by_backend)
    differences = [] if queued is None else queue_differences.differences(rows, queued)
    return page(request, "queues.html", queues=rows, oldest=oldest, differences=differences)


def queue_page(request: Request) -> Response:
    site = site_of(request)
    name = queues.checked_name(request.path_params["queue"], queues.names(site.settings))
    written = request.query_params.get("where", "")
    where: queues.Where = written if written in {"ready", "delayed", "dead"} else "ready"  # type: ignore[assignment]
    now = utc_now()
    rows = queues.messages(site.redis, name, where=where, limit=MESSAGES_SHOWN, now=now)
    summary = queues.overview(site.redis, (name,), now=now)[0]
    return page(request, "queue.html", queue=summary, where=where, messages=rows)


def steer_queue(request: Request, form: FormData) -> Response:
    """Send dead letters again, delete single messages, or purge; the latter by name only."""
    site = site_of(request)
    name = queues.checked_name(request.path_params["queue"], queues.names(site.settings))
    back, chosen = f"/queues/{name}", [str(value) for value in form.getlist("id")]
    verb = known_verb(request, ("requeue", "delete", "purge"))
    if verb == "requeue":
        number = queue_actions.requeue(site.redis, name, chosen or None)
        return back_to(f"{back}?where=dead", "requeued", n=number)
    if verb == "delete":
        number = queue_actions.delete(site.redis, name, chosen)
        return back_to(back, "deleted", n=number)
    if field(form, "confirm") != name:
        return back_to(back, "unconfirmed")
    part = field(form, "part")
    number = queue_actions.purge(site.redis, name, part=part if part in PARTS else "ready")  # type: ignore[arg-type]
    return back_to(back, "deleted", n=number)


def health_page(request: Request) -> Response:
    site = site_of(request)
    try:
        programs, problem = status.programs(site.settings), ""
    except ServiceError as error:
        programs, problem = (), str(error)
    checks = last_round(site.redis)
    servers = supervised_servers(site.settings)
    return page(
        request,
        "health.html",
        checks=checks,
        program_of={check.name: program_of(check.name, servers) for check in checks},
        programs=programs,
        problem=problem,
    )


def _request_plan(reason: str) -> None:
    with session():
        request_plan(reason)
