"""Where a client goes, what it shows there, and what it makes of strange servers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kos_client import BadInput, Client, KosError, NotAllowed, TimedOut, UnexpectedAnswer
from kos_client.transport import is_near


@contextmanager
def _server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answering(
    status: int, body: bytes, **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (200, b"<html>hello</html>", UnexpectedAnswer, "not JSON"),
        (200, b"[]", UnexpectedAnswer, "Status"),
        (302, b"", UnexpectedAnswer, "302"),
        (401, b'{"error": {"message": "send a token"}}', NotAllowed, "KOS_DASHBOARD_TOKEN"),
        (422, b'{"error": {"message": "limit: no"}}', BadInput, "limit: no"),
        (422, b"{}", BadInput, "422"),
        (500, b'{"error": "odd"}', UnexpectedAnswer, "500"),
    ],
)
def test_every_answer_is_a_value_or_an_error_of_ours(
    status: int, body: bytes, kind: type[KosError], said: str
) -> None:
    with (
        _server(_answering(status, body)) as url,
        Client(url) as client,
        pytest.raises(kind, match=said),
    ):
        client.status()


def test_a_server_that_is_silent_is_given_up() -> None:
    over = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        over.wait(30)

    with _server(answer) as url:
        with Client(url, seconds=0.2) as client, pytest.raises(TimedOut, match="silent"):
            client.status()
        over.set()


def test_the_environments_token_is_not_shown_at_an_address_of_the_callers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        shown.append(request.headers.get("Authorization"))
        _answering(200, b'{"tasks": {}}')(request)

    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("KOS_DASHBOARD_TOKEN", "of-the-environment")
    with _server(answer) as url:
        monkeypatch.setenv("KOS_DASHBOARD_URL", url)
        for client in (Client(), Client(url), Client(url, "mine")):
            with client:
                client.status()

    assert shown == ["Bearer of-the-environment", None, "Bearer mine"]


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.168.1.7", True),
     ("8.8.8.8", False), ("kos.example.net", False), ("", False)],
)  # fmt: skip
def test_proxies_are_for_far_hosts_alone(host: str, near: bool) -> None:
    assert is_near(host) is near


@pytest.mark.parametrize("url", ["", "localhost:11480", "ftp://x", "http://[", "http://"])
def test_what_is_no_address_is_refused_with_one(url: str) -> None:
    with pytest.raises(BadInput, match="11480"):
        Client(url)


def test_an_empty_name_asks_nobody() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(BadInput, match="task"):
        client.task(" ")
