"""The application: what is shared, and the routes in one table."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.to_thread
import peewee
import psycopg2
import redis
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from gateway import listing
from gateway.access import Access
from gateway.calls import Api, Call, read_call, read_object
from gateway.desk import Desk
from gateway.errors import (
    Away,
    BadCall,
    CutOff,
    GatewayError,
    NotServed,
    UnknownModel,
    Unpacked,
    answer_to,
)
from gateway.flexible import (
    FlexibleTasks,
    as_task,
    chat_body,
    completion,
    is_flexible,
    response,
)
from gateway.interactive_slots import InteractiveSlots
from gateway.names import spellings
from gateway.relay import Relay
from gateway.request_log import HANGUP, RequestLog
from gateway.upstream import UpstreamClient
from jobs.admission.slot_events import FreedSlots
from jobs.settings.load import Settings
from llm.wire import ollama
from models.database import DatabaseUnavailable

logger = logging.getLogger(__name__)

THREADS = 64
MAX_BODY_BYTES = 64 * 1024 * 1024
VERSION = "0.32.0"
"""The version of Ollama whose API this is; clients compare it."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the requests of one process share."""

    settings: Settings
    desk: Desk
    interactive_slots: InteractiveSlots
    client: UpstreamClient
    request_log: RequestLog
    flexible: FlexibleTasks
    freed: FreedSlots


def build_app(gateway: Gateway) -> Starlette:
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Access, settings=gateway.settings)],
        exception_handlers={
            GatewayError: _failed,
            HTTPException: _not_served,
            ClientDisconnect: _left,
            DatabaseUnavailable: _broke,
            redis.RedisError: _broke,
            peewee.ProgrammingError: _broke,
            psycopg2.ProgrammingError: _broke,
            Exception: _broke,
        },
        lifespan=_lifespan,
    )
    app.state.gateway = gateway
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    gateway: Gateway = app.state.gateway
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    await gateway.client.start()
    gateway.freed.start()
    parts = (gateway.interactive_slots, gateway.request_log, gateway.desk.demand, gateway.flexible)
    for part in parts:
        part.start()
    try:
        yield
    finally:
        for part in reversed(parts):
            await part.stop()
        gateway.freed.stop()
        await gateway.client.close()


def _routes() -> list[BaseRoute]:
    calls = [Route(api.value, _relayed(api), methods=["POST"]) for api in Api]
    return [
        *calls,
        Route("/api/embeddings", _relayed(Api.OLLAMA_EMBED), methods=["POST"]),
        Route("/v1/responses", _respond, methods=["POST"]),
        Route("/v1/responses/{response}", _response),
        Route("/v1/responses/{response}/cancel", _cancel_response, methods=["POST"]),
        Route("/v1/models", _openai_models),
        Route("/v1/models/{name:path}", _openai_model),
        Route("/api/tags", _tags),
        Route("/api/ps", _ps),
        Route("/api/show", _show, methods=["POST"]),
        Route("/api/version", _version),
        Route("/", _root, methods=["GET", "HEAD"]),
        Route("/healthz", _healthz),
    ]


def _relayed(api: Api) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        gateway: Gateway = request.app.state.gateway
        call = read_call(api, await _body(request))
        if api is Api.OPENAI_CHAT and is_flexible(call):
            return await _wait_for_task(request, call)
        return Relay(
            call,
            request.scope["kos_caller"],
            desk=gateway.desk,
            interactive_slots=gateway.interactive_slots,
            client=gateway.client,
            request_log=gateway.request_log,
        )

    return endpoint


async def _wait_for_task(request: Request, call: Call) -> Response:
    """The answer of the task that the call became, or of the one that ``X-KOS-Task`` names."""
    gateway: Gateway = request.app.state.gateway
    task_id = request.headers.get("x-kos-task")
    if task_id is None:
        target = await gateway.desk.target(call)
        task_id = await gateway.flexible.submit(as_task(call, target, request.scope["kos_caller"]))
    answer = await gateway.flexible.wait(task_id)
    headers = {"x-kos-task": task_id, "x-kos-backend": answer.backend or ""}
    return JSONResponse(completion(answer), headers=headers)


async def _respond(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    chat = json.dumps(chat_body(read_object(await _body(request)))).encode()
    call = read_call(Api.OPENAI_CHAT, chat)
    target = await gateway.desk.target(call)
    task_id = await gateway.flexible.submit(as_task(call, target, request.scope["kos_caller"]))
    answer = await gateway.flexible.read(task_id)
    return JSONResponse(response(answer), headers={"x-kos-task": task_id})


async def _response(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    return JSONResponse(response(await gateway.flexible.read(_task_of(request))))


async def _cancel_response(request: Request) -> Response:
    gateway: Gateway = request.app.state.gateway
    return JSONResponse(response(await gateway.flexible.cancel(_task_of(request))))


def _task_of(request: Request) -> str:
    name: str = request.path_params["response"]
    return name.removeprefix("resp_")


async def _body(request: Request) -> bytes:
    """The body; raises Unpacked where it is packed, CutOff where it is too large or too slow."""
    packed = request.headers.get("content-encoding", "identity")
    if packed.casefold() != "identity":
        raise Unpacked(f"content-encoding {packed!r} is not served: send the body as it is")
    body = bytearray()
    seconds = request.app.state.gateway.settings.body_seconds
    with anyio.move_on_after(seconds) as scope:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise CutOff(f"the body is larger than {MAX_BODY_BYTES} bytes", status=413)
    if scope.cancelled_caught:
        raise CutOff(f"the body did not come within {seconds:g} s", status=408)
    return bytes(body)


async def _entries(request: Request) -> list[listing.Listed]:
    desk: Desk = request.app.state.gateway.desk
    return listing.listed(await desk.scan(), await desk.experts())


async def _openai_models(request: Request) -> Response:
    return JSONResponse(listing.openai_models(await _entries(request)))


async def _openai_model(request: Request) -> Response:
    return JSONResponse(listing.openai_model(await _entry(request, request.path_params["name"])))


async def _entry(request: Request, name: str) -> listing.Listed:
    for entry in await _entries(request):
        if entry.name in spellings(name):
            return entry
    raise UnknownModel(f"no server has the model {name!r}; GET /v1/models lists the names")


async def _tags(request: Request) -> Response:
    return JSONResponse(listing.ollama_tags(await _entries(request)))


async def _ps(request: Request) -> Response:
    desk: Desk = request.app.state.gateway.desk
    return JSONResponse(listing.ollama_ps(await desk.scan(), await desk.residents()))


async def _show(request: Request) -> Response:
    body = read_object(await _body(request))
    name = body.get("model", body.get("name"))
    if not isinstance(name, str):
        raise BadCall("model: name a model; GET /api/tags lists them")
    entry = await _entry(request, name)
    return JSONResponse(ollama.show(entry.card))


async def _version(request: Request) -> Response:
    return JSONResponse(ollama.version(VERSION))


async def _root(request: Request) -> Response:
    return PlainTextResponse(ollama.ROOT_TEXT)


async def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "green"})


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    body = error.body(ollama=request.url.path.startswith("/api/"))
    return JSONResponse(body, status_code=error.status, headers=error.headers)


async def _broke(request: Request, error: Exception) -> Response:
    answer = answer_to(error)
    if isinstance(answer, Away):
        logger.warning("service_away path=%s error=%s", request.url.path[:200], error)
    else:
        logger.error("request_broke path=%s", request.url.path[:200], exc_info=error)
    return await _failed(request, answer)


async def _left(request: Request, error: Exception) -> Response:
    """The caller went away before its body had come: nobody hears the answer."""
    return Response(status_code=HANGUP)


async def _not_served(request: Request, error: Exception) -> Response:
    """Paths and methods that are none of ours, in the words of the caller's API."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path[:200]}"
    problem = NotServed(f"the gateway does not serve {what}; see docs/gateway.md")
    problem.status = error.status_code
    return await _failed(request, problem)
