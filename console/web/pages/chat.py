"""A page to try a model or an expert. Its requests go to the gateway like any chat.

The browser talks only to the dashboard: its session opens the page, and the gateway's token stays
on the server.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import anyio
import requests
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from console.supervision.addresses import gateway_url
from console.web.pages.plumbing import page, session_of, site_of
from jobs.settings.load import Settings
from llm.direct import direct_session

EVENT_STREAM = "text/event-stream"
LIST_SECONDS = 3.05
CONNECT_SECONDS = 3.05
CALLER = "dashboard"
PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
"""The gateway bounds what it waits for; here only the connection has a deadline."""
ROUTE_HEADERS = ("x-kos-backend", "x-kos-model", "x-kos-queue-seconds")
GROUPS = ("Kind of work", "Experts", "Models")
NEEDS_KEY = "the gateway asks for a key: set KOS_GATEWAY_TOKEN, which the dashboard uses too"


def chat_page(request: Request) -> Response:
    settings = site_of(request).settings
    names, problem = _names(settings)
    chosen = request.query_params.get("model", "")
    return page(
        request,
        "chat.html",
        groups=_grouped(names),
        chosen=chosen if any(name["id"] == chosen for name in names) else "auto",
        problem=problem,
        address=gateway_url(settings),
    )


async def ask(request: Request) -> Response:
    """The answer as server-sent events, an error among them."""
    call = await _call(request)
    if call is None:
        return _refused()
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    return _Answer({**call, **streamed}, site_of(request).settings)


async def make_task(request: Request) -> Response:
    """The same question as a background task; answers ``{"task": "/tasks/ID"}``."""
    call = await _call(request)
    if call is None:
        return _refused()
    settings = site_of(request).settings
    body = {"model": call["model"], "input": call["messages"], "background": True}
    try:
        async with (
            _client(settings) as client,
            client.post(f"{gateway_url(settings)}/v1/responses", json=body) as answer,
        ):
            found = json.loads(await answer.read())
            status, task_id = answer.status, answer.headers.get("x-kos-task", "")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return _problem(502, f"the gateway does not answer: {error}")
    if status != 200:
        return _problem(status, NEEDS_KEY if status == 401 else found["error"]["message"])
    site_of(request).changed()
    return JSONResponse({"task": f"/tasks/{task_id}"})


class _Answer(Response):
    """The gateway's stream, sent on as it comes. A page that stops reading ends the call."""

    def __init__(self, call: Mapping[str, Any], settings: Settings) -> None:
        self._call = call
        self._settings = settings
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", EVENT_STREAM.encode()), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with anyio.create_task_group() as group:
            group.start_soon(_until_hangup, receive, group.cancel_scope)
            try:
                await self._relay(send)
            except (aiohttp.ClientError, TimeoutError) as error:
                await _piece(send, _event(f"the gateway does not answer: {error}"))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            group.cancel_scope.cancel()

    async def _relay(self, send: Send) -> None:
        url = f"{gateway_url(self._settings)}/v1/chat/completions"
        async with (
            _client(self._settings) as client,
            client.post(url, json=self._call) as answer,
        ):
            if answer.status == 401:
                await _piece(send, _event(NEEDS_KEY))
            elif answer.status != 200:
                await _piece(send, b"data: " + await answer.read() + b"\n\n")
            else:
                await _piece(send, _route(answer.headers))
                async for piece in answer.content.iter_any():
                    await _piece(send, piece)


def _names(settings: Settings) -> tuple[list[dict[str, Any]], str]:
    """What the gateway's list of models holds, and why it holds nothing."""
    try:
        with direct_session() as session:
            answer = session.get(
                f"{gateway_url(settings)}/v1/models",
                headers=_headers(settings),
                timeout=LIST_SECONDS,
            )
        if answer.status_code == 401:
            return [], NEEDS_KEY
        return answer.json()["data"], ""
    except (requests.RequestException, ValueError, KeyError) as error:
        return [], f"the gateway does not answer: {type(error).__name__}"


def _grouped(names: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The picker's groups, in the order of GROUPS."""
    experts = [name for name in names if name["id"].startswith("expert/")]
    kinds = [name for name in names if name["owned_by"] == "kos" and name not in experts]
    models = [name for name in names if name["owned_by"] != "kos"]
    groups = zip(GROUPS, (kinds, experts, models), strict=True)
    return [(title, entries) for title, entries in groups if entries]


async def _call(request: Request) -> dict[str, Any] | None:
    """Model and messages of the body; None where it does not come from a page of ours."""
    form_token = request.headers.get("x-csrf-token", "")
    if not hmac.compare_digest(form_token.encode(), session_of(request).form_token.encode()):
        return None
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        body = None
    body = body if isinstance(body, dict) else {}
    return {"model": body.get("model"), "messages": body.get("messages")}


def _client(settings: Settings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=PATIENCE, headers=_headers(settings))


def _headers(settings: Settings) -> dict[str, str]:
    token = settings.gateway_token
    return {"x-kos-caller": CALLER} | ({"authorization": f"Bearer {token}"} if token else {})


def _route(headers: Mapping[str, str]) -> bytes:
    """The comment that the gateway itself sends where the head went out before it knew."""
    known = [(n.lower(), v) for n, v in headers.items() if n.lower() in ROUTE_HEADERS]
    return f": answered {' '.join(f'{n}={v}' for n, v in known)}\n\n".encode() if known else b""


def _event(message: str) -> bytes:
    return f"data: {json.dumps({'error': {'message': message}})}\n\n".encode()


async def _piece(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _until_hangup(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _refused() -> JSONResponse:
    return _problem(403, "this page is older than its session: load it again")


def _problem(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status_code=status)
