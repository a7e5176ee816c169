"""The application: routes, in one table."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import peewee
import redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from console.operations.tasks import cancel, retry
from console.web.api import machines as api_machines
from console.web.api import openapi
from console.web.api import tasks as api_tasks
from console.web.api.answers import Handler, takes_json
from console.web.batches import routes as openai_batches
from console.web.batches.disk import Disk
from console.web.batches.runner import BatchRunner
from console.web.errors import HANDLERS
from console.web.figures.scan import model_names
from console.web.metrics import Metrics, scrape
from console.web.pages import (
    batches,
    bulk,
    chat,
    chats,
    compare,
    experts,
    login,
    machines,
    overview,
    programs,
    projects,
    schedules,
    submit,
    task,
    tasks,
    webhooks,
)
from console.web.pages.plumbing import action
from console.web.security.guard import Guard
from console.web.site import THREADS, Site, build_site
from jobs.process.http_origins import allowed_hosts
from jobs.settings.load import Settings
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
WARM_SECONDS = 3.0
"""A dashboard whose database hangs comes up all the same, to say so."""


def build_app(settings: Settings) -> Starlette:
    """The dashboard and its API on the services of ``settings``.

    Raises:
        ServiceUnreachable: no Redis is known.
        ValueError: DATABASE_URL is not a Postgres URL.
    """
    site = build_site(settings)
    app = Starlette(
        routes=[*_pages(), *_actions(), *_api(), *_openai(), *_rest()],
        middleware=[
            Middleware(
                Guard,
                sessions=site.sessions,
                attempts=site.logins,
                hosts=allowed_hosts(settings.dashboard_host, settings.dashboard_allowed_hosts),
                needs_token=site.needs_token,
                read_only=settings.dashboard_read_only,
                body_seconds=settings.body_seconds,
            )
        ],
        exception_handlers=HANDLERS,
        lifespan=_lifespan,
    )
    app.state.site = site
    app.state.metrics = Metrics(site)
    app.state.disk = Disk(settings.home)
    app.state.runner = BatchRunner(
        disk=app.state.disk,
        rules=site.rules,
        models=lambda: model_names(settings, site.redis),
    )
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    site: Site = app.state.site
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    app.state.runner.start()
    with anyio.move_on_after(WARM_SECONDS):
        await anyio.to_thread.run_sync(_warm, site, abandon_on_cancel=True)
    try:
        yield
    finally:
        app.state.runner.stop()
        site.close()


def _warm(site: Site) -> None:
    """The first visitor shall not pay for the first look, nor for compiling the templates."""
    for name in site.templates.list_templates():
        site.templates.get_template(name)
    try:
        site.overviews.get()
    except (DatabaseUnavailable, peewee.PeeweeException, redis.RedisError) as error:
        logger.warning("not_warm error=%s", str(error).strip().splitlines()[0])


def _pages() -> list[BaseRoute]:
    return [
        Route("/", overview.overview),
        Route("/feed", overview.feed),
        Route("/login", login.login_page),
        Route("/tasks", tasks.tasks_page),
        Route("/tasks/{task}", task.task_page),
        Route("/tasks/{task}/live", task.live),
        Route("/tasks/{task}/compare", compare.compare_page, methods=["GET"]),
        Route("/projects", projects.projects_page),
        Route("/submit", submit.submit_page),
        Route("/batches", batches.batches_page),
        Route("/batches/{batch}", batches.batch_page),
        Route("/batches/{batch}/{file}", batches.download, methods=["GET"]),
        Route("/backends", machines.backends_page),
        Route("/queues", machines.queues_page),
        Route("/queues/{queue}", machines.queue_page),
        Route("/experts", experts.experts_page),
        Route("/experts/{expert}", experts.expert_page),
        Route("/chat", chat.chat_page),
        Route("/chats", chats.chats_page),
        Route("/schedule", schedules.schedule_page),
        Route("/webhooks", webhooks.webhooks_page),
        Route("/health", machines.health_page),
        Route("/programs/{program}", programs.program_page),
    ]


def _actions() -> list[BaseRoute]:
    changes = (
        ("/login", login.login),
        ("/logout", login.logout),
        ("/prefer", overview.prefer),
        ("/tasks", bulk.bulk),
        ("/tasks/{task}/compare", compare.start),
        ("/tasks/{task}/choose", compare.choose),
        ("/tasks/{task}/{verb}", task.change),
        ("/projects", projects.keep_defaults),
        ("/experts/{expert}/{verb}", experts.change),
        ("/batches/{batch}/cancel", batches.cancel),
        ("/backends/{backend}/{verb}", machines.steer_backend),
        ("/queues/{queue}/{verb}", machines.steer_queue),
        ("/schedule", schedules.write_schedule),
        ("/schedule/{verb}", schedules.steer_schedule),
        ("/programs/{program}/restart", programs.restart_program),
        ("/webhooks", webhooks.add_webhook),
        ("/webhooks/{verb}", webhooks.steer_webhook),
    )
    return [
        Route("/chat/ask", chat.ask, methods=["POST"]),
        Route("/chat/task", chat.make_task, methods=["POST"]),
        Route("/batches", action(batches.begin, files=1), methods=["POST"]),
        Route("/submit", action(submit.submit, files=submit.MOST_FILES), methods=["POST"]),
        *(Route(path, action(change), methods=["POST"]) for path, change in changes),
    ]


def _api() -> list[BaseRoute]:
    def get(path: str, handler: Callable[[Request], Any]) -> Route:
        return Route(f"/api/v1{path}", handler, methods=["GET"])

    def post(path: str, handler: Handler, *, optional: bool = True) -> Route:
        endpoint = takes_json(handler, optional=optional)
        return Route(f"/api/v1{path}", endpoint, methods=["POST"])

    return [
        get("/openapi.json", openapi.document),
        get("/status", api_machines.status),
        get("/events", api_machines.events),
        get("/tasks", api_tasks.listed),
        post("/tasks", api_tasks.submitted, optional=False),
        post("/tasks/cancel", api_tasks.many(cancel), optional=False),
        post("/tasks/retry", api_tasks.many(retry), optional=False),
        get("/tasks/{task}", api_tasks.details),
        get("/tasks/{task}/why", api_tasks.explained),
        get("/tasks/{task}/live", task.live),
        post("/tasks/{task}/cancel", api_tasks.cancelled),
        post("/tasks/{task}/retry", api_tasks.retried),
        post("/tasks/{task}/accept", api_tasks.accepted),
        post("/tasks/{task}/rerun", api_tasks.run_again),
        post("/tasks/{task}/feedback", api_tasks.rated, optional=False),
        get("/backends", api_machines.backends_listed),
        post("/backends/{backend}/pause", api_machines.backend_paused),
        post("/backends/{backend}/resume", api_machines.backend_resumed),
        get("/queues", api_machines.queues_listed),
        get("/queues/{queue}/messages", api_machines.queue_messages),
        get("/experts", api_machines.experts_listed),
        get("/projects", api_machines.projects_listed),
    ]


def _openai() -> list[BaseRoute]:
    return [
        Route("/v1/models", openai_batches.models, methods=["GET"]),
        Route("/v1/files", openai_batches.files, methods=["GET"]),
        Route("/v1/files", openai_batches.upload, methods=["POST"]),
        Route("/v1/files/{file}", openai_batches.file, methods=["GET"]),
        Route("/v1/files/{file}", openai_batches.delete_file, methods=["DELETE"]),
        Route("/v1/files/{file}/content", openai_batches.file_content, methods=["GET"]),
        Route("/v1/batches", openai_batches.batches, methods=["GET"]),
        Route("/v1/batches", takes_json(openai_batches.create_batch), methods=["POST"]),
        Route("/v1/batches/{batch}", openai_batches.batch, methods=["GET"]),
        Route(
            "/v1/batches/{batch}/cancel",
            takes_json(openai_batches.cancel_batch, optional=True),
            methods=["POST"],
        ),
    ]


def _rest() -> list[BaseRoute]:
    return [
        Route("/healthz", _healthz),
        Route("/metrics", scrape),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]


async def _healthz(request: Request) -> JSONResponse:
    return JSONResponse({"status": "green"})
