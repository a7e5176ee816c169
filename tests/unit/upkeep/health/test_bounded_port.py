"""The health port answers beside connections that say nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
import requests

from jobs.upkeep.health import endpoint
from jobs.upkeep.health.endpoint import CONNECTIONS, serve

WAIT_SECONDS = 30.0


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    server = serve("127.0.0.1", 0, list)
    yield "127.0.0.1", server.server_port
    server.shutdown()
    server.server_close()


def is_closed(held: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        while said := held.recv(4096):
            assert b" 408 " in said or b" 400 " in said
    return True


def test_who_asks_is_served_however_many_say_nothing(address: tuple[str, int]) -> None:
    with contextlib.ExitStack() as open_ones:
        halves = [
            open_ones.enter_context(socket.create_connection(address, timeout=WAIT_SECONDS))
            for _ in range(2 * CONNECTIONS)
        ]

        host, port = address
        assert (
            requests.get(f"http://{host}:{port}/metrics", timeout=WAIT_SECONDS).status_code == 200
        )
        assert is_closed(halves[0])


def test_a_request_in_drops_has_one_deadline(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "REQUEST_SECONDS", 0.5)
    with socket.create_connection(address, timeout=0.1) as slow:
        assert any(is_ended_after_a_drop(slow) for _ in range(300))


def is_ended_after_a_drop(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"G")
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
