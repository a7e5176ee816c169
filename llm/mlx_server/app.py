"""Assembles the server as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from llm.mlx_server import memory
from llm.mlx_server.catalog import LocalModels
from llm.mlx_server.engine import Engine
from llm.mlx_server.errors import ServerError
from llm.mlx_server.metrics import ServerMetrics
from llm.mlx_server.ollama_routes import OllamaRoutes
from llm.mlx_server.openai_routes import OpenAIRoutes
from llm.mlx_server.readiness import Readiness
from llm.mlx_server.request_limit import RequestLimit
from llm.mlx_server.requests import TextRequest
from llm.mlx_server.responses import CALLER_DISCONNECTED, error_response
from llm.mlx_server.service import MlxService
from llm.mlx_server.settings import ServerSettings
from llm.mlx_server.status_routes import StatusRoutes
from llm.mlx_server.tokenizers import TokenizerStore
from llm.mlx_server.watchdog import Watchdog

logger = logging.getLogger(__name__)

STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ServerApp:
    """``app`` is for an ASGI server; after ``drain`` it accepts no more work."""

    app: Starlette
    request_limit: RequestLimit

    def drain(self) -> None:
        self.request_limit.draining = True


def build_server(
    settings: ServerSettings, loop: asyncio.AbstractEventLoop, *, give_up: Callable[[str], None]
) -> ServerApp:
    """The server on ``loop``. ``give_up`` must end the process: the engine cannot continue."""

    def engine_died(error: BaseException) -> None:
        loop.call_soon_threadsafe(give_up, f"the engine died: {error}")

    engine = Engine(settings, loop, on_death=engine_died)
    service = _service(settings, engine)
    watchdog = Watchdog(engine, settings, give_up=give_up)
    readiness = Readiness(
        engine, service.request_limit, watchdog, preloading=bool(settings.preload_models)
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine.start()
        tasks = [
            asyncio.create_task(watchdog.watch()),
            asyncio.create_task(_preload(service, readiness)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(engine.stop, timeout_seconds=STOP_SECONDS)

    routes = [
        *OllamaRoutes(service).routes(),
        *OpenAIRoutes(service).routes(),
        *StatusRoutes(service, readiness).routes(),
    ]
    handlers = {
        ServerError: _server_error,
        HTTPException: _http_exception,
        ClientDisconnect: _caller_disconnected,
        Exception: _unexpected,
    }
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)  # type: ignore[arg-type]
    return ServerApp(app, service.request_limit)


def _service(settings: ServerSettings, engine: Engine) -> MlxService:
    request_limit = RequestLimit(
        max_active=settings.max_concurrent,
        max_queue=settings.max_queue,
        max_queue_per_model=settings.max_queue_per_model,
        retry_after_seconds=settings.retry_after_seconds,
    )
    metrics = ServerMetrics()
    metrics.watch(lambda: engine.view, request_limit)
    catalog = LocalModels(
        settings.models_dir,
        aliases_file=settings.aliases_file,
        max_context_tokens=settings.max_context_tokens,
        float32=memory.holds_float32(wanted=settings.cpu_float32),
    )
    return MlxService(
        settings=settings,
        catalog=catalog,
        tokenizers=TokenizerStore(),
        request_limit=request_limit,
        engine=engine,
        metrics=metrics,
    )


async def _preload(service: MlxService, readiness: Readiness) -> None:
    """Load the configured models; one that fails is logged and skipped."""
    for name in service.settings.preload_models:
        try:
            await service.preload(TextRequest(model=name))
        except ServerError as error:
            logger.error("preload_failed model=%s error=%s", name, error)  # noqa: TRY400
        except Exception:
            logger.exception("preload_failed model=%s", name)
    readiness.preloading = False


async def _server_error(request: Request, error: ServerError) -> Response:
    return error_response(error, path=request.url.path)


async def _http_exception(request: Request, error: HTTPException) -> Response:
    mapped = ServerError(error.detail)
    mapped.status = error.status_code
    mapped.kind = "invalid_request_error"
    return error_response(mapped, path=request.url.path)


async def _caller_disconnected(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=CALLER_DISCONNECTED)


async def _unexpected(request: Request, error: Exception) -> Response:
    return error_response(ServerError("internal error"), path=request.url.path)
