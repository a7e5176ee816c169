"""Thousands of hostile requests: which statuses they get, and what they leave in memory."""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests

from benchmarks.gateway.overhead import INSTANT
from benchmarks.gateway.stage import chat, deployment, first_token_seconds
from gateway.calls import Api

CALLERS = 8
SEED = 18
ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 10**30, float("nan"), float("-inf"), "", "\x00", "\ud800", "%s%n{0}",
    "x" * 100_000, [], [[]], {}, [None], [{"role": None}], {"a": {"b": []}}, "../../etc/passwd",
    "'; DROP TABLE tasks; --", "\u202e", [{"role": "user", "content": {"x": 1}}],
    [{"role": "user", "content": [1, None, {}]}],
)  # fmt: skip
FIELDS = (
    "model", "messages", "prompt", "input", "stream", "options", "tools", "images", "max_tokens",
    "temperature", "stop", "response_format", "stream_options", "keep_alive", "service_tier", "n",
    "format",
)  # fmt: skip
PATHS = (
    "/",
    "/v1/models/..%2f..",
    "/api/pull",
    "/v1/responses/resp_'",
    "/%00",
    "/v1/" + "x" * 9000,
)
METHODS = ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "POST")
RAW = (
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{}",
    b"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
)
Sender = Callable[[str, random.Random], int | str]
"""The status of one request, or how the connection ended."""


def hostile(directory: Path, count: int) -> dict[str, Any]:
    """Statuses by kind of request; memory before and after the second half of them."""
    with deployment(directory, profile=INSTANT, slots=200) as (system, url):
        process = psutil.Process(system.programs["gateway"].pid)
        found: Counter[str] = Counter()
        began = time.monotonic()
        _send(url, count // 2, SEED, found)
        before = process.memory_info().rss
        _send(url, count - count // 2, SEED + 1, found)
        with requests.Session() as session:
            seconds = first_token_seconds(session, url, chat("mlx/instant", 2))
        return {
            "requests": sum(found.values()),
            "statuses": dict(sorted(found.items())),
            "faults_of_ours": sum(n for key, n in found.items() if " 5" in key),
            "mb_after_half": round(before / 1e6, 1),
            "mb_after_all": round(process.memory_info().rss / 1e6, 1),
            "next_chat_first_token_seconds": round(seconds, 3),
            "tracebacks": system.log("gateway").count("Traceback"),
            "seconds": round(time.monotonic() - began, 1),
        }


def _send(url: str, count: int, seed: int, found: Counter[str]) -> None:
    kinds: tuple[Sender, ...] = (_odd_body, _odd_body, _broken_json, _odd_path, _raw, _hang_up)

    def one(number: int) -> str:
        chance = random.Random(f"{seed} {number}")
        kind = kinds[number % len(kinds)]
        return f"{kind.__name__.strip('_')} {kind(url, chance)}"

    with ThreadPoolExecutor(CALLERS) as pool:
        found.update(pool.map(one, range(count)))


def _odd_body(url: str, chance: random.Random) -> int | str:
    body: dict[str, Any] = {**chat("mlx/instant", 2), "prompt": "x", "input": "x"}
    for name in chance.sample(FIELDS, chance.randint(1, 3)):
        body[name] = chance.choice(ODD_VALUES)
    return _status(url, chance.choice(list(Api)).value, json.dumps(body).encode())


def _broken_json(url: str, chance: random.Random) -> int | str:
    whole = json.dumps(chat("mlx/instant", 2)).encode()
    body = chance.choice(
        (
            whole[: chance.randrange(len(whole))],
            b"[" * 50_000,
            b'{"a":' * 20_000,
            chance.randbytes(200),
            b"[]",
            b"",
            whole.replace(b"Tell", b"\xff\xfe"),
        )
    )
    return _status(url, chance.choice(list(Api)).value, body)


def _odd_path(url: str, chance: random.Random) -> int | str:
    method, path = chance.choice(METHODS), chance.choice(PATHS)
    encoding = chance.choice(("identity", "gzip", "x" * 300))
    return _status(url, path, b"{}", method=method, headers={"content-encoding": encoding})


def _raw(url: str, chance: random.Random) -> int | str:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=15) as connection:
        connection.sendall(chance.choice(RAW))
        connection.shutdown(socket.SHUT_WR)
        try:
            head = connection.recv(64).split()
        except OSError as error:
            return type(error).__name__
    return int(head[1]) if len(head) > 1 else "closed"


def _hang_up(url: str, chance: random.Random) -> int | str:
    body = chat("mlx/instant", 2)
    with requests.post(f"{url}/v1/chat/completions", json=body, stream=True, timeout=60) as answer:
        return answer.status_code


def _status(
    url: str, path: str, body: bytes, *, method: str = "POST", headers: dict[str, str] | None = None
) -> int | str:
    try:
        with requests.request(
            method, f"{url}{path}", data=body, headers=headers, stream=True, timeout=60
        ) as answer:
            for _ in answer.iter_content(65_536):
                pass
            return answer.status_code
    except requests.RequestException as error:
        return type(error).__name__
