from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm import direct
from llm.backends.registry import build
from llm.types import BackendKind, BackendSpec
from tests.unit.llm.raw_server import RawServer, raw_server, sends

ROOT = Path(__file__).resolve().parents[3]
BODY = b'{"version": "1"}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    """A proxy that the environment names for everything."""
    with raw_server(sends(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, server.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        yield server


def test_a_local_server_is_reached_past_the_proxy(proxy: RawServer) -> None:
    with raw_server(sends(REPLY)) as server:
        assert direct.get(server.url, seconds=20.0).status_code == 200

    assert proxy.connections == 0


def test_an_adapter_reaches_its_server_past_the_proxy(proxy: RawServer) -> None:
    with raw_server(sends(REPLY)) as server:
        backend = build(BackendSpec("o", BackendKind.OLLAMA, server.url), environ={})
        assert backend.version() == "1"
        backend.close()

    assert proxy.connections == 0


def test_no_module_makes_http_calls_of_its_own() -> None:
    found = {
        str(path.relative_to(ROOT))
        for wing in ("llm", "jobs", "models", "console")
        for path in (ROOT / wing).rglob("*.py")
        if re.search(
            r"requests\.(Session|get|post|head|request)\(|urlopen\(|httpx\.(get|post|Client)",
            path.read_text(encoding="utf-8"),
        )
    }

    assert found == {"llm/direct.py"}
