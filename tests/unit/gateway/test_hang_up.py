"""A caller that goes away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import anyio
from starlette.types import Message, Scope

from gateway.app import Gateway, build_app

SETTINGS = SimpleNamespace(
    gateway_token="", gateway_host="127.0.0.1", gateway_allowed_hosts=(), body_seconds=60.0
)
SCOPE: Scope = {
    "type": "http", "http_version": "1.1", "method": "POST", "path": "/v1/chat/completions",
    "raw_path": b"/v1/chat/completions", "query_string": b"", "root_path": "", "scheme": "http",
    "headers": [(b"host", b"127.0.0.1"), (b"content-length", b"9")], "server": ("127.0.0.1", 80),
    "client": ("127.0.0.1", 5000), "state": {},
}  # fmt: skip


def test_one_that_leaves_before_its_body_has_come_is_no_error_of_ours() -> None:
    app = build_app(cast(Gateway, SimpleNamespace(settings=SETTINGS)))
    coming: list[Message] = [
        {"type": "http.request", "body": b"{}", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        await app(dict(SCOPE), receive, send)

    anyio.run(ask)

    assert sent[0]["status"] == 499
