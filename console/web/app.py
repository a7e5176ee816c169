"""The application: routes, in one table."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from jobs.settings import Settings
from models.backlog import counts
from models.database import configure, session


def build_app(settings: Settings) -> Starlette:
    """The dashboard's application on the database of ``settings``."""
    if settings.database_url:
        configure(settings.database_url, pool_size=8, application_name="kos-dashboard")
    return Starlette(routes=[Route("/healthz", _healthz), Route("/api/v1/status", _status)])


def _healthz(request: Request) -> JSONResponse:
    return JSONResponse({"status": "green"})


def _status(request: Request) -> JSONResponse:
    with session():
        return JSONResponse({"tasks": counts()})
