"""One program: its state, the end of its log, and a restart."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from console.operations import status
from console.operations.errors import UnknownName
from console.operations.logs import last_lines, log_of
from console.services.errors import ServiceError
from console.supervision.client import ProgramStatus
from console.supervision.status import restart
from console.web.pages.plumbing import back_to, page, site_of
from jobs.settings.load import Settings

LOG_LINES = 200
OURSELVES = "watch:dashboard"
"""A restart from here would end before its answer."""


def program_page(request: Request) -> Response:
    settings = site_of(request).settings
    found = _program(settings, str(request.path_params["program"]))
    try:
        lines = last_lines(log_of(settings, found.name), LOG_LINES)
    except (UnknownName, OSError):
        lines = []
    return page(
        request,
        "program.html",
        program=found,
        lines=lines,
        may_restart=found.name != OURSELVES,
    )


def restart_program(request: Request, form: FormData) -> Response:
    site = site_of(request)
    name = _program(site.settings, str(request.path_params["program"])).name
    if name == OURSELVES:
        raise HTTPException(422, f"{name} cannot restart itself; run: kos ctl restart {name}")
    try:
        restart(site.settings, name)
    except ServiceError as error:
        raise HTTPException(503, str(error)) from error
    site.changed()
    return back_to(f"/programs/{name}", "restarted")


def _program(settings: Settings, written: str) -> ProgramStatus:
    """The program of that name. Raises UnknownName; HTTPException where no supervisor answers."""
    try:
        found = status.programs(settings)
    except ServiceError as error:
        raise HTTPException(503, str(error)) from error
    for program in found:
        if program.name == written:
            return program
    raise UnknownName(f"no program {written[:60]!r}; /health lists them")
