"""The gateway as a program, in front of simulated servers, asked by unmodified clients."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ollama
import openai
import psutil
import pytest
import redis
import requests

from console.home import free_port
from jobs.admission.slots import INTERACTIVE_PREFIX, Slots
from llm.connections import PROGRAMS_BY_ADDRESS
from models import database
from tests.support.embedded import Server, drop_database, fresh_database
from tests.support.system import System, running_system


@pytest.fixture(scope="module")
def own_services(shared_postgres: Server, shared_redis: Server) -> Iterator[tuple[str, str]]:
    url = fresh_database(shared_postgres.url, migrated=True)
    yield url, f"{shared_redis.url.rsplit('/', 1)[0]}/15"
    drop_database(shared_postgres.url, url)


@pytest.fixture(scope="module")
def door(own_services: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    port = free_port()
    directory = tmp_path_factory.mktemp("gateway")
    # Proxies of the environment lead nowhere: a call that heeded them would fail every test here.
    with running_system(
        *own_services,
        directory,
        KOS_GATEWAY_PORT=str(port),
        HTTP_PROXY="http://127.0.0.1:9",
        ALL_PROXY="http://127.0.0.1:9",
    ) as system:
        system.start("gateway")
        url = f"http://127.0.0.1:{port}"
        system.wait(lambda: answers(url), what="gateway answers", deadline_seconds=120)
        yield Door(system, url)
    database.close_all()


MESSAGES = [{"role": "user", "content": "Hi"}]


class Door:
    def __init__(self, system: System, url: str) -> None:
        self.system = system
        self.url = url
        self.openai = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self.ollama = ollama.Client(host=url)

    def requests(self, **where: Any) -> list[Any]:
        """The rows of the request log, once there is one."""
        conditions = " AND ".join(f"{name} = %({name})s" for name in where) or "true"
        query = f"SELECT * FROM kos_requests WHERE {conditions} ORDER BY id"
        self.system.wait(lambda: bool(self.system.sql(query, where)), what=f"request log {where}")
        return self.system.sql(query, where)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=1).ok
    except requests.ConnectionError:
        return False


def a_model(door: Door) -> str:
    return next(m.id for m in door.openai.models.list() if m.owned_by == "ollama")


def test_openais_client_lists_chats_and_streams(door: Door) -> None:
    names = [model.id for model in door.openai.models.list()]
    assert {"auto", "fast", "coding", "expert/anna"} <= set(names)

    whole = door.openai.chat.completions.create(
        model=names[0], messages=[{"role": "user", "content": "Name a colour"}], max_tokens=20
    )
    assert whole.choices[0].message.content
    assert whole.usage is not None

    stream = door.openai.chat.completions.create(
        model="mlx/" + next(m.id for m in door.openai.models.list() if m.owned_by == "mlx"),
        messages=[{"role": "user", "content": "Name a colour"}],
        max_tokens=20,
        stream=True,
    )
    pieces = [chunk.choices[0] for chunk in stream if chunk.choices]
    assert "".join(piece.delta.content or "" for piece in pieces)
    assert pieces[-1].finish_reason in ("stop", "length")


def test_ollamas_client_lists_chats_generates_and_streams(door: Door) -> None:
    name = a_model(door)
    assert name in [model.model for model in door.ollama.list().models]
    assert door.ollama.show(name).details is not None
    messages = [{"role": "user", "content": "Name a colour"}]
    assert door.ollama.chat(name, messages, options={"num_predict": 20}).message.content
    pieces = list(door.ollama.generate(name, "Name a colour", stream=True))
    assert pieces[-1].done
    assert "".join(piece.response or "" for piece in pieces)
    assert door.ollama.ps().models


def test_an_expert_answers_with_its_persona(door: Door) -> None:
    answer = door.openai.chat.completions.create(
        model="expert/Anna", messages=[{"role": "user", "content": "Review this"}], max_tokens=30
    )
    assert answer.choices[0].message.content
    row = door.requests(asked="expert/Anna")[-1]
    assert (row["status"], bool(row["model"])) == (200, True)


def test_a_request_leaves_its_figures_and_not_its_text(door: Door) -> None:
    requests.post(
        f"{door.url}/v1/chat/completions",
        json={"model": "fast", "messages": [{"role": "user", "content": "secret"}]},
        headers={"x-kos-caller": "ledger-test"},
        timeout=30,
    )
    row = door.requests(caller="ledger-test")[0]
    assert (row["status"], row["api"], row["text"]) == (200, "/v1/chat/completions", None)
    assert row["first_token_seconds"] is not None
    assert row["completion_tokens"] is not None
    assert row["completion_tokens"] > 0


def test_the_answer_names_its_server_its_model_and_the_wait(door: Door) -> None:
    name = a_model(door)
    answer = requests.post(
        f"{door.url}/api/chat",
        json={
            "model": f"ollama/{name}",
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": False,
        },
        timeout=30,
    )
    assert answer.headers["x-kos-backend"] == "ollama"
    assert answer.headers["x-kos-model"] == name
    assert float(answer.headers["x-kos-queue-seconds"]) < 5


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        (
            "/v1/chat/completions",
            {"model": "nobody", "messages": [{"role": "user"}]},
            404,
            "nobody",
        ),
        ("/v1/chat/completions", {"messages": []}, 400, "model"),
        ("/api/chat", {"model": "nobody"}, 404, "nobody"),
        ("/v1/embeddings", {"model": "fast", "input": "x"}, 400, "embedding"),
    ],
)
def test_a_wrong_request_is_answered_in_the_callers_api(
    door: Door, path: str, body: dict[str, Any], status: int, says: str
) -> None:
    answer = requests.post(f"{door.url}{path}", json=body, timeout=10)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert says in (error if path.startswith("/api/") else error["message"])


def raw(door: Door, request: bytes) -> bytes:
    """What the gateway answers to these bytes until it closes the connection."""
    host, port = door.url.removeprefix("http://").split(":")
    answer = b""
    with (
        socket.create_connection((host, int(port)), timeout=30) as caller,
        suppress(BrokenPipeError, ConnectionResetError),
    ):
        caller.sendall(request)
        while piece := caller.recv(65536):
            answer += piece
    return answer


def test_old_and_odd_programs_are_answered(door: Door) -> None:
    body = json.dumps({"model": "fast", "messages": MESSAGES, "stream": None}).encode()
    head = b"POST /v1/chat/completions HTTP/1.%d\r\nhost: localhost\r\nconnection: close\r\n%s\r\n"
    length = b"content-length: %d\r\n" % len(body)
    assert b" 200 OK" in raw(door, head % (0, length) + body)
    assert b" 200 OK" in raw(door, head % (1, length + b"expect: 100-continue\r\n") + body)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert b" 200 OK" in raw(door, head % (1, b"transfer-encoding: chunked\r\n") + chunked)
    packed = raw(door, head % (1, length + b"content-encoding: gzip\r\n") + body)
    assert b" 415 " in packed.split(b"\r\n")[0]
    assert b"content-encoding" in packed
    assert requests.head(f"{door.url}/", timeout=5).status_code == 200
    from_a_container = {"host": "host.docker.internal:11482"}
    assert requests.get(f"{door.url}/api/tags", headers=from_a_container, timeout=5).ok


def test_more_silent_connections_than_an_address_may_hold_keep_nobody_out(door: Door) -> None:
    address = ("127.0.0.1", urlsplit(door.url).port)
    with contextlib.ExitStack() as held:
        halves = [
            held.enter_context(socket.create_connection(address, timeout=30))
            for _ in range(PROGRAMS_BY_ADDRESS + 10)
        ]

        assert requests.get(f"{door.url}/api/tags", timeout=30).ok
        with contextlib.suppress(ConnectionResetError):
            assert halves[0].recv(1) == b"", "the oldest made room"


def test_a_header_without_end_is_cut_off(door: Door) -> None:
    assert raw(door, b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 2_000_000) == b""


def test_what_is_not_served_is_said_in_the_callers_api(door: Door) -> None:
    assert "/api/pull" in requests.post(f"{door.url}/api/pull", json={}, timeout=5).json()["error"]
    answer = requests.get(f"{door.url}/v1/chat/completions", timeout=5)
    assert answer.status_code == 405
    assert "GET /v1/chat/completions" in answer.json()["error"]["message"]
    with pytest.raises(ollama.ResponseError, match="does not serve"):
        door.ollama.delete("anything")


def test_other_sites_and_other_host_names_are_refused(door: Door) -> None:
    foreign = {"origin": "https://elsewhere.example"}
    assert requests.get(f"{door.url}/v1/models", headers=foreign, timeout=5).status_code == 403
    rebound = {"host": "elsewhere.example"}
    assert requests.get(f"{door.url}/v1/models", headers=rebound, timeout=5).status_code == 421


def test_slots_are_free_again_after_answers_errors_and_hang_ups(door: Door) -> None:
    name = a_model(door)
    body = json.dumps(
        {"model": name, "messages": [{"role": "user", "content": "Count"}], "stream": True}
    ).encode()
    host, port = door.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as caller:
        caller.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        assert caller.recv(16)
    began = time.monotonic()
    door.system.wait(lambda: slots_in_use(door) == 0, what="slots free", deadline_seconds=10)
    assert time.monotonic() - began < 5


def slots_in_use(door: Door) -> int:
    with redis.Redis.from_url(door.system.environ["REDIS_URL"]) as client:
        return sum(client.zcard(f"kos:slots:{name}:held") for name in ("ollama", "mlx"))


def test_a_stream_that_the_server_breaks_off_is_an_error_here_too(door: Door) -> None:
    name = a_model(door)
    door.system.ollama.fault("truncate", count=1, after_tokens=3)
    with pytest.raises(openai.APIError):
        for _ in door.openai.chat.completions.create(
            model=f"ollama/{name}",
            messages=[{"role": "user", "content": "Count to ten"}],
            stream=True,
        ):
            pass


def test_keys_name_their_callers(door: Door, tmp_path: Path) -> None:
    from models import caller_key

    with database.session():
        key = caller_key.add("open-webui")
        with pytest.raises(caller_key.NameTaken):
            caller_key.add("open-webui")
    requests.post(
        f"{door.url}/v1/chat/completions",
        json={"model": "fast", "messages": [{"role": "user", "content": "Hi"}]},
        headers={"authorization": f"Bearer {key}"},
        timeout=30,
    ).raise_for_status()
    assert door.requests(caller="open-webui")


def hostile_bodies() -> Iterator[bytes]:
    """What a broken or hostile program sends: 500 bodies, the same at every run."""
    chance = random.Random(18)
    values: list[Any] = [
        None, True, -1, 1e308, "", "x" * 5000, "\x00", "\ud800", [], {}, [[[]]], {"a": {"b": 1}},
        float("nan"), 10**40, "data:image/png;base64,%%%", ["\x00"], {"type": "image_url"},
    ]  # fmt: skip
    fields = [
        "model", "messages", "prompt", "input", "stream", "options", "tools", "format", "stop",
        "temperature", "max_tokens", "response_format", "stream_options", "images", "n", "seed",
    ]  # fmt: skip
    names: list[Any] = ["fast", "auto", "expert/anna", "nobody", *values]
    for _ in range(450):
        body: dict[str, Any] = {"model": chance.choice(names), "messages": MESSAGES}
        for field in chance.sample(fields, chance.randint(1, 5)):
            body[field] = chance.choice(values)
        if chance.random() < 0.5:
            body["messages"] = [{"role": chance.choice(values), "content": chance.choice(values)}]
        yield json.dumps(body).encode("utf-8", "surrogatepass")
    yield from (chance.randbytes(chance.randint(0, 200)) for _ in range(50))


def test_hostile_requests_are_refused_and_leave_nothing_behind(door: Door) -> None:
    paths = ["/v1/chat/completions", "/api/chat", "/api/generate", "/v1/embeddings", "/api/embed"]
    program = psutil.Process(door.system.programs["gateway"].pid)
    statuses: Counter[int] = Counter()
    memory: list[int] = []
    with requests.Session() as session:
        for number, body in enumerate(hostile_bodies()):
            answer = session.post(f"{door.url}{paths[number % len(paths)]}", data=body, timeout=60)
            statuses[answer.status_code] += 1
            memory.append(program.memory_info().rss)

    assert not [status for status in statuses if status >= 500], statuses
    assert max(memory[250:]) < max(memory[:250]) * 1.1
    door.system.wait(lambda: slots_in_use(door) == 0, what="slots free", deadline_seconds=10)
    assert door.requests(asked="\ufffd"), "a name with a NUL is in the request log too"


def test_the_dashboard_and_the_metrics_show_who_asked(door: Door) -> None:
    requests.post(
        f"{door.url}/v1/chat/completions",
        json={"model": "fast", "messages": MESSAGES},
        headers={"x-kos-caller": "seen-everywhere"},
        timeout=30,
    ).raise_for_status()
    assert door.requests(caller="seen-everywhere")
    with redis.Redis.from_url(door.system.environ["REDIS_URL"]) as client:
        Slots(client, lease_seconds=300).acquire(
            "ollama", f"{INTERACTIVE_PREFIX}held", limit=8, heavy_limit=8
        )
    with dashboard(door.system) as page_of:
        overview = page_of("/")
        assert "1 of them chats" in overview
        assert "bar split" in overview, "chats alone fill the time split"
        page = page_of("/chats")
        assert "seen-everywhere" in page
        assert f"{door.url}/v1" in page
        assert 'kos_requests_hour{backend="' in page_of("/metrics")


@contextmanager
def dashboard(system: System) -> Iterator[Callable[[str], str]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "console.web"],
        env={**os.environ, **system.environ, "KOS_DASHBOARD_PORT": str(port)},
    )
    try:
        system.wait(lambda: answers(url), what="dashboard answers")
        yield lambda path: requests.get(f"{url}{path}", timeout=20).text
    finally:
        process.terminate()
        process.wait(20)
