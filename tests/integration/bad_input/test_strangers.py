"""The dashboard, the gateway and the MLX server before strangers: no fault, and nobody kept out."""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypedDict

import pytest
import requests

from console.home import free_port
from tests.integration.web.dashboards import running_dashboard
from tests.support.mlx_servers import build_models, mlx_server
from tests.support.strangers import (
    ANSWER_SECONDS,
    NEIGHBOUR_SECONDS,
    Door,
    half_body,
    half_open,
    neighbour,
    odd_requests,
    status_of,
)
from tests.support.system import running_system

BODY_SECONDS = 10.0
HELD_UP_SECONDS = 1.0
"""More than a busy machine takes, and less than any bound that a connection in the way ends by."""


class Places(TypedDict):
    light: str
    reads: Sequence[str]
    posts: Sequence[str]


MLX: Places = {
    "light": "/health",
    "reads": ("/v1/models/{}", "/api/tags", "/metrics", "/{}"),
    "posts": ("/v1/chat/completions", "/api/chat", "/api/generate", "/api/show"),
}
GATEWAY: Places = {
    "light": "/healthz",
    "reads": ("/v1/responses/{}", "/v1/responses/resp_{}", "/v1/models/{}", "/api/ps", "/{}"),
    "posts": (
        "/v1/chat/completions", "/api/chat", "/api/generate", "/api/embed", "/api/show",
        "/v1/responses", "/v1/responses/{}/cancel",
    ),
}  # fmt: skip
DASHBOARD: Places = {
    "light": "/healthz",
    "reads": (
        "/api/v1/tasks/{}", "/api/v1/tasks/{}/why", "/api/v1/tasks", "/api/v1/queues/{}/messages",
        "/api/v1/experts", "/v1/files/{}", "/v1/files/{}/content", "/v1/files", "/v1/batches/{}",
        "/v1/batches", "/tasks", "/tasks/{}", "/tasks/{}/live", "/tasks/{}/compare", "/batches/{}",
        "/batches/{}/{}", "/queues/{}", "/experts/{}", "/projects", "/chats",
        "/static/{}", "/{}",
    ),
    "posts": (
        "/api/v1/tasks", "/api/v1/tasks/{}/cancel", "/api/v1/tasks/{}/retry",
        "/api/v1/tasks/cancel",
        "/api/v1/backends/{}/pause", "/v1/files", "/v1/batches", "/v1/batches/{}/cancel",
        "/submit",
        "/batches", "/tasks/{}/cancel", "/queues/{}/delete", "/login", "/chat/ask", "/prefer",
    ),
}  # fmt: skip


@contextmanager
def mlx_door(models: Path) -> Iterator[Door]:
    with mlx_server(build_models(models), body_seconds=BODY_SECONDS) as server:
        yield Door(server.url, **MLX)


@contextmanager
def gateway_door(services: tuple[str, str], directory: Path) -> Iterator[Door]:
    port = free_port()
    with running_system(
        *services, directory, KOS_GATEWAY_PORT=str(port), KOS_BODY_SECONDS=str(BODY_SECONDS)
    ) as system:
        door = Door(f"http://127.0.0.1:{port}", **GATEWAY)
        system.start("gateway")
        system.wait(lambda: _answers(door), what="gateway answers", deadline_seconds=120)
        yield door
        assert "Traceback" not in (directory / "gateway.log").read_text()


@contextmanager
def dashboard_door(environ: dict[str, str], directory: Path) -> Iterator[Door]:
    environ = {**environ, "KOS_BODY_SECONDS": str(BODY_SECONDS)}
    with running_dashboard(environ, directory) as dashboard:
        yield Door(dashboard.url, **DASHBOARD)
        assert "Traceback" not in dashboard.log.read_text()


def _answers(door: Door) -> bool:
    with suppress(requests.ConnectionError):
        return door.light_seconds() < ANSWER_SECONDS
    return False


@pytest.fixture(scope="module", params=["dashboard", "gateway", "mlx"])
def door(
    request: pytest.FixtureRequest,
    environ: dict[str, str],
    database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp(request.param)
    opened = {
        "dashboard": lambda: dashboard_door(environ, directory),
        "gateway": lambda: gateway_door((database_url, environ["REDIS_URL"]), directory),
        "mlx": lambda: mlx_door(directory),
    }
    with opened[request.param]() as door:
        yield door


@pytest.fixture(scope="module")
def half(door: Door) -> Iterator[socket.socket]:
    """A body that does not come; it is waited for while the other tests run."""
    with socket.create_connection(door.address, timeout=2 * ANSWER_SECONDS) as half:
        half.sendall(half_body(door).replace(b"Connection: close\r\n", b""))
        yield half


@pytest.mark.usefixtures("half")
def test_no_odd_request_is_a_fault_of_ours_or_holds_up_a_neighbour(door: Door) -> None:
    statuses: Counter[int] = Counter()
    faults = []
    with neighbour(door.light_seconds) as seconds:
        for raw in odd_requests(door):
            status = status_of(door, raw)
            statuses[status] += 1
            if status >= 500:
                faults.append((status, raw[:200], raw[-80:]))

    print(f"{statuses.total()} requests, statuses {dict(statuses)}, slowest {max(seconds):.2f} s")
    assert not faults, faults[:20]
    assert max(seconds) < NEIGHBOUR_SECONDS


def test_a_line_of_50_mb_is_refused_and_holds_up_nobody(door: Door) -> None:
    line = json.dumps({"custom_id": "a", "body": "x" * 50_000_000}).encode()
    with neighbour(door.light_seconds) as seconds:
        statuses = [
            status_of(door, door.request("POST", path.replace("{}", "x"), header=kind, body=body))
            for path in door.posts
            for kind, body in (
                (b"Content-Type: application/json", line),
                (b"Content-Type: multipart/form-data; boundary=x", multipart(line)),
            )
        ]

    print(f"statuses {statuses}, slowest {max(seconds):.2f} s")
    assert all(0 < status < 500 for status in statuses), "0: the answer was lost in a reset"
    assert max(seconds) < NEIGHBOUR_SECONDS


def test_a_body_that_does_not_come_ends_its_connection(half: socket.socket) -> None:
    answer = half.recv(65_536)
    answered = time.monotonic()
    while half.recv(65_536):
        pass

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - answered < NEIGHBOUR_SECONDS


def test_half_open_connections_keep_nobody_out(door: Door) -> None:
    """The last: so many connections of one address end those before them."""
    before = statistics.median(door.light_seconds() for _ in range(10))

    with half_open(door):
        meanwhile = statistics.median(door.light_seconds() for _ in range(10))

    print(f"before {before * 1000:.1f} ms, meanwhile {meanwhile * 1000:.1f} ms")
    assert meanwhile < before + HELD_UP_SECONDS


def multipart(content: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    named = head % (b"file", b'; filename="in.jsonl"')
    return head % (b"purpose", b"") + b"batch\r\n" + named + content + b"\r\n--x--\r\n"
