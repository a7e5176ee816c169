"""The gateway while Postgres or Redis cannot be used: it says which, and what to do."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.routing import Route

from console.home import free_port
from gateway.app import _routes
from tests.support.embedded import Server, drop_database, fresh_database
from tests.support.polling import pauses
from tests.support.programs import Program
from tests.support.simulators import simulator
from tests.support.system import migrate

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}
BACKGROUND = {"model": "auto", "input": "Hi", "background": True}
TASK = str(uuid.uuid4())
NEEDS_POSTGRES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/responses", BACKGROUND),
    ("GET", f"/v1/responses/resp_{TASK}", None),
    ("POST", f"/v1/responses/resp_{TASK}/cancel", None),
    ("POST", "/v1/chat/completions", {**CHAT, "service_tier": "flex"}),
]
NEEDS_REDIS: list[tuple[str, str, Any]] = [
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/api/chat", CHAT),
    ("POST", "/v1/responses", BACKGROUND),
    ("GET", "/v1/models", None),
    ("GET", "/api/tags", None),
    ("GET", "/api/ps", None),
]
AWAY: dict[str, Callable[[str], dict[str, str]]] = {
    "Postgres": lambda nowhere: {"DATABASE_URL": f"postgresql://kos@{nowhere}/kos"},
    "Redis": lambda nowhere: {"REDIS_URL": f"redis://{nowhere}/0"},
    "tables": lambda nowhere: {},
}
NEEDS = {
    "Postgres": NEEDS_POSTGRES,
    "Redis": NEEDS_REDIS,
    "tables": [*NEEDS_POSTGRES, *NEEDS_REDIS[:4]],
}
WORDS = {
    "Postgres": "(Postgres) does not answer",
    "Redis": "(Redis) does not answer",
    "tables": "run `kos migrate up`",
}
WITHOUT_SERVICE = {"/", "/healthz", "/api/version"}


@pytest.fixture(scope="module", params=list(AWAY))
def away(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(
    away: str, shared_postgres: Server, shared_redis: Server, tmp_path_factory: Any
) -> Iterator[str]:
    """The address of one that cannot reach the service."""
    directory: Path = tmp_path_factory.mktemp(away)
    port, nowhere = free_port(), f"127.0.0.1:{free_port()}"
    redis_url = f"{shared_redis.url.rsplit('/', 1)[0]}/16"
    database_url = fresh_database(shared_postgres.url, migrated=away != "tables")
    if away != "tables":
        migrate(database_url)
    with simulator() as server:
        environ = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            **AWAY[away](nowhere),
            "KOS_HOME": str(directory),
            "KOS_GATEWAY_PORT": str(port),
            "OLLAMA_API_URL": server.url,
            "MLX_API_URL": "disabled",
        }
        program = Program(
            "gateway", environ={**os.environ, **environ}, log=directory / "gateway.log"
        )
        try:
            url = f"http://127.0.0.1:{port}"
            for pause in pauses():
                if program.poll() is not None or _answers(url, pause):
                    break
            yield url
        finally:
            program.stop(15)
            drop_database(shared_postgres.url, database_url)


def _answers(url: str, pause: float) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=5).ok
    except requests.ConnectionError:
        time.sleep(pause)
        return False


def test_what_needs_the_service_is_answered_503_with_its_name(gateway: str, away: str) -> None:
    for method, path, body in NEEDS[away]:
        answer = requests.request(method, gateway + path, json=body, timeout=30)

        assert answer.status_code == 503, (path, answer.text)
        assert WORDS[away] in answer.text
        assert int(answer.headers["retry-after"]) > 0
        is_ollama = path.startswith("/api/")
        assert isinstance(answer.json()["error"], str if is_ollama else dict)


def test_no_path_is_a_fault_of_the_gateway(gateway: str, away: str) -> None:
    statuses = {}
    for route in _routes():
        assert isinstance(route, Route)
        path = route.path_format.format(response=f"resp_{TASK}", name="x")
        for method in route.methods or ():
            answer = requests.request(
                method, gateway + path, json={**CHAT, **BACKGROUND}, timeout=30
            )
            statuses[method, path] = answer.status_code

    assert 500 not in statuses.values(), statuses
    if away == "Redis":
        alive = {path for (_, path), status in statuses.items() if status == 200}
        assert alive == WITHOUT_SERVICE, statuses
